"""The list of chats: what was put away is found again, and what changes elsewhere is seen when one looks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Locator, Route, expect

from tests.e2e.server_process import ServerProcess, running
from tests.web.browser import Tab
from tests.web.test_resuming import LOST
from tests.web.test_unsent import away, back
from tests.web.views import (
    ACCOUNTS,
    PASSWORD,
    accounts,
    api,
    logged_in,
    pick_of_open,
    require_accessible,
    token_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIST = "**/v1/conversations?*"
PAGE = 40
LOOK_AGAIN = "() => dispatchEvent(new Event('focus'))"
WATCH = """() => {
    window.changes = 0;
    const watch = new MutationObserver((found) => { window.changes += found.length; });
    const all = {childList: true, subtree: true, characterData: true};
    watch.observe(document.querySelector(".conversations"), all);
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that wants everybody to log in, so that each test has a list of its own."""
    with running(tmp_path_factory.mktemp("list"), ACCOUNTS) as started:
        yield started


async def made(client: httpx.AsyncClient, title: str, **place: Any) -> str:
    """Make a chat beside the page; returns its path."""
    found = (await client.post("/v1/conversations", json={"title": title})).raise_for_status().json()
    path = f"/v1/conversations/{found['id']}"
    if place:
        (await client.post(path, json=place)).raise_for_status()
    return path


async def entered(client: httpx.AsyncClient, count: int) -> list[str]:
    """Make so many chats, the last one the newest."""
    return [await made(client, f"chat {number}") for number in range(count)]


def entries(page: Tab, title: str) -> Locator:
    return page.page.locator(".entry").get_by_text(title, exact=True)


async def look_again(page: Tab) -> None:
    """Come back to the page, and wait until the list was read."""
    async with page.page.expect_response(LIST):
        await page.page.evaluate(LOOK_AGAIN)


async def test_the_only_chat_is_found_again_after_it_was_put_away(browser: Browser, url: str) -> None:
    await accounts(url, "ada")
    async with logged_in(browser, url, "ada") as page:
        await page.choose("echo")
        await page.say("put away")
        await pick_of_open(page, "Archive")
        entry = page.page.locator(".entry")
        await expect(entry).to_have_count(0)
        await page.page.goto(f"{url}#/")
        await page.page.reload()
        await page.page.get_by_role("button", name="Archived ones").click()
        await entry.locator("a").click()
        await expect(page.page.locator(".bubble")).to_have_text(["put away"])


async def test_what_is_made_renamed_moved_and_deleted_elsewhere_is_seen_and_all_else_stays(
    browser: Browser, url: str
) -> None:
    await accounts(url, "ben")
    async with (
        api(url, await token_of(url, "ben", PASSWORD)) as client,
        logged_in(browser, url, "ben") as page,
    ):
        await made(client, "put away", archived=True)
        await made(client, "in a folder", folder="Garden")
        chats = await entered(client, PAGE + 5)
        await page.page.reload()
        await expect(page.page.locator(".entry")).to_have_count(PAGE)
        await page.page.get_by_role("button", name="Earlier ones").click()
        await page.page.get_by_role("button", name="Archived ones").click()
        await page.page.locator("button.folder").click()
        await expect(page.page.locator(".entry")).to_have_count(PAGE + 7)
        await entries(page, "chat 3").click()
        await page.settled()
        await made(client, "made elsewhere")
        (await client.post(chats[1], json={"title": "renamed elsewhere"})).raise_for_status()
        (await client.post(chats[20], json={"folder": "Garden"})).raise_for_status()
        (await client.delete(chats[30])).raise_for_status()
        asked: list[str] = []
        page.page.on(
            "request", lambda one: asked.append(one.url) if "/v1/conversations?" in one.url else None
        )
        await look_again(page)
        for title in ("made elsewhere", "renamed elsewhere", "in a folder", "put away", "chat 0", "chat 3"):
            await expect(entries(page, title)).to_have_count(1)
        for title in ("chat 1", "chat 30"):
            await expect(entries(page, title)).to_have_count(0)
        await expect(page.page.locator("button.folder")).to_have_text("Garden 2")
        await expect(page.page.locator("section", has=page.page.locator("button.folder"))).to_contain_text(
            "chat 20"
        )
        await expect(page.page.locator(".entry")).to_have_count(PAGE + 7)
        await expect(page.page.locator(".entry.open")).to_have_text("chat 3")
        await page.page.evaluate(WATCH)
        await look_again(page)
        await page.page.wait_for_load_state("networkidle")
        assert await page.page.evaluate("window.changes") == 0
        assert len(asked) == 4  # twice its own, twice what others share


async def test_looking_again_brings_no_further_page(browser: Browser, url: str) -> None:
    await accounts(url, "gina")
    async with (
        api(url, await token_of(url, "gina", PASSWORD)) as client,
        logged_in(browser, url, "gina") as page,
    ):
        await entered(client, 5)
        await asyncio.sleep(1 - time.time() % 1)  # what is told of them is in whole seconds
        chats = await entered(client, PAGE)
        await page.page.reload()
        await expect(page.page.locator(".entry")).to_have_count(PAGE)
        (await client.post(chats[9], json={"title": "renamed elsewhere"})).raise_for_status()
        await look_again(page)
        await expect(entries(page, "renamed elsewhere")).to_have_count(1)
        await expect(page.page.locator(".entry")).to_have_count(PAGE)
        await page.page.get_by_role("button", name="Earlier ones").click()
        await expect(page.page.locator(".entry")).to_have_count(PAGE + 5)


async def test_more_new_chats_than_a_page_holds_are_all_found(browser: Browser, url: str) -> None:
    await accounts(url, "cleo")
    async with (
        api(url, await token_of(url, "cleo", PASSWORD)) as client,
        logged_in(browser, url, "cleo") as page,
    ):
        await page.page.reload()
        await expect(page.page.get_by_text("Nothing yet.")).to_be_visible()
        await entered(client, PAGE + 5)
        await look_again(page)
        await expect(page.page.locator(".entry")).to_have_count(PAGE)
        await page.page.get_by_role("button", name="Earlier ones").click()
        await expect(page.page.locator(".entry")).to_have_count(PAGE + 5)


async def test_a_list_that_cannot_be_read_says_so_and_is_read_when_one_tries_again(
    browser: Browser, url: str
) -> None:
    await accounts(url, "dora")
    async with (
        api(url, await token_of(url, "dora", PASSWORD)) as client,
        logged_in(browser, url, "dora") as page,
    ):
        await made(client, "there all along")
        await away(page, LIST)
        await page.page.reload()
        alert = page.page.locator(".conversations [role=alert]")
        await expect(alert).to_contain_text("The server cannot be reached.")
        await require_accessible(page)
        await back(page)
        await page.page.get_by_role("button", name="Try again").click()
        await expect(entries(page, "there all along")).to_have_count(1)
        await expect(alert).to_have_count(0)


async def test_a_chat_that_is_gone_already_is_deleted_without_a_complaint(browser: Browser, url: str) -> None:
    await accounts(url, "eve")
    async with (
        api(url, await token_of(url, "eve", PASSWORD)) as client,
        logged_in(browser, url, "eve") as page,
    ):
        page.expected.append("status of 404")
        paths = [await made(client, title) for title in ("deleted twice", "deleted and opened")]
        await page.page.reload()
        await expect(page.page.locator(".entry")).to_have_count(2)
        for path in paths:
            (await client.delete(path)).raise_for_status()
        entry = page.page.locator(".entry", has_text="deleted twice")
        await entry.hover()
        await entry.locator(".menu > button").click()
        await page.page.get_by_role("menuitem", name="Delete").click()
        await page.page.locator("dialog").get_by_role("button", name="Delete").click()
        await expect(entry).to_have_count(0)
        await expect(page.page.locator(".notice")).to_have_count(0)
        await entries(page, "deleted and opened").click()
        await expect(page.page.get_by_text("This conversation cannot be shown")).to_be_visible()
        await expect(page.page.locator(".entry")).to_have_count(0)


async def test_the_list_is_read_again_when_the_server_is_there_again(
    browser: Browser, url: str, server: ServerProcess
) -> None:
    await accounts(url, "finn")
    async with logged_in(browser, url, "finn") as page:
        page.expected += [*LOST, "WebSocket"]
        await page.choose("echo")
        await page.say("before")
        is_made = asyncio.Event()

        async def wait(route: Route) -> None:
            await is_made.wait()
            await route.continue_()

        await page.page.route(LIST, wait)
        server.kill()
        server.start()
        async with api(url, await token_of(url, "finn", PASSWORD)) as client:
            await made(client, "made meanwhile")
        is_made.set()
        await expect(entries(page, "made meanwhile")).to_have_count(1)
