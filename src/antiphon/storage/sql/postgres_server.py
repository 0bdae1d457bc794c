"""All that is kept in PostgreSQL, in one place to be loaded where DATABASE_URL names one."""

from antiphon.storage.sql.postgres import look, open_postgres
from antiphon.storage.sql.postgres_advisory import PostgresLocks
from antiphon.storage.sql.postgres_blobs import PostgresBlobs
from antiphon.storage.sql.postgres_knowledge import erase_schema, open_postgres_knowledge

__all__ = [
    "PostgresBlobs",
    "PostgresLocks",
    "erase_schema",
    "look",
    "open_postgres",
    "open_postgres_knowledge",
]
