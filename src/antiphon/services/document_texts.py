"""The text of one version of a file, read out of it once: by whoever needs it first."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final

import msgspec

from antiphon.domain.collections import Chunking
from antiphon.domain.files import File, Version
from antiphon.ports.blob_store import BlobStore
from antiphon.ports.document_parser import DocumentParser, Limits, Parsed, ParseFailed, TextSlice
from antiphon.ports.knowledge import Knowledge

LIMITS: Final = Limits(cpu_seconds=30.0, wall_seconds=60.0)
"""Somebody waits for it, which nobody does for what is indexed."""
HEAD_BYTES: Final = 8192


class DocumentTexts:
    """Gives the texts of files, whether they are in a collection or not."""

    def __init__(self, knowledge: Knowledge, blobs: BlobStore, parser: DocumentParser) -> None:
        self._files = knowledge.files
        self._texts = knowledge.texts
        self._blobs = blobs
        self._parser = parser

    async def beginning(self, file: File, most_characters: int) -> tuple[str, bool]:
        """Return the first code points of a file's text, and whether that is not all of it.

        Raises ParseFailed for what cannot be read.
        """
        version = await self._files.version(file.owner_id, file.id, file.version)
        if version is None:
            raise ParseFailed("The file is gone.", code="invalid_file")
        if version.text_state == "failed":
            raise ParseFailed(version.error or "The file cannot be read.", code="invalid_file")
        if version.text_state != "ready":
            async with self._blobs.local(version.owner_id, version.digest) as path:
                version = await self._read(path, file.filename, version)
        end = min(most_characters, version.characters)
        text = await self._texts.read(file.owner_id, file.id, version.number, 0, end) if end else ""
        return text or "", end < version.characters

    async def _read(self, path: Path, filename: str, version: Version) -> Version:
        name = self._parser.version_for(filename, await asyncio.to_thread(_head, path))
        same = await self._texts.same_content(version.owner_id, version.digest, name)
        if same is not None:
            await self._texts.copy(version.owner_id, same, version)
            return msgspec.structs.replace(version, text_state="ready", characters=same.characters)
        parsed: Parsed | None = None
        # What fails is not noted: less time is given here than where documents are indexed.
        async with contextlib.aclosing(self._parser.parse(path, filename, Chunking(), LIMITS)) as events:
            async for event in events:
                if isinstance(event, TextSlice):
                    owner_id, number = version.owner_id, version.number
                    await self._texts.put_slice(owner_id, version.file_id, number, event.start, event.text)
                parsed = event if isinstance(event, Parsed) else parsed
        if parsed is None:
            raise ParseFailed("The file could not be read to its end.", code="server_error")
        read = msgspec.structs.replace(
            version, text_state="ready", error="\n".join(parsed.notes) or None, parser=parsed.parser,
            media_type=parsed.media_type, language=parsed.language, title=parsed.title,
            characters=parsed.characters, page_starts=parsed.page_starts,
        )  # fmt: skip
        await self._texts.complete(read)
        return read


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)
