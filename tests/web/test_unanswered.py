"""A question whose model fails before its first word stands there, with its error, until it is answered."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.web.browser import Tab
from tests.web.test_drafts import to
from tests.web.views import api, edit

pytestmark = pytest.mark.asyncio(loop_scope="session")

WHY = "Scripted to fail before the first token."
FAILS = "it fails status=400"
"""As the request's own fault: after several of the provider's it would be left alone, with another word."""


NOTHING = "say nothing tokens=0"


async def require_unanswered(page: Tab, *bubbles: str) -> None:
    await expect(page.page.locator(".bubble")).to_have_text(list(bubbles))
    await expect(page.page.locator(".ending.problem")).to_have_text([WHY])


@pytest.mark.parametrize("before", [[], ["it answers"]], ids=["a new chat", "a chat"])
async def test_one_to_which_a_model_said_nothing_stands_there_and_says_so(
    page: Tab, before: list[str]
) -> None:
    await page.choose("text")
    for text in before:
        await page.say(text)
    await page.choose("slow")
    await page.say(NOTHING)
    for again in (False, True):
        if again:
            await page.page.reload()
        await expect(page.page.locator(".bubble")).to_have_text([*before, NOTHING])
        await expect(page.page.locator(".ending")).to_have_text(["The model said nothing."])
        await page.settled()
    await page.page.get_by_label("Answer again").last.click()
    await page.page.get_by_role("menuitem", name="With text").click()
    await expect(page.page.locator(".answer").last).to_contain_text("quick brown fox")
    await page.settled()
    await page.page.reload()
    await expect(page.page.locator(".bubble")).to_have_text([*before, NOTHING])
    await expect(page.page.locator(".answer").last).to_contain_text("quick brown fox")
    await expect(page.page.locator(".ending")).to_have_count(0)


@pytest.mark.parametrize("before", [[], ["it answers"]], ids=["a new chat", "a chat"])
async def test_it_is_shown_when_the_chat_is_opened_and_answered_again(page: Tab, before: list[str]) -> None:
    await page.choose("text")
    for text in before:
        await page.say(text)
    await page.choose("fail-before")
    await page.say(FAILS)
    await require_unanswered(page, *before, FAILS)
    await page.page.reload()
    await require_unanswered(page, *before, FAILS)
    where = page.page.url.split("#/")[1]
    await to(page, "")
    await expect(page.page.locator(".welcome")).to_be_visible()
    await to(page, where)
    await require_unanswered(page, *before, FAILS)
    await page.settled()
    await page.page.get_by_label("Answer again").last.click()
    await page.page.get_by_role("menuitem", name="With text").click()
    await expect(page.page.locator(".answer").last).to_contain_text("quick brown fox")
    await page.settled()
    await page.page.reload()
    await expect(page.page.locator(".bubble")).to_have_text([*before, FAILS])
    await expect(page.page.locator(".answer").last).to_contain_text("quick brown fox")
    await expect(page.page.locator(".ending")).to_have_count(0)


async def test_one_that_was_gone_past_is_a_sibling_to_which_one_can_go(page: Tab) -> None:
    await page.choose("fail-before")
    await page.say(FAILS)
    await page.choose("text")
    await page.write("it answers")
    await expect(page.page.locator(".bubble")).to_have_text(["it answers"])
    await page.settled()
    await page.page.get_by_label("Previous alternative").click()
    await require_unanswered(page, FAILS)
    await page.settled()
    await page.page.reload()
    await require_unanswered(page, FAILS)


async def test_one_that_was_edited_and_failed_again_stands_where_it_was_edited(page: Tab) -> None:
    await page.choose("text")
    await page.say("it answers")
    await page.choose("fail-before")
    await edit(page, FAILS)
    await require_unanswered(page, FAILS)
    await page.settled()
    await page.page.reload()
    await require_unanswered(page, FAILS)
    await expect(page.page.locator(".said .siblings")).to_have_text("2/2")


async def test_one_that_was_deleted_is_not_shown(page: Tab, url: str) -> None:
    await page.choose("text")
    await page.say("it answers")
    await page.choose("fail-before")
    await page.say(FAILS)
    where = page.page.url.split("#/")[1].replace("c/", "/v1/conversations/")
    async with api(url) as client:
        tree = (await client.get(f"{where}/tree")).raise_for_status().json()["data"]
        (await client.delete(f"{where}/items/{tree[-1]['last_item']['id']}")).raise_for_status()
    await page.page.reload()
    await page.page.wait_for_selector(".answer")
    await page.settled()
    await expect(page.page.locator(".bubble")).to_have_text(["it answers"])


@pytest.mark.parametrize("again", ["Try again", "With text"])
async def test_a_rest_that_failed_without_a_word_is_tried_again_in_its_place(page: Tab, again: str) -> None:
    await page.choose("fail-after")
    await page.say("answer me tokens=20")
    await page.page.get_by_role("button", name="Go on").click()
    await page.page.wait_for_selector(".message.rest")
    await page.settled()
    await page.page.get_by_label("Answer again").last.click()
    async with page.page.expect_request("**/v1/responses") as asked:
        await page.page.get_by_role("menuitem", name=again, exact=True).click()
    body = (await asked.value).post_data_json
    assert body["antiphon"]["continues"] is True
    assert body["model"] == ("scripted/text" if again == "With text" else "scripted/fail-after")
    await page.settled()
    await expect(page.page.get_by_text("This part of the page failed")).to_have_count(0)
    await expect(page.page.locator(".answer")).to_have_count(1)
    await expect(page.page.locator(".message.rest")).to_have_count(1)
    words = page.page.locator(".answer .markdown")
    await expect(words).to_contain_text("word0 word1")
    if again == "With text":
        await expect(words).to_contain_text("quick brown fox")
