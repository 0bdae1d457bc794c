"""One journal per process: append, commit, then deliver.

Everything the runs produced since the last record is the next one, numbered without gaps.
The record's number is the fence: who takes over a dead worker writes the next one, so a
worker that wakes late finds it taken, delivers nothing and starts under another id.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from typing import Any, Final

from antiphon.domain.errors import Conflict
from antiphon.domain.run_events import encode_ops
from antiphon.ports.storage import Fenced, Journal, StorageBusy
from antiphon.ports.write_sets import WriteSet
from antiphon.services.runs.live import LiveRun, LiveRuns

TICK_SECONDS: Final = 0.005
MAX_TICK_SECONDS: Final = 0.025
SEAL_SECONDS: Final = 5.0
GIVE_UP_SECONDS: Final = 10.0
FIRST_PAUSE_SECONDS: Final = 0.05
MAX_PAUSE_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class RunJournal:
    """Commits the ops of all live runs in records and wakes their followers.

    `healthy` is False while the store refuses writes; `orphans` tells that runs were given up
    in memory and wait in storage for the recovery to end them.
    """

    def __init__(self, store: Journal, runs: LiveRuns) -> None:
        self._store = store
        self._runs = runs
        self.worker_id = secrets.token_hex(16)
        self._tick = 0
        self._pending: list[LiveRun] = []
        self._urgent = False
        self._wake: asyncio.Future[None] | None = None
        self._interval = TICK_SECONDS
        self._task: asyncio.Task[None] | None = None
        self._sealer: asyncio.Task[None] | None = None
        self._committing = asyncio.Lock()
        self.healthy = True
        self.orphans = False
        self.ticks = 0

    def start(self) -> None:
        """Begin committing."""
        self._task = asyncio.create_task(self._loop(), name="journal")
        self._sealer = asyncio.create_task(self._seal_loop(), name="journal-sealer")

    async def close(self) -> None:
        """Commit what is pending, then stop."""
        if self._sealer is not None:
            self._sealer.cancel()
        while self._pending and self.healthy:
            self._ring()
            await asyncio.sleep(TICK_SECONDS)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def touch(self, live: LiveRun, *, urgent: bool = False) -> None:
        """Say that a run's log has grown; `urgent` for its first and its terminal event."""
        if not live.run.stored:
            self._deliver_ephemeral(live)
            return
        if not live.pending:
            live.pending = True
            self._pending.append(live)
        if urgent:
            self._urgent = True
            self._ring()
        elif len(self._pending) == 1:
            self._ring()

    def _deliver_ephemeral(self, live: LiveRun) -> None:
        if live.finish is not None:
            live.close()
            self._runs.remove(live)
        live.deliver(len(live.log.ops))

    def _ring(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _loop(self) -> None:
        loop = asyncio.get_running_loop()
        began = 0.0
        while True:
            while not self._pending:
                self._wake = loop.create_future()
                await self._wake
            while not self._urgent and (pause := began + self._interval - loop.time()) > 0:
                self._wake = loop.create_future()
                timer = loop.call_later(pause, self._ring)
                await self._wake
                timer.cancel()
            began = loop.time()
            await self._commit()
            self._interval = min(max(TICK_SECONDS, 2 * (loop.time() - began)), MAX_TICK_SECONDS)

    async def _commit(self) -> None:
        self._urgent = False
        batch, self._pending = self._pending, []
        record: list[Any] = []
        for live in batch:
            live.pending = False
            record.append((live.run.id, live.journaled, live.log.ops[live.journaled :]))
            live.journaled = len(live.log.ops)
        ends = [live for live in batch if live.finish is not None]
        marks = [live.journaled for live in batch]
        async with self._committing:
            if not await self._write(encode_ops(record), ends):
                await self._give_up(batch)
                return
        for live in ends:
            live.close()
            self._runs.remove(live)
        for live, mark in zip(batch, marks, strict=True):
            if not live.lost:
                live.deliver(mark)

    async def _write(self, ops: bytes, ends: Sequence[LiveRun]) -> bool:
        """Write one record with the ends of its runs; False if the store refuses for too long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GIVE_UP_SECONDS
        pause = FIRST_PAUSE_SECONDS
        sets = _ends(ends, fresh=False)
        while True:
            try:
                await self._store.write_tick(self.worker_id, self._tick + 1, ops, sets)
            except Conflict:
                sets = _ends(ends, fresh=True)
                continue
            except Fenced:
                self._start_over()
                return True
            except Exception as error:
                # Whatever the store says, the ops stay; only time decides when to give up.
                if not isinstance(error, StorageBusy):
                    log.exception("a journal record could not be written; it is tried again")
                self.healthy = False
                if loop.time() + pause > deadline:
                    return False
                await asyncio.sleep(pause)
                pause = min(pause * 2, MAX_PAUSE_SECONDS)
                continue
            self._tick += 1
            self.ticks += 1
            self.healthy = True
            return True

    def _start_over(self) -> None:
        """Another worker took over: nothing of ours counts any more; go on under another id."""
        log.warning("journal fenced; live runs are left to their new owner")
        for live in self._runs:
            if live.run.stored:
                live.lose()
                self._runs.remove(live)
        self.worker_id = secrets.token_hex(16)
        self._tick = 0

    async def _give_up(self, batch: Sequence[LiveRun]) -> None:
        """The store takes nothing: end these runs in memory; recovery ends them in storage."""
        log.error("journal cannot be written; ending %d runs", len(batch))
        self.orphans = True
        for live in batch:
            live.lose()
            self._runs.remove(live)

    async def _seal_loop(self) -> None:
        while True:
            await asyncio.sleep(SEAL_SECONDS)
            try:
                await self.seal()
            except Exception as error:
                self.healthy = False
                log.error("the journal could not be sealed; it is tried again: %s", error)

    async def seal(self) -> None:
        """Move live runs' committed ops into chunks and forget the ticks that held them."""
        async with self._committing:
            upto = self._tick
            chunks = []
            for live in self._runs:
                if live.run.stored and not live.closed and live.committed > live.sealed:
                    ops = live.log.ops[live.sealed : live.committed]
                    chunks.append((live.run.id, live.sealed, live.committed - 1, encode_ops(ops)))
                    live.sealed = live.committed
            # Also a probe: after a full disk it is the write that finds room again.
            if upto or not self.healthy:
                await self._store.seal(self.worker_id, upto, chunks)
                self.healthy = True


def _ends(runs: Sequence[LiveRun], *, fresh: bool) -> list[WriteSet]:
    return [live.finish(fresh) for live in runs if live.finish is not None]
