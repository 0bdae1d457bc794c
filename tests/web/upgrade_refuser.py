"""A proxy that lets no WebSocket through, as there are in offices and hotels; everything else it relays."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

HEAD_BYTES = 64 * 1024
PIECE = 64 * 1024
REFUSAL = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class UpgradeRefuser:
    """Relays to `port`; `refused` counts the upgrades it was asked for."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.refused = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection: a browser opens one of its own for every socket."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            if b"\nupgrade:" in head.lower():
                self.refused += 1
                writer.write(REFUSAL)
                await writer.drain()
            else:
                await self._relay(head, reader, writer)
        writer.close()

    async def _relay(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self.port)
        upstream.write(head)
        ways = (
            asyncio.ensure_future(_copy(reader, upstream)),
            asyncio.ensure_future(_copy(upstream_reader, writer)),
        )
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            upstream.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(PIECE):
        writer.write(piece)
        await writer.drain()


@contextlib.asynccontextmanager
async def refusing_upgrades(port: int) -> AsyncIterator[UpgradeRefuser]:
    """A proxy before the server at `port`, ended with the block."""
    proxy = UpgradeRefuser(port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=HEAD_BYTES)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        yield proxy
    finally:
        server.close()
