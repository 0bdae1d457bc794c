"""uvicorn's HTTP protocol with bounds on what no handler sees (heads, trailers, chunk extensions) or writes.

Without it a request line, a header or a trailer that never ends is kept in memory for as long as
it comes: the parser has no limit of its own.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from antiphon.api.errors import error_object

MAX_HEAD_BYTES: Final = 64 * 1024
"""Browsers and proxies stop at 8 to 32 KiB."""

HEADER_BYTES: Final = 32
"""What a header counts beside its name and value, as in HTTP/2 (RFC 9113, 6.5.2): small ones cost objects."""

WRITE_BUFFER_BYTES: Final = 16 * 1024
"""With more than this unsent a writer waits for its client; the kernel's own buffer comes on top."""

ARRIVAL_SECONDS: Final = 30.0
ARRIVAL_BYTES_PER_SECOND: Final = 16 * 1024
"""A request arrives within 30 s, or faster than this: whoever sends a byte now and then is let go of."""

_BODY: Final = msgspec.json.encode(
    error_object(431, "The request's head is too large.", param=None, code="request_head_too_large")
)
_ANSWER: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
    b"cache-control: no-store\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


class HeadTooLarge(Exception):
    """Ends the parsing: one read can bring 256 KiB of headers."""


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection that sends too much without sending any body or ending its request."""

    _arriving_since: float | None = None
    _arrived_bytes = 0
    _in_head = False
    _head_bytes = 0
    _useful = False
    _useless_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Set how much of an answer is held for a client that does not read."""
        super().connection_made(transport)
        self._arriving_since = self.loop.time()
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Parse, and count what led to nothing."""
        self._useful = False
        if self._arriving_since is None:
            self._arriving_since, self._arrived_bytes = self.loop.time(), 0
        self._arrived_bytes += len(data)
        super().data_received(data)
        if self._useful:
            self._useless_bytes = 0
            return
        self._useless_bytes += len(data)
        if self._useless_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse_head()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, and a head that is too large."""
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse_head()
        else:
            super().send_400_response(msg)

    def _refuse_head(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle  # none before the first request
        if cycle is None or cycle.response_complete:
            self.transport.write(_ANSWER)
        self.transport.close()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request's target."""
        self._count(len(url))
        super().on_url(url)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise HeadTooLarge

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers are read by nobody."""
        if self._in_head:
            self._count(len(name) + len(value) + HEADER_BYTES)
            super().on_header(name, value)

    def on_message_begin(self) -> None:
        """See the protocol."""
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """See the protocol."""
        self._in_head = False
        self._useful = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See the protocol."""
        self._useful = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See the protocol."""
        self._useful = True
        self._arriving_since = None
        super().on_message_complete()

    def end_if_slow(self) -> None:
        """Close the connection if its request has not arrived in the time it may take."""
        if self._arriving_since is None or self.transport.is_closing():
            return
        allowed = ARRIVAL_SECONDS + self._arrived_bytes / ARRIVAL_BYTES_PER_SECOND
        if self.loop.time() - self._arriving_since > allowed:
            self.transport.close()
