"""The store of several servers: PostgreSQL through asyncpg.

Needs sessions of its own (a direct connection, or a pooler in session mode): prepared statements
and turns that are taken with `pg_advisory_xact_lock` belong to one.
"""

from __future__ import annotations

import os

from antiphon.domain.errors import Unavailable
from antiphon.storage.sql import migrate
from antiphon.storage.sql.postgres_journal import PostgresJournal
from antiphon.storage.sql.postgres_pool import Pool, connect, open_pool, require_usable
from antiphon.storage.sql.postgres_reading import PostgresReads
from antiphon.storage.sql.postgres_workers import LIVING, PostgresWorkers
from antiphon.storage.sql.postgres_writer import PostgresWriter
from antiphon.storage.sql.reading import SqlReading

CONNECTIONS = 10


class PostgresStorage(SqlReading):
    """Port `Storage` on one database."""

    def __init__(self, url: str, pool: Pool) -> None:
        self._pool = pool
        reads = PostgresReads(pool)
        super().__init__(reads)
        self.unit_of_work = PostgresWriter(pool)
        self.journal = PostgresJournal(url, pool, reads)
        self.workers = PostgresWorkers(url, pool, reads)

    async def check(self) -> None:
        """See the port."""
        async with self._pool.connection() as connection:
            if await connection.fetchval("SELECT 1") != 1:
                raise Unavailable("The store does not answer.")

    async def close(self) -> None:
        """See the port."""
        await self.unit_of_work.close()
        await self.workers.close()
        await self.journal.close()
        await self._pool.close()


async def open_postgres(url: str, *, connections: int = CONNECTIONS) -> PostgresStorage:
    """Open the store in the database at `url`, migrating it first if it is older.

    Of several servers that start at once one migrates and the others wait for it. Raises Unavailable
    if the database cannot be reached.
    """
    pool = await open_pool(url, connections)
    try:
        async with pool.connection() as connection:
            await require_usable(connection)
            revision = await migrate.current_revision_postgres(connection)
        if revision != migrate.NEWEST_REVISION:
            await migrate.upgrade_postgres(url)
        return PostgresStorage(url, pool)
    except BaseException:
        await pool.close()
        raise


MAY_HAVE = (
    f"SELECT to_regnamespace('{migrate.SCHEMA}') IS NOT NULL"
    " OR has_database_privilege(current_database(),'CREATE')"
)
"""Whether the schema of knowledge is there or may be made."""


async def look(url: str) -> tuple[str, str | None, int, bool]:
    """Return the server's version, the schema's revision, how many workers live, and `MAY_HAVE`.

    Raises Unavailable.
    """
    pool = await open_pool(url, 1)
    try:
        async with pool.connection() as connection:
            await require_usable(connection)
            version: str = await connection.fetchval("SHOW server_version")
            revision = await migrate.current_revision_postgres(connection)
            workers: int = await connection.fetchval(LIVING) if revision == migrate.NEWEST_REVISION else 0
            may_have: bool = await connection.fetchval(MAY_HAVE)
            return version.split(" ")[0], revision, workers, may_have
    finally:
        await pool.close()


PROBE_BYTES = 64 * 1024
PROBE = "INSERT INTO run_chunks (run_id,first_seq,last_seq,ops) VALUES ($1,0,0,$2)"


async def probe_writing(url: str) -> None:
    """Write a row and take it back; raises what the driver raises where the database takes no writes."""
    connection = await connect(url, "probe")
    try:
        await connection.execute("BEGIN")
        content = os.urandom(PROBE_BYTES)  # does not shrink: it needs pages of its own
        await connection.execute(PROBE, "probe", content)
        await connection.execute("ROLLBACK")
    finally:
        await connection.close()


async def revision_of(url: str, scripts: str) -> str | None:
    """Return the revision of one of the schemas in a database; raises Unavailable."""
    pool = await open_pool(url, 1)
    try:
        async with pool.connection() as connection:
            return await migrate.current_revision_postgres(connection, migrate.place_of(scripts))
    finally:
        await pool.close()
