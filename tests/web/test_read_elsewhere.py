"""What a chat shows is read elsewhere, too: by whoever has a link, and where two branches are compared."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.web.browser import Tab
from tests.web.test_documents import HANDBOOK, give
from tests.web.views import api

pytestmark = pytest.mark.asyncio(loop_scope="session")

NUMBERED = "scripted/numbered"


async def continued(url: str) -> tuple[str, str]:
    """A conversation whose answer was cut off twice: where it is in the API, and all of the answer."""
    whole = ""
    async with api(url) as client:
        made = (await client.post("/v1/conversations", json={})).raise_for_status().json()
        asked = {"conversation": made["id"], "model": NUMBERED}
        for how in (
            {"input": "stream=c tokens=12", "max_output_tokens": 5},
            {"antiphon": {"continues": True}, "max_output_tokens": 3},
            {"antiphon": {"continues": True}},
        ):
            answer = (await client.post("/v1/responses", json=asked | how)).raise_for_status().json()
            whole += answer["output"][0]["content"][0]["text"]
    return f"/v1/conversations/{made['id']}", whole.strip()


async def link_to(url: str, conversation: str) -> str:
    async with api(url) as client:
        made = (await client.post(f"{conversation}/shares", json={})).raise_for_status().json()
    return f"{url}#/shared/{made['token']}"


async def test_an_answer_that_was_gone_on_with_is_one_to_whoever_has_a_link(page: Tab, url: str) -> None:
    path, whole = await continued(url)
    await page.page.goto(await link_to(url, path))
    answers = page.page.get_by_role("article", name="Answer")
    await expect(answers).to_have_text([whole])
    await expect(answers.locator(".markdown")).to_have_count(1)


async def test_an_answer_that_was_gone_on_with_is_one_beside_another_branch(page: Tab, url: str) -> None:
    path, whole = await continued(url)
    async with api(url) as client:
        (main,) = (await client.get(f"{path}/branches")).json()["data"]
        first, *_ = (await client.get(f"{path}/items", params={"order": "asc"})).json()["data"]
        other = (await client.post(f"{path}/branches", json={"item_id": first["id"]})).json()
    await page.page.goto(f"{url}#/c/{path.split('/')[-1]}/compare/{other['id']}/{main['id']}")
    answers = page.page.locator(".compare-answer")
    await expect(answers).to_have_text([whole])
    await expect(answers.locator(".markdown")).to_have_count(1)


async def test_whoever_has_a_link_sees_what_is_cited_and_not_the_file(page: Tab, url: str) -> None:
    await give(page, "handbook.md", "text/markdown", HANDBOOK.encode(), "drop")
    await page.say("Who is the harbour master?")
    found = re.search(r"#/c/(\w+)", page.page.url)
    assert found is not None
    await page.page.goto(await link_to(url, f"/v1/conversations/{found[1]}"))
    answer = page.page.get_by_role("article", name="Answer")
    await expect(answer.locator(".source")).to_contain_text(["handbook.md"])
    await answer.locator(".cite").first.click()
    dialog = page.page.locator("dialog")
    await expect(dialog.locator("blockquote mark")).to_contain_text("harbour master is Ada Brandt")
    await expect(dialog).not_to_contain_text("longer than forty metres")
    await page.picture("shared-quote")
