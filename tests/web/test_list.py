"""The list of chats: what was put away is found again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.server_process import ServerProcess, running
from tests.web.views import ACCOUNTS, accounts, logged_in, pick_of_open

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that wants everybody to log in, so that each test has a list of its own."""
    with running(tmp_path_factory.mktemp("list"), ACCOUNTS) as started:
        yield started


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
