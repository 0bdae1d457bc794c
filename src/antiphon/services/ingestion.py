"""Indexing: members that wait are read, cut, indexed and published, whatever happens meanwhile.

The queue is the store itself: what a dead process left waiting waits still. One document at a time
for each owner and a few overall, the owners in turn, so that nobody's folder starves another. A
document is read in slices, each of which waits for the store, so its size costs no memory here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final, Protocol

import msgspec

from antiphon.domain import ids
from antiphon.domain.collections import Member
from antiphon.domain.errors import Conflict, NotFound, StorageFull, Unavailable
from antiphon.domain.files import Version
from antiphon.domain.passages import Source
from antiphon.ports.clock import Clock
from antiphon.ports.document_parser import (
    DocumentParser,
    Limits,
    ParseFailed,
)
from antiphon.ports.jobs import Jobs
from antiphon.ports.knowledge import Knowledge
from antiphon.ports.passage_index import IndexScopes, PassageIndex
from antiphon.services.contents import Contents
from antiphon.services.document_intake import Gone, Intake, Job, Means

AT_ONCE: Final = 2
"""Documents that are read at the same time, of different owners."""
LOOK_SECONDS: Final = 2.0
"""How often the store is looked at for members whose pause is over."""
MAX_ATTEMPTS: Final = 5
PAUSES_SECONDS: Final = (2, 15, 60, 300)
"""Before the next attempt, after a failure that may pass."""
HOLD_SECONDS: Final = 15.0
"""How long a member that a server has begun is left alone by others after that server was last heard of."""
STAGED: Final = 100

log = logging.getLogger(__name__)


class Embedding(Protocol):
    """Gives passages their vectors."""

    async def embed_source(self, owner_id: str, source_id: str) -> object:
        """Embed the texts of a source that have no vector yet; raises ProviderError."""
        ...


class Ingestion:
    """The indexing job of this process; `limits` is what one document may cost.

    Where it is `shared`, other servers index too: what one has begun it holds, and says so again and
    again; what nobody holds any more is anybody's.
    """

    def __init__(
        self, knowledge: Knowledge, contents: Contents, parser: DocumentParser, index: PassageIndex,
        scopes: IndexScopes, embedding: Embedding, clock: Clock, *, limits: Limits, shared: bool = False,
    ) -> None:  # fmt: skip
        self._files = knowledge.files
        self._members = knowledge.members
        self._waiting = knowledge.waiting
        self._contents = contents
        self._index = index
        self._scopes = scopes
        self._embedding = embedding
        self._clock = clock
        self._means = Means(knowledge.texts, index, self._members, parser, limits, clock)
        self._shared = shared
        self._news = asyncio.Event()
        self._jobs: dict[str, Job] = {}
        self._last_owner = ""

    def schedule(self, jobs: Jobs) -> None:
        """Hand over the job, which goes on until it is cancelled."""
        jobs.once("index documents", self.run)

    def wake(self) -> None:
        """Look for members that wait."""
        self._news.set()

    def abandon(
        self, *, collection_id: str | None = None, file_id: str | None = None, batch_id: str | None = None
    ) -> None:
        """End jobs on members that all of the given names fit."""
        for job in self._jobs.values():
            if job.fits(collection_id, file_id, batch_id) and job.task is not None:
                job.task.cancel()

    async def run(self) -> None:
        """Index what waits, for ever."""
        await self._withdraw_staged()
        try:
            while True:
                self._news.clear()
                await self._look()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._news.wait()
        finally:
            tasks = [job.task for job in self._jobs.values() if job.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _withdraw_staged(self) -> None:
        """Give up what a dead process had not published; of others' what nobody holds."""
        free_at_us = self._clock.now_us() if self._shared else None
        while staged := await self._scopes.staged(STAGED, free_at_us=free_at_us):
            await self._index.withdraw(staged)

    async def _look(self) -> None:
        """Begin what waits. A shared store may be away for a while, which ends nothing here."""
        if not self._shared:
            await self._begin()
            return
        try:
            await self._begin()
            await self._withdraw_staged()
        except (Unavailable, StorageFull) as error:
            log.warning("what waits to be indexed cannot be looked for: %s", error.message)

    async def _begin(self) -> None:
        """Begin as many jobs as may run, the owners in turn."""
        while len(self._jobs) < AT_ONCE and (owner_id := await self._next_owner()):
            self._last_owner = owner_id
            now = self._clock.now_us()
            member = await self._waiting.next(owner_id, now, until_us=self._hold_until(now))
            if member is not None:
                job = self._jobs[owner_id] = Job(member)
                job.task = asyncio.create_task(self._work(job), name=f"index {member.file_id}")

    def _hold_until(self, now_us: int) -> int:
        return now_us + int(HOLD_SECONDS * 1_000_000) if self._shared else 0

    async def _next_owner(self) -> str | None:
        """Return an owner with something to begin, the first after the last one served."""
        now, after, turned = self._clock.now_us(), self._last_owner, False
        while True:
            found = await self._waiting.owner(after, now)
            if found is None or (turned and found > self._last_owner):
                if turned or not self._last_owner:
                    return None
                after, turned = "", True
                continue
            if found not in self._jobs:
                return found
            after = found

    # --- one member

    async def _work(self, job: Job) -> None:
        member = job.member
        holding = asyncio.create_task(self._hold(job)) if self._shared else None
        try:
            await self._attempt(job)
        except (Gone, NotFound, Conflict):
            log.info("file %s is no longer to be indexed as it was", member.file_id)
        except ParseFailed as failure:
            await self._fail(member, failure.code, failure.message)
        except asyncio.CancelledError:
            if not job.is_lost:
                left = msgspec.structs.replace(member, attempts=member.attempts - 1, not_before_us=0)
                await self._members.settle(left)
            raise
        except Exception:
            log.exception("file %s could not be indexed", member.file_id)
            await self._try_later(member)
        finally:
            if holding is not None:
                holding.cancel()
            del self._jobs[member.owner_id]
            self._news.set()

    async def _hold(self, job: Job) -> None:
        """Hold a member for as long as it is indexed; end that if somebody else does it by now."""
        while True:
            await asyncio.sleep(HOLD_SECONDS / 3)
            until = self._hold_until(self._clock.now_us())
            try:
                held = await self._waiting.hold(job.member, until)
            except (Unavailable, StorageFull):
                continue
            if not held and job.task is not None:
                job.is_lost = True
                job.task.cancel()
                return
            job.until_us = until

    async def _fail(self, member: Member, code: str, message: str) -> None:
        await self._members.settle(
            msgspec.structs.replace(member, state="failed", error_code=code, error=message)
        )

    async def _try_later(self, member: Member) -> None:
        """Have the member indexed after a pause, or give up."""
        if member.attempts >= MAX_ATTEMPTS:
            await self._fail(member, "server_error", "The file could not be indexed, again and again.")
            return
        pause = PAUSES_SECONDS[min(member.attempts, len(PAUSES_SECONDS)) - 1]
        later = self._clock.now_us() + pause * 1_000_000
        await self._members.settle(msgspec.structs.replace(member, not_before_us=later))

    async def _attempt(self, job: Job) -> None:
        member = job.member
        if member.attempts > MAX_ATTEMPTS:
            raise ParseFailed(
                "The server ended while it read the file, again and again.", code="server_error"
            )
        version = await self._files.version(member.owner_id, member.file_id, member.version)
        file = await self._files.get(member.owner_id, member.file_id)
        if version is None or file is None:
            raise Gone
        twin = await self._waiting.twin(member, version.digest)
        if twin is not None:
            if member.source_id is not None:
                await self._index.withdraw([member.source_id])
            await self._members.settle(
                msgspec.structs.replace(
                    member, state="completed", duplicate_of=twin.file_id, usage_bytes=0, done=0, total=0
                )
            )
            return
        source = Source(
            id=ids.new_id(member.slot), kind="file", owner_id=member.owner_id, scope=member.collection_id,
            ref_id=member.file_id, version=member.version, title=file.filename,
        )  # fmt: skip
        try:
            await self._index_source(job, source, version, file.filename)
        except BaseException:
            await self._index.withdraw([source.id])
            raise

    async def _index_source(self, job: Job, source: Source, version: Version, filename: str) -> None:
        member = job.member
        intake = Intake(self._means, job, source, version)
        async with self._contents.local(version.owner_id, version.digest) as path:
            parsed = await intake.take(path, filename)
        await self._embedding.embed_source(source.owner_id, source.id)
        title = parsed.title or filename
        await self._index.add(msgspec.structs.replace(source, title=title, language=parsed.language), ())
        now = await self._members.get(member.owner_id, member.collection_id, member.file_id)
        if now is None or now.state != "in_progress":
            raise Gone
        if (now.version, now.chunking) != (member.version, member.chunking):
            raise Gone
        if not await self._index.publish(source.id, replaces=now.source_id):
            raise Gone
        await self._members.settle(
            msgspec.structs.replace(
                member, state="completed", error_code=None, error=None, usage_bytes=intake.bytes,
                done=intake.count, total=intake.count,
            )
        )  # fmt: skip
