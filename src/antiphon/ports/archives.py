"""Ports of moving everything a store keeps: reading it as of one moment, writing it, the archive between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import IO, Protocol

from antiphon.domain.archives import Row, Table


class Snapshot(Protocol):
    """A store as it was at the moment of its opening, whatever is written meanwhile."""

    revision: str

    async def tables(self) -> list[Table]:
        """Return the tables that hold data of their own; what is derived or a process's is none."""
        ...

    def rows(self, table: Table) -> AsyncIterator[Row]:
        """Iterate over a table's rows, in any order, with few of them in memory."""
        ...

    def contents(self) -> AsyncIterator[tuple[str, str]]:
        """Iterate over owner and digest of the contents that the rows name."""
        ...


class Loading(Protocol):
    """An empty store, or one that a dead process was filling, that takes rows."""

    async def is_empty(self) -> bool:
        """Whether there is no row in it."""
        ...

    async def tables(self) -> list[Table]:
        """Return the tables that take rows."""
        ...

    async def put(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Write rows of a table, all or none; those that are there already stay as they are."""
        ...

    def rows(self, table: Table) -> AsyncIterator[Row]:
        """Iterate over what a table has, as a snapshot does."""
        ...

    async def finish(self) -> None:
        """Make what is derived from rows, and bring the schema to the newest."""
        ...


class Transfer(Protocol):
    """A store as exports and imports see it."""

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Look at the store as it is now; raises Unavailable."""
        ...

    def loading(self, revision: str) -> AbstractAsyncContextManager[Loading]:
        """Open the store to fill it, with the schema of a revision.

        Raises Unavailable while servers use it, BadArchive for a revision that nobody knows.
        """
        ...


class ArchiveWriter(Protocol):
    """An archive that is being written."""

    def put(self, name: str, content: bytes) -> None:
        """Write a piece; raises OSError."""
        ...

    def put_file(self, name: str, path: Path) -> int:
        """Write a file's content as a piece and return its size; raises OSError."""
        ...

    def sha256(self) -> str:
        """Return the hash of all pieces so far, with their names."""
        ...


class Piece(Protocol):
    """A piece of an archive; it can be read while it is the last that was given."""

    name: str
    size: int

    def read(self) -> bytes:
        """Return the whole content."""
        ...

    def open(self) -> IO[bytes]:
        """Return the content to be read in order."""
        ...


class ArchiveReader(Protocol):
    """An archive on this machine."""

    def pieces(self) -> Iterator[Piece]:
        """Iterate over the pieces, from the first; raises BadArchive where the file is damaged."""
        ...


class ImportMark(Protocol):
    """Remembers which archive is being imported, across the death of the process."""

    def read(self) -> str | None:
        """Return the archive's id, None if no import is under way."""
        ...

    def write(self, archive_id: str) -> None:
        """Remember it; lasts when the call returns."""
        ...

    def clear(self) -> None:
        """The import is done."""
        ...
