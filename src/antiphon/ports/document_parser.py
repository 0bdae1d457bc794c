"""Port to reading documents: bytes in, canonical text and passages out, in a confined process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from pathlib import Path
from typing import Protocol

import msgspec

from antiphon.domain.collections import Chunking
from antiphon.domain.passages import NewPassage


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one document may cost; sizes in bytes, times in seconds."""

    memory_bytes: int = 1024 * 1024 * 1024
    cpu_seconds: float = 120.0
    wall_seconds: float = 300.0
    pages: int = 20_000
    characters: int = 50_000_000
    passages: int = 500_000


class ParseFailed(Exception):
    """A document that cannot be read. `code` is `unsupported_file`, `invalid_file` or `server_error`.

    The message says which page and why, and holds nothing of the document's text.
    """

    def __init__(self, message: str, *, code: str, page: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.page = page


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """Pages done, of how many (0 if unknown)."""

    done: int
    total: int


class TextSlice(msgspec.Struct, frozen=True, tag="text"):
    """The next piece of the canonical text; slices follow each other without gaps."""

    start: int
    text: str


class Passages(msgspec.Struct, frozen=True, tag="passages"):
    """The next passages, in order."""

    passages: list[NewPassage]


class Parsed(msgspec.Struct, frozen=True, kw_only=True, tag="parsed"):
    """The end: what was learnt. `page_starts` are offsets in code points.

    `notes` are for people: what could not be read (at most 50), or had to be guessed.
    """

    parser: str
    media_type: str
    language: str | None
    title: str | None
    characters: int
    page_starts: tuple[int, ...]
    passages: int
    notes: tuple[str, ...] = ()


Event = Progress | TextSlice | Passages | Parsed


class DocumentParser(Protocol):
    """Reads documents beside the server: nothing a document does can hurt it."""

    def version_for(self, filename: str, head: bytes) -> str:
        """Name the parser, with its version, that would read a document; texts are kept under it.

        `head` are its first bytes: the type is judged by them, the name only breaks ties.
        """
        ...

    def parse(
        self, path: Path, filename: str, chunking: Chunking, limits: Limits
    ) -> AsyncGenerator[Event, None]:
        """Read the document at `path`; the last event is Parsed. Raises ParseFailed.

        Closing the iterator ends the work. A consumer that does not ask for the next event stops it.
        """
        ...

    def cut(
        self, slices: AsyncIterable[str], filename: str, known: Parsed, chunking: Chunking, limits: Limits
    ) -> AsyncGenerator[Event, None]:
        """Cut a text that was read before, given in slices, into passages; yields Passages, then Parsed.

        `known` is what was learnt when it was read. The passages are those that reading the document
        with this chunking would give. Otherwise as `parse`.
        """
        ...

    async def close(self) -> None:
        """End all work and its processes; does nothing if already closed."""
        ...
