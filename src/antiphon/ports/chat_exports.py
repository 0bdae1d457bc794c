"""Port to files that other chat applications export: one file, a ZIP archive or a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import msgspec

from antiphon.domain.chat_exports.chats import Chat, Kind, Unread


class BadExport(Exception):
    """The file is no export that is known, or cannot be read on; says why."""


class FoundFile(msgspec.Struct, frozen=True):
    """A file of the export by its place there, and its size in bytes."""

    place: str
    size: int


class ChatExport(Protocol):
    """An open export. All calls block: they are work for a thread, one at a time."""

    @property
    def kind(self) -> Kind:
        """Return what exported it."""
        ...

    def chats(self) -> Iterator[Chat | Unread]:
        """Yield its conversations, each translated when it is its turn, and what cannot be read.

        No more than one of them is in memory. Raises OSError.
        """
        ...

    def find(self, ref: str) -> FoundFile | None:
        """Return the file that an attachment names, None if the export does not have it."""
        ...

    def read(self, found: FoundFile) -> Iterator[bytes]:
        """Yield the bytes of a file in pieces; raises BadExport and OSError."""
        ...


class ChatExports(Protocol):
    """Opens exports."""

    def open(
        self, path: Path, kind: Kind | None, name: str | None = None
    ) -> AbstractContextManager[ChatExport]:
        """Open an export, of whatever kind it is if none is given; raises BadExport and OSError.

        `name` is what a single file is called in what is told of it.
        """
        ...
