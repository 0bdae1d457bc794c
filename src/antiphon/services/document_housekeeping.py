"""What the server does for documents by itself: ends what has expired, erases what nothing needs."""

from __future__ import annotations

import asyncio
from typing import Final

from antiphon.ports.clock import Clock
from antiphon.ports.jobs import Jobs
from antiphon.ports.knowledge import Knowledge
from antiphon.ports.locks import Locks
from antiphon.ports.passage_index import PassageIndex
from antiphon.services.collections import Collections
from antiphon.services.contents import Contents
from antiphon.services.files import Files
from antiphon.services.pacing import Round
from antiphon.services.uploads import Uploads

EXPIRE_SECONDS: Final = 30.0
SWEEP_SECONDS: Final = 10.0
AT_ONCE: Final = 50
KEYS: Final = 500
PASSAGES: Final = 64
"""Passages one slice of a sweep erases; between two others write."""
BREATH_SECONDS: Final = 0.02


class DocumentHousekeeping:
    """The recurring jobs of knowledge.

    A catalogue that was made just now has no say over contents that lie there: it has no `knows_contents`.
    """

    def __init__(
        self, knowledge: Knowledge, contents: Contents, files: Files, uploads: Uploads,
        collections: Collections, index: PassageIndex, clock: Clock, locks: Locks,
        *, knows_contents: bool = True,
    ) -> None:  # fmt: skip
        self._kept = knowledge.kept_answers
        self._contents = contents
        self._files = files
        self._uploads = uploads
        self._collections = collections
        self._index = index
        self._clock = clock
        self._locks = locks
        self._knows_contents = knows_contents

    def schedule(self, jobs: Jobs) -> None:
        """Hand the jobs over."""
        jobs.once("erase contents that nothing needs", self.recover)
        jobs.every(EXPIRE_SECONDS, "end expired documents", self.expire)
        jobs.every(SWEEP_SECONDS, "sweep the index", self.sweep)

    async def recover(self) -> None:
        """Erase what a dead process was about to commit or to erase."""
        if self._knows_contents:
            await self._contents.sweep()
        await self.sweep()

    async def expire(self) -> None:
        """End files, collections, uploads and keys whose time has come, unless another server is at it."""
        async with self._locks.if_free("expire documents") as held:
            if held:
                await self._expire()

    async def _expire(self) -> None:
        files, collections, uploads, this = self._files, self._collections, self._uploads, Round(self._clock)
        await this.work_off(lambda: files.expired(AT_ONCE), files.erase, AT_ONCE)
        await this.work_off(lambda: collections.expired(AT_ONCE), collections.empty, AT_ONCE)
        await this.work_off(lambda: uploads.stale(AT_ONCE), uploads.erase, AT_ONCE)
        while await self._kept.forget(self._clock.now_us(), KEYS) == KEYS:
            await this.rest()
        this.finish()

    async def sweep(self) -> None:
        """Erase withdrawn passages until none are left, unless another server is at it."""
        async with self._locks.if_free("sweep the index") as held:
            while held:
                await asyncio.sleep(BREATH_SECONDS)
                if not await self._index.sweep(PASSAGES):
                    return
