"""Server-sent events: one follower, one response, each event in one write."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from antiphon.api.http import NO_STORE, Receive, Send
from antiphon.services.runs.follow import Follower, Interrupted

MAX_OPS = 256
"""Ops rendered at once: what a slow reader can make us hold beyond its transport's buffer."""

PING = b": ping\n\n"
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    NO_STORE,
    (b"x-accel-buffering", b"no"),
]


class Encoder(Protocol):
    """Renders a run's ops in the wire format of a surface."""

    def render(self, start: int, end: int) -> bytes:
        """Return the frames of ops `start` to `end` (excluded)."""
        ...


async def stream(
    follower: Follower,
    encoder: Encoder,
    receive: Receive,
    send: Send,
    *,
    headers: list[tuple[bytes, bytes]],
    on_gone: Callable[[], None] | None = None,
) -> None:
    """Send a run's events until its end, or until the client has gone (then call `on_gone`)."""
    follower.task = asyncio.current_task()
    watcher = asyncio.get_running_loop().create_task(_watch(receive, follower))
    try:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS + headers})
        await _pump(follower, encoder, send, watcher)
    except Interrupted:
        await send({"type": "http.response.body", "body": b": interrupted, resume later\n\n"})
    finally:
        gone = watcher.done()
        watcher.cancel()
        follower.release()
        if gone and on_gone is not None and not follower.finished:
            on_gone()


async def _pump(follower: Follower, encoder: Encoder, send: Send, watcher: asyncio.Task[None]) -> None:
    while not watcher.done():
        follower.progress()
        end = min(follower.committed, follower.cursor + MAX_OPS)
        if follower.cursor < end:
            body = encoder.render(follower.cursor, end)
            follower.cursor = end
            last = follower.finished
            await send({"type": "http.response.body", "body": body, "more_body": not last})
            if last:
                return
        elif follower.finished:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        if not await follower.more() and not watcher.done():
            await send({"type": "http.response.body", "body": PING, "more_body": True})


@contextlib.asynccontextmanager
async def watching(receive: Receive, follower: Follower) -> AsyncIterator[asyncio.Task[None]]:
    """Give a task that is done when the client has gone; its follower is woken then."""
    watcher = asyncio.get_running_loop().create_task(_watch(receive, follower))
    try:
        yield watcher
    finally:
        watcher.cancel()


async def _watch(receive: Receive, follower: Follower) -> None:
    """Return when the client has gone, waking its follower."""
    with contextlib.suppress(asyncio.CancelledError):
        while (await receive())["type"] != "http.disconnect":
            pass
        follower.nudge()
