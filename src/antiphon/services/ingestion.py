"""Indexing: members that wait are read, cut, indexed and published, whatever happens meanwhile.

The queue is the store itself: what a dead process left waiting waits still. One document at a time
for each owner and a few overall, the owners in turn, so that nobody's folder starves another. A
document is read in slices, each of which waits for the store, so its size costs no memory here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Protocol

import msgspec

from antiphon.domain import ids
from antiphon.domain.collections import Member
from antiphon.domain.errors import Conflict, NotFound
from antiphon.domain.files import Version
from antiphon.domain.passages import Source
from antiphon.ports.clock import Clock
from antiphon.ports.document_parser import (
    DocumentParser,
    Event,
    Limits,
    Parsed,
    ParseFailed,
    Passages,
    Progress,
    TextSlice,
)
from antiphon.ports.jobs import Jobs
from antiphon.ports.knowledge import Knowledge
from antiphon.ports.passage_index import IndexScopes, PassageIndex
from antiphon.services.contents import Contents

AT_ONCE: Final = 2
"""Documents that are read at the same time, of different owners."""
LOOK_SECONDS: Final = 2.0
"""How often the store is looked at for members whose pause is over."""
MAX_ATTEMPTS: Final = 5
PAUSES_SECONDS: Final = (2, 15, 60, 300)
"""Before the next attempt, after a failure that may pass."""
PROGRESS_SECONDS: Final = 1.0
HEAD_BYTES: Final = 8192
"""What a document's type is judged by."""
STAGED: Final = 100
SLICE_CHARACTERS: Final = 65_536
"""How a text that was read before is handed on to be cut."""

log = logging.getLogger(__name__)


class Embedding(Protocol):
    """Gives passages their vectors."""

    async def embed_source(self, owner_id: str, source_id: str) -> object:
        """Embed the texts of a source that have no vector yet; raises ProviderError."""
        ...


class _Gone(Exception):
    """The member was removed, cancelled or is to be indexed in another way."""


class _Job:
    """A member that is being indexed."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.task: asyncio.Task[None] | None = None

    def fits(self, collection_id: str | None, file_id: str | None, batch_id: str | None) -> bool:
        """Whether all names that are given are the member's."""
        wanted = ((collection_id, self.member.collection_id), (file_id, self.member.file_id),
                  (batch_id, self.member.batch_id))  # fmt: skip
        return all(name is None or name == own for name, own in wanted)


class Ingestion:
    """The indexing job of this process; `limits` is what one document may cost."""

    def __init__(
        self, knowledge: Knowledge, contents: Contents, parser: DocumentParser, index: PassageIndex,
        scopes: IndexScopes, embedding: Embedding, clock: Clock, *, limits: Limits,
    ) -> None:  # fmt: skip
        self._files = knowledge.files
        self._texts = knowledge.texts
        self._members = knowledge.members
        self._waiting = knowledge.waiting
        self._contents = contents
        self._parser = parser
        self._index = index
        self._scopes = scopes
        self._embedding = embedding
        self._clock = clock
        self._limits = limits
        self._news = asyncio.Event()
        self._jobs: dict[str, _Job] = {}
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
                await self._begin()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._news.wait()
        finally:
            tasks = [job.task for job in self._jobs.values() if job.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _withdraw_staged(self) -> None:
        """Give up what a dead process had not published."""
        while staged := await self._scopes.staged(STAGED):
            await self._index.withdraw(staged)

    async def _begin(self) -> None:
        """Begin as many jobs as may run, the owners in turn."""
        while len(self._jobs) < AT_ONCE and (owner_id := await self._next_owner()):
            self._last_owner = owner_id
            member = await self._waiting.next(owner_id, self._clock.now_us())
            if member is not None:
                job = self._jobs[owner_id] = _Job(member)
                job.task = asyncio.create_task(self._work(job), name=f"index {member.file_id}")

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

    async def _work(self, job: _Job) -> None:
        member = job.member
        try:
            await self._attempt(member)
        except (_Gone, NotFound, Conflict):
            log.info("file %s is no longer to be indexed as it was", member.file_id)
        except ParseFailed as failure:
            await self._fail(member, failure.code, failure.message)
        except asyncio.CancelledError:
            await self._members.settle(msgspec.structs.replace(member, attempts=member.attempts - 1))
            raise
        except Exception:
            log.exception("file %s could not be indexed", member.file_id)
            await self._try_later(member)
        finally:
            del self._jobs[member.owner_id]
            self._news.set()

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

    async def _attempt(self, member: Member) -> None:
        if member.attempts > MAX_ATTEMPTS:
            raise ParseFailed(
                "The server ended while it read the file, again and again.", code="server_error"
            )
        version = await self._files.version(member.owner_id, member.file_id, member.version)
        file = await self._files.get(member.owner_id, member.file_id)
        if version is None or file is None:
            raise _Gone
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
            await self._index_source(member, source, version, file.filename)
        except BaseException:
            await self._index.withdraw([source.id])
            raise

    async def _index_source(self, member: Member, source: Source, version: Version, filename: str) -> None:
        intake = _Intake(self, member, source, version)
        async with self._contents.local(version.owner_id, version.digest) as path:
            parsed = await intake.take(path, filename)
        await self._embedding.embed_source(source.owner_id, source.id)
        title = parsed.title or filename
        await self._index.add(msgspec.structs.replace(source, title=title, language=parsed.language), ())
        now = await self._members.get(member.owner_id, member.collection_id, member.file_id)
        if now is None or now.state != "in_progress":
            raise _Gone
        if (now.version, now.chunking) != (member.version, member.chunking):
            raise _Gone
        if not await self._index.publish(source.id, replaces=now.source_id):
            raise _Gone
        await self._members.settle(
            msgspec.structs.replace(
                member, state="completed", error_code=None, error=None, usage_bytes=intake.bytes,
                done=intake.count, total=intake.count,
            )
        )  # fmt: skip


class _Intake:
    """Takes in one document: its text unless it is known, and its passages."""

    def __init__(self, ingestion: Ingestion, member: Member, source: Source, version: Version) -> None:
        self._texts = ingestion._texts
        self._index = ingestion._index
        self._members = ingestion._members
        self._parser = ingestion._parser
        self._limits = ingestion._limits
        self._clock = ingestion._clock
        self._member = member
        self._source = source
        self._version = version
        self._shown_at = self._clock.monotonic()
        self.bytes = 0
        self.count = 0

    async def take(self, path: Path, filename: str) -> Parsed:
        """Take in the document at `path` and return what was learnt; raises ParseFailed."""
        version = await self._known(path, filename)
        chunking = self._member.chunking
        if version.text_state == "ready":
            events = self._parser.cut(
                self._slices(version), filename, _learnt(version), chunking, self._limits
            )
        else:
            events = self._parser.parse(path, filename, chunking, self._limits)
        parsed: Parsed | None = None
        try:
            async with contextlib.aclosing(events) as coming:
                async for event in coming:
                    parsed = await self._take(event) or parsed
        except ParseFailed as failure:
            await self._note(text_state="failed", error=failure.message)
            raise
        if parsed is None:
            raise ParseFailed("The file could not be read to its end.", code="server_error")
        if version.text_state != "ready":
            await self._note(
                text_state="ready", error="\n".join(parsed.notes) or None, parser=parsed.parser,
                media_type=parsed.media_type,
                language=parsed.language, title=parsed.title, characters=parsed.characters,
                page_starts=parsed.page_starts,
            )  # fmt: skip
        return parsed

    async def _slices(self, version: Version) -> AsyncIterator[str]:
        """Yield the text of a version."""
        for start in range(0, version.characters, SLICE_CHARACTERS):
            end = min(start + SLICE_CHARACTERS, version.characters)
            text = await self._texts.read(version.owner_id, version.file_id, version.number, start, end)
            if text is None:
                raise _Gone
            yield text

    async def _known(self, path: Path, filename: str) -> Version:
        """Return the version, with its text if that or an equal content was read before."""
        version = self._version
        if version.text_state == "ready":
            return version
        name = self._parser.version_for(filename, await asyncio.to_thread(_head, path))
        same = await self._texts.same_content(version.owner_id, version.digest, name)
        if same is None:
            return version
        await self._texts.copy(version.owner_id, same, version)
        return msgspec.structs.replace(
            same, file_id=version.file_id, number=version.number, created_us=version.created_us
        )

    async def _note(self, **learnt: object) -> None:
        await self._texts.complete(msgspec.structs.replace(self._version, **learnt))

    async def _take(self, event: Event) -> Parsed | None:
        version = self._version
        match event:
            case TextSlice(start=start, text=text):
                await self._texts.put_slice(version.owner_id, version.file_id, version.number, start, text)
            case Passages(passages=passages):
                await self._index.add(self._source, passages)
                self.count += len(passages)
                self.bytes += sum(len(one.text.encode()) for one in passages)
            case Progress(done=done, total=total):
                await self._show(done, total)
            case Parsed():
                return event
        return None

    async def _show(self, done: int, total: int) -> None:
        """Write how far it is, once a second; raises _Gone if nobody wants it any more."""
        now = self._clock.monotonic()
        if now - self._shown_at < PROGRESS_SECONDS:
            return
        self._shown_at = now
        if not await self._members.settle(msgspec.structs.replace(self._member, done=done, total=total)):
            raise _Gone


def _learnt(version: Version) -> Parsed:
    """Return what was learnt of a version when it was read."""
    return Parsed(
        parser=version.parser or "", media_type=version.media_type or "", language=version.language,
        title=version.title, characters=version.characters, page_starts=version.page_starts, passages=0,
    )  # fmt: skip


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)
