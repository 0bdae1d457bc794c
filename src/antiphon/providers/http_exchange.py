"""One request and its response on one connection: parsing, waiting, back-pressure, caps.

Reads are handed on as they come: everything one call of `feed` brought is one batch, and the
consumer waits on one future. There is no timer and no task per read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from antiphon.ports.outbound import OutboundError, OutboundProtocol, OutboundRequest, OutboundTooLarge
from antiphon.providers.http_inflate import Inflater

HIGH_WATER: Final = 256 * 1024
"""Unread bytes at which the sender is made to wait."""

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 256
MAX_INTERIM: Final = 8
MAX_FRAMING_BYTES: Final = 1024 * 1024
"""Chunk extensions and trailers that may come without any body between them."""

FINISH_BYTES: Final = 64 * 1024
FINISH_SECONDS: Final = 1.0


@lru_cache(maxsize=256)
def _header_key(name: bytes) -> str:
    """Return the key of a header; providers send the same ones with every answer."""
    return name.decode("latin-1").lower()


class Line(Protocol):
    """What an exchange needs of its connection."""

    def pause(self) -> None:
        """Stop reading from the socket."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...

    def hurry(self, seconds: float) -> None:
        """Have the exchange end within so many seconds."""
        ...

    def exchange_over(self, *, keep: bool) -> None:
        """The exchange needs the connection no more; `keep` if another may use it."""
        ...


class Exchange:
    """A response as it arrives; implements `ports.outbound.OutboundResponse`. It has one reader."""

    __slots__ = (
        "__weakref__",
        "_body_bytes",
        "_complete",
        "_fault",
        "_finishing",
        "_framing_bytes",
        "_head_bytes",
        "_head_done",
        "_head_only",
        "_header_bytes",
        "_header_count",
        "_inflater",
        "_interim",
        "_last_part",
        "_line",
        "_loop",
        "_max_bytes",
        "_parser",
        "_parts",
        "_paused",
        "_reusable",
        "_unread",
        "_until_eof",
        "_waiter",
        "answered",
        "headers",
        "on_body",
        "on_news",
        "status",
        "url",
    )

    def __init__(self, line: Line, request: OutboundRequest, url: str) -> None:
        self.status = 0
        self._loop = asyncio.get_running_loop()
        self.url = url
        self.headers: dict[str, str] = {}
        self.answered = False
        self._line: Line | None = line
        self._max_bytes = request.max_bytes
        self._head_only = request.method == "HEAD"
        self._parts: list[bytes] = []
        self.on_body = self._parts.append  # called by the C parser, without a frame of ours
        self.on_news: Callable[[], None] | None = None
        self._parser: Any = HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._fault: OutboundError | None = None
        self._inflater: Inflater | None = None
        self._head_done = self._complete = self._reusable = False
        self._until_eof = self._paused = self._finishing = False
        self._head_bytes = self._framing_bytes = self._body_bytes = self._unread = 0
        self._header_count = self._header_bytes = self._interim = self._last_part = 0

    # The consumer's side

    async def head(self) -> None:
        """Wait until status and headers are known; raises OutboundError."""
        while not self._head_done:
            if self._fault is not None:
                raise self._fault
            await self._wait()

    async def read(self) -> bytes:
        """Return what has come, b"" at the end; see the port."""
        while True:
            if self._parts and (data := self._take()):
                return data
            if self._fault is not None:
                raise self._fault
            if self._complete:
                return b""
            await self._wait()

    def read_nowait(self) -> bytes | None:
        """Return what has come, b"" at the end, None if nothing has yet; see the port."""
        if self._parts and (data := self._take()):
            return data
        if self._fault is not None:
            raise self._fault
        return b"" if self._complete else None

    @property
    def at_end(self) -> bool:
        """Whether nothing more will come; see the port."""
        return self._complete or self._fault is not None

    async def read_all(self, limit: int) -> bytes:
        """Return the rest of the body; see the port."""
        parts, size = [], 0
        while data := await self.read():
            size += len(data)
            if size > limit:
                self.fail(OutboundTooLarge(f"the answer is above {limit} bytes"))
                raise OutboundTooLarge(f"the answer is above {limit} bytes", answered=True)
            parts.append(data)
        return b"".join(parts)

    def finish(self) -> None:
        """Let the little that may be left come, so that the connection can be kept."""
        if self._line is not None:
            self._finishing = True
            self._parts.clear()
            self._resume()
            self._line.hurry(FINISH_SECONDS)

    def close(self) -> None:
        """Close the socket at once unless the body has ended or `finish` waits for its end."""
        if not self._finishing:
            self._parts.clear()
            self.fail(OutboundError("the exchange was closed"))

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _take(self) -> bytes:
        """Return all parts as one; b"" if they inflate to nothing yet or break a cap."""
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._unread = 0
        self._resume()
        if self._inflater is None and self._max_bytes is None:
            return data
        size = len(data)
        if self._inflater is not None:
            try:
                data = self._inflater.feed(data)
            except OutboundError as error:
                return self._break_off(error)
        self._body_bytes += max(size, len(data))
        if self._max_bytes is not None and self._body_bytes > self._max_bytes:
            return self._break_off(OutboundTooLarge(f"the answer is above {self._max_bytes} bytes"))
        return data

    def _break_off(self, error: OutboundError) -> bytes:
        error.answered = True
        self._fault = error  # also where the body is complete: what was taken cannot be given
        self._parts.clear()
        self._drop(keep=False)
        return b""

    # The connection's side

    def feed(self, data: bytes) -> None:
        """Take what one read brought."""
        self.answered = True
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._reusable = False
            if not self._complete and self._fault is None:
                self._fault = OutboundProtocol("what came is not HTTP/1.1")
        if self._fault is None and not self._complete:
            self._account(len(data))
        if self._fault is not None:
            self._fault.answered = True
            self._drop(keep=False)
        elif self._complete:
            del self._parts[self._last_part :]  # bytes behind the end belong to no answer
            self._drop(keep=self._reusable)
        self._wake()

    def ended(self, error: Exception | None) -> None:
        """Note that the other side will send no more: orderly, or with the socket's error."""
        if self._complete or self._fault is not None:
            return
        if error is None and self._head_done and self._until_eof:
            self._complete = True
            self._drop(keep=False)
            self._wake()
        elif self.answered:
            self.fail(OutboundProtocol("the connection was closed in the middle of the answer"))
        else:
            self.fail(OutboundError("the connection was closed before an answer"))

    def fail(self, error: OutboundError) -> None:
        """End the exchange with an error, given out after what has come; does nothing after an end."""
        if self._complete or self._fault is not None:
            return
        error.answered = self.answered
        self._fault = error
        self._drop(keep=False)
        self._wake()

    @property
    def waits_for_reader(self) -> bool:
        """Whether it is our side that holds the stream up."""
        return self._paused

    def _account(self, size: int) -> None:
        """Hold what has come against the caps."""
        if not self._head_done:
            self._head_bytes += size
            if self._head_bytes > MAX_HEAD_BYTES:
                self._fault = OutboundTooLarge(f"the answer's head is above {MAX_HEAD_BYTES} bytes")
        elif self._finishing:
            self._parts.clear()
            self._framing_bytes += size
            if self._framing_bytes > FINISH_BYTES:
                self._fault = OutboundError("the exchange was closed")
        elif self._parts:
            self._unread += size
            if self._unread > HIGH_WATER and not self._paused and self._line is not None:
                self._paused = True
                self._line.pause()
        else:
            self._framing_bytes += size
            if self._framing_bytes > MAX_FRAMING_BYTES:
                self._fault = OutboundTooLarge("the answer's framing is out of all proportion")

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        elif self.on_news is not None:
            self.on_news()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            if self._line is not None:
                self._line.resume()

    def _drop(self, *, keep: bool) -> None:
        """Give the connection back; also cuts the parser's reference to this object."""
        line, self._line, self._parser = self._line, None, None
        if line is not None:
            if self._paused and keep:
                line.resume()
            line.exchange_over(keep=keep)

    # The parser's callbacks. An exception in one would reach us as a parser's error.

    def on_message_begin(self) -> None:
        """A second message on one request is nothing we asked for; `feed` throws it away."""
        if self._complete:
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; those after the body say nothing we need."""
        self._header_count += 1
        self._header_bytes += len(name) + len(value)
        if self._header_count > MAX_HEADERS or self._header_bytes > MAX_HEAD_BYTES:
            self._fault = self._fault or OutboundTooLarge("the answer has too many or too large headers")
        elif not self._head_done:
            key = _header_key(name)
            text = value.decode("latin-1")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """Read the head, unless it is one of those that only announce another (RFC 9110 §15.2)."""
        if self._complete:
            return
        status = self._parser.get_status_code()
        if status < 200:
            self._interim += 1
            if status == 101 or self._interim > MAX_INTERIM:
                self._fault = OutboundProtocol("the answer is no answer to the request")
            return
        self.status = status
        self._head_done = True
        self._until_eof = not (
            "content-length" in self.headers or "chunked" in self.headers.get("transfer-encoding", "").lower()
        )
        length = self.headers.get("content-length", "")
        if self._max_bytes is not None and length.isdecimal() and int(length) > self._max_bytes:
            self._fault = OutboundTooLarge(f"the answer is above {self._max_bytes} bytes")
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        if encoding != "identity":
            try:
                self._inflater = Inflater(encoding)
            except OutboundProtocol as error:
                self._fault = error
        if self._head_only:
            self._complete = True

    def on_message_complete(self) -> None:
        """Note the end of the body, or of a head that only announced another."""
        if not self._head_done:
            self.headers = {}
        if not self._head_done or self._complete:
            return
        self._complete = True
        self._last_part = len(self._parts)
        self._reusable = bool(self._parser.should_keep_alive()) and not self._head_only
