"""A server that is away loses no question: it is asked when it is back, or stands again where one writes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Route, expect

from tests.e2e.server_process import running
from tests.web.browser import Tab
from tests.web.test_drafts import to, writing
from tests.web.test_resuming import LOST
from tests.web.views import ACCOUNTS, PASSWORD, accounts, logged_in

pytestmark = pytest.mark.asyncio(loop_scope="session")

AWAY = "The server cannot be reached. The question is asked when it is back."


async def away(page: Tab, *paths: str) -> None:
    """Let nothing through to the server any more, or nothing to some paths."""
    page.expected += LOST
    for path in paths or ("**/v1/**",):
        await page.page.route(path, lambda route: route.abort())


async def back(page: Tab) -> None:
    await page.page.unroute_all()


async def asked_before(page: Tab) -> str:
    """A chat with one answer; returns its address."""
    await page.choose("echo")
    await page.say("the first question")
    return page.page.url.split("#/")[1]


@pytest.mark.parametrize("where", ["a new chat", "a chat"])
@pytest.mark.parametrize("how", ["Escape", "the button"])
async def test_stopping_gives_back_what_was_not_asked(page: Tab, where: str, how: str) -> None:
    await page.choose("echo")
    if where == "a chat":
        await asked_before(page)
    shown = await page.texts()
    await away(page)
    await page.write("while it is away")
    await expect(page.page.get_by_text(AWAY)).to_be_visible()
    await writing(page).fill("and the next")
    if how == "Escape":
        await page.page.keyboard.press("Escape")
    else:
        await page.page.click("[aria-label=Stop]")
    await expect(writing(page)).to_have_value("while it is away\nand the next")
    assert await page.texts() == shown
    await back(page)
    await writing(page).press("Enter")
    await page.settled()
    await expect(page.page.locator(".answer-body").last).to_contain_text("while it is away")
    await expect(page.page.locator(".bubble")).to_have_count(2 if shown else 1)


@pytest.mark.parametrize("where", ["a new chat", "a chat"])
async def test_it_is_asked_by_itself_once_when_the_server_is_back(page: Tab, where: str) -> None:
    await page.choose("echo")
    if where == "a chat":
        await asked_before(page)
    await away(page)
    await page.write("while it is away")
    await expect(page.page.get_by_text(AWAY)).to_be_visible()
    await back(page)
    await expect(page.page.locator(".answer-body").last).to_have_text("while it is away")
    await page.settled()
    await page.page.reload()
    await expect(page.page.locator(".bubble").last).to_have_text("while it is away")
    await expect(page.page.locator(".siblings")).to_have_count(0)


async def test_looking_elsewhere_or_loading_again_gives_it_back_where_it_was_asked(page: Tab) -> None:
    first = await asked_before(page)
    await away(page)
    await page.write("said in the first")
    await expect(page.page.get_by_text(AWAY)).to_be_visible()
    await page.page.click(".top [aria-label='New chat']")
    await expect(page.page.locator(".welcome")).to_be_visible()
    await page.write("said in a new one")
    await expect(page.page.get_by_text(AWAY)).to_be_visible()
    await away(page, "**/v1/conversations", "**/v1/responses")
    await page.page.unroute("**/v1/**")
    await page.page.reload()
    await expect(writing(page)).to_have_value("said in a new one")
    await to(page, first)
    await expect(writing(page)).to_have_value("said in the first")
    await expect(page.page.locator(".bubble")).to_have_text(["the first question"])


async def test_what_is_on_its_way_is_asked_though_one_looks_elsewhere(page: Tab) -> None:
    first = await asked_before(page)
    going = asyncio.Event()

    async def wait(route: Route) -> None:
        await going.wait()
        await route.continue_()

    await page.page.route("**/v1/responses", wait)
    async with page.page.expect_request("**/v1/responses"):
        await page.write("on its way")
    await to(page, "")
    await expect(page.page.locator(".welcome")).to_be_visible()
    going.set()
    await to(page, first)
    await expect(page.page.locator(".answer-body")).to_have_text(["the first question", "on its way"])
    await expect(writing(page)).to_have_value("")


async def test_what_is_stopped_on_its_way_is_stopped_as_soon_as_it_is_there(page: Tab) -> None:
    await asked_before(page)
    await page.choose("slow")
    going = asyncio.Event()

    async def wait(route: Route) -> None:
        await going.wait()
        await route.continue_()

    await page.page.route("**/v1/responses", wait)
    async with page.page.expect_request("**/v1/responses"):
        await page.write("go on tokens=2000 delay_ms=20")
    await page.page.keyboard.press("Escape")
    going.set()
    await page.settled()
    await expect(page.page.locator(".answer").last).to_contain_text("Stopped.")


@pytest.mark.parametrize("by_hand", [True, False], ids=["by hand", "by itself"])
async def test_a_chat_that_is_opened_while_the_server_is_away_is_shown_when_it_is_back(
    page: Tab, by_hand: bool
) -> None:
    first = await asked_before(page)
    await page.page.click(".top [aria-label='New chat']")
    await away(page)
    await to(page, first)
    await expect(page.page.get_by_role("alert")).to_contain_text("The server cannot be reached.")
    again = page.page.get_by_role("button", name="Try again")
    await expect(again).to_be_visible()
    if by_hand:
        await page.page.evaluate("() => { window.setTimeout = () => 0; }")  # nothing comes by itself
        await again.click()
    await back(page)
    if by_hand:
        await again.click()
    await expect(page.page.locator(".bubble")).to_have_text("the first question")


async def ask_after_the_login_ran_out(page: Tab, where: Locator, text: str, *, then: str = "ada") -> None:
    """Write, send what nobody may send any more, and log in where the page asks for it."""
    await where.fill(text)
    await page.page.context.clear_cookies()
    await where.press("Enter")
    await log_in(page, then)


async def log_in(page: Tab, name: str) -> None:
    await page.page.fill("[name=username]", name)
    await page.page.fill("[name=password]", PASSWORD)
    await page.page.keyboard.press("Enter")
    await page.page.wait_for_selector(".oneself")


async def test_what_a_login_that_ran_out_did_not_let_through_comes_back_to_who_wrote_it(
    browser: Browser, tmp_path: Path
) -> None:
    with running(tmp_path, ACCOUNTS) as server:
        url = f"http://127.0.0.1:{server.port}/"
        await accounts(url, "ada", "ben")
        async with logged_in(browser, url, "ada") as page:
            page.expected += [*LOST, "WebSocket"]
            await ask_after_the_login_ran_out(page, writing(page), "said in a new chat")
            await expect(writing(page)).to_have_value("said in a new chat")
            first = await asked_before(page)
            await page.page.reload()  # whatever was still to be read of the answer is read
            await page.settled()
            await ask_after_the_login_ran_out(page, writing(page), "said in a chat")
            await expect(writing(page)).to_have_value("said in a chat")
            await writing(page).fill("")
            await page.settled()
            await page.page.hover(".said")
            await page.page.click("[aria-label=Edit]")
            instead = page.page.locator(".edit .composer-input")
            await ask_after_the_login_ran_out(page, instead, "asked instead", then="ben")
            await to(page, "")
            await expect(writing(page)).to_have_value("")
            await page.page.context.clear_cookies()
            await page.page.reload()
            await log_in(page, "ada")
            await to(page, first)
            await expect(writing(page)).to_have_value("asked instead")
