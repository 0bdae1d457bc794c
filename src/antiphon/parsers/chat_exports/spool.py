"""Brings the documents of one conversation together that lie anywhere in a file.

They wait in a temporary database, not in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Final

import msgspec

from antiphon.domain.chat_exports.values import encoded

MOST_BYTES: Final = 64 * 1024 * 1024
"""A conversation whose documents are longer is not read."""
_SCHEMA: Final = (
    "CREATE TABLE documents (number INTEGER PRIMARY KEY, key TEXT, body TEXT);"
    "CREATE TABLE links (above TEXT, below TEXT PRIMARY KEY) WITHOUT ROWID;"
    "CREATE TABLE told (key TEXT PRIMARY KEY) WITHOUT ROWID;"
)
_BELOW: Final = (
    "WITH RECURSIVE w(key) AS (SELECT ? UNION SELECT l.below FROM w JOIN links l ON l.above=w.key)"
)
_TELL: Final = f"{_BELOW} INSERT OR IGNORE INTO told SELECT key FROM w"  # noqa: S608 - nothing of a file
_TOLD: Final = (
    f"{_BELOW} SELECT body FROM w CROSS JOIN documents d"  # noqa: S608 - nothing of a file
    " ON d.key=w.key ORDER BY d.number"
)


class Spool:
    """Keeps documents under keys; a key may be linked below another one, once. Gone when it is closed."""

    def __init__(self) -> None:
        self._directory = TemporaryDirectory(prefix="antiphon-import-")
        self._db = sqlite3.connect(f"{self._directory.name}/spool.db", check_same_thread=False)
        self._db.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; {_SCHEMA}")

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        self._directory.cleanup()

    def add(self, key: str, document: Mapping[str, Any]) -> None:
        """Keep a document."""
        self._db.execute("INSERT INTO documents (key,body) VALUES (?,?)", (key, encoded(document)))

    def link(self, above: str, below: str) -> None:
        """Say that what is under `below` belongs to what is under `above`; the first to say so holds."""
        if above != below:
            self._db.execute("INSERT OR IGNORE INTO links VALUES (?,?)", (above, below))

    def groups(self) -> Iterator[str]:
        """Yield the keys that lie below no other that has documents, in their order.

        Then one of each circle: of those that lie below each other, and that `documents` has not told.
        """
        self._db.execute("CREATE INDEX IF NOT EXISTS by_key ON documents (key)")
        self._db.execute("CREATE INDEX IF NOT EXISTS by_above ON links (above)")
        found = self._db.execute(
            "SELECT key FROM documents d WHERE NOT EXISTS (SELECT 1 FROM links l JOIN documents o"
            " ON o.key=l.above WHERE l.below=d.key) GROUP BY key ORDER BY MIN(number)"
        )
        yield from (row[0] for row in found)
        left = (
            "SELECT number,key FROM documents d WHERE number>?"
            " AND NOT EXISTS (SELECT 1 FROM told t WHERE t.key=d.key) ORDER BY number LIMIT 1"
        )
        number = 0
        while row := self._db.execute(left, (number,)).fetchone():
            number, key = row
            yield key

    def documents(self, key: str) -> list[Any] | None:
        """Return the documents under a key and all below it, in their order; None if they are too long."""
        found, size = [], 0
        self._db.execute(_TELL, (key,))
        rows = self._db.execute(_TOLD, (key,))
        for (body,) in rows:
            size += len(body)
            if size > MOST_BYTES:
                return None
            found.append(msgspec.json.decode(body))
        return found
