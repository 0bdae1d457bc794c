"""Files and pictures by drop, paste and button; answers that cite them, and where the cited words stand."""

from __future__ import annotations

import base64
import re

import pytest
from playwright.async_api import expect

from tests.web.browser import Tab
from tests.web.views import api

pytestmark = pytest.mark.asyncio(loop_scope="session")

HANDBOOK = """# Harbour handbook

The harbour master is Ada Brandt. She took office in 2019.

The lights of the harbour are green on the west pier and red on the east pier.

Ships longer than forty metres need a pilot.
"""
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
DROP = """([name, type, bytes, kind]) => {
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(bytes)], name, {type}));
    const at = document.querySelector(kind === 'paste' ? '.footer .composer-input' : '.viewport');
    if (kind === 'paste') {
        at.focus();
        at.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true}));
        return;
    }
    for (const type of ['dragenter', 'dragover', 'drop'])
        at.dispatchEvent(new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


async def give(page: Tab, name: str, kind: str, content: bytes, how: str) -> None:
    await page.page.evaluate(DROP, [name, kind, list(content), how])
    await page.page.locator(f".chip.requires-action:has-text('{name}')").wait_for()


async def test_a_document_is_dropped_and_its_own_words_answer_with_their_place(page: Tab) -> None:
    await give(page, "handbook.md", "text/markdown", HANDBOOK.encode(), "drop")
    await page.picture("attached")
    await page.say("Who is the harbour master?")
    answer = page.page.locator(".answer")
    await expect(answer).to_contain_text("Ada Brandt")
    await page.picture("cited")
    await answer.locator(".cite").first.click()
    await expect(page.page.locator("dialog mark")).to_contain_text("harbour master is Ada Brandt")
    await expect(page.page.locator("dialog .passage")).to_contain_text("longer than forty metres")
    await page.picture("passage")
    await page.page.keyboard.press("Escape")
    await expect(page.page.locator("dialog")).to_have_count(0)
    await answer.get_by_label("How the sources were found").click()
    await expect(page.page.locator("dialog .trace")).to_contain_text("Who is the harbour master?")
    await page.picture("trace")
    await page.page.keyboard.press("Escape")
    await page.say("Which colour are the lights of the west pier?")
    await expect(page.page.locator(".answer").last).to_contain_text("green on the west pier")
    await page.page.reload()
    await expect(page.page.locator(".said .chip")).to_have_text("handbook.md")
    await expect(page.page.locator(".answer .cite").first).to_be_visible()


async def test_a_picture_is_pasted_and_shown_without_an_address_of_its_own(page: Tab) -> None:
    await page.choose("echo")
    await give(page, "pixel.png", "image/png", PIXEL, "paste")
    await page.say("what is this")
    picture = page.page.locator(".said img")
    await expect(picture).to_have_attribute("src", re.compile("^blob:"))
    await page.page.reload()
    await expect(picture).to_be_visible()
    assert await picture.evaluate("image => image.complete && image.naturalWidth") == 1


async def test_pictures_and_documents_that_a_program_named_by_their_ids_are_shown(
    page: Tab, url: str
) -> None:
    async with api(url) as client:
        ids = []
        for name, content in (("pixel.png", PIXEL), ("handbook.md", HANDBOOK.encode())):
            form = {"data": {"purpose": "user_data"}, "files": {"file": (name, content)}}
            ids.append((await client.post("/v1/files", **form)).raise_for_status().json()["id"])
        parts = [{"type": "input_image", "file_id": ids[0]}, {"type": "input_file", "file_id": ids[1]}]
        item = {"type": "message", "role": "user", "content": parts}
        made = (await client.post("/v1/conversations", json={"items": [item]})).raise_for_status().json()
    await page.page.goto(f"{url}#/c/{made['id']}")
    await page.page.wait_for_function("() => document.querySelector('.said img')?.naturalWidth === 1")
    await expect(page.page.locator(".said .chip")).to_have_text("handbook.md")


async def test_a_document_that_cannot_be_read_is_told_of_and_the_question_is_not_lost(page: Tab) -> None:
    await give(page, "broken.pdf", "application/pdf", b"%PDF-1.7 nothing", "drop")
    await page.write("What does it say?")
    await expect(page.page.locator(".ending.problem")).to_contain_text("broken.pdf")
    assert (await page.texts(".bubble"))[0].startswith("What does it say?")


async def test_an_attachment_is_removed_before_it_is_sent(page: Tab) -> None:
    await give(page, "notes.txt", "text/plain", b"nothing", "drop")
    await page.page.get_by_label("Remove").click()
    await expect(page.page.locator(".chip")).to_have_count(0)


async def test_tool_calls_are_shown_with_their_arguments(page: Tab) -> None:
    await page.choose("parallel")
    await page.say("call them")
    await expect(page.page.locator(".aside summary")).to_have_count(2)
    await page.page.locator(".aside summary").first.click()
    await page.picture("tools")
