"""A parser of plain text in this process, which a test can hold up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from pathlib import Path
from typing import Any

from antiphon.domain.collections import Chunking
from antiphon.domain.passages import NewPassage
from antiphon.ports.document_parser import (
    Event,
    Limits,
    Parsed,
    ParseFailed,
    Passages,
    Progress,
    TextSlice,
)

SLICE = 10_000
PASSAGE = 500


class PlainParser:
    """Port `DocumentParser` for UTF-8 texts; `before` is awaited before every slice."""

    def __init__(self) -> None:
        self.before: Any = None
        self.parsed: list[str] = []
        self.notes: tuple[str, ...] = ()

    def version_for(self, filename: str, head: bytes) -> str:
        return "plain-1"

    async def parse(
        self, path: Path, filename: str, chunking: Chunking, limits: Limits
    ) -> AsyncGenerator[Event, None]:
        self.parsed.append(filename)
        size, start, ordinal = (await asyncio.to_thread(path.stat)).st_size, 0, 0
        with path.open(encoding="utf-8") as file:
            while True:
                if self.before is not None:
                    await self.before(filename, start)
                try:
                    text = await asyncio.to_thread(file.read, SLICE)
                except UnicodeDecodeError:
                    raise ParseFailed("The text is not UTF-8.", code="invalid_file") from None
                if not text:
                    break
                yield TextSlice(start, text)
                passages = cut(text, start, ordinal)
                ordinal += len(passages)
                yield Passages(passages)
                start += len(text)
                yield Progress(start, size)
        yield self._parsed(start, ordinal)

    async def cut(
        self, slices: AsyncIterable[str], filename: str, known: Parsed, chunking: Chunking, limits: Limits
    ) -> AsyncGenerator[Event, None]:
        start = ordinal = 0
        async for text in slices:
            passages = cut(text, start, ordinal)
            start, ordinal = start + len(text), ordinal + len(passages)
            yield Passages(passages)
        yield self._parsed(start, ordinal)

    def _parsed(self, characters: int, passages: int) -> Parsed:
        return Parsed(
            parser="plain-1", media_type="text/plain", language="en", title=None, characters=characters,
            page_starts=(), passages=passages, notes=self.notes,
        )  # fmt: skip

    async def close(self) -> None:
        pass


def cut(text: str, start: int, ordinal: int) -> list[NewPassage]:
    return [
        NewPassage(
            ordinal=ordinal + index, start=start + at, end=start + min(at + PASSAGE, len(text)),
            text=text[at : at + PASSAGE], title_terms="", body_terms=text[at : at + PASSAGE].lower(),
        )
        for index, at in enumerate(range(0, len(text), PASSAGE))
    ]  # fmt: skip
