"""Several people in one chat, and one person in two tabs: everybody sees everything at once. Links."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.e2e.server_process import ServerProcess, running
from tests.web.browser import Tab, tab
from tests.web.test_documents import PIXEL, give
from tests.web.test_list import LOOK_AGAIN
from tests.web.upgrade_refuser import refusing_upgrades
from tests.web.views import (
    ACCOUNTS,
    PASSWORD,
    accounts,
    api,
    choose,
    edit,
    logged_in,
    pick_of_open,
    require_accessible,
    token_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKENS = 200
LOST = ("net::ERR", "WebSocket")
SLOWLY = f"go on tokens={TOKENS} delay_ms=20"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that wants everybody to log in."""
    with running(tmp_path_factory.mktemp("room"), ACCOUNTS) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def town(url: str) -> str:
    """The server with its people."""
    await accounts(url, "ada", "ben")
    return url


@pytest_asyncio.fixture(loop_scope="session")
async def room(browser: Browser, town: str) -> AsyncIterator[tuple[Tab, Tab]]:
    """Two browsers in a chat that ada began and let ben into."""
    async with logged_in(browser, town, "ada") as ada, logged_in(browser, town, "ben") as ben:
        await ada.choose("echo")
        await ada.say("Welcome aboard")
        await pick_of_open(ada, "Share")
        await ada.page.get_by_label("Name of the person").fill("ben")
        await ada.page.get_by_role("button", name="Let in").click()
        await expect(ada.page.locator("dialog li")).to_have_count(2)
        await ada.picture("share")
        await ada.page.keyboard.press("Escape")
        await ben.page.goto(ada.page.url)
        await ben.page.reload()
        await ben.page.wait_for_selector(".said")
        await expect(ada.page.locator(".presence")).to_have_text("ben is here")
        await expect(ben.page.locator(".presence")).to_have_text("ada is here")
        yield ada, ben


async def stands(page: Tab, said: int) -> None:
    """So many questions with an answer each, none of them twice."""
    for part in (".said", ".answer"):
        await expect(page.page.locator(part)).to_have_count(said)


async def test_a_picture_that_one_attaches_is_seen_by_the_other(room: tuple[Tab, Tab]) -> None:
    ada, _ = room
    await give(ada, "pixel.png", "image/png", PIXEL, "paste")
    await ada.say("look at this")
    for one in room:
        await one.page.wait_for_function("() => document.querySelector('.said img')?.naturalWidth === 1")


async def test_what_one_writes_and_a_model_answers_is_seen_by_the_other_as_it_comes(
    room: tuple[Tab, Tab],
) -> None:
    ada, ben = room
    await expect(ben.page.locator(".said .author")).to_have_text("ada")
    await ben.page.locator(".footer .composer-input").press_sequentially("so")
    await expect(ada.page.locator(".presence")).to_have_text("ben is writing…")
    await ben.choose("slow")
    await ben.write(SLOWLY)
    await expect(ada.page.locator(".said").last).to_contain_text(SLOWLY)
    await expect(ada.page.locator(".said .author")).to_have_text("ben")
    for one in room:
        await expect(one.page.locator(".answer").last).to_contain_text("word5 ")
    assert f"word{TOKENS - 1}" not in await ada.page.locator(".answer").last.inner_text()
    await ada.picture("room")
    for one in room:
        await expect(one.page.locator(".answer").last).to_contain_text(f"word{TOKENS - 1}")
        await one.settled()
        await stands(one, said=2)
        await require_accessible(one)


async def test_an_edit_by_one_is_followed_by_the_other_and_both_ways_stay(room: tuple[Tab, Tab]) -> None:
    ada, ben = room
    await ben.choose("echo")
    await edit(ben, "Welcome to both")
    for one in room:
        await expect(one.page.locator(".bubble")).to_have_text(["Welcome to both"])
        await expect(one.page.locator(".siblings").first).to_have_text("2/2")
        await expect(one.page.locator(".answer")).to_contain_text("Welcome to both")
    await pick_of_open(ada, "Rename")
    await ada.page.keyboard.type("Harbour")
    await ada.page.keyboard.press("Enter")
    await expect(ben.page.locator(".top-title")).to_have_text("Harbour")
    await expect(ben.page.locator(".entry.open")).to_contain_text("Harbour")
    await pick_of_open(ben, "Leave")
    await ben.page.locator("dialog").get_by_role("button", name="Leave").click()
    await expect(ben.page.locator(".welcome")).to_be_visible()
    await expect(ada.page.locator(".presence")).to_have_text("")


async def shown_to_a_viewer(ada: Tab, ben: Tab, model: str = "echo") -> None:
    """A chat of ada's with two versions of its question, of which ben, who may only read, sees the second."""
    await ada.choose(model)
    await ada.say("the first")
    await edit(ada, "the second")
    await expect(ada.page.locator(".siblings").first).to_have_text("2/2")
    await ada.settled()
    await pick_of_open(ada, "Share")
    await ada.page.get_by_label("Name of the person").fill("ben")
    await ada.page.locator("dialog [name=role]").select_option("viewer")
    await ada.page.get_by_role("button", name="Let in").click()
    await expect(ada.page.locator("dialog li")).to_have_count(2)
    await ada.page.keyboard.press("Escape")
    await ben.page.goto(ada.page.url)
    await ben.page.reload()


async def step(page: Tab, where: str) -> None:
    """Go to the previous or the next version of the question."""
    await page.page.hover(".said")
    await page.page.locator(f"[aria-label^='{where} alternative']").first.click()


async def test_a_viewer_goes_through_the_versions_alone(browser: Browser, town: str) -> None:
    async with logged_in(browser, town, "ada") as ada, logged_in(browser, town, "ben") as ben:
        await shown_to_a_viewer(ada, ben)
        for where, count, words in (("Previous", "1/2", "the first"), ("Next", "2/2", "the second")):
            await step(ben, where)
            await expect(ben.page.locator(".siblings").first).to_have_text(count)
            await expect(ben.page.locator(".bubble")).to_have_text([words])
            await expect(ada.page.locator(".bubble")).to_have_text(["the second"])
        await expect(ben.page.locator(".notice")).to_have_count(0)


async def test_a_viewer_is_offered_nothing_that_would_be_refused(browser: Browser, town: str) -> None:
    async with logged_in(browser, town, "ada") as ada, logged_in(browser, town, "ben") as ben:
        await shown_to_a_viewer(ada, ben, "truncated")
        for one, offered in ((ada, 1), (ben, 0)):
            await expect(one.page.locator(".ending")).to_have_count(1)
            for label in ("Answer again", "Good answer", "Go on"):
                await expect(one.page.get_by_role("button", name=label)).to_have_count(offered)


async def test_a_viewer_is_told_to_fork_what_no_branch_shows_any_more(browser: Browser, town: str) -> None:
    async with (
        logged_in(browser, town, "ada") as ada,
        logged_in(browser, town, "ben") as ben,
        api(town, await token_of(town, "ada", PASSWORD)) as client,
    ):
        await shown_to_a_viewer(ada, ben)
        await expect(ben.page.locator(".siblings").first).to_have_text("2/2")
        await ben.page.wait_for_selector(".thread:not([data-busy])")
        branches = f"/v1/conversations/{ada.page.url.rpartition('/')[2]}/branches"
        listed = (await client.get(branches)).raise_for_status().json()["data"]
        (first,) = [one["id"] for one in listed if not one["active"]]
        async with ben.page.expect_response(f"**{branches}?*"):  # ben's page hears of it, and looks again
            (await client.delete(f"{branches}/{first}")).raise_for_status()
        await ben.page.wait_for_selector(".thread:not([data-busy])")
        # What a response still reaches is kept, and counted, though no branch shows it.
        await expect(ben.page.locator(".siblings").first).to_have_text("2/2")
        await step(ben, "Previous")
        await expect(ben.page.locator(".notice")).to_contain_text("No branch shows this any more. Fork")
        await expect(ben.page.locator(".bubble")).to_have_text(["the second"])
        assert len((await client.get(branches)).raise_for_status().json()["data"]) == 1
        await ben.page.click("[aria-label=Tree]")
        await ben.page.locator(".outline [role=treeitem]", has_text="the first").first.click()
        await ben.page.get_by_role("button", name="Fork into a new chat").click()
        await expect(ben.page.locator(".top-title")).to_contain_text("(fork)")
        await expect(ben.page.locator(".bubble")).to_have_text(["the first"])


async def test_what_another_shares_is_there_when_one_looks_again_and_gone_when_it_is_taken_back(
    browser: Browser, town: str
) -> None:
    async with logged_in(browser, town, "ada") as ada, logged_in(browser, town, "ben") as ben:
        await ada.choose("echo")
        await ada.say("a lighthouse")
        await ada.settled()
        shown = ben.page.locator(".entry", has_text="a lighthouse")
        await expect(shown).to_have_count(0)
        await pick_of_open(ada, "Share")
        await ada.page.get_by_label("Name of the person").fill("ben")
        await ada.page.get_by_role("button", name="Let in").click()
        await expect(ada.page.locator("dialog li")).to_have_count(2)
        await ben.page.evaluate(LOOK_AGAIN)
        await expect(shown).to_have_count(1)
        await ada.page.get_by_label("More about ben").click()
        await choose(ada, "Remove")
        await expect(ada.page.locator("dialog li")).to_have_count(1)
        await ben.page.evaluate(LOOK_AGAIN)
        await expect(shown).to_have_count(0)


async def test_a_room_goes_on_after_its_server_was_killed(
    room: tuple[Tab, Tab], server: ServerProcess
) -> None:
    ada, ben = room
    for one in room:
        one.expected += LOST
    server.kill()
    await expect(ada.page.locator(".presence")).to_have_text("")
    server.start()
    await expect(ada.page.locator(".presence")).to_have_text("ben is here")
    await ben.choose("echo")
    await ben.say("Still afloat")
    await expect(ada.page.locator(".answer").last).to_contain_text("Still afloat")
    await ada.settled()
    await stands(ada, said=2)


async def test_where_no_socket_is_let_through_the_chat_is_live_all_the_same(
    room: tuple[Tab, Tab], browser: Browser, server: ServerProcess
) -> None:
    ada, ben = room
    chat = ada.page.url.partition("#")[2]
    async with (
        refusing_upgrades(server.port) as proxy,
        logged_in(browser, proxy.url, "ada") as hotel,
    ):
        for one in (ada, ben, hotel):
            one.expected += LOST
        await hotel.page.goto(f"{proxy.url}#{chat}")
        await hotel.page.wait_for_selector(".said")
        await expect(hotel.page.locator(".presence")).to_have_text("ben is here")
        assert proxy.refused
        await hotel.page.locator(".footer .composer-input").press_sequentially("so")
        await expect(ben.page.locator(".presence")).to_have_text("ada is writing…")
        await ben.choose("echo")
        await ben.say("Seen without a socket")
        await expect(hotel.page.locator(".answer").last).to_contain_text("Seen without a socket")
        server.kill()
        await expect(hotel.page.locator(".presence")).to_have_text("")
        server.start()
        await expect(hotel.page.locator(".presence")).to_have_text("ben is here")


async def test_a_chat_that_is_deleted_closes_in_the_other_browser(room: tuple[Tab, Tab]) -> None:
    ada, ben = room
    await pick_of_open(ada, "Delete")
    await ada.page.locator("dialog").get_by_role("button", name="Delete").click()
    await expect(ben.page.locator(".notice")).to_contain_text("not shared with you any more")
    await expect(ben.page.locator(".welcome")).to_be_visible()


async def test_two_tabs_of_one_person_show_the_same_and_nothing_twice(browser: Browser, town: str) -> None:
    async with logged_in(browser, town, "ada") as first:
        await first.choose("slow")
        await first.say("one tokens=3")
        second = Tab(await first.page.context.new_page(), first.url)
        second.watch()
        await second.page.goto(first.page.url)
        await second.page.wait_for_selector(".said")
        await second.settled()
        await first.write(SLOWLY)
        await expect(second.page.locator(".answer").last).to_contain_text("word5 ")
        for one in (first, second):
            await expect(one.page.locator(".answer").last).to_contain_text(f"word{TOKENS - 1}")
            await one.settled()
            await stands(one, said=2)
            for part in (".author", ".presence:not(:empty)"):
                await expect(one.page.locator(part)).to_have_count(0)
        await second.require_quiet()


async def test_a_link_shows_the_chat_as_it_grows_to_whoever_has_it(browser: Browser, town: str) -> None:
    async with logged_in(browser, town, "ada") as ada, tab(browser, town) as guest:
        await ada.choose("echo")
        await ada.say("For **everybody**")
        await pick_of_open(ada, "Share")
        await ada.page.get_by_role("button", name="Make a link").click()
        link = await ada.page.locator(".secret code").inner_text()
        await require_accessible(ada)
        await guest.page.goto(link)
        await expect(guest.page.locator("article strong")).to_have_text("everybody")
        await require_accessible(guest)
        await ada.page.keyboard.press("Escape")
        await give(ada, "pixel.png", "image/png", PIXEL, "paste")
        await ada.say("And more")
        await expect(guest.page.locator("article")).to_have_count(4)
        await guest.page.wait_for_function("() => document.querySelector('article img')?.naturalWidth === 1")
        await require_accessible(guest)
        await guest.picture("shared")
        await pick_of_open(ada, "Share")
        await ada.page.get_by_role("button", name="Revoke").click()
        await expect(guest.page.get_by_role("alert")).to_contain_text("leads nowhere")


async def test_a_chat_is_found_by_its_words_pinned_and_put_away(browser: Browser, town: str) -> None:
    async with logged_in(browser, town, "ben") as page:
        await page.choose("echo")
        await page.say("The albatross circles the lighthouse")
        await edit(page, "Something else")
        await expect(page.page.locator(".siblings")).to_have_text(["2/2"])
        await page.settled()
        title = await page.page.locator(".entry.open a").inner_text()
        await pick_of_open(page, "Pin")
        await expect(page.page.locator(".conversations h2").first).to_have_text("Pinned")
        await pick_of_open(page, "Archive")
        entry = page.page.locator(".entry", has_text=title)
        await expect(entry).to_have_count(0)
        await page.page.reload()
        await page.page.get_by_role("button", name="Archived ones").click()
        await page.page.locator(".entry", has_text=title).locator("a").click()
        await pick_of_open(page, "Bring back")
        await expect(page.page.locator(".conversations h2").first).to_have_text("Pinned")
        await page.page.keyboard.press("Control+k")
        await page.page.get_by_label("Words").fill("lighthouses")
        await page.page.keyboard.press("Enter")
        await expect(page.page.locator(".hit mark").first).to_have_text("lighthouse")
        await expect(page.page.locator(".hit").first).to_contain_text("on another branch")
        await require_accessible(page)
        await page.picture("search")
        await page.page.locator(".hit").first.click()
        await expect(page.page.locator(".bubble")).to_have_text(["The albatross circles the lighthouse"])
