"""What was read of a store, on disk until it is written into an archive: a nameless file that ends with us.

SQLite puts it into `SQLITE_TMPDIR`, `TMPDIR` or `/var/tmp`; whatever ends this process erases it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from antiphon.domain.archives import Row, packed

_SCHEMA: Final = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-8192;
CREATE TABLE kept (place TEXT, id TEXT, owner TEXT, version INTEGER, worker TEXT, row BLOB,
    PRIMARY KEY (place, id)) WITHOUT ROWID;
CREATE INDEX kept_owner ON kept (owner, place);
CREATE INDEX kept_running ON kept (owner, id) WHERE worker IS NOT NULL;
CREATE TABLE owners (id TEXT PRIMARY KEY) WITHOUT ROWID;
BEGIN;
"""
_unpack = msgspec.msgpack.Decoder().decode


class Spool:
    """Rows by table and document; a row has the number of the log that wrote it last."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Erase everything."""
        self._db.close()

    def add_owner(self, owner_id: str) -> None:
        """Remember whose documents there are."""
        self._db.execute("INSERT OR IGNORE INTO owners VALUES (?)", (owner_id,))

    def owners(self) -> Iterator[str]:
        """Iterate over whose documents there are."""
        for row in self._db.execute("SELECT id FROM owners"):
            yield row[0]

    def put(
        self, table: str, key: str, row: Row, *, owner_id: str | None, version: int, worker_id: str | None
    ) -> None:
        """Keep a row in the place of what its document was; `worker_id` has what a run has that goes on."""
        values = (table, key, owner_id, version, worker_id, packed(row))
        self._db.execute("INSERT OR REPLACE INTO kept VALUES (?,?,?,?,?,?)", values)

    def version(self, table: str, key: str) -> int:
        """Return the number that wrote a document last, -1 for one that is not here."""
        found = self._db.execute("SELECT version FROM kept WHERE place=? AND id=?", (table, key)).fetchone()
        return -1 if found is None else int(found[0])

    def drop(self, table: str, key: str) -> None:
        """Forget a document."""
        self._db.execute("DELETE FROM kept WHERE place=? AND id=?", (table, key))

    def clear(self, table: str, owner_id: str) -> None:
        """Forget an owner's rows of a table."""
        self._db.execute("DELETE FROM kept WHERE owner=? AND place=?", (owner_id, table))

    def running(self, owner_id: str) -> list[tuple[str, str]]:
        """Return an owner's runs that go on, and their workers."""
        wanted = "SELECT id,worker FROM kept WHERE owner=? AND worker IS NOT NULL"
        return self._db.execute(wanted, (owner_id,)).fetchall()

    def has_ended(self, run_id: str) -> bool:
        """Whether a run is here and has ended."""
        wanted = "SELECT 1 FROM kept WHERE place='runs' AND id=? AND worker IS NULL"
        return self._db.execute(wanted, (run_id,)).fetchone() is not None

    def rows(self, table: str) -> Iterator[list[Any]]:
        """Iterate over the rows of a table."""
        for found in self._db.execute("SELECT row FROM kept WHERE place=?", (table,)):
            yield _unpack(found[0])
