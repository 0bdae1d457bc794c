"""Background work in this process; what must survive it is found again in the store at start."""

from __future__ import annotations

import asyncio
import logging

from antiphon.ports.jobs import Job

log = logging.getLogger(__name__)


class InProcessJobs:
    """Port `Jobs` on tasks of the event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def once(self, name: str, job: Job) -> None:
        """See the port."""
        self._keep(asyncio.create_task(self._attempt(name, job), name=name))

    def every(self, seconds: float, name: str, job: Job) -> None:
        """See the port."""

        async def again() -> None:
            while True:
                await asyncio.sleep(seconds)
                await self._attempt(name, job)

        self._keep(asyncio.create_task(again(), name=name))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _attempt(name: str, job: Job) -> None:
        try:
            await job()
        except Exception:
            log.exception("job '%s' failed", name)

    async def close(self) -> None:
        """See the port."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
