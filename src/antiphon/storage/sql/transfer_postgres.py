"""The stores in PostgreSQL as exports and imports see them.

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
from antiphon.storage.sql.migrate import CONVERSATIONS, KNOWLEDGE
from antiphon.storage.sql.postgres_pool import CONNECT_SECONDS, LOST, away, named
from antiphon.storage.sql.postgres_text import bound, read_back, translated
from antiphon.storage.sql.postgres_words import lexemes_of
from antiphon.storage.sql.postgres_workers import LIVING
from antiphon.storage.sql.sqlite_copies import NAMED

AHEAD: Final = 64
"""Rows asked for at once: nearly all are small, and none is larger than a request may be."""
LEAST: Final = {CONVERSATIONS: "0001", KNOWLEDGE: "k0003"}
"""The first revision that PostgreSQL has; before it there was no place for contents."""
COLUMNS: Final = (
    "SELECT column_name,data_type FROM information_schema.columns"
    " WHERE table_schema=current_schema() AND table_name=$1"
)
NUMBERS: Final = ("scopes", "sources", "passages", "vector_models", "vectors")
"""Tables whose rows are numbered by a sequence, which has to go on after what came."""
TERMLESS: Final = (
    "SELECT p.no,s.scope_no,t.title,t.body FROM passages p JOIN sources s ON s.no=p.source_no"
    " JOIN passage_texts t ON t.no=p.no WHERE p.terms IS NULL AND p.no>$1 ORDER BY p.no LIMIT 500"
)
TERMS: Final = "UPDATE passages SET length=$2,terms=array_to_tsvector(string_to_array($3,' ')) WHERE no=$1"
COUNTS: Final = (
    "UPDATE sources SET words=(SELECT coalesce(sum(length),0) FROM passages p WHERE p.source_no=sources.no)",
    transfer.SUM_WORDS,
    f"SELECT setval('changes',greatest(1,({transfer.LAST_CHANGE})))",
)


class PostgresRows:
    """Reads tables on one connection."""

    def __init__(self, connection: Any, scripts: str) -> None:
        self._connection = connection
        self._scripts = scripts
        self._booleans: dict[str, set[str]] = {}

    async def tables(self) -> list[Table]:
        """See the port."""
        found = []
        for name in transfer.TABLES[self._scripts]:
            columns = {row[0]: row[1] for row in await self._connection.fetch(COLUMNS, name)}
            if columns:
                found.append(transfer.table_of(name, list(columns)))
                self._booleans[name] = {column for column, kind in columns.items() if kind == "boolean"}
        return found

    async def rows(self, table: Table) -> AsyncIterator[Row]:
        """See the port; truth values are numbers, as SQLite has them."""
        truths = [place for place, name in enumerate(table.columns) if name in self._booleans[table.name]]
        async for row in self._read(transfer.select(table), ()):
            if truths:
                row = [int(one) if place in truths else one for place, one in enumerate(row)]  # type: ignore[arg-type]
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

    def __init__(self, connection: Any, scripts: str, revision: str) -> None:
        super().__init__(connection, scripts)
        self.revision = revision

    async def contents(self) -> AsyncIterator[tuple[str, str]]:
        """See the port."""
        statement = NAMED[self._scripts]
        async for row in self._read(statement, ("",) * statement.count("?")):
            yield str(row[0]), str(row[1])


class PostgresLoading(PostgresRows):
    """Port `Loading`."""

    def __init__(self, connection: Any, scripts: str, url: str) -> None:
        super().__init__(connection, scripts)
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
        truths = [place for place, name in enumerate(columns) if name in self._booleans[table]]
        values = [bound(form, row) for row in rows]
        for row in values if truths else ():
            for place in truths:
                row[place] = bool(row[place])
        async with self._connection.transaction():
            await self._connection.executemany(form.text, values)

    async def finish(self) -> None:
        """See the port."""
        await migrate.upgrade_postgres(self._url, schema=migrate.place_of(self._scripts))
        if self._scripts == KNOWLEDGE:
            await self._derive()
        await self._connection.execute("ANALYZE")  # else the first statements are planned for empty tables

    async def set_words(self, words: Mapping[int, int]) -> None:
        """See `Counting`."""
        form = translated(transfer.SET_WORDS)
        await self._connection.executemany(form.text, [bound(form, (n, no)) for no, n in words.items()])
        await self._connection.execute(transfer.SUM_WORDS)

    async def _derive(self) -> None:
        """Make the terms of passages of their texts, and count on from what came; see `postgres_words`."""
        last = 0
        while found := await self._connection.fetch(TERMLESS, last):
            last = found[-1][0]
            terms = [(no, *lexemes_of(scope, title, body)) for no, scope, title, body in found]
            await self._connection.executemany(TERMS, terms)
        for statement in COUNTS:
            await self._connection.execute(statement)
        for table in NUMBERS:
            await self._connection.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}','no'),max(no)) FROM {table} HAVING max(no)>0"
            )


class PostgresTransfer:
    """Port `Transfer` on one store in a database."""

    def __init__(self, url: str, scripts: str) -> None:
        self._url = url
        self._scripts = scripts

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[PostgresSnapshot]:
        """See the port."""
        async with self._connection() as connection:
            revision = await migrate.current_revision_postgres(connection, migrate.place_of(self._scripts))
            if revision is None:
                raise Unavailable("There is no store in the database.")
            transfer.is_older(self._scripts, revision, revision)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield PostgresSnapshot(connection, self._scripts, revision)

    @asynccontextmanager
    async def loading(self, revision: str) -> AsyncIterator[PostgresLoading]:
        """See the port."""
        scripts = self._scripts
        if transfer.is_older(scripts, revision, LEAST[scripts]):
            revision = LEAST[scripts]
        await self._require_alone()
        async with self._connection() as connection:
            loading = PostgresLoading(connection, scripts, self._url)
            found = await migrate.current_revision_postgres(connection, migrate.place_of(scripts))
            if found is None:
                await migrate.upgrade_postgres(self._url, revision, schema=migrate.place_of(scripts))
            elif found != revision:
                if not await loading.is_empty():
                    raise Unavailable("The database is not empty; an import wants an empty one.")
                older = transfer.is_older(scripts, found, revision)
                move = migrate.upgrade_postgres if older else migrate.downgrade_postgres
                await move(self._url, revision, schema=migrate.place_of(scripts))
            yield loading

    async def _require_alone(self) -> None:
        async with self._connected({}) as connection:
            revision = await migrate.current_revision_postgres(connection)
            living = await connection.fetchval(LIVING) if revision == migrate.NEWEST_REVISION else 0
        if living:
            raise Unavailable(f"Servers run on this database ({living}); stop them first.")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        """A connection to the store's own tables."""
        place = {"search_path": migrate.SCHEMA} if self._scripts == KNOWLEDGE else {}
        async with self._connected(place) as connection:
            yield connection

    @asynccontextmanager
    async def _connected(self, place: dict[str, str]) -> AsyncIterator[Any]:
        """A connection without the server's limits on time; raises Unavailable."""
        settings = {"application_name": "antiphon archive", **place}
        try:
            connection = await asyncpg.connect(self._url, timeout=CONNECT_SECONDS, server_settings=settings)
        except (*LOST, TimeoutError) as error:
            raise away(error, self._url) from error
        try:
            yield connection
        except asyncpg.PostgresError as error:
            raise named(error) from error
        finally:
            await connection.close()
