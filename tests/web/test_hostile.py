"""Nobody's text runs a script or has anything fetched, however it is cut, with the policy and without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.web.browser import Tab, tab
from tests.web.hostile import PAYLOADS, RUN
from tests.web.prefixes import served

pytestmark = pytest.mark.asyncio(loop_scope="session")

FOUND_IN_PAGE = """() => [...document.querySelectorAll('.message')].flatMap((message) =>
    [...message.querySelectorAll('script,iframe,object,embed,style,link,meta,base,form,video,audio,' +
        'template,img:not(.picture),svg:not(.icon-lines)')]
    .concat([...message.querySelectorAll('.markdown *, .bubble *')].filter((one) => [...one.attributes].some(
        ({name, value}) => /^on/.test(name) ||
            (/href|src|action/.test(name) && !/^(https?|mailto|tel|blob):/.test(value)))))
    .map((one) => one.outerHTML.slice(0, 200)))"""


@pytest.fixture(scope="module", params=[False, True], ids=["without the policy", "with it"])
def address(request: pytest.FixtureRequest, prefixes: Path) -> Iterator[str]:
    """Where a page is that has nothing but the chat page's Markdown."""
    with served(prefixes, with_policy=request.param) as found:
        yield found


async def require_nothing_ran(page: Tab) -> None:
    assert await page.page.evaluate("window.__ran") is None
    assert page.elsewhere == []


async def test_no_beginning_of_any_text_does_anything(browser: Browser, address: str) -> None:
    assert len(PAYLOADS) >= 150
    async with tab(browser, address) as page:
        page.expected.append("404")  # the browser asks for an icon
        await page.page.goto(address)
        await page.page.wait_for_function("'renderAll' in window")
        for text in PAYLOADS:
            found = await page.page.evaluate("(text) => window.renderAll(text)", text)
            assert found == [], text
            await require_nothing_ran(page)


@pytest.mark.parametrize("bypass", [False, True], ids=["with the policy", "without it"])
async def test_what_is_stored_does_nothing_when_it_is_shown(browser: Browser, url: str, bypass: bool) -> None:
    async with tab(browser, url, bypass_csp=bypass) as page:
        await page.open()
        conversation = await _stored(page)
        await page.page.goto(f"{url}#/c/{conversation}")
        await page.page.wait_for_selector(".answer")
        while await page.page.locator(".earlier").count():
            await page.page.locator(".viewport").evaluate("element => (element.scrollTop = 0)")
            await page.page.wait_for_timeout(50)
        await page.settled()
        assert await page.page.locator(".answer").count() == len(PAYLOADS)
        assert await page.page.evaluate(FOUND_IN_PAGE) == []
        await require_nothing_ran(page)


async def _stored(page: Tab) -> str:
    """Put every text into a conversation, as what a person said and as what a model answered."""
    items = [
        {"type": "message", "role": role, "content": text}
        for text in PAYLOADS
        for role in ("user", "assistant")
    ]
    identifier: str = await page.page.evaluate(
        """async (items) => {
            const post = (path, body) => fetch(path, {method: 'POST', body: JSON.stringify(body),
                headers: {'content-type': 'application/json'}}).then((response) => response.json());
            const {id} = await post('/v1/conversations', {title: '<img src=x onerror=window.__ran=1>'});
            for (let at = 0; at < items.length; at += 20)
                await post(`/v1/conversations/${id}/items`, {items: items.slice(at, at + 20)});
            return id;
        }""",
        items,
    )
    return identifier


async def test_what_is_streamed_does_nothing(page: Tab) -> None:
    await page.choose("echo")
    for text in (
        PAYLOADS[0],
        PAYLOADS[3],
        PAYLOADS[36],
        f"[x](javascript:{RUN})",
        "```html\n<svg onload=x>\n```",
    ):
        await page.say(text)
    assert await page.page.evaluate(FOUND_IN_PAGE) == []
    await require_nothing_ran(page)
