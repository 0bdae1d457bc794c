"""A server that says exactly the bytes a test gives it, and notes what it was sent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from antiphon.ports.outbound import OutboundHttp, OutboundRequest

Play = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One accepted connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """Read one request, head and body; b"" if the client has gone."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        body = await self.reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
        return head + body

    async def say(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def gone(self) -> None:
        """Wait until the client has closed."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def reset(self) -> None:
        """End with a TCP reset."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class RawServer:
    """Plays `play` on every connection; `accepted` counts them, `requests` keeps what came."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self.accepted = 0
        self.requests: list[bytes] = []
        self.port = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        peer = Peer(reader, writer)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await self._play(peer)
        writer.close()


@contextlib.asynccontextmanager
async def serving(
    play: Play, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """Serve on a free port of `host` while the block runs."""
    server = RawServer(play)
    listening = await asyncio.start_server(server.serve, host, 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    server.url = f"http{'s' if tls else ''}://{shown}:{server.port}"
    try:
        yield server
    finally:
        listening.close()
        await asyncio.sleep(0)


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers, b"", b""]
    return b"\r\n".join(lines) + body


def chunked(*bodies: bytes, last: bool = True) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n"
    return head + b"".join(chunk(body) for body in bodies) + (b"0\r\n\r\n" if last else b"")


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


def get(server: RawServer, path: str = "/", **fields: Any) -> OutboundRequest:
    given = {"method": "GET", "trust": "operator", "idle_seconds": 5.0, **fields}
    return OutboundRequest(url=server.url + path, **given)


def says(*parts: bytes, keep: bool = True) -> Play:
    """Answer every request with the same bytes; close afterwards unless `keep`."""

    async def play(peer: Peer) -> None:
        while await peer.request():
            await peer.say(*parts)
            if not keep:
                return

    return play


async def body_of(client: OutboundHttp, request: OutboundRequest) -> bytes:
    response = await client.send(request)
    return await response.read_all(10**8)
