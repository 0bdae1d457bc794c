"""How the page looks on paper, in the colours that a computer has of its own, from right to left."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from playwright.async_api import Browser, Route, expect
from pypdf import PdfReader

from tests.web.browser import Tab, tab
from tests.web.test_read_elsewhere import link_to
from tests.web.test_tree import grown
from tests.web.views import PAINTED, api

pytestmark = pytest.mark.asyncio(loop_scope="session")

COLUMNS = 14
TABLE = "\n".join(
    "|" + "|".join(cells) + "|"
    for cells in (
        [f"column{number}ofmany" for number in range(COLUMNS)],
        ["-"] * COLUMNS,
        [f"cell{number}withoutanyblank" for number in range(COLUMNS)],
    )
)
PAPER = {"width": 700, "height": 990}
CUT_OFF = """(width) => [...document.querySelectorAll('.messages *')].filter((one) => {
    const {left, right} = one.getBoundingClientRect();
    const cuts = getComputedStyle(one).overflowX !== 'visible' && one.scrollWidth > one.clientWidth + 1;
    return one.checkVisibility() && (cuts || left < -1 || right > width + 1);
}).map((one) => `${one.tagName} ${one.className}`)"""
PAINTED_COLOURS = """() => {
    const canvas = document.querySelector('.tree-map canvas');
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set();
    for (let at = 0; at < data.length; at += 4)
        if (data[at + 3] === 255) seen.add(`${data[at]},${data[at + 1]},${data[at + 2]}`);
    return [...seen];
}"""
"""Colours that cover: those of edges are mixed with what is below."""
GROUND = "one => getComputedStyle(one).backgroundColor"


async def test_answers_side_by_side_and_wide_tables_are_whole_on_paper(page: Tab) -> None:
    await page.choose("echo", "text", "reasoning", "numbered")
    await page.say(TABLE)
    await expect(page.page.locator(".fan-column table")).to_have_count(1)
    await page.page.emulate_media(media="print")
    await page.page.set_viewport_size(PAPER)
    await page.page.evaluate(PAINTED)
    assert await page.page.evaluate(CUT_OFF, PAPER["width"]) == []
    await page.picture("paper")


async def test_what_a_link_shows_is_whole_on_paper(page: Tab, url: str) -> None:
    long = "\n\n".join(f"paragraph {number} of many" for number in range(120))
    async with api(url) as client:
        item = {"type": "message", "role": "user", "content": long}
        made = (await client.post("/v1/conversations", json={"items": [item]})).raise_for_status().json()
    await page.page.goto(await link_to(url, f"/v1/conversations/{made['id']}"))
    await expect(page.page.get_by_role("article")).to_contain_text("paragraph 119 of many")
    paper = PdfReader(io.BytesIO(await page.page.pdf()))
    text = "\n".join(one.extract_text() for one in paper.pages)
    assert len(paper.pages) > 3 and all(f"paragraph {number} of many" in text for number in (0, 60, 119))


async def test_paper_is_white_also_where_dark_was_chosen(page: Tab) -> None:
    await page.choose("echo")
    await page.say("in black on white")
    await page.page.goto(f"{page.url}#/settings/appearance")
    await page.page.get_by_role("radio", name="Dark").check()
    ink = "getComputedStyle(document.body).color"
    dark = await page.page.evaluate(ink)
    await page.page.get_by_role("radio", name="Light").check()
    light = await page.page.evaluate(ink)
    assert dark != light
    await page.page.get_by_role("radio", name="Dark").check()
    await page.page.emulate_media(media="print")
    assert await page.page.evaluate(ink) == light


async def require_words(page: Tab, *painted: str) -> None:
    """The drawing of a tree has words, and something else that they stand on."""
    await grown(page)
    await page.page.evaluate(PAINTED)
    assert set(painted) <= set(await page.page.evaluate(PAINTED_COLOURS))


async def test_who_wants_less_motion_sees_the_tree(page: Tab) -> None:
    await require_words(page, "30,33,31", "255,255,255", "226,238,235")


async def test_with_the_computers_own_colours_one_sees_the_tree_and_what_is_pressed(
    browser: Browser, url: str
) -> None:
    async with tab(browser, url, forced_colors="active", reduced_motion="no-preference") as page:
        await page.open()
        await require_words(page, "0,0,0", "255,255,255")
        await page.picture("forced-colours")
        await page.page.get_by_label("Good answer").last.click()
        await expect(page.page.get_by_label("Good answer").last).to_have_attribute("aria-pressed", "true")
        for where in ("[aria-label='Good answer']", ".composer-input"):
            await page.page.locator(where).last.hover()
            await page.page.evaluate(PAINTED)
            good, bad = [
                await page.page.get_by_label(f"{word} answer").last.evaluate(GROUND)
                for word in ("Good", "Bad")
            ]
            assert good != bad


async def test_a_list_from_right_to_left_begins_at_the_right(page: Tab) -> None:
    await page.choose("echo")
    await page.say("- شاي\n- قهوة\n  - تركية\n\n> كلام\n\nand\n\n- tea\n- coffee")
    sides = """one => { const {direction, paddingLeft, paddingRight} = getComputedStyle(one);
        return [direction, parseFloat(paddingLeft) > 0, parseFloat(paddingRight) > 0]; }"""
    for selector in ("ul >> nth=0", "ul >> nth=1", "blockquote"):
        found = await page.page.locator(f".answer .markdown >> {selector}").evaluate(sides)
        assert found == ["rtl", False, True], selector
    found = await page.page.locator(".answer .markdown ul").last.evaluate(sides)
    assert found == ["ltr", True, False]


async def test_a_small_price_is_a_plain_number(page: Tab) -> None:
    async def priced(route: Route) -> None:
        response = await route.fetch()
        models: dict[str, Any] = await response.json()
        for one in models["data"]:
            if one.get("antiphon"):
                one["antiphon"]["price"] = {"input": 0.002, "output": 0.002}
        await route.fulfill(response=response, json=models)

    await page.page.route("**/v1/models*", priced)
    await page.page.reload()
    await page.choose("echo")
    await page.say("a penny for your thoughts")
    await expect(page.page.locator(".spent")).to_have_text(re.compile(r" · \$0\.00000\d*[1-9]$"))
