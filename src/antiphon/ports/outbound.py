"""Port to other people's HTTP servers: one request goes out, one response is read in batches.

    Unavailable
    └── OutboundError          no usable response, or none to its end     `outbound_failed`
        ├── OutboundTimeout    connecting, silence or the whole took too long
        ├── OutboundProtocol   what came is not HTTP, or was cut
        └── OutboundTooLarge   a header block, body or inflated body above its cap

With `trust="user"` an address that is not public raises
`InvalidRequest(code="url_not_allowed")` before anything is connected to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import msgspec

from antiphon.domain.errors import Unavailable

Trust = Literal["operator", "user"]
"""Who chose the URL. `operator`: configuration, may lead to a private network. `user`: anybody,
so only public addresses are connected to and failures say nothing about what is listening."""


class OutboundError(Unavailable):
    """The exchange failed; `answered` says whether any byte of a response had come."""

    code = "outbound_failed"

    def __init__(self, message: str, *, answered: bool = False) -> None:
        super().__init__(message)
        self.answered = answered


class OutboundTimeout(OutboundError):
    """Nobody accepted the connection in time, or nothing came for too long."""


class OutboundProtocol(OutboundError):
    """The other side does not speak HTTP/1.1, or ended in the middle."""


class OutboundTooLarge(OutboundError):
    """More came than the request allowed."""


class OutboundRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request.

    `trust` has no default: whoever sends decides it in plain sight. Times are seconds:
    `connect_seconds` for resolving, connecting and TLS; `idle_seconds` without a byte;
    `total_seconds` from the start to the last byte (None: unlimited). `max_bytes` caps the body
    as it comes and once inflated (None: unlimited). With `trust="user"` None is 10 seconds and
    10 MiB: nobody may hold us by a URL. Redirects are followed for GET and HEAD
    only, each judged like the first URL; 0 hands a redirect to the caller as a response.
    """

    method: str
    url: str
    trust: Trust
    headers: Mapping[str, str] = {}
    body: bytes = b""
    connect_seconds: float = 10.0
    idle_seconds: float = 60.0
    total_seconds: float | None = None
    max_bytes: int | None = None
    max_redirects: int = 0


class OutboundResponse(Protocol):
    """A response whose head is read and whose body is still coming."""

    @property
    def status(self) -> int:
        """The status code, 200–999."""
        ...

    @property
    def url(self) -> str:
        """The URL that answered, after redirects, without credentials."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers by lower-case name; repeated ones are joined by a comma."""
        ...

    async def read(self) -> bytes:
        """Return whatever body has come since the last call, waiting if nothing has.

        Returns b"" at the end of the body. Raises OutboundError, after all that came before the
        fault was handed out. Not reading stops the sender: at most 256 KiB is held unread.
        """
        ...

    on_news: Callable[[], None] | None
    """Called on the event loop when something has come or the body has ended while nobody waits in
    `read`: a reader of thousands of streams that takes what there is now and then saves a task
    switch for each piece. It must neither wait nor raise."""

    def read_nowait(self) -> bytes | None:
        """As `read`, but None if nothing has come."""
        ...

    @property
    def at_end(self) -> bool:
        """Whether nothing more will come than `read` can return at once."""
        ...

    async def read_all(self, limit: int) -> bytes:
        """Return the rest of the body; raises OutboundTooLarge above `limit` bytes."""
        ...

    def finish(self) -> None:
        """Say that the rest is of no interest but should be little: keeps the connection if so."""
        ...

    def close(self) -> None:
        """Give up: closes the socket at once unless the body has ended; repeats do nothing."""
        ...


class OutboundHttp(Protocol):
    """An HTTP client that never follows proxies or credentials from the environment."""

    async def send(self, request: OutboundRequest) -> OutboundResponse:
        """Send a request and return when the response's head is read.

        Raises OutboundError; raises InvalidRequest `url_not_allowed` for a URL that is not
        http(s) or, with `trust="user"`, does not lead to a public address. Being cancelled
        closes the socket.
        """
        ...

    async def close(self) -> None:
        """Close all connections; does nothing if already closed."""
        ...
