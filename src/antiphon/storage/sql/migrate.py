"""Bringing a database to the newest schema.

An empty file gets it at once, from what the migrations were seen to make (`scripts/write_schema.py`).
Alembic is imported only where an older file is to be migrated: it costs 0.3 s and 23 MB.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

NEWEST_REVISION: Final = "0007"
NEWEST_KNOWLEDGE: Final = "k0003"
CONVERSATIONS: Final = "migrations"
KNOWLEDGE: Final = "knowledge_migrations"
SCHEMA: Final = "knowledge"
"""Where the tables of knowledge lie on PostgreSQL; two of them are called as others are."""


def current_revision(connection: sqlite3.Connection) -> str | None:
    """Return the schema's revision, None for an empty database."""
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return None
    return row[0] if row else None


def schema_file(scripts: str) -> Path:
    """Return where the newest schema of `scripts` lies as SQL."""
    return Path(__file__).parent / scripts / "schema.sql"


def bring_up(connection: sqlite3.Connection, path: Path, scripts: str = CONVERSATIONS) -> None:
    """Bring the file at `path`, which `connection` has open, to the newest schema of `scripts`."""
    newest = NEWEST_REVISION if scripts == CONVERSATIONS else NEWEST_KNOWLEDGE
    found = current_revision(connection)
    if found is None and not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        mark = f"INSERT INTO alembic_version VALUES ('{newest}');"
        connection.executescript(f"BEGIN;{schema_file(scripts).read_text('utf-8')}{mark}COMMIT;")
    elif found != newest:
        upgrade_sqlite(path, scripts=scripts)


async def current_revision_postgres(connection: Any, schema: str | None = None) -> str | None:
    """Return the revision of the tables (in a `schema` of their own), None if there are none yet."""
    table = f"{schema}.alembic_version" if schema else "alembic_version"
    if await connection.fetchval("SELECT to_regclass($1)", table) is None:
        return None
    found: str | None = await connection.fetchval(f"SELECT version_num FROM {table}")
    return found


def upgrade_sqlite(path: Path, revision: str = "head", *, scripts: str = CONVERSATIONS) -> None:
    """Run all missing migrations of `scripts` (CONVERSATIONS or KNOWLEDGE) on the file at `path`."""
    on_sqlite(path, lambda connection: _upgrade(connection, revision, scripts))


def on_sqlite(path: Path, work: Callable[[Any], None]) -> None:
    """Do something with the schema of the file at `path`, in a transaction."""
    import sqlalchemy as sa  # noqa: PLC0415 - heavy, and needed only for a migration

    engine = sa.create_engine(f"sqlite:///{path}")
    try:
        with engine.begin() as connection:
            work(connection)
    finally:
        engine.dispose()


MIGRATING: Final = 0x616E7469_70686F6E
"""The lock under which a database is migrated; the bytes of `antiphon`."""


async def upgrade_postgres(url: str, revision: str = "head", *, schema: str | None = None) -> None:
    """Run all missing migrations on the database at `url`; of several at once one does, the others wait.

    Those of knowledge on a `schema` of its own, which is made, else those of conversations.
    """

    def work(connection: Any) -> None:
        if schema is not None:
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            connection.exec_driver_sql(f"SET LOCAL search_path TO {schema}")
        _upgrade(connection, revision, CONVERSATIONS if schema is None else KNOWLEDGE)

    await on_postgres(url, work)


async def on_postgres(url: str, work: Callable[[Any], None]) -> None:
    """Do something with the schema of the database at `url`, in a transaction and alone."""
    import asyncpg  # noqa: PLC0415
    import sqlalchemy as sa  # noqa: PLC0415
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=NullPool
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({MIGRATING})"))
            await connection.run_sync(work)
    finally:
        await engine.dispose()


def _upgrade(connection: object, revision: str, scripts: str) -> None:
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / scripts))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
