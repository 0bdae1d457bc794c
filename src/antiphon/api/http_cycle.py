"""One request and its answer on a connection: ASGI's `send` and `receive`, and a shorter way for streams.

Stands in for uvicorn's `RequestResponseCycle`, whose protocol drives it. The head of an answer leaves
with the first piece of its body, as ASGI allows, so that both are one write; and what writes a stream
may call `write` instead of `send`, which costs no coroutine.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from antiphon.api.http import CLIENT, DIRECT, Handler, Message, Scope, new_request_id, send_error
from antiphon.domain.errors import Unavailable

NO_BODY: Final = frozenset({204, 304})
"""Statuses whose answers have no body (RFC 9110 §6.4.1)."""

_FAILED: Final = b"Internal Server Error"
_FAILED_HEADERS: Final = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", b"%d" % len(_FAILED)),
    (b"connection", b"close"),
]
_BAD_NAME: Final = re.compile(rb"[^!#$%&'*+.^_`|~0-9a-z-]").search
"""ASGI has header names in lower case; beyond that it is RFC 9110 §5.1."""

_BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
_LAST_CHUNK: Final = b"0\r\n\r\n"

log = logging.getLogger(__name__)


def _draining() -> Unavailable:
    return Unavailable("The server is shutting down.", code="draining")


class Flow:
    """Whether a connection is read and takes what is written; as uvicorn's, at a fifth of its size."""

    __slots__ = ("_held", "_transport", "_waiting", "read_paused", "write_paused")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._waiting: list[asyncio.Future[None]] | None = None
        self._held = False
        self.read_paused = False
        self.write_paused = False

    async def drain(self) -> None:
        """Wait until the client takes more."""
        while self.write_paused:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting = [*(self._waiting or ()), waiter]
            await waiter

    def pause_reading(self) -> None:
        """Take nothing from the client for now."""
        if not self.read_paused:
            self.read_paused = True
            self._transport.pause_reading()

    def hold(self, held: bool) -> None:
        """Take nothing from the client while this is so, whoever asks for more."""
        self._held = held
        if held:
            self.pause_reading()

    def resume_reading(self) -> None:
        """Take from the client again."""
        if self.read_paused and not self._held:
            self.read_paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """Note that the client takes nothing."""
        self.write_paused = True

    def resume_writing(self) -> None:
        """Note that it takes more again, or has gone."""
        self.write_paused = False
        waiting, self._waiting = self._waiting, None
        for waiter in waiting or ():
            if not waiter.done():
                waiter.set_result(None)


class Cycle:
    """A request being answered. `on_response` is called when the answer is whole.

    What its protocol reads and sets: `body`, `more_body`, `disconnected`, `response_complete`, `keep_alive`.
    """

    __slots__ = (
        "_chunked", "_default_headers", "_head", "_left", "_news", "_no_body", "_refused", "_scope",
        "_takes_chunks", "_until_close", "_waiter", "body", "disconnected", "flow", "keep_alive",
        "more_body", "on_response",
        "response_complete", "response_started", "transport", "waiting_for_100_continue",
    )  # fmt: skip

    def __init__(
        self,
        scope: Scope,
        transport: asyncio.Transport,
        flow: Flow,
        default_headers: list[tuple[bytes, bytes]],
        *,
        expect_100_continue: bool,
        keep_alive: bool,
        on_response: Callable[[], None],
    ) -> None:
        self._scope: Scope | None = scope
        self.transport = transport
        self.flow = flow
        self.on_response: Callable[[], None] | None = on_response
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expect_100_continue
        self.body: bytes | bytearray = b""
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self._default_headers = default_headers
        self._chunked = self._until_close = False
        self._takes_chunks = scope["http_version"] == "1.1"
        self._no_body = scope["method"] == "HEAD"
        self._left = 0
        self._head = b""
        self._news = self._refused = False
        self._waiter: asyncio.Future[None] | None = None
        scope["extensions"] = {DIRECT: self.write, CLIENT: self}

    async def run_asgi(self, app: Handler, tasks: set[asyncio.Task[None]]) -> None:
        """Call the application, and end the connection if it left the answer unfinished.

        In the end the current task is taken from `tasks`, which costs less than a callback.
        """
        answering = app(self._scope or {}, self.receive, self.send)
        self._scope = None  # a stream may stay open for long, and thousands beside it
        try:
            await answering
        except asyncio.CancelledError:  # all that cancels is the end of the drain
            log.warning("an answer was cut off: the server is shutting down")
            await self._fail(_draining())
        except BaseException:
            log.exception("Exception in ASGI application")
            await self._fail()
        else:
            if not self.response_complete and not self.disconnected:
                log.error("the application left an answer unfinished")
                await self._fail()
        finally:
            self.on_response = None
            tasks.discard(asyncio.current_task())

    async def _fail(self, error: Unavailable | None = None) -> None:
        if self.response_started:
            self._flush()
            self.transport.close()
            return
        if error is not None:
            await send_error(self.send, error, new_request_id())
            return
        await self.send({"type": "http.response.start", "status": 500, "headers": _FAILED_HEADERS})
        await self.send({"type": "http.response.body", "body": _FAILED})

    # ASGI's side

    async def receive(self) -> Message:
        """Return what came of the request's body, or that its client has gone or has its answer.

        Raises Unavailable if more of it is wanted and the server shuts down.
        """
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            while not self._news and not self._is_refused():
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
            self._news = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        if self._is_refused():
            raise _draining()
        body, self.body = bytes(self.body), b""
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """Send the answer's head or a piece of its body, waiting while the client takes nothing."""
        if self.flow.write_paused and not self.disconnected:
            self._flush()
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start" and not self.response_started:
            self._begin(message["status"], message.get("headers", ()))
        elif message["type"] == "http.response.body" and self.response_started and not self.response_complete:
            self._write(message.get("body", b""), not message.get("more_body", False))
        else:
            raise RuntimeError(f"unexpected ASGI message {message['type']!r}")

    def write(self, body: bytes, last: bool) -> bool:
        """Send a piece of an answer that has begun, at once; False, with nothing done, if that must wait."""
        if self.flow.write_paused and not self.disconnected:
            return False
        if self.disconnected:
            return True
        if body and self._chunked and not (last or self._head):
            self.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
        else:
            self._write(body, last)
        return True

    # Its protocol's side

    def arrived(self, body: bytes = b"") -> None:
        """Take some of the request's body, or its end, for whoever waits."""
        if body and self.body:
            if isinstance(self.body, bytes):
                self.body = bytearray(self.body)  # else each small chunk copies all before it: 0.6 s a read
            self.body += body
        elif body:
            self.body = body
        self._wake()

    def refuse(self) -> None:
        """Wait for no more of a request that has not come whole: its client may take as long as it likes."""
        self._refused = True
        if self._is_refused() and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _is_refused(self) -> bool:
        return self._refused and self.more_body and not self.response_started

    def lose(self) -> None:
        """Note that the client has gone."""
        if not self.response_complete:
            self.disconnected = True
        self._wake()

    def _wake(self) -> None:
        self._news = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What is written

    def _begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        length: int | None = None
        closes = False
        lines = [STATUS_LINE[status]]
        headers = [*self._default_headers, *headers]
        for name, value in headers:
            lines.append(b"%b: %b\r\n" % (name, value))
            if name == b"content-length":
                length = int(value)
            elif name == b"connection" and b"close" in value.lower():
                closes = True
        # Looked at all at once: each look costs more than what it finds nothing in.
        if _BAD_NAME(b"".join([name for name, _ in headers])) or _BAD_VALUE(
            b"".join([value for _, value in headers])
        ):
            raise RuntimeError("a header of this answer cannot be sent")
        self._no_body = self._no_body or status in NO_BODY
        if length is None and not self._no_body:
            self._frame(lines)
        if closes:
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")
        self._left = length or 0
        lines.append(b"\r\n")
        self._head = b"".join(lines)

    def _frame(self, lines: list[bytes]) -> None:
        """Say how a body of unknown length ends: older clients know no chunks (RFC 9112 §6.1)."""
        if self._takes_chunks:
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        else:
            self._until_close = True
            self.keep_alive = False

    def _write(self, body: bytes, last: bool) -> None:
        """Write the head if it has not gone out, a piece of the body, and the end after the last."""
        head, self._head = self._head, b""
        if self._no_body:
            body = b""
        elif self._chunked:
            end = _LAST_CHUNK if last else b""
            body = b"%x\r\n%b\r\n%b" % (len(body), body, end) if body else end
        elif not self._until_close:
            self._left -= len(body)
            if self._left < 0 or (last and self._left):
                raise RuntimeError("the body is not as long as its header says")
        if head or body:
            self.transport.write(head + body if head else body)
        if last:
            self._complete()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head:
            self.transport.write(head)

    def _complete(self) -> None:
        self.response_complete = True
        self._wake()
        if not self.keep_alive:
            self.transport.close()
        if self.on_response is not None:
            self.on_response()
