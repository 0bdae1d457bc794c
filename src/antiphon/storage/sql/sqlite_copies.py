"""Copies of the embedded store's files, made while a server writes them, and what such a copy holds.

A copy is one read transaction: writers go on, only the log beside the file grows meanwhile. It is written
anew row by row, so that nothing of what was erased is in it, which a copy of the pages would still carry.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from antiphon.domain.errors import Unavailable
from antiphon.storage.sql.migrate import CONVERSATIONS, KNOWLEDGE, current_revision, revisions

PAGE: Final = 1_000
BUSY_SECONDS: Final = 30.0

NAMED: Final = {
    CONVERSATIONS: "SELECT owner_id,digest FROM blobs WHERE state='held' AND (owner_id,digest)>(?,?)",
    KNOWLEDGE: (
        "SELECT owner_id,digest FROM versions WHERE (owner_id,digest)>(?,?)"
        " UNION SELECT owner_id,digest FROM upload_parts WHERE (owner_id,digest)>(?,?)"
    ),
}
"""The contents that a file's rows need, by the schema of the file."""


def copy_file(source: Path, target: Path) -> None:
    """Copy a file as it is at this moment; `target` is replaced whole or not at all."""
    draft = target.with_name(target.name + ".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    with _opened(source) as db:
        db.execute("VACUUM INTO ?", (str(draft),))
    descriptor = os.open(draft, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(target)


def named_blobs(path: Path, scripts: str) -> Iterator[tuple[str, str]]:
    """Yield owner and digest of what the rows need, in order; nothing is held open between pages."""
    last = ("", "")
    while True:
        with _opened(path) as db:
            found = db.execute(*_page_after(scripts, last)).fetchall()
        yield from found
        if len(found) < PAGE:
            return
        last = found[-1]


def _page_after(scripts: str, last: tuple[str, str]) -> tuple[str, tuple[object, ...]]:
    statement = NAMED[scripts]
    return f"{statement} ORDER BY owner_id,digest LIMIT {PAGE}", last * statement.count("(?,?)")


def problem_of(path: Path, scripts: str) -> str | None:
    """Return what is wrong with a file, None for nothing: it is read whole."""
    try:
        with _opened(path) as db:
            rows = db.execute("PRAGMA integrity_check(3)").fetchall()
            revision = current_revision(db)
    except sqlite3.Error as error:
        return str(error)
    if rows != [("ok",)]:
        return "; ".join(str(row[0]) for row in rows)
    if revision not in {step.name for step in revisions(scripts)}:
        return f"it has schema {revision}, which this release does not know"
    return None


def _opened(path: Path) -> closing[sqlite3.Connection]:
    """Open a file to read it, also one whose process died: what it had committed is then taken in."""
    uri = f"{path.absolute().as_uri()}?mode=rw"
    try:
        return closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None))
    except sqlite3.Error as error:
        raise Unavailable(f"{path} cannot be opened: {error}.") from error
