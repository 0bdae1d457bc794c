"""The embedded store of knowledge: a SQLite file of its own, with its own writer thread.

Through the chat's writer indexing would hold up tokens; in a file of its own it does not. Both
files refer to each other by id only. The caller holds the data directory's lock.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from antiphon.storage.sql import migrate
from antiphon.storage.sql.knowledge_index import CACHE_BYTES
from antiphon.storage.sql.knowledge_index_fts import FtsIndex
from antiphon.storage.sql.knowledge_ports import KnowledgePorts
from antiphon.storage.sql.knowledge_store import SqliteKnowledgeStore
from antiphon.storage.sql.sqlite import connect
from antiphon.storage.sql.sqlite_readers import Readers
from antiphon.storage.sql.sqlite_writer import SqliteWriter

FILE_NAME: Final = "knowledge.db"


class SqliteKnowledge(KnowledgePorts):
    """All ports of knowledge on one file; `is_new` says that it was made just now."""

    def __init__(
        self, path: Path, writer: SqliteWriter, cache_bytes: int = CACHE_BYTES, *, is_new: bool = False
    ) -> None:
        self.is_new = is_new
        self._writer = writer
        self._readers = Readers(path)
        super().__init__(SqliteKnowledgeStore(writer, self._readers), FtsIndex(), cache_bytes)

    async def close(self) -> None:
        """Write what is waiting and release the file."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._writer.close)
        await loop.run_in_executor(None, self._readers.close)


async def open_knowledge(
    directory: Path, *, power_safe: bool = False, cache_bytes: int = CACHE_BYTES
) -> SqliteKnowledge:
    """Open the store of knowledge under `directory`, migrating it first if it is older.

    `cache_bytes` bounds the vectors that are kept in memory for searches.
    """
    path = directory / FILE_NAME
    connection = connect(path, synchronous="FULL" if power_safe else "NORMAL")
    path.chmod(0o600)
    is_new = migrate.current_revision(connection) is None
    await asyncio.to_thread(migrate.bring_up, connection, path, migrate.KNOWLEDGE)
    writer = SqliteWriter(connection, asyncio.get_running_loop())
    return SqliteKnowledge(path, writer, cache_bytes, is_new=is_new)
