"""The mark of an import that is under way: a file beside the data, which no server starts on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from antiphon.domain.errors import Unavailable
from antiphon.storage.files import sync_directory

NAME: Final = "importing"


class FileImportMark:
    """Port `ImportMark` on a directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME

    def read(self) -> str | None:
        """See the port."""
        try:
            return self._path.read_text("ascii").strip()
        except FileNotFoundError:
            return None

    def write(self, archive_id: str) -> None:
        """See the port."""
        with self._path.open("w", encoding="ascii") as file:
            file.write(archive_id)
            file.flush()
            os.fsync(file.fileno())
        sync_directory(self._path.parent)

    def clear(self) -> None:
        """See the port."""
        self._path.unlink(missing_ok=True)
        sync_directory(self._path.parent)


def require_none(directory: Path) -> None:
    """Raise Unavailable where an import was not finished."""
    if (directory / NAME).exists():
        raise Unavailable(
            f"An import into '{directory}' was not finished: repeat it with the same archive, or begin anew"
            " with an empty directory and an empty database."
        )
