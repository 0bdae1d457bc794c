"""A TCP proxy that breaks things on purpose, one direction at a time.

::

    async with FaultProxy("127.0.0.1", upstream.port) as proxy:
        proxy.down = Faults(breaks=Break.RESET, after_bytes=1000)   # answers: RST after 1,000 bytes
        proxy.up = Faults(latency_seconds=0.2)                       # requests: 200 ms late

``up`` is from the client to the target, ``down`` back. They may be replaced at any time and hold for all
connections, also open ones; bytes are counted for each connection by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic
from typing import Final

from tests.harness.wire import reset

_READ_BYTES: Final = 16 * 1024
_QUEUED_READS: Final = 256
_SLICE_SECONDS: Final = 0.02


class Break(Enum):
    """What happens to a connection once a direction has carried its bytes."""

    CUT = "FIN in both directions"
    HALF_CLOSE = "FIN to the receiver; the other direction goes on"
    RESET = "RST to the receiver, FIN to the sender"
    BLACK_HOLE = "everything further is swallowed; nothing is closed"


@dataclass(frozen=True, slots=True)
class Faults:
    """What one direction suffers. The default is a clean line.

    ``breaks`` strikes after exactly ``after_bytes`` forwarded bytes, 0 being before the first one.
    """

    latency_seconds: float = 0.0
    bytes_per_second: float | None = None
    breaks: Break | None = None
    after_bytes: int = 0


@dataclass(slots=True, eq=False)
class _Link:
    """One proxied connection: writers to both ends and the bytes forwarded by direction."""

    client: asyncio.StreamWriter
    target: asyncio.StreamWriter
    forwarded: dict[str, int] = field(default_factory=lambda: {"up": 0, "down": 0})


class FaultProxy:
    """Listens on a port of its own and forwards to ``host:port``."""

    def __init__(self, host: str, port: int) -> None:
        self.up = Faults()
        self.down = Faults()
        self.port = 0
        self.accepted = 0
        self._target = (host, port)
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> FaultProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_READ_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._server is not None
        self._server.close()
        self.reset_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def base_url(self) -> str:
        """What goes into ``OPENAI_BASE_URL`` to reach an upstream through this proxy."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def open_links(self) -> int:
        """How many proxied connections are open."""
        return len(self._links)

    def reset_all(self) -> None:
        """RST every open connection on both sides."""
        for link in self._links:
            for writer in (link.client, link.target):
                if not writer.transport.is_closing():
                    reset(writer.transport)

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Serve one client until both directions are over."""
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            target_reader, target = await asyncio.open_connection(*self._target, limit=_READ_BYTES)
        except OSError:
            reset(client.transport)
            return
        for writer in (client, target):
            writer.transport.set_write_buffer_limits(0)  # drain() then means: the kernel has it all
        link = _Link(client, target)
        self._links.add(link)
        try:
            await asyncio.gather(self._carry(link, "up", reader), self._carry(link, "down", target_reader))
        finally:
            self._links.discard(link)
            client.close()
            target.close()

    def _faults(self, direction: str) -> Faults:
        return self.up if direction == "up" else self.down

    async def _carry(self, link: _Link, direction: str, reader: asyncio.StreamReader) -> None:
        """Carry one direction. Reading and writing are apart, so that latency does not become throttling."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_QUEUED_READS)
        writing = asyncio.create_task(self._write(link, direction, queue))
        try:
            data = b"-"
            while data and not writing.done():
                try:
                    data = await reader.read(_READ_BYTES)
                except OSError:
                    data = b""
                await queue.put((monotonic() + self._faults(direction).latency_seconds, data))
            await writing
        finally:
            writing.cancel()

    async def _write(self, link: _Link, direction: str, queue: asyncio.Queue[tuple[float, bytes]]) -> None:
        """Write what was read once it is due, until the end or the break; what comes later is swallowed."""
        writer = link.target if direction == "up" else link.client
        data = b"-"
        while data:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - monotonic()))
            if not await self._forward(link, direction, writer, data):
                break
        while data:
            data = (await queue.get())[1]

    async def _forward(self, link: _Link, direction: str, writer: asyncio.StreamWriter, data: bytes) -> bool:
        """Pass ``data`` on, or the part of it that is left before the break. False once it has struck."""
        faults = self._faults(direction)
        room = max(0, faults.after_bytes - link.forwarded[direction])
        whole = faults.breaks is None or len(data) < room
        part = data if whole else data[:room]
        with contextlib.suppress(OSError):
            await _send(writer, part, faults.bytes_per_second)
        link.forwarded[direction] += len(part)
        if whole and not data and not writer.transport.is_closing():
            writer.write_eof()
        if not whole:
            _break(link, writer, faults.breaks)
        return whole


async def _send(writer: asyncio.StreamWriter, data: bytes, bytes_per_second: float | None) -> None:
    """Write all of ``data``, no faster than the cap."""
    step = len(data) if bytes_per_second is None else max(1, int(bytes_per_second * _SLICE_SECONDS))
    for at in range(0, len(data), step or 1):
        if writer.transport.is_closing():
            return
        writer.write(data[at : at + step])
        await writer.drain()
        if bytes_per_second is not None:
            await asyncio.sleep(len(data[at : at + step]) / bytes_per_second)


def _break(link: _Link, writer: asyncio.StreamWriter, kind: Break | None) -> None:
    """Do what ``kind`` says. Everything forwarded before it has left, see the buffer limits."""
    if kind is Break.RESET and not writer.transport.is_closing():
        reset(writer.transport)
    if kind is Break.HALF_CLOSE and not writer.transport.is_closing():
        writer.write_eof()
    if kind in (Break.RESET, Break.CUT):
        link.client.close()
        link.target.close()
