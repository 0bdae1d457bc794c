"""Many models: one is found by a part of its name, by the keyboard alone."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Route, expect

from tests.web.browser import PHONE, Tab, tab
from tests.web.views import require_accessible

pytestmark = pytest.mark.asyncio(loop_scope="session")

FIELD = "Find a model"


async def test_a_model_is_found_by_parts_of_its_name(page: Tab) -> None:
    rows, button = page.page.locator(".model-row"), page.page.locator(".model-button")
    await button.click()
    field = page.page.get_by_label(FIELD)
    await expect(field).to_be_focused()
    assert await rows.count() > 8
    await page.page.keyboard.type("SCRIPT ech")
    await expect(rows).to_have_count(1)
    await require_accessible(page)
    await page.page.keyboard.press("Enter")
    await expect(page.page.locator(".menu-list")).to_have_count(0)
    await expect(button).to_be_focused()
    await expect(button).to_have_text("echo")
    await page.page.keyboard.press("Enter")
    assert await rows.count() > 8, "what was looked for last time is forgotten"
    await expect(page.page.locator(".model-row [aria-checked=true]").first).to_contain_text("echo")


async def test_a_model_that_is_taken_away_is_gone_from_the_list_when_one_opens_it(page: Tab) -> None:
    await page.choose("echo")

    async def without(route: Route) -> None:
        found = await (await route.fetch()).json()
        found["data"] = [one for one in found["data"] if one["id"] != "scripted/echo"]
        await route.fulfill(json=found)

    await page.page.route("**/v1/models?*", without)
    button = page.page.locator(".model-button")
    await button.click()
    await expect(page.row("echo")).to_have_count(0)
    await expect(page.row("text")).to_have_count(1)
    await expect(button).not_to_have_text("echo")
    await page.page.unroute_all()
    await page.page.evaluate("() => dispatchEvent(new Event('focus'))")
    await expect(button).to_have_text("echo")


async def test_where_nothing_is_called_that_nothing_is_chosen(page: Tab) -> None:
    button = page.page.locator(".model-button")
    before = await button.inner_text()
    await button.click()
    await page.page.keyboard.type("nobody")
    await expect(page.page.get_by_text("No model is called that.")).to_be_visible()
    for key in ("Enter", "ArrowDown", "ArrowUp"):
        await page.page.keyboard.press(key)
    await expect(page.page.get_by_label(FIELD)).to_be_focused()
    await page.page.keyboard.press("Escape")
    await expect(page.page.locator(".menu-list")).to_have_count(0)
    await expect(button).to_have_text(before)


async def test_the_arrows_lead_from_the_field_into_the_list(page: Tab) -> None:
    await page.page.locator(".model-button").click()
    items = page.page.locator(".menu-list [role^=menuitem]")
    await page.page.keyboard.press("ArrowUp")
    await expect(items.last).to_be_focused()
    await page.page.keyboard.press("ArrowDown")
    await expect(items.first).to_be_focused()


async def test_an_answer_is_asked_for_again_of_a_model_that_is_found(page: Tab) -> None:
    await page.choose("echo")
    await page.say("again")
    await page.page.locator(".answer").hover()
    await page.page.get_by_role("button", name="Answer again").click()
    await page.page.keyboard.type("scripted/text")
    await page.page.keyboard.press("Enter")
    await expect(page.page.locator(".spent").last).to_contain_text("text")


async def test_on_a_phone_the_list_does_not_bring_up_the_keyboard(browser: Browser, url: str) -> None:
    async with tab(browser, url, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        await page.open()
        await page.page.locator(".model-button").click()
        await expect(page.page.get_by_label(FIELD)).to_be_visible()
        await expect(page.page.locator(".menu-list [role^=menuitem]").first).to_be_focused()
