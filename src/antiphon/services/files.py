"""Files: kept, listed, given back, replaced by new versions, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, Protocol

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.collections import Member
from antiphon.domain.errors import Conflict, InvalidRequest
from antiphon.domain.files import FILE, File, Version, clean_filename
from antiphon.ports.blob_store import StoredBlob
from antiphon.ports.clock import Clock
from antiphon.ports.knowledge import Knowledge
from antiphon.services.access import not_found
from antiphon.services.contents import Contents, storage_exceeded
from antiphon.services.conversations import cursor_of
from antiphon.services.idempotency import Key
from antiphon.services.kept_answers import KeptAnswers
from antiphon.services.paging import Page

MAX_TEXT_CHARACTERS: Final = 100_000
"""Code points of a text that one request may read."""


class Indexing(Protocol):
    """The job that indexes members, as far as others know of it."""

    def wake(self) -> None:
        """Look for members that wait."""
        ...

    def abandon(
        self, *, collection_id: str | None = None, file_id: str | None = None, batch_id: str | None = None
    ) -> None:
        """End jobs on members that all of the given names fit: they are gone, cancelled or new."""
        ...


class NewFile(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a content that becomes a file; `expires_after_seconds` from now."""

    filename: str
    purpose: str
    expires_after_seconds: int | None = None
    origin: str | None = None


class FilePassage(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a version's text with what stands before and after it."""

    file: File
    version: Version
    before: str
    quote: str
    after: str


class Files:
    """The files of the caller; `most_bytes` is how large one may be."""

    def __init__(
        self, knowledge: Knowledge, contents: Contents, kept: KeptAnswers, indexing: Indexing, clock: Clock,
        *, most_bytes: int,
    ) -> None:  # fmt: skip
        self._files = knowledge.files
        self._texts = knowledge.texts
        self._contents = contents
        self._kept = kept
        self._indexing = indexing
        self._clock = clock
        self.most_bytes = most_bytes

    def receiving(
        self, who: Principal, chunks: AsyncIterator[bytes], *, announced: int = 0
    ) -> AbstractAsyncContextManager[StoredBlob]:
        """Receive the content of a file; `create` or `add_version` within the block keeps it."""
        return self._contents.keeping(who, chunks, most_bytes=self.most_bytes, announced=announced)

    async def create(self, who: Principal, content: StoredBlob, new: NewFile, *, key: Key | None) -> File:
        """Make a received content a file."""
        file = new_file(who, content, new, self._clock.now_us())
        try:
            await self._files.put(
                file, first_version(file), key=self._kept.keep(who, key, file),
                most_bytes=self._contents.most_stored_bytes,
            )  # fmt: skip
        except Conflict as lost:
            self._refuse_full(lost)
            raise
        return file

    async def add_version(
        self, who: Principal, file_id: str, content: StoredBlob, filename: str, *, key: Key | None
    ) -> File:
        """Make a received content a file's newest version, which is indexed wherever the file is.

        Until that has ended the version before is searched. Raises Conflict after a race.
        """
        known = await self.get(who, file_id)
        now = self._clock.now_us()
        file = msgspec.structs.replace(
            known, filename=clean_filename(filename) if filename else known.filename, bytes=content.size,
            digest=content.digest, version=known.version + 1,
        )  # fmt: skip
        version = msgspec.structs.replace(first_version(file), number=file.version, created_us=now)
        try:
            await self._files.put(
                file, version, key=self._kept.keep(who, key, file),
                most_bytes=self._contents.most_stored_bytes,
            )  # fmt: skip
        except Conflict as lost:
            self._refuse_full(lost)
            if lost.message == "PutFile":
                raise Conflict("The file has another new version by now; look at it first.") from None
            raise
        self._indexing.abandon(file_id=file.id)
        self._indexing.wake()
        return file

    def _refuse_full(self, lost: Conflict) -> None:
        if lost.message == "Storage":
            raise storage_exceeded(self._contents.most_stored_bytes) from None

    async def get(self, who: Principal, file_id: str, param: str | None = None) -> File:
        """Return a file; raises NotFound."""
        identifier = ids.parse(file_id, FILE)
        found = await self._files.get(who.actor_id, identifier) if identifier else None
        return found if found is not None else not_found("File", file_id, param)

    async def names(self, who: Principal, file_ids: Iterable[str]) -> dict[str, str]:
        """Return the names of those of some files that are the caller's, by their wire ids."""
        asked = {file_id: ids.parse(file_id, FILE) for file_id in file_ids}
        reads = (self._files.get(who.actor_id, one) for one in asked.values() if one)
        return {FILE + file.id: file.filename for file in await asyncio.gather(*reads) if file is not None}

    async def page(
        self, who: Principal, *, after: str | None, limit: int, descending: bool, purpose: str | None
    ) -> Page[File]:
        """List the caller's files, newest first if `descending`."""
        found = await self._files.page(
            who.actor_id, after=cursor_of(after, FILE), limit=limit + 1, descending=descending,
            purpose=purpose,
        )  # fmt: skip
        return Page(found[:limit], len(found) > limit)

    async def version(self, who: Principal, file_id: str, number: int) -> tuple[File, Version]:
        """Return a version of a file; raises NotFound."""
        file = await self.get(who, file_id)
        found = await self._files.version(who.actor_id, file.id, number)
        return file, found if found is not None else not_found("Version", number)

    async def version_of(self, member: Member) -> Version | None:
        """Return the version that a member is or will be searched in."""
        return await self._files.version(member.owner_id, member.file_id, member.version)

    def read(self, version: Version, start: int, end: int) -> AsyncIterator[bytes]:
        """Iterate over the bytes `start` to `end` of a version's content."""
        return self._contents.read(version.owner_id, version.digest, start=start, end=end)

    def local(self, version: Version) -> AbstractAsyncContextManager[Path]:
        """Give a version's content as a file of this machine for as long as the context is open."""
        return self._contents.local(version.owner_id, version.digest)

    async def text(self, who: Principal, file_id: str, number: int, start: int, end: int | None) -> str:
        """Return code points of a version's canonical text; raises NotFound if it has none (yet)."""
        _, version = await self.version(who, file_id, number)
        if version.text_state != "ready":
            not_found("Text of version", number)
        last = min(version.characters, start + MAX_TEXT_CHARACTERS) if end is None else end
        if last - start > MAX_TEXT_CHARACTERS:
            raise InvalidRequest(
                f"At most {MAX_TEXT_CHARACTERS} characters at once.", code="invalid_value", param="end"
            )
        return await self._texts.read(who.actor_id, version.file_id, number, start, last) or ""

    async def passage(
        self, who: Principal, file_id: str, number: int, start: int, end: int, around: int
    ) -> FilePassage:
        """Return what stands from `start` to `end` of a version's text, and up to `around` characters about.

        Raises NotFound, and InvalidRequest for what lies beyond the text or is longer than is read at once.
        """
        file, version = await self.version(who, file_id, number)
        if version.text_state == "ready" and not start <= end <= version.characters:
            raise InvalidRequest(
                f"The text has {version.characters} characters.", code="invalid_value", param="end"
            )
        first = max(start - around, 0)
        text = await self.text(who, file_id, number, first, min(end + around, version.characters))
        quote, after = start - first, end - first
        return FilePassage(
            file=file, version=version, before=text[:quote], quote=text[quote:after], after=text[after:]
        )

    async def delete(self, who: Principal, file_id: str) -> str:
        """Erase a file with its versions, texts and passages; returns its id. Raises NotFound."""
        file = await self.get(who, file_id)
        if not await self.erase(file):
            not_found("File", file_id)
        return file.id

    async def erase(self, file: File) -> bool:
        """Erase a file; returns whether it was still there."""
        digests = await self._files.delete(file.owner_id, file.id)
        if digests is None:
            return False
        self._indexing.abandon(file_id=file.id)
        self._indexing.wake()
        await self._contents.erase(file.owner_id, digests)
        return True

    async def expired(self, limit: int) -> list[File]:
        """Return files whose end has come."""
        return await self._files.expired(self._clock.now_us(), limit)


def new_file(who: Principal, content: StoredBlob, new: NewFile, now_us: int) -> File:
    """Return the file that a content becomes."""
    seconds = new.expires_after_seconds
    return File(
        id=ids.new_id(who.actor_slot), owner_id=who.actor_id, slot=who.actor_slot,
        filename=clean_filename(new.filename), purpose=new.purpose, bytes=content.size,
        digest=content.digest, created_us=now_us,
        expires_us=now_us + seconds * 1_000_000 if seconds is not None else None, origin=new.origin,
    )  # fmt: skip


def first_version(file: File) -> Version:
    """Return the first version of a new file."""
    return Version(
        file_id=file.id, number=1, owner_id=file.owner_id, digest=file.digest, bytes=file.bytes,
        created_us=file.created_us,
    )  # fmt: skip
