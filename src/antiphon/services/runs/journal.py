"""One journal per process: append, commit, then deliver.

Everything the runs produced since the last record is the next one, numbered without gaps.
The record's number is the fence: who takes over a dead worker writes the next one, so a
worker that wakes late finds it taken, delivers nothing and starts under another id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Sequence
from typing import Final

from antiphon.domain.errors import Conflict
from antiphon.domain.run_events import encode_ops
from antiphon.ports.storage import Fenced, Journal, StorageBusy
from antiphon.ports.write_sets import WriteSet
from antiphon.services.counters import Histogram
from antiphon.services.runs.lease import Lease
from antiphon.services.runs.live import LiveRun, LiveRuns

MIN_TICK_SECONDS: Final = 0.001
TICK_SECONDS: Final = 0.005
MAX_TICK_SECONDS: Final = 0.025
CALM_OPS, BUSY_OPS = 2_000, 8_000
"""Ops a second up to which ticks may come every 1 ms, and from which on they come every 5: a tick costs
some 0.15 ms however little it holds, which a calm server can spend on showing tokens sooner."""
URGENT_SHARE: Final = 0.5
"""After this part of the interval a first or last event is written: those that come together share a
commit, at the price of a millisecond where many come and of nothing where few do."""
SEAL_SECONDS: Final = 5.0
SEAL_RUNS: Final = 16
TRIM_TICKS: Final = 64
GIVE_UP_SECONDS: Final = 10.0
MAX_ENDS: Final = 64
"""So many answers end in one tick: each is held several times over while its end is written."""
FIRST_PAUSE_SECONDS: Final = 0.05
MAX_PAUSE_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class RunJournal:
    """Commits the ops of all live runs in records and wakes their followers.

    `healthy` is False while the store refuses writes; `orphans` tells that runs were given up
    in memory and wait in storage for the recovery to end them.
    """

    def __init__(self, store: Journal, runs: LiveRuns, ticks: Histogram | None = None) -> None:
        self._store = store
        self._tick_times = ticks or Histogram()
        self._runs = runs
        self.worker_id = secrets.token_hex(16)
        self._tick = 0
        self._trimmed = 0
        self._pending: list[LiveRun] = []
        self._urgent = False
        self._wake: asyncio.Future[None] | None = None
        self._interval = TICK_SECONDS
        self._rate = 0.0
        self._task: asyncio.Task[None] | None = None
        self._sealer: asyncio.Task[None] | None = None
        self._committing = asyncio.Lock()
        self._sealing = asyncio.Lock()
        self.healthy = True
        self.orphans = False
        self.lease = Lease()
        self._abandoned: list[LiveRun] = []
        self.ticks = 0

    def start(self) -> None:
        """Begin committing."""
        self._task = asyncio.create_task(self._loop(), name="journal")
        self._sealer = asyncio.create_task(self._seal_loop(), name="journal-sealer")

    async def close(self) -> None:
        """Commit what is pending, then stop."""
        if self._sealer is not None:
            self._sealer.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GIVE_UP_SECONDS):
                while self._pending:
                    self._urgent = True
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
        if urgent and not self._urgent:
            self._urgent = True
            self._ring()
        elif len(self._pending) == 1:
            self._ring()

    def _deliver_ephemeral(self, live: LiveRun) -> None:
        if live.finish is not None:
            live.close()
            self._runs.remove(live)
        live.deliver(len(live.log.ops))

    @property
    def _share(self) -> float:
        return URGENT_SHARE if self._urgent else 1.0

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
            while (pause := began + self._interval * self._share - loop.time()) > 0:
                self._wake = loop.create_future()
                timer = loop.call_later(pause, self._ring)
                await self._wake
                timer.cancel()
            earlier, began = began, loop.time()
            ops = await self._commit()
            took = loop.time() - began
            self._tick_times.observe(took)
            self._rate += (ops / max(began - earlier, MIN_TICK_SECONDS) - self._rate) / 16
            self._interval = _interval_for(self._rate, took)

    async def _commit(self) -> int:
        """Write one tick and deliver it; returns how many ops it held."""
        async with self._committing:
            # Taken here and not before: a run that ended while a seal went on would end twice.
            batch = [live for live in self._take_pending() if not live.lost]
            if not batch:
                return 0
            record = self._encode(batch)
            marks = [len(live.log.ops) for live in batch]
            ops = sum(marks) - sum(live.journaled for live in batch)
            for live, mark in zip(batch, marks, strict=True):
                live.journaled = mark
            if not await self._write(record, [live for live in batch if live.finish is not None]):
                self._give_up(batch)
                return ops
        for live, mark in zip(batch, marks, strict=True):
            if live.lost:
                continue
            if live.finish is not None and mark == len(live.log.ops):
                live.close()
                self._runs.remove(live)
            live.deliver(mark)
        return ops

    def _take_pending(self) -> list[LiveRun]:
        """Return the runs of the next tick; ends beyond `MAX_ENDS` wait for the one after."""
        pending, self._pending = self._pending, []
        self._urgent = False
        if len(pending) > MAX_ENDS:
            ends = [live for live in pending if live.finish is not None]
            self._pending = ends[MAX_ENDS:]
            if self._pending:
                later = set(self._pending)
                pending = [live for live in pending if live not in later]
                self._urgent = True
        for live in pending:
            live.pending = False
            if live.behind:
                live.behind = False
                if live.pull is not None:
                    live.pull()
        return [live for live in pending if live.finish is not None or len(live.log.ops) > live.journaled]

    def _encode(self, batch: list[LiveRun]) -> bytes:
        """Return the record of a batch; a run whose ops cannot be encoded is given up alone."""
        entries = [(live.run.id, live.journaled, live.log.ops[live.journaled :]) for live in batch]
        try:
            return encode_ops(entries)
        except Exception:
            log.exception("a run's log cannot be encoded; it is ended alone")
        for live, entry in zip(list(batch), list(entries), strict=True):
            try:
                encode_ops(entry)
            except Exception:
                batch.remove(live)
                entries.remove(entry)
                self._give_up([live])
        return encode_ops(entries)

    async def _write(self, record: bytes, ends: list[LiveRun]) -> bool:
        """Write one record with the ends of its runs; False if the store refuses for too long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GIVE_UP_SECONDS
        pause = FIRST_PAUSE_SECONDS
        fresh: set[LiveRun] = set()
        made: dict[LiveRun, WriteSet] = {}
        while True:
            try:
                sets = self._end_sets(ends, fresh, made)
                await self._store.write_tick(self.worker_id, self._tick + 1, record, sets)
            except Conflict as lost:
                made.pop(self._settle_conflict(lost, ends, fresh))
                continue
            except Fenced:
                self.start_over()
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

    def _end_sets(
        self, ends: list[LiveRun], fresh: set[LiveRun], made: dict[LiveRun, WriteSet]
    ) -> list[WriteSet]:
        """Return the write sets that end runs; a run whose end cannot be made is given up alone.

        Those of an earlier try are in `made` and stay: each holds an answer, and may be refused often.
        """
        for live in list(ends):
            if live in made:
                continue
            try:
                made[live] = live.finish(live in fresh) if live.finish is not None else ()
            except Exception:
                log.exception("the end of run %s cannot be written; it is ended alone", live.run.id)
                ends.remove(live)
                self._give_up([live])
        return [made[live] for live in ends]

    def _settle_conflict(self, lost: Conflict, ends: list[LiveRun], fresh: set[LiveRun]) -> LiveRun:
        """One end was refused: its place is taken (open a segment) or the run has ended elsewhere.

        Returns the run whose end it was.
        """
        live = ends[int(lost.param or 0)]
        if lost.message == "PutItems" and live not in fresh:
            fresh.add(live)
            return live
        log.error("run %s was ended by somebody else", live.run.id)
        ends.remove(live)
        self._give_up([live])
        return live

    def start_over(self) -> None:
        """Another worker took over: nothing of ours counts any more; go on under another id."""
        log.warning("journal fenced; live runs are left to their new owner")
        self._give_up([live for live in self._runs if live.run.stored])
        self._abandoned.clear()  # what is in storage is the other worker's now
        self.worker_id = secrets.token_hex(16)
        self._tick = 0
        self._trimmed = 0
        self.lease.lapse()

    def _give_up(self, batch: Sequence[LiveRun]) -> None:
        """End runs in memory at what is committed; the recovery ends them in storage."""
        for live in batch:
            log.error("run %s is given up in memory", live.run.id)
            self.orphans = True
            self._abandoned.append(live)
            live.lose()
            self._runs.remove(live)

    async def _seal_loop(self) -> None:
        while True:
            await asyncio.sleep(SEAL_SECONDS / 2)
            try:
                await self.seal(within=SEAL_SECONDS / 2)
            except Exception as error:
                self.healthy = False
                log.error("the journal could not be sealed; it is tried again", exc_info=error)

    async def seal(self, within: float = 0.0) -> None:
        """Move live runs' committed ops into chunks and forget the ticks that held them.

        Also those of runs that were given up: their ticks go, and recovery wants their ops. It is
        done in slices spread over `within` seconds, since all at once held up every token for
        20 to 30 ms at 200 streams.
        """
        async with self._sealing:
            worker_id, upto = self.worker_id, self._tick
            given_up = self._abandoned[:]
            live = [run for run in [*self._runs, *given_up] if run.run.stored]
            slices = [live[at : at + SEAL_RUNS] for at in range(0, len(live), SEAL_RUNS)]
            trims = (
                [*range(self._trimmed + TRIM_TICKS, upto, TRIM_TICKS), upto] if upto > self._trimmed else []
            )
            pause = within / (len(slices) + len(trims) or 1)
            for runs in slices:
                await self._seal_runs(runs, worker_id)
                await asyncio.sleep(pause)
            if not (slices or trims or self.healthy):
                await self._store.seal(worker_id, 0, [])  # a probe: does the store take writes again?
            for tick in trims:
                if worker_id != self.worker_id:
                    return  # fenced meanwhile: these ticks are the other worker's
                await self._store.seal(worker_id, tick, [])
                self._trimmed = tick
                await asyncio.sleep(pause)
            self._abandoned = [run for run in self._abandoned if run not in given_up]
            self.healthy = True

    async def _seal_runs(self, runs: list[LiveRun], worker_id: str) -> None:
        """Write one chunk for each run that has committed something since its last; no tick meanwhile.

        An end that is being written would not know of the chunk, and leave it behind.
        """
        async with self._committing:
            if worker_id != self.worker_id:
                return  # fenced meanwhile: these runs are the other worker's
            open_runs = [
                (run, run.committed) for run in runs if not run.closed and run.committed > run.sealed
            ]
            chunks = [
                (run.run.id, run.sealed, mark - 1, encode_ops(run.log.ops[run.sealed : mark]))
                for run, mark in open_runs
            ]
            if chunks:
                await self._store.seal(self.worker_id, 0, chunks)
            for run, mark in open_runs:
                run.sealed = mark


def _interval_for(rate: float, work: float) -> float:
    """Return the seconds from one tick's begin to the next, at `rate` ops a second after `work` s of one."""
    busy = min(max((rate - CALM_OPS) / (BUSY_OPS - CALM_OPS), 0.0), 1.0)
    usual = MIN_TICK_SECONDS + busy * (TICK_SECONDS - MIN_TICK_SECONDS)
    return min(max(usual, 2 * work), MAX_TICK_SECONDS)
