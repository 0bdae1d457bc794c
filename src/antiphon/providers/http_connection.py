"""One socket: carries exchanges one after the other and watches the time for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from antiphon.ports.outbound import OutboundRequest, OutboundTimeout
from antiphon.providers.http_exchange import Exchange

KEEP_SECONDS = 30.0
"""How long an unused connection is kept; below what most servers allow."""


class Connection(asyncio.Protocol):
    """A socket connected to `origin` (scheme, host, port).

    `on_free` is called when it can be used again, `on_lost` when it is gone.

    All its waiting hangs on one timer. A read only notes the time; when the timer rings it looks
    whether anything is really due and else sets itself anew, so that a token costs no timer.
    """

    __slots__ = (
        "_exchange",
        "_heard",
        "_idle_seconds",
        "_loop",
        "_on_free",
        "_on_lost",
        "_timer",
        "_total_due",
        "_transport",
        "origin",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        origin: tuple[str, str, int],
        on_free: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self._loop = loop
        self.origin = origin
        self._on_free = on_free
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._heard = loop.time()
        self._idle_seconds = KEEP_SECONDS
        self._total_due: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> bool:
        """Whether a new exchange may begin."""
        return self._exchange is None and self._transport is not None and not self._transport.is_closing()

    @property
    def peer(self) -> str:
        """The address of the other side."""
        name = self._transport.get_extra_info("peername") if self._transport is not None else None
        return str(name[0]) if name else ""

    def start(self, request: OutboundRequest, message: bytes, url: str, due: float | None) -> Exchange:
        """Send a request; `due` is the loop's time at which all must be over."""
        assert self._transport is not None  # noqa: S101 - connected before it is handed out
        self._exchange = exchange = Exchange(self, request, url)
        self._heard = self._loop.time()
        self._idle_seconds = request.idle_seconds
        self._total_due = due
        self._transport.write(message)
        self._set_timer()
        return exchange

    def close(self) -> None:
        """Close at once; an exchange under way fails."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Hand on what came; bytes that nobody asked for end the connection."""
        exchange = self._exchange
        if exchange is None:
            self.close()
            return
        self._heard = self._loop.time()
        exchange.feed(data)

    def eof_received(self) -> None:
        """The other side ended; nothing is left to be sent to it, so the socket closes."""
        if self._exchange is not None:
            self._exchange.ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._exchange is not None:
            self._exchange.ended(exc or ConnectionResetError())
        self._on_lost(self)
        self._transport = None

    # The exchange's side

    def pause(self) -> None:
        """Stop reading."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on; the silence meanwhile was ours."""
        self._heard = self._loop.time()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def hurry(self, seconds: float) -> None:
        """Give the exchange at most `seconds` more."""
        self._total_due = self._loop.time() + seconds
        self._set_timer()

    def exchange_over(self, *, keep: bool) -> None:
        """Take the connection back."""
        self._exchange = None
        self._total_due = None
        if not keep or not self.usable:
            self.close()
            return
        self._heard = self._loop.time()
        self._idle_seconds = KEEP_SECONDS
        self._on_free(self)

    # Time

    def _due(self) -> float:
        waiting = self._exchange is not None and self._exchange.waits_for_reader
        due = (self._loop.time() if waiting else self._heard) + self._idle_seconds
        return due if self._total_due is None else min(due, self._total_due)

    def _set_timer(self) -> None:
        due = self._due()
        if self._timer is not None:
            if self._timer.when() <= due:
                return  # it will ring in time and look again
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._loop.time()
        if now + 0.001 < self._due():
            self._set_timer()
            return
        if self._exchange is None:
            self.close()
        elif self._total_due is not None and self._total_due <= now + 0.001:
            self._exchange.fail(OutboundTimeout("the whole exchange took too long"))
        else:
            self._exchange.fail(OutboundTimeout(f"nothing came for {self._idle_seconds:g} s"))
