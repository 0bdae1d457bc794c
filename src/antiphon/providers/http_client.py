"""A thin HTTP/1.1 client: raw asyncio protocols, a C parser, kept connections, guarded addresses.

Written for streams of tokens, where general clients cost most (measured per token, one token a
read, whole relay: httpx 350 µs, aiohttp 94, a raw protocol 62–67). It reads no proxy, netrc or
other setting from the environment.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Final
from urllib.parse import urljoin

import msgspec

from antiphon.ports.outbound import (
    OutboundError,
    OutboundProtocol,
    OutboundRequest,
    OutboundResponse,
    OutboundTimeout,
    OutboundTooLarge,
    Trust,
)
from antiphon.providers import address_guard
from antiphon.providers.address_guard import Target
from antiphon.providers.http_connection import Connection
from antiphon.providers.http_exchange import Exchange

IDLE_PER_ORIGIN: Final = 64
LEAST_ATTEMPT_SECONDS: Final = 1.0
USER_SECONDS: Final = 10.0
USER_BYTES: Final = 10 * 1024 * 1024
NOT_FETCHED: Final = "The URL could not be fetched."
"""Said to users for every failure to connect, so that nobody learns which ports are open."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_OURS: Final = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})
_KEPT_ACROSS_ORIGINS: Final = frozenset({"accept", "accept-language", "user-agent"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port → addresses to try in order; raises OSError."""


class HttpClient:
    """Implements `ports.outbound.OutboundHttp`; tests replace `resolve` and `is_public`."""

    def __init__(
        self,
        *,
        resolve: Resolver | None = None,
        is_public: Callable[[str], bool] = address_guard.is_public,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._resolve = resolve or _system_resolve
        self._is_public = is_public
        self._ssl_context = ssl_context
        self._idle: dict[tuple[str, str, int], list[Connection]] = {}
        self._connections: set[Connection] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"HttpClient({len(self._connections)} connections)"

    async def send(self, request: OutboundRequest) -> OutboundResponse:
        """Send a request and return its response's head; see the port."""
        if self._closed:
            raise OutboundError("the HTTP client is closed")
        if request.trust == "user":
            request = _capped(request)
        due = None
        if request.total_seconds is not None:
            due = asyncio.get_running_loop().time() + request.total_seconds
        if request.trust == "operator":
            return await self._follow(request, due)
        try:
            return await self._follow(request, due)
        except OutboundTooLarge:
            raise
        except OutboundError as error:
            raise OutboundError(NOT_FETCHED, answered=error.answered) from None

    async def close(self) -> None:
        """Close every connection; exchanges under way fail."""
        self._closed = True
        for connection in tuple(self._connections):
            connection.close()
        self._connections.clear()
        self._idle.clear()
        await asyncio.sleep(0)  # the sockets close on the loop's next turn

    async def _follow(self, request: OutboundRequest, due: float | None) -> Exchange:
        follows = request.max_redirects > 0 and request.method in ("GET", "HEAD")
        for _ in range(request.max_redirects + 1):
            target = address_guard.take_apart(request.url, credentials=request.trust == "operator")
            exchange = await self._exchange(request, target, due)
            location = exchange.headers.get("location")
            if not follows or exchange.status not in _REDIRECTS or not location:
                return exchange
            exchange.close()
            request = _redirected(request, target, location)
        raise OutboundProtocol(f"more than {request.max_redirects} redirects", answered=True)

    async def _exchange(self, request: OutboundRequest, target: Target, due: float | None) -> Exchange:
        message = _encode(request, target)
        kept = self._take(target) if request.trust == "operator" else None
        if kept is not None:
            try:
                return await _head_of(kept.start(request, message, target.url, due))
            except OutboundTimeout:
                raise
            except OutboundError as error:
                if error.answered:
                    raise
                # The server closed it while nobody looked; the request was not begun there.
        connection = await self._connect(request, target, due)
        return await _head_of(connection.start(request, message, target.url, due))

    def _take(self, target: Target) -> Connection | None:
        """Return the connection to this origin that was used last, since it is the least stale."""
        waiting = self._idle.get(target.origin)
        while waiting:
            connection = waiting.pop()
            if connection.usable:
                return connection
        return None

    def _free(self, connection: Connection) -> None:
        waiting = self._idle.setdefault(connection.origin, [])
        if self._closed or len(waiting) >= IDLE_PER_ORIGIN:
            connection.close()
        else:
            waiting.append(connection)

    def _lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        waiting = self._idle.get(connection.origin)
        if waiting is not None:
            if connection in waiting:
                waiting.remove(connection)
            if not waiting:
                del self._idle[connection.origin]

    async def _connect(self, request: OutboundRequest, target: Target, due: float | None) -> Connection:
        loop = asyncio.get_running_loop()
        seconds = request.connect_seconds if due is None else min(request.connect_seconds, due - loop.time())
        failure: OutboundError = OutboundTimeout(f"connecting took longer than {seconds:g} s")
        try:
            async with asyncio.timeout(seconds):
                addresses = await self._addresses(request, target)
                share = max(LEAST_ATTEMPT_SECONDS, seconds / max(1, len(addresses)))
                for address in addresses:
                    try:
                        async with asyncio.timeout(share):
                            return await self._connect_to(address, request, target)
                    except OSError as error:  # also TimeoutError and all of ssl's
                        # Without the host: the sentence may reach users, and the network is the operator's.
                        failure = OutboundError(f"connecting failed ({_reason(error)})")
        except TimeoutError:
            raise OutboundTimeout(f"connecting took longer than {seconds:g} s") from None
        raise failure

    async def _addresses(self, request: OutboundRequest, target: Target) -> Sequence[str]:
        """Return where to connect to. For users every address must be public, or none is used."""
        try:
            addresses = await self._resolve(target.host, target.port)
        except (OSError, UnicodeError):
            addresses = ()
        if request.trust == "user":
            if not addresses or not all(self._is_public(address) for address in addresses):
                raise address_guard.refused()
        elif not addresses:
            raise OutboundError("the name of its host cannot be resolved")
        return addresses

    async def _connect_to(self, address: str, request: OutboundRequest, target: Target) -> Connection:
        loop = asyncio.get_running_loop()
        secure = target.scheme == "https"
        if secure and self._ssl_context is None:
            self._ssl_context = ssl.create_default_context()
        connection = Connection(loop, target.origin, self._free, self._lost)
        await loop.create_connection(
            lambda: connection,
            address,
            target.port,
            ssl=self._ssl_context if secure else None,
            server_hostname=target.host if secure else None,
        )
        self._connections.add(connection)
        if request.trust == "user" and not self._is_public(connection.peer):
            connection.close()
            raise address_guard.refused()
        return connection


async def _system_resolve(host: str, port: int) -> Sequence[str]:
    try:
        return (str(ip_address(host)),)
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


async def _head_of(exchange: Exchange) -> Exchange:
    try:
        await exchange.head()
    except BaseException:
        exchange.close()
        raise
    return exchange


def _capped(request: OutboundRequest) -> OutboundRequest:
    """Return a request on a user's behalf with an end in time and size, whatever its sender forgot."""
    return msgspec.structs.replace(
        request,
        total_seconds=USER_SECONDS if request.total_seconds is None else request.total_seconds,
        max_bytes=USER_BYTES if request.max_bytes is None else request.max_bytes,
    )


def _redirected(request: OutboundRequest, target: Target, location: str) -> OutboundRequest:
    """Return the request for where a redirect leads, without credentials if that is elsewhere."""
    url = urljoin(target.url, location)
    headers = request.headers
    following = address_guard.take_apart(url, credentials=False)
    if following.origin != target.origin:
        headers = {name: value for name, value in headers.items() if name.lower() in _KEPT_ACROSS_ORIGINS}
    return msgspec.structs.replace(request, url=url, headers=headers)


def _encode(request: OutboundRequest, target: Target) -> bytes:
    """Return the request as it is sent; raises OutboundProtocol for a header that cannot be."""
    head = _head if request.trust == "operator" else _head.__wrapped__  # of users there are too many
    start, rest = head(request.method, target, request.trust, tuple(request.headers.items()))
    if request.body or request.method not in ("GET", "HEAD"):
        return b"%bcontent-length: %d\r\n%b%b" % (start, len(request.body), rest, request.body)
    return start + rest


@lru_cache(maxsize=256)
def _head(
    method: str, target: Target, trust: Trust, sent: tuple[tuple[str, str], ...]
) -> tuple[bytes, bytes]:
    """Return a request's head before and after its length; a provider is sent the same one every time."""
    headers = {name.lower(): value for name, value in sent}
    if target.authorization is not None:
        headers.setdefault("authorization", target.authorization)
    headers.setdefault("user-agent", "antiphon")
    start = [f"{method} {target.path} HTTP/1.1", f"host: {target.host_header}", "accept-encoding: identity"]
    if trust == "user":
        start.append("connection: close")
    lines: list[str] = []
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise OutboundProtocol(f"the header {name[:40]!r} cannot be sent")
        if name not in _OURS:
            lines.append(f"{name}: {value}")
    return "\r\n".join([*start, ""]).encode("latin-1"), "\r\n".join([*lines, "", ""]).encode("latin-1")


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    return type(error).__name__
