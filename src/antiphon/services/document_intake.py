"""How one document is taken in: its text unless it is known, and its passages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from antiphon.domain.collections import Member
from antiphon.domain.files import Version
from antiphon.domain.passages import Source
from antiphon.ports.clock import Clock
from antiphon.ports.collections import Members
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
from antiphon.ports.files import Texts
from antiphon.ports.passage_index import PassageIndex

PROGRESS_SECONDS: Final = 1.0
HEAD_BYTES: Final = 8192
"""What a document's type is judged by."""
SLICE_CHARACTERS: Final = 65_536
"""How a text that was read before is handed on to be cut."""


@dataclass(frozen=True)
class Means:
    """What a document is taken in with."""

    texts: Texts
    index: PassageIndex
    members: Members
    parser: DocumentParser
    limits: Limits
    clock: Clock


class Gone(Exception):
    """The member was removed, cancelled or is to be indexed in another way."""


class Job:
    """A member that is being indexed."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.task: asyncio.Task[None] | None = None
        self.until_us = member.not_before_us
        self.is_lost = False

    def fits(self, collection_id: str | None, file_id: str | None, batch_id: str | None) -> bool:
        """Whether all names that are given are the member's."""
        wanted = ((collection_id, self.member.collection_id), (file_id, self.member.file_id),
                  (batch_id, self.member.batch_id))  # fmt: skip
        return all(name is None or name == own for name, own in wanted)


class Intake:
    """Takes in one document: its text unless it is known, and its passages."""

    def __init__(self, means: Means, job: Job, source: Source, version: Version) -> None:
        self._means = means
        self._job = job
        self._source = source
        self._version = version
        self._shown_at = self._means.clock.monotonic()
        self.bytes = 0
        self.count = 0

    async def take(self, path: Path, filename: str) -> Parsed:
        """Take in the document at `path` and return what was learnt; raises ParseFailed."""
        version = await self._known(path, filename)
        chunking = self._job.member.chunking
        if version.text_state == "ready":
            events = self._means.parser.cut(
                self._slices(version), filename, _learnt(version), chunking, self._means.limits
            )
        else:
            events = self._means.parser.parse(path, filename, chunking, self._means.limits)
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
            text = await self._means.texts.read(version.owner_id, version.file_id, version.number, start, end)
            if text is None:
                raise Gone
            yield text

    async def _known(self, path: Path, filename: str) -> Version:
        """Return the version, with its text if that or an equal content was read before."""
        version = self._version
        if version.text_state == "ready":
            return version
        name = self._means.parser.version_for(filename, await asyncio.to_thread(_head, path))
        same = await self._means.texts.same_content(version.owner_id, version.digest, name)
        if same is None:
            return version
        await self._means.texts.copy(version.owner_id, same, version)
        return msgspec.structs.replace(
            same, file_id=version.file_id, number=version.number, created_us=version.created_us
        )

    async def _note(self, **learnt: object) -> None:
        await self._means.texts.complete(msgspec.structs.replace(self._version, **learnt))

    async def _take(self, event: Event) -> Parsed | None:
        version = self._version
        match event:
            case TextSlice(start=start, text=text):
                await self._means.texts.put_slice(
                    version.owner_id, version.file_id, version.number, start, text
                )
            case Passages(passages=passages):
                await self._means.index.add(self._source, passages)
                self.count += len(passages)
                self.bytes += sum(len(one.text.encode()) for one in passages)
            case Progress(done=done, total=total):
                await self._show(done, total)
            case Parsed():
                return event
        return None

    async def _show(self, done: int, total: int) -> None:
        """Write how far it is, once a second; raises Gone if nobody wants it any more."""
        now = self._means.clock.monotonic()
        if now - self._shown_at < PROGRESS_SECONDS:
            return
        self._shown_at = now
        shown = msgspec.structs.replace(
            self._job.member, done=done, total=total, not_before_us=self._job.until_us
        )
        if not await self._means.members.settle(shown):
            raise Gone


def _learnt(version: Version) -> Parsed:
    """Return what was learnt of a version when it was read."""
    return Parsed(
        parser=version.parser or "", media_type=version.media_type or "", language=version.language,
        title=version.title, characters=version.characters, page_starts=version.page_starts, passages=0,
    )  # fmt: skip


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)
