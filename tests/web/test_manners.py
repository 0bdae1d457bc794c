"""What one does with one's hands stays where it was: width, focus, place, words that are being written."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.web.browser import PHONE, Tab, tab
from tests.web.views import pick_of_open

pytestmark = pytest.mark.asyncio(loop_scope="session")

LONG = "How do I find a good place to eat near the old harbour in Hamburg tonight, and at what time?"
FOCUS = "() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.tagName"
TOP = "(message) => message.getBoundingClientRect().top"


async def style(page: Tab, selector: str, name: str) -> Any:
    """A computed property of the first element that a selector finds."""
    found = page.page.locator(selector).first
    return await found.evaluate("(one, name) => getComputedStyle(one)[name]", name)


@pytest.mark.parametrize("viewport", [None, PHONE], ids=["desktop", "phone"])
async def test_a_long_title_makes_nothing_wider_than_the_screen(
    browser: Browser, url: str, viewport: Any
) -> None:
    fields = {} if viewport is None else {"viewport": viewport, "has_touch": True, "is_mobile": True}
    async with tab(browser, url, **fields) as page:
        await page.open()
        await page.choose("echo")
        await page.say(LONG if viewport else LONG * 4)
        await expect(page.page.locator(".top-title")).to_contain_text("How do I find")
        width = await page.page.evaluate("innerWidth")
        box = await page.page.locator(".send").bounding_box()
        assert box is not None and box["x"] + box["width"] <= width
        assert await page.page.evaluate("document.querySelector('main').scrollWidth") <= width


async def test_a_question_of_another_tab_takes_neither_the_focus_nor_the_place(
    browser: Browser, page: Tab
) -> None:
    await page.choose("echo")
    for text in ("first", "second\n" * 60, "third"):
        await page.say(text)
    await page.page.locator(".said").first.hover()
    await page.page.get_by_role("button", name="Edit").first.click()
    editing = page.page.get_by_label("Edit the message")
    await expect(editing).to_be_focused()
    await page.page.keyboard.type(" and more")
    before = await editing.evaluate(TOP)
    async with tab(browser, page.url) as other:
        await other.page.goto(page.page.url)
        await other.page.wait_for_selector(".said")
        await other.say("from elsewhere")
    await expect(page.page.locator(".said")).to_have_count(4)
    await expect(editing).to_be_focused()
    assert abs(await editing.evaluate(TOP) - before) < 2
    await page.page.keyboard.type(" still")
    await expect(editing).to_have_value("first and more still")


async def test_ones_own_question_is_brought_into_view_and_one_can_write_on(page: Tab) -> None:
    await page.choose("echo")
    for text in ("first", "second\n" * 60, "third"):
        await page.say(text)
    await page.page.locator(".viewport").evaluate("(view) => view.scrollTo(0, 0)")
    await page.page.fill(".footer .composer-input", "fourth")
    await page.page.click("[aria-label=Send]")
    await expect(page.page.locator(".answer").last).to_be_in_viewport()
    await expect(page.page.locator(".said").last).to_contain_text("fourth")
    await expect(page.page.locator(".footer .composer-input")).to_be_focused()


async def test_an_alternative_stands_where_the_one_before_it_stood(page: Tab) -> None:
    await page.choose("echo")
    await page.say("first")
    await page.page.locator(".said").first.hover()
    await page.page.get_by_role("button", name="Edit").first.click()
    await page.page.keyboard.type(" edited")
    await page.page.keyboard.press("Enter")
    await page.settled()
    for text in ("second\n" * 60, "third"):
        await page.say(text)
    back = page.page.get_by_role("button", name="Previous alternative").first
    await back.scroll_into_view_if_needed()
    before = await page.page.locator(".said").first.evaluate(TOP)
    await back.focus()
    await page.page.keyboard.press("Enter")
    await expect(page.page.locator(".said")).to_have_count(1)
    await page.page.wait_for_function("() => document.activeElement.closest('.siblings')")
    await page.page.keyboard.press("Enter")  # at the first there is only a next one
    await expect(page.page.locator(".said")).to_have_count(3)
    await page.page.wait_for_function("() => document.activeElement.closest('.siblings')")
    await expect(page.page.locator(".said").first).to_be_in_viewport()
    assert abs(await page.page.locator(".said").first.evaluate(TOP) - before) < 80


async def test_what_is_pressed_looks_pressed_and_words_look_alike_everywhere(page: Tab) -> None:
    await page.choose("echo")
    fresh = [await style(page, ".footer .composer-input", name) for name in ("color", "fontSize")]
    await page.say("one")
    assert [await style(page, ".footer .composer-input", name) for name in ("color", "fontSize")] == fresh
    await page.page.locator(".answer").hover()
    good = page.page.get_by_role("button", name="Good answer")
    plain = await good.evaluate("(one) => getComputedStyle(one).backgroundColor")
    await good.click()
    await expect(good).to_have_attribute("aria-pressed", "true")
    await page.page.mouse.move(1, 1)
    await expect(good).not_to_have_css("background-color", plain)
    await good.hover()
    await expect(good).to_have_attribute("title", "Good answer")


async def test_the_choices_of_appearance_can_be_read(page: Tab) -> None:
    await page.page.goto(page.url + "#/settings")
    await page.page.get_by_role("link", name="Appearance").click()
    for radio in await page.page.get_by_role("radio").all():
        box = await radio.bounding_box()
        assert box is not None and box["width"] < 40


async def test_a_dialog_begins_in_its_field_and_gives_the_focus_back(page: Tab) -> None:
    await page.choose("echo")
    await page.say("one")
    await pick_of_open(page, "Folder")
    await expect(page.page.locator("dialog input[name=folder]")).to_be_focused()
    await page.page.keyboard.press("Escape")
    await expect(page.page.locator("dialog")).to_have_count(0)
    page.expected.append("status of 404")
    await pick_of_open(page, "Share")
    await page.page.get_by_label("Name of the person").fill("nobody of that name")
    await page.page.get_by_role("button", name="Let in").click()
    told = page.page.locator("dialog .notice")
    await told.get_by_role("button", name="Dismiss").click()  # it can be reached, in front of the dialog
    await expect(told).to_have_count(0)
    await page.page.keyboard.press("Escape")
    await expect(page.page.locator("dialog")).to_have_count(0)
    assert await page.page.evaluate(FOCUS) != "BODY"


async def test_a_name_is_kept_when_one_goes_on_elsewhere(page: Tab) -> None:
    await page.choose("echo")
    await page.say("one")
    await pick_of_open(page, "Rename")
    await page.page.get_by_label("New title").fill("A better name")
    await page.page.locator(".footer .composer-input").click()
    await expect(page.page.locator(".top-title")).to_have_text("A better name")
    await pick_of_open(page, "Rename")
    await page.page.get_by_label("New title").fill("A worse name")
    await page.page.keyboard.press("Escape")
    await expect(page.page.get_by_label("New title")).to_have_count(0)
    await expect(page.page.locator(".top-title")).to_have_text("A better name")


async def test_words_that_run_from_right_to_left_do(page: Tab) -> None:
    await page.choose("echo")
    await page.say("مرحبا بالعالم.")
    assert await style(page, ".said .plain", "direction") == "rtl"
    assert await style(page, ".answer .markdown p", "unicodeBidi") == "plaintext"
    box = await page.page.locator(".answer .markdown p").first.evaluate(
        "(one) => { const range = document.createRange(); range.selectNodeContents(one);"
        " return one.getBoundingClientRect().right - range.getBoundingClientRect().right; }"
    )
    assert box < 5  # the words stand at the right edge
