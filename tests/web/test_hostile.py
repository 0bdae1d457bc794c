"""Nobody's text runs a script or has anything fetched, however it is cut, with the policy and without."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser

from antiphon.api.page import CONTENT_POLICY
from hatch_build import SOURCE, node
from tests.web.browser import Tab, executable, tab
from tests.web.hostile import PAYLOADS, RUN

pytestmark = pytest.mark.asyncio(loop_scope="session")

FOUND_IN_PAGE = """() => [...document.querySelectorAll('.message')].flatMap((message) =>
    [...message.querySelectorAll('script,iframe,object,embed,style,link,meta,base,form,video,audio,' +
        'template,img:not(.picture),svg:not(.icon-lines)')]
    .concat([...message.querySelectorAll('.markdown *, .bubble *')].filter((one) => [...one.attributes].some(
        ({name, value}) => /^on/.test(name) ||
            (/href|src|action/.test(name) && !/^(https?|mailto|tel|blob):/.test(value)))))
    .map((one) => one.outerHTML.slice(0, 200)))"""


class _Guarded(SimpleHTTPRequestHandler):
    policy = False

    def end_headers(self) -> None:
        if self.policy:
            self.send_header("Content-Security-Policy", CONTENT_POLICY)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Open(_Guarded):
    pass


class _Closed(_Guarded):
    policy = True


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page that has nothing but the chat page's Markdown, built."""
    executable()
    target = tmp_path_factory.mktemp("prefixes")
    runs = node()
    command = [
        runs.program,
        "node_modules/vite/bin/vite.js",
        "build",
        "tests/prefixes",
        "--outDir",
        str(target),
    ]
    done = subprocess.run([*command, "--assetsInlineLimit", "0"], cwd=SOURCE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module", params=[_Open, _Closed], ids=["without the policy", "with it"])
def address(request: pytest.FixtureRequest, bench: Path) -> Iterator[str]:
    """Where that page is served."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(request.param, directory=str(bench)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


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
