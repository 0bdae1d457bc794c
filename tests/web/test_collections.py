"""Collections: files are put in, looked at, described, looked up, attached to a chat, and taken out."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from tests.web.browser import PHONE, Tab, tab
from tests.web.views import api, pick, pick_of_open, require_accessible

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIGHTS = "# Lights\n\nThe lights of the harbour are green on the right and red on the left.\n"
FILES = [
    {"name": "lights.md", "mimeType": "text/markdown", "buffer": LIGHTS.encode()},
    {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.4 and nothing more"},
]
READ_MS = 20_000


async def handbook(page: Tab, name: str) -> None:
    """A collection with one file that can be read and one that cannot."""
    await page.page.goto(f"{page.url}#/collections")
    await page.page.get_by_label("Name of the new collection").fill(name)
    await page.page.get_by_role("button", name="Make it").click()
    await page.page.locator("input[type=file]").set_input_files(FILES)  # type: ignore[arg-type]
    await expect(page.page.locator(".badge.good")).to_have_text("ready", timeout=READ_MS)
    await expect(page.page.locator(".badge.bad")).to_have_text("failed", timeout=READ_MS)


async def test_a_file_is_put_in_read_described_and_looked_up(page: Tab) -> None:
    await handbook(page, "Handbook")
    await require_accessible(page)
    await page.page.get_by_role("button", name="lights.md", exact=True).click()
    await expect(page.page.locator(".file-text")).to_contain_text("green on the right")
    await require_accessible(page)
    await page.page.keyboard.press("Escape")
    await pick(page, "More about lights.md", "Attributes")
    await page.page.get_by_label("Name 1").fill("year")
    await page.page.get_by_label("Value 1").fill("2026")
    await require_accessible(page)
    await page.page.get_by_role("button", name="Save").click()
    await expect(page.page.get_by_text("year: 2026")).to_be_visible()
    await page.page.get_by_label("What to look for").fill("which light is red")
    await page.page.keyboard.press("Enter")
    await expect(page.page.locator(".passages li")).to_contain_text("red on the left")
    await require_accessible(page)
    await page.picture("collection")
    await pick(page, "More about broken.pdf", "Take it out")
    await expect(page.page.locator("tbody tr")).to_have_count(1)


async def test_a_chat_is_answered_from_a_collection_that_is_attached_to_it(page: Tab) -> None:
    await handbook(page, "Pilot")
    await page.page.goto(page.url)
    await page.say("hello")
    await pick_of_open(page, "Collections")
    await page.page.get_by_label("Pilot").check()
    await require_accessible(page)
    await page.page.get_by_role("button", name="Save").click()
    await expect(page.page.locator("dialog")).to_have_count(0)  # until then nothing else takes what is typed
    await page.say("Which light of the harbour is red?")
    await expect(page.page.locator(".answer").last).to_contain_text("red on the left")
    cited = page.page.locator(".answer").last.get_by_text("lights.md").locator("visible=true")
    await expect(cited.first).to_be_visible()


async def test_a_collection_is_for_every_chat_renamed_and_deleted_on_a_phone_too(
    browser: Browser, url: str
) -> None:
    async with tab(browser, url, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        await page.open()
        await handbook(page, "Logbook")
        await pick(page, "More about this collection", "In every chat of mine")
        await expect(page.page.get_by_text("Every answer of yours")).to_be_visible()
        await pick(page, "More about this collection", "Rename")
        await page.page.locator("dialog input").fill("Ship's log")
        await page.page.get_by_role("button", name="Rename").tap()
        await expect(page.page.locator(".view h1")).to_have_text("Ship's log")
        assert await page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await page.picture("collection-phone")
        await page.page.get_by_text("All collections").tap()
        await expect(page.page.get_by_text("in every chat")).to_be_visible()
        await require_accessible(page)
        await page.page.get_by_text("Ship's log").tap()
        await pick(page, "More about this collection", "Delete")
        await page.page.locator("dialog").get_by_role("button", name="Delete").tap()
        await expect(page.page.get_by_text("Ship's log")).to_have_count(0)
    async with api(url) as client:
        assert (await client.get("/v1/me/vector_stores")).json()["vector_store_ids"] == []


async def test_an_upload_shows_how_far_it_is_and_can_be_stopped(page: Tab) -> None:
    page.expected.append("net::ERR")
    await page.page.goto(f"{page.url}#/collections")
    await page.page.get_by_label("Name of the new collection").fill("Slow")
    await page.page.get_by_role("button", name="Make it").click()
    await page.page.get_by_role("button", name="Add files").wait_for()
    devtools = await page.page.context.new_cdp_session(page.page)
    slowly = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000}
    await devtools.send("Network.emulateNetworkConditions", slowly)
    large = {"name": "large.txt", "mimeType": "text/plain", "buffer": b"a line of text\n" * 100_000}
    await page.page.locator("input[type=file]").set_input_files([large])  # type: ignore[list-item]
    await page.page.wait_for_function("() => document.querySelector('progress')?.value > 0")
    await page.picture("upload")
    await page.page.get_by_label("Stop large.txt").click()
    await expect(page.page.locator("progress")).to_have_count(0)
    await expect(page.page.get_by_text("No files yet.")).to_be_visible()
