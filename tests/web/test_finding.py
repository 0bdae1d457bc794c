"""What is found is brought onto the screen, however tall the chat is, and stays there."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from tests.web.browser import Tab, tab
from tests.web.views import api

pytestmark = pytest.mark.asyncio(loop_scope="session")

TURNS = 24
STANDS = (
    "(one) => { const box = one.getBoundingClientRect(); return box.top >= 0 && box.bottom <= innerHeight; }"
)


async def tall(url: str, word: str) -> str:
    """A chat of several screens with a word of its own near its beginning."""
    async with api(url) as client:
        made = (await client.post("/v1/conversations", json={"title": f"Tall {word}"})).raise_for_status()
        identifier = str(made.json()["id"])
        items = [
            {"type": "message", "role": role, "content": f"{said} {number}\n\n" + "and more\n\n" * 6}
            for number in range(TURNS)
            for role, said in (("user", "question"), ("assistant", "answer"))
        ]
        items[4]["content"] = f"here is the {word}"
        for at in range(0, len(items), 20):
            body = {"items": items[at : at + 20]}
            (await client.post(f"/v1/conversations/{identifier}/items", json=body)).raise_for_status()
    return identifier


async def find(page: Tab, word: str) -> None:
    """Search for a word and open the only hit."""
    await page.page.keyboard.press("Control+k")
    await page.page.get_by_label("Words").fill(word)
    await page.page.keyboard.press("Enter")
    await expect(page.page.locator(".hit mark")).to_have_text(word)
    await page.page.locator(".hit").click()


@pytest.mark.parametrize("word", ["albatross", "bowsprit"])
async def test_a_hit_opens_at_its_message_in_a_chat_of_many_screens(
    browser: Browser, url: str, word: str
) -> None:
    await tall(url, word)
    async with tab(browser, url) as page:
        await page.open()
        await find(page, word)
        await page.page.wait_for_selector(".shown-place")
        await page.settled()
        await page.page.wait_for_selector(".shown-place", state="detached")  # two seconds later
        assert await page.page.locator(".bubble", has_text=word).evaluate(STANDS)
        height = await page.page.locator(".viewport").evaluate("(one) => one.scrollHeight / one.clientHeight")
        assert height > 3


async def test_the_end_of_a_tall_chat_is_shown_when_it_is_opened_from_the_list(
    browser: Browser, url: str
) -> None:
    await tall(url, "dinghy")
    async with tab(browser, url) as page:
        await page.open()
        await page.page.locator(".entry", has_text="Tall dinghy").locator("a").click()
        await page.settled()
        await expect(page.page.locator(".answer").last).to_be_in_viewport()
        await find(page, "dinghy")
        await expect(page.page.locator(".bubble", has_text="dinghy")).to_be_in_viewport(ratio=1)
