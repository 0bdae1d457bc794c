"""The store of knowledge that several servers share: a schema of its own in the database of all else."""

from __future__ import annotations

from typing import Final

from antiphon.storage.sql import migrate
from antiphon.storage.sql.knowledge_index import CACHE_BYTES
from antiphon.storage.sql.knowledge_ports import KnowledgePorts
from antiphon.storage.sql.postgres_index import PostgresIndex
from antiphon.storage.sql.postgres_knowledge_store import PostgresKnowledgeStore
from antiphon.storage.sql.postgres_pool import Pool, connect, open_pool

CONNECTIONS: Final = 4
"""Apart from those of conversations, so that nobody's folder holds up a turn."""

SESSION: Final = {
    "jit": "off",  # compiling a search takes longer than the search
    "work_mem": "32MB",
}


class PostgresKnowledge(KnowledgePorts):
    """All ports of knowledge on one database."""

    def __init__(self, pool: Pool, cache_bytes: int = CACHE_BYTES) -> None:
        self.pool = pool
        self._store = PostgresKnowledgeStore(pool)
        super().__init__(self._store, PostgresIndex(), cache_bytes)

    async def close(self) -> None:
        """Write what is being written and release the connections."""
        await self._store.close()
        await self.pool.close()


async def erase_schema(url: str, schema: str) -> None:
    """Erase a schema with all that is in it."""
    connection = await connect(url, "knowledge")
    try:
        await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    finally:
        await connection.close()


async def open_postgres_knowledge(
    url: str, *, connections: int = CONNECTIONS, cache_bytes: int = CACHE_BYTES,
    schema: str = migrate.SCHEMA,
) -> PostgresKnowledge:  # fmt: skip
    """Open the store of knowledge in the database at `url`, migrating it first if it is older.

    `cache_bytes` bounds the vectors that are kept in memory for searches. Raises Unavailable if the
    database cannot be reached.
    """
    pool = await open_pool(url, connections, "knowledge", {**SESSION, "search_path": schema})
    try:
        async with pool.connection() as connection:
            revision = await migrate.current_revision_postgres(connection, schema)
        if revision != migrate.NEWEST_KNOWLEDGE:
            await migrate.upgrade_postgres(url, schema=schema)
        return PostgresKnowledge(pool, cache_bytes)
    except BaseException:
        await pool.close()
        raise
