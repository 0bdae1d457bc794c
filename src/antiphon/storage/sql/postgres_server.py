"""All that is kept in PostgreSQL, in one place to be loaded where DATABASE_URL names one."""

from antiphon.storage.sql.postgres import look, open_postgres, probe_writing, revision_of
from antiphon.storage.sql.postgres_advisory import PostgresLocks
from antiphon.storage.sql.postgres_blobs import PostgresBlobs
from antiphon.storage.sql.postgres_knowledge import erase_schema, open_postgres_knowledge
from antiphon.storage.sql.postgres_pool import open_pool
from antiphon.storage.sql.transfer_postgres import PostgresTransfer

__all__ = [
    "PostgresBlobs",
    "PostgresLocks",
    "PostgresTransfer",
    "erase_schema",
    "look",
    "open_pool",
    "open_postgres",
    "open_postgres_knowledge",
    "probe_writing",
    "revision_of",
]
