"""A tall chat keeps what was read of it, and its reader's place, whatever comes at its end or within it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Locator, expect

from tests.web.browser import Tab, tab
from tests.web.views import api

pytestmark = pytest.mark.asyncio(loop_scope="session")

ITEMS = 140
PART = 20
NEAR = 2
"""Pixels by which a message may stand elsewhere: the browser rounds."""

CENTRED = """async (element) => {
    for (let count = 0; count < 3; count++) { // heights come late
        element.scrollIntoView({block: "center"});
        await new Promise(requestAnimationFrame);
    }
    return element.getBoundingClientRect().top;
}"""
TOP = "(element) => element.getBoundingClientRect().top"


async def add(client: httpx.AsyncClient, conversation: str, count: int, word: str = "message") -> None:
    """Put so many messages at the end, questions and answers by turns."""
    for begin in range(0, count, PART):
        items = [
            {"type": "message", "role": ("user", "assistant")[at % 2], "content": f"{word} {at}."}
            for at in range(begin, min(begin + PART, count))
        ]
        made = await client.post(f"/v1/conversations/{conversation}/items", json={"items": items})
        made.raise_for_status()


async def tall(url: str) -> str:
    """A conversation whose messages are more than the page reads at once."""
    async with api(url) as client:
        made = await client.post("/v1/conversations", json={"title": "Tall"})
        conversation = str(made.raise_for_status().json()["id"])
        await add(client, conversation, ITEMS)
    return conversation


async def asked(url: str, conversation: str, text: str) -> None:
    """Have something answered elsewhere."""
    body = {"conversation": conversation, "model": "scripted/echo", "input": text}
    async with api(url) as client:
        (await client.post("/v1/responses", json=body)).raise_for_status()


def said(page: Tab, number: int) -> Locator:
    """The message with a number."""
    return page.page.locator(".message", has_text=f"message {number}.")


async def read_all(page: Tab, conversation: str) -> None:
    """Open the chat and scroll up to its beginning."""
    await page.page.goto(f"{page.url}#/c/{conversation}")
    await expect(said(page, ITEMS - 1)).to_be_visible()
    await page.settled()
    while (count := await page.page.locator(".message").count()) < ITEMS:
        await page.page.locator(".viewport").evaluate("element => (element.scrollTop = 0)")
        await page.page.wait_for_function(
            "(n) => document.querySelectorAll('.message').length > n", arg=count
        )
    await expect(said(page, 0)).to_have_count(1)


async def in_the_middle(page: Tab, number: int) -> float:
    """Bring a message to the middle of the screen; returns where it stands."""
    return float(await said(page, number).evaluate(CENTRED))


async def require_at(message: Locator, top: float) -> None:
    now = float(await message.evaluate(TOP))
    assert abs(now - top) <= NEAR, (now, top)


async def say_instead(page: Tab, number: int, text: str) -> None:
    """Say something else in the place of a message, and wait until that is answered."""
    await said(page, number).hover()
    await said(page, number).get_by_label("Edit", exact=True).click()
    await page.page.fill(".edit .composer-input", text)
    await page.page.keyboard.press("Enter")
    await expect(page.page.locator(".answer-body").last).to_have_text(text)
    await page.settled()


async def test_who_reads_further_up_stays_there_when_an_answer_ends_that_was_asked_elsewhere(
    page: Tab, url: str
) -> None:
    conversation = await tall(url)
    await read_all(page, conversation)
    top = await in_the_middle(page, 60)
    await asked(url, conversation, "from elsewhere")
    await expect(page.page.locator(".answer-body").last).to_have_text("from elsewhere")
    await page.settled()
    await expect(page.page.locator(".message")).to_have_count(ITEMS + 2)
    await require_at(said(page, 60), top)


async def test_who_reads_further_up_stays_there_when_messages_are_put_in_and_one_is_deleted(
    page: Tab, url: str
) -> None:
    conversation = await tall(url)
    await read_all(page, conversation)
    top = await in_the_middle(page, 60)
    async with api(url) as client:
        await add(client, conversation, 70, "more")
        await expect(page.page.locator(".message")).to_have_count(ITEMS + 70)
        await require_at(said(page, 60), top)
        path = f"/v1/conversations/{conversation}/items"
        first = (
            (await client.get(path, params={"order": "asc", "limit": 1})).raise_for_status().json()["data"]
        )
        (await client.delete(f"{path}/{first[0]['id']}")).raise_for_status()
    await expect(said(page, 0)).to_have_count(0)
    await expect(page.page.locator(".message")).to_have_count(ITEMS + 69)
    await require_at(said(page, 60), top)


async def test_what_is_asked_here_leaves_all_that_was_read(page: Tab, url: str) -> None:
    conversation = await tall(url)
    await read_all(page, conversation)
    await page.choose("echo")
    await page.say("at the end")
    await expect(page.page.locator(".message")).to_have_count(ITEMS + 2)
    await expect(page.page.locator(".answer-body").last).to_be_in_viewport()


@pytest.mark.parametrize("number", [4, 100])
async def test_the_former_words_of_a_message_far_up_come_back_where_one_looks(
    page: Tab, url: str, number: int
) -> None:
    conversation = await tall(url)
    await page.choose("echo")
    await read_all(page, conversation)
    await say_instead(page, number, "said otherwise")
    await expect(page.page.locator(".message")).to_have_count(number + 2)
    changed = page.page.locator(".said", has_text="said otherwise")
    top = float(await changed.evaluate(TOP))
    await changed.get_by_label("Previous alternative").click()
    await expect(said(page, number)).to_be_in_viewport()
    await page.settled()
    await expect(page.page.locator(".message")).to_have_count(ITEMS)
    await expect(said(page, number).locator(":focus")).to_have_count(1)
    await require_at(said(page, number), top)
    await said(page, number).get_by_label("Next alternative").click()
    await expect(changed).to_be_in_viewport()
    await page.settled()
    await expect(page.page.locator(".message")).to_have_count(number + 2)


async def test_they_come_back_too_where_nothing_of_them_was_read(browser: Browser, url: str) -> None:
    conversation = await tall(url)
    async with api(url) as client:
        path = f"/v1/conversations/{conversation}/items"
        items = (
            (await client.get(path, params={"order": "asc", "limit": 5})).raise_for_status().json()["data"]
        )
        body: dict[str, Any] = {"content": "said otherwise", "model": "scripted/echo"}
        (await client.post(f"{path}/{items[4]['id']}/edit", json=body)).raise_for_status()
    async with tab(browser, url) as page:
        await page.page.goto(f"{url}#/c/{conversation}")
        await expect(page.page.locator(".message")).to_have_count(6)
        await page.settled()
        await page.page.get_by_label("Previous alternative").click()
        await expect(said(page, 4)).to_be_in_viewport()
        await page.settled()
        await expect(page.page.locator(".message")).to_have_count(ITEMS)
        await expect(said(page, 4)).to_be_in_viewport()


async def test_another_answer_far_up_leaves_what_is_before_it(page: Tab, url: str) -> None:
    conversation = await tall(url)
    await page.choose("echo")
    await read_all(page, conversation)
    await say_instead(page, 100, "said otherwise")
    answer = page.page.locator(".answer").last
    await answer.hover()
    await answer.get_by_label("Answer again").click()
    await page.page.click("text=With text")
    await expect(answer).to_contain_text("quick brown fox")
    await page.settled()
    await expect(page.page.locator(".message")).to_have_count(102)
    await answer.get_by_label("Previous alternative").click()
    await expect(answer).to_contain_text("said otherwise")
    await page.settled()
    await expect(page.page.locator(".message")).to_have_count(102)
    await expect(answer).to_be_in_viewport()


async def test_an_answer_within_which_the_end_begins_keeps_its_beginning(page: Tab, url: str) -> None:
    await page.choose("reasoning")
    for number in range(3):
        await page.say(f"think {number}")
    thoughts = page.page.locator(".answer details")
    await expect(thoughts).to_have_count(3)
    conversation = page.page.url.split("#/c/")[1]
    async with api(url) as client:
        await add(client, conversation, 59, "more")  # the newest 60 begin with the words of the third answer
    await expect(page.page.locator(".message")).to_have_count(6 + 59)
    await page.settled()
    await expect(thoughts).to_have_count(3)
