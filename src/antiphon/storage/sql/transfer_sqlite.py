"""The embedded store's files as exports and imports see them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Final

from antiphon.domain.archives import Row, Table
from antiphon.domain.errors import Unavailable
from antiphon.storage.sql import migrate, transfer
from antiphon.storage.sql.sqlite import connect
from antiphon.storage.sql.sqlite_copies import BUSY_SECONDS, NAMED

DERIVING: Final = (
    "UPDATE passage_texts SET place='s'||s.scope_no||' d'||s.no FROM passages p JOIN sources s"
    " ON s.no=p.source_no WHERE p.no=passage_texts.no",
    "INSERT INTO words(words) VALUES('rebuild')",
    f"UPDATE sequence SET value=({transfer.LAST_CHANGE})",
)
"""What knowledge has beside its rows; see `knowledge_index_fts`."""


class SqliteRows:
    """Reads tables on one connection."""

    def __init__(self, db: sqlite3.Connection, scripts: str) -> None:
        self._db = db
        self._scripts = scripts

    async def tables(self) -> list[Table]:
        """See the port."""
        found = []
        for name in transfer.TABLES[self._scripts]:
            columns = [row[0] for row in self._db.execute("SELECT name FROM pragma_table_info(?)", (name,))]
            if columns:
                found.append(transfer.table_of(name, columns))
        return found

    async def rows(self, table: Table) -> AsyncIterator[Row]:
        """See the port."""
        for row in self._db.execute(transfer.select(table)):
            yield row


class SqliteSnapshot(SqliteRows):
    """Port `Snapshot`: one read transaction, beside the server's writer."""

    def __init__(self, db: sqlite3.Connection, scripts: str, revision: str) -> None:
        super().__init__(db, scripts)
        self.revision = revision

    async def contents(self) -> AsyncIterator[tuple[str, str]]:
        """See the port."""
        statement = NAMED[self._scripts]
        for row in self._db.execute(statement, ("",) * statement.count("?")):
            yield row


class SqliteLoading(SqliteRows):
    """Port `Loading`; whoever opened it has the data directory's lock."""

    def __init__(self, db: sqlite3.Connection, scripts: str, path: Path) -> None:
        super().__init__(db, scripts)
        self._path = path

    async def is_empty(self) -> bool:
        """See the port."""
        return not any(
            self._db.execute(transfer.is_filled(table.name)).fetchone() for table in await self.tables()
        )

    async def put(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """See the port."""
        with _transaction(self._db):
            self._db.executemany(transfer.insert(table, columns), rows)

    async def finish(self) -> None:
        """See the port."""
        await asyncio.to_thread(migrate.upgrade_sqlite, self._path, scripts=self._scripts)
        if self._scripts == migrate.KNOWLEDGE:
            with _transaction(self._db):
                for statement in DERIVING:
                    self._db.execute(statement)

    async def set_words(self, words: Mapping[int, int]) -> None:
        """See `Counting`."""
        with _transaction(self._db):
            self._db.executemany(transfer.SET_WORDS, [(count, no) for no, count in words.items()])
            self._db.execute(transfer.SUM_WORDS)


class SqliteTransfer:
    """Port `Transfer` on one file."""

    def __init__(self, path: Path, scripts: str) -> None:
        self._path = path
        self._scripts = scripts

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[SqliteSnapshot]:
        """See the port."""
        if not self._path.exists():
            raise Unavailable(f"There is no store at '{self._path}'.")
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)) as db:
            db.execute("BEGIN")
            revision = migrate.current_revision(db)
            if revision is None:
                raise Unavailable(f"There is no store at '{self._path}'.")
            transfer.is_older(self._scripts, revision, revision)
            yield SqliteSnapshot(db, self._scripts, revision)

    @asynccontextmanager
    async def loading(self, revision: str) -> AsyncIterator[SqliteLoading]:
        """See the port."""
        newest = migrate.revisions(self._scripts)[-1].name
        transfer.is_older(self._scripts, revision, newest)
        with closing(connect(self._path, synchronous="NORMAL")) as db:
            self._path.chmod(0o600)
            loading = SqliteLoading(db, self._scripts, self._path)
            found = migrate.current_revision(db)
            if found is None:
                await asyncio.to_thread(migrate.upgrade_sqlite, self._path, revision, scripts=self._scripts)
            elif found != revision:
                if not await loading.is_empty():
                    raise Unavailable(f"'{self._path}' is not empty; an import wants an empty store.")
                older = transfer.is_older(self._scripts, found, revision)
                move = migrate.upgrade_sqlite if older else migrate.downgrade_sqlite
                await asyncio.to_thread(move, self._path, revision, scripts=self._scripts)
            yield loading


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
