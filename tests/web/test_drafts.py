"""What one writes stays until it is sent: through views, other chats, a reload, a new chat getting its id."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Route, expect

from tests.e2e.server_process import running
from tests.web.browser import Tab
from tests.web.test_documents import PIXEL, give
from tests.web.views import ACCOUNTS, accounts, api, logged_in, pick_of_open

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEPT = "() => Object.keys(sessionStorage).filter((key) => key.startsWith('antiphon.draft')).length"

SEEN = """() => {
    window.noticed = [];
    new MutationObserver(() => {
        for (const one of document.querySelectorAll(".notice")) window.noticed.push(one.textContent);
    }).observe(document.body, { childList: true, subtree: true });
}"""
"""Notes every notice from now on, since they go by themselves."""


def writing(page: Tab) -> Locator:
    return page.page.locator(".footer .composer-input")


async def to(page: Tab, where: str) -> None:
    """Go somewhere in the page, without loading it anew."""
    await page.page.evaluate("(where) => { location.hash = '#/' + where; }", where)


async def test_each_chat_keeps_what_was_begun_there(page: Tab) -> None:
    await page.choose("echo")
    await page.say("the first chat")
    first = page.page.url.split("#/")[1]
    await writing(page).fill("begun in the first")
    await page.page.click(".top [aria-label='New chat']")
    await expect(page.page.locator(".welcome")).to_be_visible()
    await expect(writing(page)).to_have_value("")
    await writing(page).fill("begun in a new one")
    for view in ("settings/profile", "collections"):
        await to(page, view)
        await expect(writing(page)).to_have_count(0)
        await to(page, "")
        await expect(writing(page)).to_have_value("begun in a new one")
    await to(page, first)
    await expect(writing(page)).to_have_value("begun in the first")
    await page.page.reload()
    await expect(writing(page)).to_have_value("begun in the first")
    await page.page.keyboard.press("Control+Shift+O")
    await expect(writing(page)).to_have_value("begun in a new one")
    await page.say("begun in a new one, and sent")
    await to(page, first)
    await expect(writing(page)).to_have_value("begun in the first")
    await writing(page).fill("")
    assert await page.page.evaluate(KEPT) == 0


async def test_what_is_written_while_a_new_chat_gets_its_id_stays(page: Tab) -> None:
    going = asyncio.Event()

    async def wait(route: Route) -> None:
        await going.wait()
        await route.continue_()

    await page.choose("echo")
    await page.page.route("**/v1/conversations", wait)
    await page.write("the first question")
    await expect(page.page.locator(".bubble")).to_have_text("the first question")
    await page.page.keyboard.type("already the next")
    element = await writing(page).element_handle()
    going.set()
    await page.settled()
    assert "#/c/conv_" in page.page.url
    await page.page.keyboard.type(" one")
    await expect(writing(page)).to_have_value("already the next one")
    assert element is not None and await element.evaluate("one => one.isConnected")
    await page.page.reload()
    await expect(writing(page)).to_have_value("already the next one")
    await page.page.click(".top [aria-label='New chat']")
    await expect(writing(page)).to_have_value("")


async def test_files_that_are_stored_stay_with_what_one_writes(page: Tab) -> None:
    await page.choose("echo")
    await give(page, "pixel.png", "image/png", PIXEL, "paste")
    await writing(page).fill("with a picture")
    await page.page.reload()
    await expect(page.page.locator(".footer .chip")).to_have_text("pixel.png")
    await expect(writing(page)).to_have_value("with a picture")
    await writing(page).press("Enter")
    await page.page.wait_for_function("() => document.querySelector('.said img')?.naturalWidth === 1")
    await page.settled()
    await expect(page.page.locator(".footer .chip")).to_have_count(0)


async def test_what_is_begun_in_a_chat_that_is_deleted_elsewhere_goes_to_the_next_one(
    page: Tab, url: str
) -> None:
    await page.choose("echo")
    await writing(page).fill("begun in a new one")
    await page.page.wait_for_function(f"async () => ({KEPT})() === 1")
    async with api(url) as client:
        made = (await client.post("/v1/conversations", json={})).raise_for_status().json()["id"]
        await to(page, f"c/{made}")
        await expect(writing(page)).to_have_value("")
        await give(page, "pixel.png", "image/png", PIXEL, "paste")
        await writing(page).fill("begun in one that is deleted")
        await page.page.wait_for_function(f"async () => ({KEPT})() === 2")
        await page.page.wait_for_selector(".thread:not([data-busy])")
        (await client.delete(f"/v1/conversations/{made}")).raise_for_status()
    await expect(page.page.locator(".notice")).to_contain_text("was deleted")
    await expect(page.page.locator(".welcome")).to_be_visible()
    await expect(writing(page)).to_have_value("begun in one that is deleted\nbegun in a new one")
    await expect(page.page.locator(".footer .chip")).to_have_text("pixel.png")
    assert await page.page.evaluate(KEPT) == 1


async def test_who_deletes_a_chat_is_not_told_of_it_and_keeps_nothing_of_it(page: Tab) -> None:
    page.expected.append("status of 404")  # its title may still be asked for
    await page.choose("echo")
    await page.say("soon gone")
    await writing(page).fill("begun and not wanted")
    await page.page.wait_for_function(f"async () => ({KEPT})() === 1")
    await page.page.evaluate(SEEN)
    await pick_of_open(page, "Delete")
    await page.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.page.locator(".welcome")).to_be_visible()
    await expect(writing(page)).to_have_value("")
    await page.say("goes on")
    assert await page.page.evaluate("window.noticed") == []
    assert await page.page.evaluate(KEPT) == 0


async def test_who_logs_out_leaves_nothing_behind(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path, ACCOUNTS) as server:
        url = f"http://127.0.0.1:{server.port}/"
        await accounts(url, "ada")
        async with logged_in(browser, url, "ada") as page:
            await writing(page).fill("nobody else's business")
            await page.page.wait_for_function(f"async () => ({KEPT})() === 1")
            await page.page.locator(".oneself").click()
            await page.page.get_by_role("menuitem", name="Log out").click()
            await page.page.locator("[name=username]").wait_for()
            assert await page.page.evaluate(KEPT) == 0
