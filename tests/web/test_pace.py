"""How quick the page is where it could be slow: a long conversation, and a dense answer while it is written.

Others use this machine: of several tries the best counts. What was measured stands in docs/page.md.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.e2e.server_process import CANARY, running
from tests.web.browser import Tab, executable, tab

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="session")]

MESSAGES = 10_000
OPEN_MS = 500
FRAMES_PER_SECOND = 50
FRAME_MS = 50
TRIES = 3

SECTION = """## Section {number}

Some **bold** words, `code`, a [link](https://example.org/{number}) and *more* of it, said at some length,
so that lines are wrapped where they should be. The price is $5, the formula $a^2+b^2=c^2$.

| name | value | note |
|---|--:|:-:|
| first | {number} | a |
| second | 2 | b |

1. one thing
2. another thing
   - within it

```python
def section_{number}(value: int) -> int:
    return value * {number}  # a comment
```

"""
DENSE = "".join(SECTION.format(number=number) for number in range(1, 36))[: 18 * 1024]

FILL = """async ([count, title]) => {
    const post = (path, body) => fetch(path, {method: 'POST', body: JSON.stringify(body),
        headers: {'content-type': 'application/json'}}).then((response) => response.json());
    const {id} = await post('/v1/conversations', {title});
    for (let at = 0; at < count; at += 20) {
        const items = Array.from({length: 20}, (_, n) => ({
            type: 'message', role: n % 2 ? 'assistant' : 'user',
            content: n % 2 ? `Answer **${at + n}** with \\`code\\` and a list:\\n\\n- one\\n- two`
                           : `Question ${at + n}?`}));
        await post(`/v1/conversations/${id}/items`, {items});
    }
    return id;
}"""
OPENED = """(id) => new Promise((resolve) => {
    const began = performance.now();
    location.hash = '#/c/' + id;
    const look = () => document.querySelectorAll('.message').length > 20
        ? requestAnimationFrame(() => resolve(performance.now() - began)) : requestAnimationFrame(look);
    look();
})"""
SCROLLED = """(milliseconds) => new Promise((resolve) => {
    const viewport = document.querySelector('.viewport');
    const frames = [];
    let last = performance.now();
    const end = last + milliseconds;
    const step = (now) => {
        frames.push(now - last);
        last = now;
        viewport.scrollTop -= 90;
        now < end ? requestAnimationFrame(step) : resolve(frames.slice(1));
    };
    requestAnimationFrame(step);
})"""
WATCH_FRAMES = """() => {
    window.__frames = [];
    let last = performance.now();
    const step = (now) => {
        window.__frames.push(now - last);
        last = now;
        requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
}"""


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


async def test_a_conversation_of_10_000_messages_opens_at_once_and_scrolls_smoothly(
    browser: Browser, url: str
) -> None:
    opened, rates = [], []
    async with tab(browser, url) as page:
        await page.open()
        identifier = await page.page.evaluate(FILL, [MESSAGES, "Long"])
        for _ in range(TRIES):
            await page.page.goto(f"{url}#/")
            await page.page.wait_for_selector(".welcome")
            opened.append(await page.page.evaluate(OPENED, identifier))
            await page.page.wait_for_selector(".thread:not([data-busy])")
            assert await page.page.locator(".message").count() <= 120
            frames = await page.page.evaluate(SCROLLED, 2500)
            rates.append(1000 * len(frames) / sum(frames))
            if min(opened) <= OPEN_MS and max(rates) >= FRAMES_PER_SECOND:
                break
        await page.page.locator(".viewport").evaluate("element => (element.scrollTop = 0)")
        await page.page.wait_for_function("document.querySelectorAll('.message').length > 60")
    print("10,000 messages: opened in ms:", opened, "frames a second:", rates)
    assert min(opened) <= OPEN_MS
    assert max(rates) >= FRAMES_PER_SECOND


class Dense(BaseHTTPRequestHandler):
    """A model that says the dense text, six characters at a time."""

    def do_GET(self) -> None:
        self._send(json.dumps({"object": "list", "data": [{"id": "dense", "object": "model"}]}).encode())

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for at in range(0, len(DENSE), 6):
            self._say({"content": DENSE[at : at + 6]}, None)
            time.sleep(0.002)
        self._say({}, "stop")
        self.wfile.write(b"data: [DONE]\n\n")

    def _say(self, delta: dict[str, str], reason: str | None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        chunk = {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "dense",
            "choices": [choice],
        }
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def dense_url(tmp_path: Path) -> Iterator[str]:
    executable()
    model = ThreadingHTTPServer(("127.0.0.1", 0), Dense)
    threading.Thread(target=model.serve_forever, daemon=True).start()
    settings = {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": f"http://127.0.0.1:{model.server_address[1]}/v1"}
    with running(tmp_path, {**settings, "DEFAULT_MODEL": "openai/dense"}) as server:
        yield f"http://127.0.0.1:{server.port}/"
    model.shutdown()
    model.server_close()


async def answered_densely(page: Tab) -> list[float]:
    await page.page.evaluate(WATCH_FRAMES)
    await page.say("everything, please")
    frames: list[float] = await page.page.evaluate("window.__frames")
    return frames


async def test_a_dense_answer_of_18_kb_is_written_without_a_stutter(browser: Browser, dense_url: str) -> None:
    tails = []
    for _ in range(TRIES):
        async with tab(browser, dense_url) as page:
            await page.open()
            frames = await answered_densely(page)
            tails.append(percentile(frames, 0.95))
            assert await page.page.locator(".answer h2:not(.off-screen)").count() > 20
            await page.picture("dense")
        if tails[-1] <= FRAME_MS:
            break
    print(f"18 KB streamed: frames' 95th percentile {[round(one, 1) for one in tails]} ms")
    assert min(tails) <= FRAME_MS
