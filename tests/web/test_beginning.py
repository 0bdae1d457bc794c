"""A chat begins with the first question that the server takes in: one that it refuses leaves no empty one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.async_api import Browser, Route, expect

from tests.e2e.server_process import ServerProcess, running
from tests.web.browser import Tab
from tests.web.test_documents import give
from tests.web.test_drafts import to, writing
from tests.web.test_unsent import AWAY, away, back
from tests.web.views import ACCOUNTS, PASSWORD, accounts, api, logged_in, token_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUESTION = "Asked in vain"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that wants everybody to log in, so that each test has chats of its own."""
    with running(tmp_path_factory.mktemp("beginning"), ACCOUNTS) as started:
        yield started


async def chats(url: str, name: str) -> list[dict[str, object]]:
    """What the server has of an account's chats."""
    async with api(url, await token_of(url, name, PASSWORD)) as client:
        found = (await client.get("/v1/conversations")).raise_for_status().json()["data"]
    return list(found)


async def refuse(page: Tab, status: int) -> None:
    """Have the server refuse the next question."""
    page.expected.append(f"status of {status}")
    error = {"message": "Not now.", "type": "invalid_request_error", "param": None, "code": None}

    async def answer(route: Route) -> None:
        await route.fulfill(status=status, json={"error": error})

    await page.page.route("**/v1/responses", answer, times=1)


@pytest.mark.parametrize("status", [400, 404, 429])
async def test_a_first_question_that_is_refused_leaves_no_chat_and_can_be_asked_again(
    browser: Browser, url: str, status: int
) -> None:
    name = f"ada{status}"
    await accounts(url, name)
    async with logged_in(browser, url, name) as page:
        await page.choose("echo")
        await refuse(page, status)
        async with page.page.expect_response(lambda one: one.request.method == "DELETE") as gone:
            await page.write(QUESTION)
        assert (await gone.value).ok
        await expect(page.page.locator(".ending.problem")).to_contain_text("Not now.")
        await expect(page.page.locator(".entry")).to_have_count(0)
        assert await chats(url, name) == []
        await page.page.get_by_label("Answer again").click()
        await page.page.click("text=Try again")
        await expect(page.page.locator(".answer-body")).to_have_text(QUESTION)
        await page.settled()
        await expect(page.page.locator(".entry.open")).to_have_text([QUESTION])
        assert [one["id"] for one in await chats(url, name)] == [page.page.url.split("#/c/")[1]]


@pytest.mark.parametrize("how", ["New chat", "a reload", "elsewhere and back"])
async def test_its_words_come_back_to_where_one_writes(browser: Browser, url: str, how: str) -> None:
    name = f"ben-{how.split()[0].lower()}"
    await accounts(url, name)
    async with logged_in(browser, url, name) as page:
        await page.choose("echo")
        await refuse(page, 400)
        async with page.page.expect_response(lambda one: one.request.method == "DELETE"):
            await page.write(QUESTION)
        await expect(page.page.locator(".ending.problem")).to_be_visible()
        if how == "New chat":
            await page.page.click(".top [aria-label='New chat']")
        elif how == "a reload":
            await page.page.reload()
        else:
            await to(page, "settings/profile")
            await expect(writing(page)).to_have_count(0)
            await to(page, "")
        await expect(writing(page)).to_have_value(QUESTION)
        await expect(page.page.locator(".message")).to_have_count(0)
        await expect(page.page.locator(".entry")).to_have_count(0)


async def test_one_that_is_stopped_before_it_came_in_leaves_no_chat(browser: Browser, url: str) -> None:
    await accounts(url, "eve")
    async with logged_in(browser, url, "eve") as page:
        await page.choose("echo")
        await away(page, "**/v1/responses", "**/tree")
        await page.write(QUESTION)
        await expect(page.page.get_by_text(AWAY)).to_be_visible()
        await page.page.keyboard.press("Escape")
        await expect(writing(page)).to_have_value(QUESTION)
        async with page.page.expect_response(lambda one: one.request.method == "DELETE"):
            await back(page)
        await expect(page.page.locator(".entry")).to_have_count(0)
    assert await chats(url, "eve") == []


async def test_a_document_that_cannot_be_read_leaves_neither_chat_nor_collection(
    browser: Browser, url: str
) -> None:
    await accounts(url, "cleo")
    async with logged_in(browser, url, "cleo") as page:
        await page.choose("echo")
        await give(page, "broken.pdf", "application/pdf", b"%PDF-1.4 nothing of the kind", "paste")
        async with page.page.expect_response(
            lambda one: one.request.method == "DELETE" and "/conversations/" in one.url
        ):
            await page.write(QUESTION)
        await expect(writing(page)).to_have_value(QUESTION)
        await expect(page.page.locator(".entry")).to_have_count(0)
    async with api(url, await token_of(url, "cleo", PASSWORD)) as client:
        for path in ("/v1/conversations", "/v1/vector_stores"):
            assert (await client.get(path)).raise_for_status().json()["data"] == [], path


async def test_one_that_came_in_though_nothing_was_heard_of_it_stays(browser: Browser, url: str) -> None:
    await accounts(url, "dora")
    async with logged_in(browser, url, "dora") as page:
        page.expected += ["net::ERR", "status of 400"]
        error = {"message": "Not now.", "type": "invalid_request_error", "param": None, "code": None}

        async def lose(route: Route) -> None:
            await route.fetch()
            await route.fulfill(status=400, json={"error": error})

        await page.page.route("**/v1/responses", lose, times=1)
        await page.choose("echo")
        await page.write(QUESTION)
        await expect(page.page.locator(".entry")).to_have_text([QUESTION])
        await page.page.locator(".entry a").click()
        await expect(page.page.locator(".answer-body")).to_have_text(QUESTION)
    assert len(await chats(url, "dora")) == 1
