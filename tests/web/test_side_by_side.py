"""Answers side by side: each of them can be made again, and what has no word is nothing to go on from."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, expect

from tests.web.browser import Tab

pytestmark = pytest.mark.asyncio(loop_scope="session")


def column(page: Tab, model: str) -> Locator:
    return page.page.locator(f".fan-column[aria-label='scripted/{model}']")


async def again(page: Tab, model: str, how: str) -> None:
    await column(page, model).get_by_label("Answer again").click()
    await page.page.get_by_role("menuitem", name=how, exact=True).click()


@pytest.mark.parametrize("how,model", [("Try again", "text"), ("With echo", "echo")])
async def test_an_answer_that_is_not_the_chosen_one_is_made_again(page: Tab, how: str, model: str) -> None:
    await page.choose("reasoning", "text")
    await page.say("to both of you")
    async with page.page.expect_request("**/regenerate") as asked:
        await again(page, "text", how)
    assert (await asked.value).post_data_json["model"] == f"scripted/{model}"
    await page.settled()
    await expect(page.page.locator(".bubble")).to_have_text(["to both of you"])
    words = "to both of you" if model == "echo" else "quick brown fox"
    await expect(page.page.locator(".answer .markdown")).to_contain_text(words)
    await expect(page.page.locator(".answer .siblings")).to_have_text("3/3")
    await page.page.reload()
    await expect(page.page.locator(".answer .markdown")).to_contain_text(words)
    await expect(page.page.locator(".answer .siblings")).to_have_text("3/3")


async def test_one_without_a_word_is_nothing_to_go_on_from_but_can_be_made_again(page: Tab) -> None:
    await page.choose("text", "fail-before", "echo")
    await page.say("to all of you")
    await expect(column(page, "fail-before").locator(".ending.problem")).to_be_visible()
    await expect(column(page, "echo").get_by_text("Go on from this one")).to_be_visible()
    await expect(column(page, "fail-before").get_by_text("Go on from this one")).to_have_count(0)
    await again(page, "fail-before", "With echo")
    await expect(page.page.locator(".answer .markdown")).to_have_text("to all of you")
    await page.settled()
    await page.page.reload()
    await expect(page.page.locator(".answer .markdown")).to_have_text("to all of you")
