"""uvicorn's HTTP protocol with bounds on what no handler sees (heads, trailers, chunk extensions) or writes.

Without it a request line, a header or a trailer that never ends is kept in memory for as long as
it comes: the parser has no limit of its own. Requests become `Cycle`s of ours: see decision 9.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import Any, Final
from urllib.parse import unquote

import httptools
import msgspec
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from antiphon.api.errors import error_object
from antiphon.api.http import Scope
from antiphon.api.http_cycle import Cycle, Flow

MAX_HEAD_BYTES: Final = 64 * 1024
"""Browsers and proxies stop at 8 to 32 KiB."""

HEADER_BYTES: Final = 32
"""What a header counts beside its name and value, as in HTTP/2 (RFC 9113, 6.5.2): small ones cost objects."""

PIECE_BYTES: Final = 8 * 1024
MOST_HEADS: Final = 256
"""A read that may hold more heads is parsed in pieces: one of 256 KiB has 14,000, a third of a second.

All others are parsed at once; in pieces a large body takes twice the processor's time, much of it for memory.
"""

MAX_UNPARSED_BYTES: Final = 64 * 1024
"""With more than this behind requests that wait a client is not read, not even for whether it has gone."""

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
_ASGI: Final[Any] = {"version": "3.0", "spec_version": "2.3"}
_PLAIN_PATH: Final = re.compile(rb"/[A-Za-z0-9/_.-]*+").fullmatch
_NOTHING_WAITS: Final = deque[Any]()
"""In the place of uvicorn's queue of pipelined requests: an empty one of 760 bytes for every connection."""


class HeadTooLarge(Exception):
    """Ends the parsing: one read can bring 256 KiB of headers."""


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection that sends too much without sending any body or ending its request."""

    # With uvicorn's in one dictionary they would be too many for shared keys: 1.3 KB a connection.
    __slots__ = (
        "_arrived_bytes", "_arriving_since", "_head_bytes", "_in_head", "_resting_since", "_unparsed",
        "_useful", "_useless_bytes", "_waiting",
    )  # fmt: skip
    cycle: Cycle | None  # type: ignore[assignment]
    flow: Flow  # type: ignore[assignment]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.pipeline = _NOTHING_WAITS
        self._arriving_since: float | None = self.loop.time()
        self._arrived_bytes = self._useless_bytes = self._head_bytes = 0
        self._resting_since = 0.0
        self._in_head = self._useful = False
        self._waiting: deque[Cycle] | None = None
        self._unparsed: bytearray | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Set how much of an answer is held for a client that does not read."""
        super().connection_made(transport)
        self.flow = Flow(transport)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever answers."""
        self.connections.discard(self)
        if self.cycle is not None:
            self.cycle.lose()
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        self.parser = None  # type: ignore[assignment]

    def shutdown(self) -> None:
        """See uvicorn; a request that has not arrived whole is refused, or it could take all of the drain."""
        super().shutdown()
        if self.cycle is not None:
            self.cycle.refuse()

    def data_received(self, data: bytes) -> None:
        """Parse; behind requests that wait for earlier answers the rest waits as it came."""
        if self._unparsed is None and self._waiting is None and not _is_dense(data):
            self._parse(data)
            return
        if self._unparsed is None:
            self._unparsed = bytearray()
        self._unparsed += data
        self._parse_pieces()

    def _parse_pieces(self) -> None:
        while self._unparsed is not None and self._waiting is None and self._goes_on():
            piece = bytes(self._unparsed[:PIECE_BYTES])
            del self._unparsed[:PIECE_BYTES]
            if not self._unparsed:
                self._unparsed = None
            self._parse(piece)
        self.flow.hold(self._unparsed is not None and len(self._unparsed) > MAX_UNPARSED_BYTES)

    def _goes_on(self) -> bool:
        return not self.transport.is_closing() and self.transport.get_protocol() is self  # else upgraded

    def _parse(self, data: bytes) -> None:
        """Parse a piece, and count what led to nothing."""
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
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_ANSWER)
        self.transport.close()

    # The parser's side

    def on_message_begin(self) -> None:
        """Begin a scope."""
        self._in_head = True
        self._head_bytes = 0
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.scope = {  # type: ignore[typeddict-item]
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "root_path": "",
            "headers": self.headers,
            "state": self.app_state.copy(),
        }

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers are read by nobody."""
        if self._in_head:
            self._count(len(name) + len(value) + HEADER_BYTES)
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request's target."""
        self._count(len(url))
        self.url += url

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise HeadTooLarge

    def on_headers_complete(self) -> None:
        """Begin to answer, or after the answers to earlier requests."""
        self._in_head = False
        self._useful = True
        parser, scope = self.parser, self.scope
        scope["method"] = parser.get_method().decode("ascii")
        version = parser.get_http_version()
        if version != "1.1":
            scope["http_version"] = version
        if parser.should_upgrade() and self._should_upgrade():
            return
        _take_url(scope, self.url)  # type: ignore[arg-type]
        earlier = self.cycle
        self.cycle = cycle = Cycle(
            scope,  # type: ignore[arg-type]
            self.transport,
            self.flow,
            self.server_state.default_headers,
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if earlier is None or earlier.response_complete:
            self._start(cycle)
        else:
            self.flow.pause_reading()
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append(cycle)

    def _start(self, cycle: Cycle) -> None:
        task = self.loop.create_task(cycle.run_asgi(self.app, self.tasks))
        self.tasks.add(task)

    def on_body(self, body: bytes) -> None:
        """Take some of a body."""
        self._useful = True
        cycle = self.cycle
        if cycle is None or cycle.response_complete or self._upgrades():
            return
        cycle.arrived(body)
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._useful = True
        self._arriving_since = None
        cycle = self.cycle
        if cycle is None or cycle.response_complete or self._upgrades():
            return
        cycle.more_body = False
        cycle.arrived()
        if not self.parser.should_upgrade():  # else they are looked at once more, behind the head
            self.scope = self.headers = None  # type: ignore[assignment]

    def _upgrades(self) -> bool:
        return bool(self.parser.should_upgrade()) and self._should_upgrade()

    # The answer's side

    def on_response_complete(self) -> None:
        """Go on with the next request, if one has come already."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._resting_since = self.loop.time()
        if self._waiting is None:
            self.flow.resume_reading()
            return
        self._start(self._waiting.popleft())
        if not self._waiting:
            self._waiting = None
            if self._arriving_since is not None:
                self._arriving_since = self._resting_since  # what it had to wait for is not its slowness
            self.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        self._parse_pieces()
        if self._waiting is None:
            self.flow.resume_reading()

    def end_if_slow(self) -> None:
        """Close the connection if its request has not arrived in time, or if none has come for long."""
        if self.transport.is_closing() or self._waiting is not None:
            return
        now = self.loop.time()
        if self._arriving_since is None:
            idle = self.cycle is None or self.cycle.response_complete
            if idle and now - self._resting_since > self.timeout_keep_alive:
                self.transport.close()
            return
        allowed = ARRIVAL_SECONDS + self._arrived_bytes / ARRIVAL_BYTES_PER_SECOND
        if now - self._arriving_since > allowed:
            self.transport.close()


def _is_dense(data: bytes) -> bool:
    return len(data) > PIECE_BYTES and data.count(b"HTTP/1.") > MOST_HEADS


def _take_url(scope: Scope, url: bytes) -> None:
    """Put path and query into a scope; raises httptools' error for what is no target of a request."""
    if _PLAIN_PATH(url):
        scope["path"], scope["raw_path"], scope["query_string"] = url.decode("ascii"), url, b""
        return
    parsed = httptools.parse_url(url)
    path: str = parsed.path.decode("ascii")
    scope["path"] = unquote(path) if "%" in path else path
    scope["raw_path"] = parsed.path
    scope["query_string"] = parsed.query or b""
