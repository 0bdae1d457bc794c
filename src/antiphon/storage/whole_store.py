"""Whether the embedded store is whole: its two files and the contents that they name belong together.

A file that is gone would be made anew, empty, and what it named would count as left behind: a lost
`knowledge.db` cost every document. So nothing is opened before somebody has put the file back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from antiphon.domain.errors import Unavailable
from antiphon.storage import replacing
from antiphon.storage.files import stored_blobs
from antiphon.storage.sql import knowledge, migrate, sqlite

WITHOUT_KNOWLEDGE: Final = ("0001", "0002", "0003")
"""The revisions of conversations that had no knowledge beside them yet."""


class IncompleteStore(Unavailable):
    """A part of the embedded store is missing beside the others."""

    code = "incomplete_store"


def require_whole(directory: Path, *, blobs: str, documents: str) -> None:
    """Raise IncompleteStore as `require_parts` does, before a store is opened.

    The caller has the directory's lock. Where all is well an empty `knowledge.db` is made if there is none:
    conversations come first, and a start that is killed between the two is no loss.
    """
    require_parts(directory, blobs=blobs, documents=documents)
    known = directory / knowledge.FILE_NAME
    if not known.exists():
        known.touch(mode=0o600)


def require_parts(directory: Path, *, blobs: str, documents: str) -> None:
    """Raise IncompleteStore where a file is missing, or has nothing in it, beside the rest of a store.

    Likewise where a restore was interrupted. Nothing is made or changed, and a server may run. Raises
    Unavailable for a file that cannot be read.
    """
    if replacing.is_interrupted(directory):
        raise IncompleteStore(
            f"A restore into '{directory}' was interrupted: run `antiphon restore` again. It begins with"
            " putting back what was there before, whatever then becomes of the backup."
        )
    said, known = migrate.revision_in(directory / sqlite.FILE_NAME), directory / knowledge.FILE_NAME
    has_knowledge = migrate.revision_in(known) is not None
    kept = [name for name in (documents, blobs) if _holds_any(directory / name)]
    if said is None and (has_knowledge or kept):
        there = knowledge.FILE_NAME if has_knowledge else f"{kept[0]}/"
        raise _missing(
            directory, sqlite.FILE_NAME, there, "to begin anew, move everything else in it away too"
        )
    if not has_knowledge and documents in kept:
        raise _missing(
            directory, knowledge.FILE_NAME, f"{documents}/",
            f"to go on without all documents, move {documents}/ away too and make an empty"
            f" {knowledge.FILE_NAME}",
        )  # fmt: skip
    if not known.exists() and said is not None and said not in WITHOUT_KNOWLEDGE:
        raise _missing(
            directory, knowledge.FILE_NAME, sqlite.FILE_NAME,
            f"to go on without all collections, make an empty {knowledge.FILE_NAME}",
        )  # fmt: skip


def _missing(directory: Path, name: str, beside: str, otherwise: str) -> IncompleteStore:
    return IncompleteStore(
        f"'{directory}' has no {name} (or an empty one) beside {beside}: put it back, or restore a backup;"
        f" {otherwise}."
    )


def _holds_any(directory: Path) -> bool:
    return next(iter(stored_blobs(directory)), None) is not None
