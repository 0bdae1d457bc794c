"""Runs that other processes generate, followed from their records.

A mirror is a live run that nobody here generates: its log grows by what the other worker has
committed, so whoever follows runs of this process follows it the same way. All mirrors of one worker
cost one query every 25 ms, whatever their number; a mirror lives as long as somebody holds it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec

from antiphon.domain.errors import Unavailable
from antiphon.domain.run_events import Op, RunLog
from antiphon.domain.runs import Run
from antiphon.ports.storage import Runs
from antiphon.ports.workers import Tick, Workers
from antiphon.services.runs.live import LiveRun
from antiphon.services.runs.recover import opening_ops

POLL_SECONDS: Final = 0.025
LOOK_SECONDS: Final = 2.0
"""How often runs are looked at that say nothing: the worker's end may not be in its records."""
SLICE: Final = 64
PATIENCE_SECONDS: Final = 10.0
"""How long the store may be away before followers are left to come back."""

log = logging.getLogger(__name__)


class _Watch:
    """The mirrors of one worker, and the last of its records that all of them have."""

    def __init__(self, worker_id: str, after: int) -> None:
        self.worker_id = worker_id
        self.after = after
        self.doubted: set[str] = set()
        self.mirrors: WeakValueDictionary[str, LiveRun] = WeakValueDictionary()


class Mirrors:
    """Makes mirrors and keeps them up to date."""

    def __init__(self, workers: Workers, runs: Runs) -> None:
        self._workers = workers
        self._runs = runs
        self._watches: dict[str, _Watch] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def of(self, run: Run) -> LiveRun | None:
        """Return a run that another process generates, None if there is none or it has ended."""
        if not self._workers.is_shared or run.is_terminal:
            return None
        if (known := self._known(run.id)) is not None:
            return known
        found = await self._workers.running_log(run.id)
        if found is None:
            return None
        if (known := self._known(run.id)) is not None:
            return known  # somebody else asked meanwhile
        mirror = LiveRun(msgspec.structs.replace(run), RunLog(opening_ops(run) + found.ops))
        if any(_code(op) == "P" for op in found.ops[:1]):
            mirror.run.state = "in_progress"
        self._watched(found.worker_id, found.tick, mirror)
        return mirror

    def _known(self, run_id: str) -> LiveRun | None:
        for watch in self._watches.values():
            if (known := watch.mirrors.get(run_id)) is not None and not known.lost:
                return known
        return None

    async def close(self) -> None:
        """Stop; followers are left to come back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _watched(self, worker_id: str, tick: int, mirror: LiveRun) -> None:
        watch = self._watches.get(worker_id)
        if watch is None:
            watch = self._watches[worker_id] = _Watch(worker_id, tick)
            task = asyncio.create_task(self._follow(watch), name="mirrors")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        watch.mirrors[mirror.run.id] = mirror
        watch.after = min(watch.after, tick)  # what others have already comes again and is skipped

    async def _follow(self, watch: _Watch) -> None:
        loop = asyncio.get_running_loop()
        reached = looked = loop.time()
        try:
            while len(watch.mirrors):
                try:
                    ticks = await self._workers.ticks(watch.worker_id, watch.after, SLICE)
                    reached = loop.time()
                    for tick in ticks:
                        await self._take(watch, tick)
                    if loop.time() - looked > LOOK_SECONDS:
                        looked = loop.time()
                        await self._look(watch)
                except Unavailable:
                    if loop.time() - reached > PATIENCE_SECONDS:
                        return
                    ticks = ()
                if len(ticks) < SLICE:
                    await asyncio.sleep(POLL_SECONDS)
        except Exception:
            log.exception("runs of worker %s are followed no further", watch.worker_id)
        finally:
            del self._watches[watch.worker_id]
            for mirror in list(watch.mirrors.values()):
                mirror.lose()

    async def _take(self, watch: _Watch, tick: Tick) -> None:
        """Show what a record holds; a fence ends all its worker's runs here, another goes on with them."""
        if tick.entries is None:
            for mirror in list(watch.mirrors.values()):
                self._drop(watch, mirror)
            return
        for run_id, first, ops in tick.entries:
            mirrored = watch.mirrors.get(run_id)
            if mirrored is not None:
                await self._grow(watch, mirrored, first, ops)
        watch.after = max(watch.after, tick.number)

    async def _grow(self, watch: _Watch, mirror: LiveRun, first: int, ops: Sequence[Any]) -> None:
        known = len(mirror.log.ops)
        if first > known:
            self._drop(watch, mirror)  # records were trimmed before they were read: its follower comes back
            return
        ended = False
        for op in ops[known - first :]:
            mirror.log.append(op)
            if _code(op) == "P":
                mirror.run.state = "in_progress"
            ended = _code(op) == "Z"
        if not ended:
            mirror.deliver(len(mirror.log.ops))
            return
        mirror.deliver(len(mirror.log.ops) - 1)
        mirror.ended = await self._runs.get(mirror.run.owner_id, mirror.run.id)
        if mirror.ended is None:
            self._drop(watch, mirror)
            return
        mirror.close()
        watch.mirrors.pop(mirror.run.id, None)
        mirror.deliver(len(mirror.log.ops))

    async def _look(self, watch: _Watch) -> None:
        """Let go of mirrors whose run was ended, or taken over, by somebody else than its worker.

        An end by the worker itself is in its records, and shown from there before the next look.
        """
        for mirror in list(watch.mirrors.values()):
            found = await self._workers.running_log(mirror.run.id)
            if found is not None and found.worker_id == watch.worker_id:
                watch.doubted.discard(mirror.run.id)
            elif mirror.run.id in watch.doubted:
                self._drop(watch, mirror)
            else:
                watch.doubted.add(mirror.run.id)

    @staticmethod
    def _drop(watch: _Watch, mirror: LiveRun) -> None:
        watch.mirrors.pop(mirror.run.id, None)
        mirror.lose()


def _code(op: Op) -> str:
    """Return an op's code, nothing for a delta on the current channel."""
    return "" if isinstance(op, str) else str(op[0])
