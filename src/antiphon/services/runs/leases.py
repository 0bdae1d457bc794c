"""This process as one of several workers on a store: its lease, and what others ask of it.

With a store of its own nothing of this does anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from time import monotonic
from typing import Final

from antiphon.domain.errors import AntiphonError
from antiphon.ports.workers import CANCEL, Workers
from antiphon.services.runs.engine import Engine
from antiphon.services.runs.journal import RunJournal
from antiphon.services.runs.live import LiveRuns

LEASE_SECONDS: Final = 10.0
RENEW_SECONDS: Final = 3.0
RETRY_SECONDS: Final = 0.2

log = logging.getLogger(__name__)


def _nobody(workers: int) -> None:
    """Who is told how many workers there are, where nobody asks."""


class Leases:
    """Renews the lease of the journal's worker and stops the runs that were cancelled elsewhere.

    `counted` is told at each renewal how many workers live.
    """

    def __init__(
        self, workers: Workers, journal: RunJournal, runs: LiveRuns, engine: Engine,
        counted: Callable[[int], None] = _nobody,
    ) -> None:  # fmt: skip
        self._workers = workers
        self._journal = journal
        self._runs = runs
        self._engine = engine
        self._counted = counted
        self._held_since: float | None = None
        self._soon = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take the lease, before anything is begun under it; raises Unavailable."""
        if not self._workers.is_shared:
            return
        self._journal.lease.on_lapsed = self._soon.set
        await self.renew()
        await self._workers.listen(self._rung)
        self._task = asyncio.create_task(self._loop(), name="lease")

    async def close(self) -> None:
        """Give the lease up."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(AntiphonError):
            await self._workers.leave(self._journal.worker_id)

    @property
    def may_take_over(self) -> bool:
        """Whether this worker has reached the store for as long as a lease lasts.

        Who has not may have slept with all others, whose leases then ran out for no fault of theirs.
        """
        now = asyncio.get_running_loop().time()
        return self._held_since is not None and now - self._held_since >= LEASE_SECONDS

    async def renew(self) -> None:
        """Renew the lease once; under another id if this worker was fenced. Raises Unavailable."""
        while True:
            worker_id, asked = self._journal.worker_id, monotonic()
            renewal = await self._workers.renew(worker_id, LEASE_SECONDS)
            if worker_id != self._journal.worker_id:
                continue  # the journal met the fence meanwhile, and what has begun since is under its new id
            if renewal.holds:
                break
            self._held_since = None
            self._journal.start_over()
        self._journal.lease.renew(asked + LEASE_SECONDS)
        if self._held_since is None:
            self._held_since = asyncio.get_running_loop().time()
        self._counted(renewal.workers)
        for run_id in renewal.cancelled:
            self._cancel(run_id)

    async def _loop(self) -> None:
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._soon.wait()
            self._soon.clear()
            if loop.time() - renewed > LEASE_SECONDS:
                self._held_since = None
            try:
                await self.renew()
                renewed = loop.time()
            except Exception as error:
                log.warning("the lease could not be renewed: %s", error)
                await asyncio.sleep(RETRY_SECONDS)  # whatever wants it meanwhile

    def _rung(self, what: str, identifier: str) -> None:
        if what == CANCEL:
            self._cancel(identifier)

    def _cancel(self, run_id: str) -> None:
        live = self._runs.here(run_id)
        if live is not None and live.run.stored:
            self._engine.cancel(live)
