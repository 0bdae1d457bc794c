"""Server-sent events: one follower, one response, each event in one write."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Protocol

from antiphon.api.http import NO_STORE, Receive, Send
from antiphon.services.runs.follow import Follower, Interrupted

MAX_OPS = 256
"""Ops rendered at once: what a slow reader can make us hold beyond its transport's buffer."""

LOOK_EVERY = 64
"""After so many writes an unwatched client is looked for."""

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
    """Send a run's events until its end or until the client has gone.

    With `on_gone` the client is watched all the time and its going is reported at once; without,
    it is looked for now and then, which saves a task per stream.
    """
    follower.task = asyncio.current_task()
    try:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS + headers})
        if on_gone is None:
            await _pump(follower, encoder, send, lambda: has_gone(receive))
            return
        async with watching(receive, follower) as watcher:
            await _pump(follower, encoder, send, watcher.done)
            if watcher.done() and not follower.finished:
                on_gone()
    except Interrupted:
        await send({"type": "http.response.body", "body": b": interrupted, resume later\n\n"})
    finally:
        follower.release()


async def _pump(follower: Follower, encoder: Encoder, send: Send, client_gone: Callable[[], bool]) -> None:
    sent = 0
    while True:
        end = min(follower.committed, follower.cursor + MAX_OPS)
        if follower.cursor < end:
            body = encoder.render(follower.cursor, end)
            follower.cursor = end
            last = follower.finished
            follower.progress()
            await send({"type": "http.response.body", "body": body, "more_body": not last})
            sent += 1
            if last or (sent % LOOK_EVERY == 0 and client_gone()):
                return
        elif follower.finished:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        if not await follower.more():
            if client_gone():
                return
            follower.progress()
            await send({"type": "http.response.body", "body": PING, "more_body": True})


def has_gone(receive: Receive) -> bool:
    """Return whether the client has closed its connection, without waiting.

    Valid once the whole body was read: then the only message that can come is the disconnect,
    and a `receive` that is not ready is given up again.
    """
    waiting = receive()
    if not isinstance(waiting, Coroutine):
        return False
    try:
        waiting.send(None)
    except StopIteration as message:
        return bool(message.value["type"] == "http.disconnect")
    waiting.close()
    return False


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
