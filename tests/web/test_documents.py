"""Files and pictures by drop, paste and button; answers that cite them, and where the cited words stand."""

from __future__ import annotations

import asyncio
import base64
import re

import pytest
from playwright.async_api import Browser, Route, expect

from tests.web.browser import PHONE, Tab, tab
from tests.web.views import api, pick_of_open

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
    await page.page.locator("textarea").first.wait_for()
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


async def test_what_was_found_has_the_name_of_its_file_and_opens_there(page: Tab) -> None:
    await give(page, "handbook.md", "text/markdown", HANDBOOK.encode(), "drop")
    await page.say("Who is the harbour master?")
    search = page.page.locator(".answer .aside", has_text="Searched the documents")
    dialog = page.page.locator("dialog")
    for opened in ("when it has settled", "when it is opened again"):
        await search.locator("summary").click()
        found = search.locator("li", has_text="Ada Brandt").first
        await found.get_by_role("button", name="handbook.md").click()
        await expect(dialog.locator("mark"), opened).to_contain_text("harbour master is Ada Brandt")
        await page.picture("result")
        await page.page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await page.page.reload()
    await page.page.get_by_label("How the sources were found").click()
    await dialog.locator(".trace").get_by_role("button", name="handbook.md").first.click()
    await expect(dialog.locator("mark")).to_contain_text("harbour master is Ada Brandt")
    await page.picture("trace-passage")
    await page.page.keyboard.press("Escape")
    await expect(dialog).to_have_count(1)
    await expect(dialog.locator(".trace")).to_be_visible()


async def test_what_was_attached_in_chats_stands_apart_from_ones_collections(page: Tab) -> None:
    chats = []
    for text in ("Who has the keys?", "Who has the boats?"):
        await page.open()
        await page.choose("echo")
        await give(page, "handbook.md", "text/markdown", HANDBOOK.encode(), "drop")
        await page.say(text)
        await expect(page.page.locator(".top-title")).to_have_text(text)
        chats.append(text)
    await pick_of_open(page, "Collections")
    dialog = page.page.locator("dialog")
    await expect(dialog.get_by_label("What was attached here")).to_be_checked()
    await expect(dialog.locator("li").filter(has_text="attached")).to_have_count(1)
    await page.page.keyboard.press("Escape")
    await page.page.goto(f"{page.url}#/collections")
    attached = page.page.get_by_role("region", name="From chats").locator("tbody tr")
    await expect(attached).to_contain_text(chats[::-1])
    made = page.page.get_by_role("region", name="Collections", exact=True)
    assert not await made.get_by_text("keys").count()
    await attached.first.get_by_role("link").click()
    await expect(page.page.get_by_role("button", name="handbook.md", exact=True)).to_be_visible()


async def test_a_picture_is_uploaded_when_it_is_pasted_and_the_message_names_it(page: Tab) -> None:
    await page.choose("echo")
    await give(page, "pixel.png", "image/png", PIXEL, "paste")
    await expect(page.page.locator(".composer .thumbnail")).to_have_attribute("src", re.compile("^blob:"))
    await page.picture("picture-attached")
    async with page.page.expect_request("**/v1/responses") as asked:
        await page.say("what is this")
    said = (await asked.value).post_data_json["input"][0]["content"]
    assert [part["type"] for part in said] == ["input_text", "input_image"]
    assert set(said[1]) == {"type", "file_id"}
    picture = page.page.locator(".said img")
    await expect(picture).to_have_attribute("src", re.compile("^blob:"))
    await page.page.reload()
    await expect(picture).to_be_visible()
    assert await picture.evaluate("image => image.complete && image.naturalWidth") == 1
    await page.page.get_by_label("Show the picture larger").click()
    await expect(page.page.locator("dialog img")).to_be_visible()
    await page.picture("picture-large")


async def test_on_a_phone_a_long_name_leaves_room_for_the_buttons(browser: Browser, url: str) -> None:
    async with tab(browser, url, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        await page.open()
        await give(page, "a-photo-with-a-long-name-of-a-phone.png", "image/png", PIXEL, "paste")
        await page.picture("phone-attached")
        for name in ("Send", "Remove"):
            box = await page.page.get_by_label(name, exact=True).bounding_box()
            assert box is not None and box["x"] + box["width"] <= PHONE["width"], name


async def test_a_picture_within_an_older_message_is_still_shown(page: Tab, url: str) -> None:
    async with api(url) as client:
        data = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"
        parts = [{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": data}]
        item = {"type": "message", "role": "user", "content": parts}
        made = (await client.post("/v1/conversations", json={"items": [item]})).raise_for_status().json()
    await page.page.goto(f"{url}#/c/{made['id']}")
    await page.page.wait_for_function("() => document.querySelector('.said img')?.naturalWidth === 1")


@pytest.mark.parametrize(
    "name,kind", [("pixel.png", "image/png"), ("notes.txt", "text/plain")], ids=["picture", "document"]
)
async def test_a_refused_upload_is_told_and_keeps_the_message_until_it_can_go(
    page: Tab, name: str, kind: str
) -> None:
    page.expected.append("Failed to load resource")
    page.expected.append("Failed to send attachments")
    refusal = {"error": {"message": "You have no room left.", "type": "invalid_request_error",
                         "param": None, "code": "storage_limit_exceeded"}}  # fmt: skip

    async def refuse(route: Route) -> None:
        await route.fulfill(status=413, json=refusal)

    await page.choose("echo")
    await page.page.route("**/v1/files", refuse)
    content = PIXEL if kind == "image/png" else b"Some notes."
    await page.page.locator("textarea").first.wait_for()
    await page.page.evaluate(DROP, [name, kind, list(content), "drop"])
    await expect(page.page.locator(".chip.incomplete")).to_contain_text("not uploaded")
    told = page.page.locator(".notices > *")
    await expect(told).to_contain_text(f"{name} was not uploaded. You have no room")
    await told.get_by_label("Dismiss").click()
    await expect(told).to_have_count(0)
    await page.write("do not lose this")
    await expect(told).to_contain_text(f"{name} was not uploaded. You have no room")
    await expect(page.page.locator(".footer .composer-input")).to_have_value("do not lose this")
    await expect(page.page.locator(".footer .chip")).to_have_count(1)
    await page.picture(f"refused-{name}")
    assert await page.texts(".bubble") == []
    await page.page.unroute("**/v1/files")
    await page.page.keyboard.press("Enter")
    await expect(page.page.locator(".bubble")).to_contain_text("do not lose this")
    await page.settled()
    await expect(page.page.locator(".footer .chip")).to_have_count(0)


async def test_what_is_sent_while_it_is_uploaded_waits_for_it(page: Tab) -> None:
    going = asyncio.Event()

    async def wait(route: Route) -> None:
        await going.wait()
        await route.continue_()

    await page.choose("echo")
    await page.page.route("**/v1/files", wait)
    await page.page.evaluate(DROP, ["pixel.png", "image/png", list(PIXEL), "drop"])
    await page.page.locator(".chip.running").wait_for()
    await page.write("with a picture")
    going.set()
    await page.page.wait_for_function("() => document.querySelector('.said img')?.naturalWidth === 1")
    await page.settled()
    await expect(page.page.locator(".bubble")).to_contain_text("with a picture")


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
    await page.choose("echo")
    await give(page, "broken.pdf", "application/pdf", b"%PDF-1.7 nothing", "drop")
    chip, writing = page.page.locator(".footer .chip"), page.page.locator(".footer .composer-input")
    await writing.fill("What does it say?")
    for _ in range(2):
        await writing.press("Enter")
        await expect(page.page.locator(".notices > *").last).to_contain_text("broken.pdf")
        await expect(writing).to_have_value("What does it say?")
        await expect(chip).to_have_text("broken.pdf")
        await expect(page.page.locator(".bubble")).to_have_count(0)
        await page.page.locator(".notices button").last.click()
        await expect(page.page.locator(".notices > *")).to_have_count(0)
    await chip.get_by_label("Remove").click()
    await expect(chip).to_have_count(0)
    await writing.press("Enter")
    await expect(page.page.locator(".answer .markdown")).to_have_text("What does it say?")


async def test_what_is_attached_can_be_taken_off_where_one_says_it_otherwise(page: Tab) -> None:
    await page.choose("echo")
    await give(page, "pixel.png", "image/png", PIXEL, "paste")
    await page.say("what is this")
    for chips, text in ((1, "what is that"), (0, "nothing to see")):
        await page.page.hover(".said")
        await page.page.get_by_label("Edit", exact=True).click()
        await expect(page.page.locator(".edit .chip")).to_have_count(1)
        if not chips:
            await page.page.locator(".edit").get_by_label("Remove").click()
        await expect(page.page.locator(".edit .chip")).to_have_count(chips)
        await page.page.fill(".edit .composer-input", text)
        async with page.page.expect_request("**/edit") as asked:
            await page.page.keyboard.press("Enter")
        said = (await asked.value).post_data_json["content"]
        assert [part["type"] for part in said] == ["input_text", "input_image"][: 1 + chips]
        await expect(page.page.locator(".bubble")).to_contain_text(text)
        await expect(page.page.locator(".said img")).to_have_count(chips)
        await page.settled()


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
