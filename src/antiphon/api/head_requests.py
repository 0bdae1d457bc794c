"""HEAD: the head that GET would have, and nothing after it (RFC 9110 §9.3.2)."""

from __future__ import annotations

import asyncio

from antiphon.api.http import Handler, Message, Receive, Scope, Send

_LENGTH = b"content-length"


async def head_only(inner: Handler, scope: Scope, receive: Receive, send: Send) -> None:
    """Have a request answered as GET, and stop the answer at its head.

    One of a known length ends by itself or at its first piece, so that what reads a file closes it; any other
    may say nothing for long, and ends at once. What was whole by then has ended.
    """
    scope["method"] = "GET"
    scope["extensions"] = {}  # a shorter way to write would not come by here
    loop = asyncio.get_running_loop()
    begun = False

    def stop() -> None:
        if not answering.cancelling():  # a second time would end what cleans up
            answering.cancel()

    async def sending(message: Message) -> None:
        nonlocal begun
        if not begun:
            begun = True
            await send(message)
            await send({"type": "http.response.body", "body": b""})
            if all(name != _LENGTH for name, _ in message.get("headers", ())):
                loop.call_soon(stop)
        elif message.get("more_body"):
            stop()
            await loop.create_future()  # it may be a task of that one's, which ends after it

    answering = asyncio.ensure_future(inner(scope, receive, sending))
    try:
        await asyncio.wait((answering,))
    finally:
        stop()
    if not answering.cancelled():
        answering.result()
