"""A lost connection, a page loaded again, a server that was killed: no word is missing, none comes twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Route, expect

from antiphon.providers.scripted import numbered_token
from tests.e2e.server_process import ServerProcess, running
from tests.web.browser import Tab, tab

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKENS = 150
ASKED = f"stream=page tokens={TOKENS} delay_ms=15"
ALL = "".join(numbered_token("page", index) for index in range(TOKENS)).strip()
LOST = ("Failed to load resource", "net::ERR_")


async def begun(page: Tab, token: int = 10) -> None:
    """Ask, and wait until some of the answer is there."""
    page.expected += LOST
    await page.choose("numbered")
    await page.write(ASKED)
    await page.page.get_by_text(f"t{token}:").wait_for()


def answer(page: Tab) -> Locator:
    return page.page.locator(".answer .markdown").last


async def test_a_lost_connection_is_resumed_where_it_broke(page: Tab) -> None:
    await begun(page)
    await page.page.context.set_offline(True)
    await page.page.evaluate("dispatchEvent(new Event('offline'))")
    await page.page.wait_for_timeout(300)
    await page.page.context.set_offline(False)
    await page.settled()
    await expect(answer(page)).to_have_text(ALL)


async def test_a_page_that_is_loaded_again_shows_the_answer_from_its_beginning_and_goes_on(page: Tab) -> None:
    await begun(page)
    await page.page.reload()
    await page.page.get_by_text("t20:").wait_for()
    await page.page.wait_for_selector("[aria-busy=true]")
    await page.settled()
    await expect(answer(page)).to_have_text(ALL)
    await expect(page.page.locator(".said")).to_have_count(1)


async def test_a_question_whose_connection_breaks_before_the_answer_is_asked_once(page: Tab) -> None:
    page.expected += LOST
    tries = 0

    async def break_first(route: Route) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            await route.fetch()  # the server has it, the page never hears
            await route.abort()
        else:
            await route.continue_()

    await page.page.route("**/v1/responses", break_first)
    await page.choose("numbered")
    await page.write("stream=page tokens=20 delay_ms=5")
    await page.settled()
    assert tries == 2
    whole = "".join(numbered_token("page", index) for index in range(20)).strip()
    await expect(answer(page)).to_have_text(whole)
    await page.page.reload()
    await page.page.wait_for_selector(".answer")
    await page.settled()
    await expect(page.page.locator(".message")).to_have_count(2)
    await expect(page.page.locator(".siblings")).to_have_count(0)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[ServerProcess]:
    with running(tmp_path, {"LIST_SCRIPTED_MODELS": "true"}) as started:
        yield started


async def test_a_server_that_is_killed_and_started_again_loses_nothing_that_was_shown(
    browser: Browser, victim: ServerProcess
) -> None:
    async with tab(browser, f"http://127.0.0.1:{victim.port}/") as page:
        await page.open()
        await begun(page, token=30)
        victim.kill()
        await page.page.get_by_text("The connection is lost").wait_for()
        shown = await answer(page).inner_text()
        await page.picture("lost")
        victim.start()
        await page.settled()
        kept = await answer(page).inner_text()
        assert kept.startswith(shown) and ALL.startswith(kept)
        await expect(page.page.locator(".ending.problem")).to_be_visible()
        await page.page.reload()
        await page.page.wait_for_selector(".ending.problem")
        await expect(answer(page)).to_have_text(kept)
        await page.picture("restarted")
        await page.page.get_by_role("button", name="Go on").click()
        await page.page.wait_for_selector(".message.rest")
        await page.settled()
        await expect(answer(page)).to_have_text(ALL)
        for one in (".said", ".answer"):
            await expect(page.page.locator(one)).to_have_count(1)
        await page.page.reload()
        await page.page.wait_for_selector(".message.rest")
        await page.settled()
        await expect(answer(page)).to_have_text(ALL)
        await page.picture("continued")
