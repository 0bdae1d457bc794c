"""Server-sent events of what is told as it comes: one reader, one response, each event in one write.

For what is awaited step by step. Answers are pushed from their commits instead, see `sse`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

from antiphon.api.http import Receive, Scope, Send, header
from antiphon.api.sse import HEADERS, PING, REVOKED, Watch

STALLED_SECONDS: Final = 60.0
"""Who takes nothing for so long is cut off."""
PING_SECONDS: Final = 10.0
"""Between what was written last and a ping, at least; silence is told of every few seconds."""
LAST_SECONDS: Final = 1.0
"""How long the end of a stream waits for a client that takes nothing."""


def accepts(scope: Scope) -> bool:
    """Whether a client wants a stream of events."""
    return "text/event-stream" in (header(scope, b"accept") or "")


def unwatched(end: Callable[[], None]) -> Callable[[], None]:
    """Watch nobody: for what needs no credential."""
    return lambda: None


async def stream(
    events: AsyncIterator[bytes | None],
    receive: Receive,
    send: Send,
    *,
    watch: Watch,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    """Send events until their end, or until the client has gone or may not read on; None is silence.

    Nothing is asked of `events` before the client has taken what came before.
    """
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS + (headers or [])})
    revoked = asyncio.get_running_loop().create_future()
    release = watch(lambda: None if revoked.done() else revoked.set_result(None))
    writing = asyncio.ensure_future(_write(events, send))
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((writing, leaving, revoked), return_when=asyncio.FIRST_COMPLETED)
        if writing.done():
            writing.result()
    finally:
        release()
        for task in (writing, leaving):
            task.cancel()
        await asyncio.gather(writing, leaving, return_exceptions=True)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_SECONDS):
            await send({"type": "http.response.body", "body": REVOKED if revoked.done() else b""})


async def _write(events: AsyncIterator[bytes | None], send: Send) -> None:
    now = asyncio.get_running_loop().time
    written = now()
    async for event in events:
        if event is None and now() - written < PING_SECONDS:
            continue
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STALLED_SECONDS):
                await send({"type": "http.response.body", "body": event or PING, "more_body": True})
                written = now()
                continue
        return


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def frame(name: str, data: bytes, *, number: int | None = None) -> bytes:
    """Return an event; `number` is what its reader names to go on after it."""
    head = b"" if number is None else b"id: %d\n" % number
    return b"%bevent: %b\ndata: %b\n\n" % (head, name.encode(), data)
