"""An HTTP client that keeps every byte it was given, also of an answer that was cut off."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
from collections.abc import Callable, Mapping
from typing import Any, cast

import httptools

SECONDS = 30.0


class Exchange(asyncio.Protocol):
    """One request on a connection of its own. `body` is without HTTP's chunk framing."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.complete = False
        self.closed = False
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: list[asyncio.Future[None]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._wake()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of the answer."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Some of the body, whatever the chunks."""
        self.body += body

    def on_message_complete(self) -> None:
        """The answer is whole."""
        self.complete = True

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.complete or self.closed

    async def until(self, holds: Callable[[], bool], seconds: float = SECONDS) -> None:
        """Wait until `holds()`; fails if the answer ends or `seconds` pass before."""
        async with asyncio.timeout(seconds):
            while not holds():
                assert not self.over, f"the answer ended: {self.status} {bytes(self.body[-400:])!r}"
                future = asyncio.get_running_loop().create_future()
                self._waiting.append(future)
                await future

    async def end(self, seconds: float = SECONDS) -> Exchange:
        """Wait until the answer is whole or the connection lost."""
        async with asyncio.timeout(seconds):
            while not self.over:
                future = asyncio.get_running_loop().create_future()
                self._waiting.append(future)
                await future
        self.close()
        return self

    def write(self, data: bytes) -> None:
        """Send more of the request."""
        assert self._transport is not None
        self._transport.write(data)

    def close(self) -> None:
        """Drop the connection; does nothing if there is none."""
        if self._transport is not None:
            self._transport.abort()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(bytes(self.body))


def request_bytes(
    method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """A whole request; a body that is not bytes is sent as JSON."""
    payload = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(len(payload))}
    head = "".join(f"{name}: {value}\r\n" for name, value in (fields | dict(headers or {})).items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + payload


async def send(port: int, data: bytes) -> Exchange:
    """Connect and send raw bytes; raises OSError if nobody listens."""
    loop = asyncio.get_running_loop()
    _, exchange = await loop.create_connection(Exchange, "127.0.0.1", port)
    exchange.write(data)
    return exchange


async def begin(
    port: int, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> Exchange:
    """Send a request and return while its answer comes."""
    return await send(port, request_bytes(method, path, body, headers))


async def call(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    *,
    seconds: float = SECONDS,
) -> Exchange:
    """Send a request and wait for the whole answer."""
    exchange = await begin(port, method, path, body, headers)
    return await exchange.end(seconds)


async def get(port: int, path: str) -> Any:
    """The JSON of a GET that must succeed."""
    answered = await call(port, "GET", path)
    assert answered.status == 200, (path, answered.status, bytes(answered.body))
    return answered.json()


async def gather_limited(jobs: list[Any], at_once: int = 50) -> list[Any]:
    """Await many coroutines, a bounded number at a time; results in order."""
    gate = asyncio.Semaphore(at_once)

    async def one(job: Any) -> Any:
        async with gate:
            return await job

    return list(await asyncio.gather(*(one(job) for job in jobs)))


async def until(look: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    """Return what `look()` gives (or what that gives when awaited) once it is true; fails after `seconds`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        found = look()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert loop.time() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.02)


async def ended(port: int, run_id: str | None) -> dict[str, Any]:
    """A response, once it neither waits nor runs."""

    async def look() -> Any:
        response = await get(port, f"/v1/responses/{run_id}")
        return response if response["status"] not in ("queued", "in_progress") else None

    found: dict[str, Any] = await until(look, f"{run_id} has ended")
    return found


def tiny_reader(port: int, data: bytes, buffer_bytes: int = 2048) -> socket.socket:
    """A connection with a tiny receive buffer that has sent `data` and read nothing.

    Small segments keep the kernel's send buffer on the other side small too; on loopback it would take
    megabytes and no server would ever feel how slow its reader is.
    """
    connection = socket.socket()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", port))
    connection.sendall(data)
    connection.setblocking(False)
    return connection
