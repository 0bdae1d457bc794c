"""The store in PostgreSQL as exports and imports see it.

Text goes through the same escapes as the server's own statements, so that rows are the same as SQLite's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from antiphon.domain.archives import Row, Table
from antiphon.domain.errors import Unavailable
from antiphon.storage.sql import migrate, transfer
from antiphon.storage.sql.migrate import CONVERSATIONS
from antiphon.storage.sql.postgres_pool import CONNECT_SECONDS, LOST, named
from antiphon.storage.sql.postgres_text import bound, read_back, translated
from antiphon.storage.sql.postgres_workers import LIVING
from antiphon.storage.sql.sqlite_copies import NAMED

AHEAD: Final = 64
"""Rows asked for at once: nearly all are small, and none is larger than a request may be."""
COLUMNS: Final = (
    "SELECT column_name,data_type FROM information_schema.columns"
    " WHERE table_schema=current_schema() AND table_name=$1"
)


class PostgresRows:
    """Reads tables on one connection, inside a transaction."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._booleans: dict[str, frozenset[str]] = {}

    async def tables(self) -> list[Table]:
        """See the port."""
        found = []
        for name in transfer.TABLES[CONVERSATIONS]:
            columns = {row[0]: row[1] for row in await self._connection.fetch(COLUMNS, name)}
            if columns:
                found.append(transfer.table_of(name, list(columns)))
        return found

    async def rows(self, table: Table) -> AsyncIterator[Row]:
        """See the port."""
        async for row in self._read(transfer.select(table), ()):
            yield row

    async def _read(self, statement: str, values: Sequence[str]) -> AsyncIterator[Row]:
        form = translated(statement)
        async with self._connection.transaction():
            cursor = await self._connection.cursor(form.text, *bound(form, values))
            while records := await cursor.fetch(AHEAD):
                for row in read_back(records) if form.is_free else records:
                    yield tuple(row)


class PostgresSnapshot(PostgresRows):
    """Port `Snapshot`: one transaction that sees one moment."""

    def __init__(self, connection: Any, revision: str) -> None:
        super().__init__(connection)
        self.revision = revision

    async def contents(self) -> AsyncIterator[tuple[str, str]]:
        """See the port."""
        statement = NAMED[CONVERSATIONS]
        async for row in self._read(statement, ("",) * statement.count("?")):
            yield str(row[0]), str(row[1])


class PostgresLoading(PostgresRows):
    """Port `Loading`."""

    def __init__(self, connection: Any, url: str) -> None:
        super().__init__(connection)
        self._url = url

    async def is_empty(self) -> bool:
        """See the port."""
        for table in await self.tables():
            if await self._connection.fetch(transfer.is_filled(table.name)):
                return False
        return True

    async def put(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """See the port."""
        form = translated(transfer.insert(table, columns))
        async with self._connection.transaction():
            await self._connection.executemany(form.text, [bound(form, row) for row in rows])

    async def finish(self) -> None:
        """See the port."""
        await migrate.upgrade_postgres(self._url)
        await self._connection.execute("ANALYZE")  # else the first statements are planned for empty tables


class PostgresTransfer:
    """Port `Transfer` on one database."""

    def __init__(self, url: str) -> None:
        self._url = url

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[PostgresSnapshot]:
        """See the port."""
        async with self._connection() as connection:
            revision = await migrate.current_revision_postgres(connection)
            if revision is None:
                raise Unavailable("There is no store in the database.")
            transfer.is_older(CONVERSATIONS, revision, revision)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield PostgresSnapshot(connection, revision)

    @asynccontextmanager
    async def loading(self, revision: str) -> AsyncIterator[PostgresLoading]:
        """See the port."""
        transfer.is_older(CONVERSATIONS, revision, migrate.NEWEST_REVISION)
        async with self._connection() as connection:
            loading = PostgresLoading(connection, self._url)
            found = await migrate.current_revision_postgres(connection)
            if found == migrate.NEWEST_REVISION and (living := await connection.fetchval(LIVING)):
                raise Unavailable(f"Servers run on this database ({living}); stop them first.")
            if found is None:
                await migrate.upgrade_postgres(self._url, revision)
            elif found != revision:
                if not await loading.is_empty():
                    raise Unavailable("The database is not empty; an import wants an empty one.")
                older = transfer.is_older(CONVERSATIONS, found, revision)
                await (migrate.upgrade_postgres if older else migrate.downgrade_postgres)(self._url, revision)
            yield loading

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        """A connection of its own, without the server's limits on time; raises Unavailable."""
        settings: Mapping[str, str] = {"application_name": "antiphon archive"}
        try:
            connection = await asyncpg.connect(
                self._url, timeout=CONNECT_SECONDS, server_settings=dict(settings)
            )
        except (*LOST, TimeoutError) as error:
            raise Unavailable(f"PostgreSQL cannot be reached: {error}") from error
        try:
            yield connection
        except asyncpg.PostgresError as error:
            raise named(error) from error
        finally:
            await connection.close()
