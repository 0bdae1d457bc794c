"""Makes writers meet: nobody writes before everybody has read and decided."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from antiphon.ports import write_sets as ws
from tests.services.hand import PATIENCE_SECONDS
from tests.services.world import World


class Gate:
    """Holds the write sets of a world until they are let through."""

    def __init__(self, world: World, *, only: type[ws.Command] | None = None) -> None:
        self._world = world
        self._only = only
        self.held: list[asyncio.Future[None]] = []
        self._came = asyncio.Event()
        world.storage.unit_of_work.before = self._hold

    def _hold(self, commands: Sequence[ws.Command]) -> asyncio.Future[None] | None:
        if self._only is not None and not any(isinstance(command, self._only) for command in commands):
            return None
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.held.append(future)
        self._came.set()
        return future

    async def waiting(self, count: int) -> None:
        """Wait until `count` write sets wait at the gate."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.held) < count:
                self._came.clear()
                await self._came.wait()

    def open(self) -> None:
        """Let everybody through, in the order of arrival, now and from now on."""
        self._world.storage.unit_of_work.before = None
        for future in self.held:
            if not future.done():
                future.set_result(None)


class TickGate:
    """Holds the journal's records."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.held: list[asyncio.Future[None]] = []
        self._came = asyncio.Event()
        world.storage.journal.before_tick = self._hold

    def _hold(
        self, worker_id: str, tick: int, ops: bytes, sets: Sequence[ws.WriteSet]
    ) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.held.append(future)
        self._came.set()
        return future

    async def waiting(self, count: int = 1) -> None:
        """Wait until `count` records have come to the gate."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.held) < count:
                self._came.clear()
                await self._came.wait()

    def open(self) -> None:
        """Let all records through, now and from now on."""
        self._world.storage.journal.before_tick = None
        for future in self.held:
            if not future.done():
                future.set_result(None)
