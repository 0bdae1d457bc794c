"""The proxy carries bytes faithfully, and breaks a connection at exactly the byte it was told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from tests.harness.faultproxy import Break, FaultProxy, Faults

Talk = Callable[[FaultProxy, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write(b"bye")
    writer.close()


def through_proxy(talk: Talk, *, up: Faults | None = None, down: Faults | None = None) -> None:
    """Run ``talk`` on a connection through a proxy in front of an echo server that says ``bye``."""

    async def run() -> None:
        server = await asyncio.start_server(_echo, "127.0.0.1", 0)
        async with FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
            proxy.up, proxy.down = up or Faults(), down or Faults()
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            await asyncio.wait_for(talk(proxy, reader, writer), timeout=10)
            writer.close()
        server.close()

    asyncio.run(run())


def test_a_clean_line_changes_nothing() -> None:
    async def talk(_: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = bytes(range(256)) * 4096
        writer.write(sent)
        writer.write_eof()
        assert await reader.read(-1) == sent + b"bye"

    through_proxy(talk)


def test_latency_is_not_throttling() -> None:
    async def talk(_: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun = time.monotonic()
        for _number in range(20):
            writer.write(b"x")
            await asyncio.sleep(0.01)
        assert await reader.readexactly(20) == b"x" * 20
        assert 0.35 <= time.monotonic() - begun < 3, "one after the other would take 4 s"

    through_proxy(talk, down=Faults(latency_seconds=0.2))


def test_bandwidth_is_capped() -> None:
    async def talk(_: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun = time.monotonic()
        writer.write(b"x" * 50_000)
        await reader.readexactly(50_000)
        assert 0.4 <= time.monotonic() - begun < 10

    through_proxy(talk, up=Faults(bytes_per_second=100_000))


def test_a_cut_is_exact() -> None:
    async def talk(_: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * 100_000)
        assert len(await reader.read(-1)) == 70_001

    through_proxy(talk, down=Faults(breaks=Break.CUT, after_bytes=70_001))


def test_a_reset_comes_after_its_bytes() -> None:
    async def talk(_: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * 10)
        assert await reader.readexactly(5) == b"x" * 5
        with pytest.raises(ConnectionResetError):
            await reader.read(1)

    through_proxy(talk, down=Faults(breaks=Break.RESET, after_bytes=5))


def test_a_half_close_leaves_the_other_direction() -> None:
    async def talk(_: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * 10)
        assert await reader.read(-1) == b"xxxxxbye"

    through_proxy(talk, up=Faults(breaks=Break.HALF_CLOSE, after_bytes=5))


def test_a_black_hole_swallows_and_stays_open() -> None:
    async def talk(proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        proxy.down = Faults(breaks=Break.BLACK_HOLE)
        writer.write(b"after")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(1), timeout=0.2)
        assert proxy.open_links == 1

    through_proxy(talk)


def test_all_connections_can_be_reset_at_once() -> None:
    async def talk(proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x")
        await reader.readexactly(1)
        proxy.reset_all()
        with pytest.raises(ConnectionResetError):
            await reader.read(1)

    through_proxy(talk)
