"""Bringing a database to the newest schema.

An empty file gets it at once, from what the migrations were seen to make (`scripts/write_schema.py`).
Alembic is imported only where an older file is to be migrated: it costs 0.3 s and 23 MB.

Each revision is a transaction of its own, with the mark that it is done: what a kill leaves is a database
of some revision, and the next run goes on from there.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec

from antiphon.domain.errors import Unavailable

NEWEST_REVISION: Final = "0011"
NEWEST_KNOWLEDGE: Final = "k0005"
CONVERSATIONS: Final = "migrations"
KNOWLEDGE: Final = "knowledge_migrations"
SCHEMA: Final = "knowledge"
"""Where the tables of knowledge lie on PostgreSQL; two of them are called as others are."""


def current_revision(connection: sqlite3.Connection) -> str | None:
    """Return the schema's revision, None for an empty database; raises sqlite3.Error."""
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    return row[0] if row else None


def revision_in(path: Path) -> str | None:
    """Return the revision of a file, None if there is none; raises Unavailable if it cannot be read.

    On a read-only mount, too: there a file without a log is read as one that nobody changes.
    """
    if not path.exists():
        return None
    how = "mode=rw"
    if not os.access(path.parent, os.W_OK):
        how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=5)) as db:
            return current_revision(db)
    except sqlite3.DatabaseError as error:
        raise Unavailable(
            f"'{path}' cannot be read ({error}): if it is damaged, restore a backup; `antiphon doctor` looks."
        ) from error


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


def place_of(scripts: str) -> str | None:
    """Return the schema of a PostgreSQL database that tables lie in, None for the usual one."""
    return SCHEMA if scripts == KNOWLEDGE else None


async def current_revision_postgres(connection: Any, schema: str | None = None) -> str | None:
    """Return the revision of the tables (in a `schema` of their own), None if there are none yet."""
    table = f"{schema}.alembic_version" if schema else "alembic_version"
    if await connection.fetchval("SELECT to_regclass($1)", table) is None:
        return None
    found: str | None = await connection.fetchval(f"SELECT version_num FROM {table}")
    return found


class SchemaTooNew(Unavailable):
    """The data was written by a newer release than this one."""

    code = "schema_too_new"


class Revision(msgspec.Struct, frozen=True):
    """One step of a schema; `summary` is what it brings, `before` the revision it stands on."""

    name: str
    summary: str
    before: str | None


def revisions(scripts: str) -> list[Revision]:
    """Return all steps of a schema, oldest first."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    steps = ScriptDirectory.from_config(_config(scripts)).walk_revisions()
    return [
        Revision(one.revision, one.doc.strip().split("\n")[0], _only(one.down_revision))
        for one in reversed(list(steps))
    ]


def _only(before: Any) -> str | None:
    return before if isinstance(before, str) else None


def upgrade_sqlite(path: Path, revision: str = "head", *, scripts: str = CONVERSATIONS) -> None:
    """Run all missing migrations of `scripts` (CONVERSATIONS or KNOWLEDGE) on the file at `path`.

    Raises SchemaTooNew.
    """
    on_sqlite(path, lambda connection: _move(connection, revision, scripts))


def downgrade_sqlite(path: Path, revision: str, *, scripts: str = CONVERSATIONS) -> None:
    """Undo the migrations after `revision` on the file at `path`; what they brought is lost."""
    on_sqlite(path, lambda connection: _move(connection, revision, scripts, up=False))


def on_sqlite(path: Path, work: Callable[[Any], None]) -> None:
    """Do something with the schema of the file at `path`; `work` ends its transactions itself."""
    import sqlalchemy as sa  # noqa: PLC0415 - heavy, and needed only for a migration

    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool)
    # Python's driver begins no transaction for statements that change a schema, so it is told to begin none.
    sa.event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.connect() as connection:
            work(connection)
    finally:
        engine.dispose()


MIGRATING: Final = 0x616E7469_70686F6E
"""The lock under which a database is migrated; the bytes of `antiphon`."""


async def upgrade_postgres(url: str, revision: str = "head", *, schema: str | None = None) -> None:
    """Run all missing migrations on the database at `url`; of several at once one does, the others wait.

    Those of knowledge on a `schema` of its own, which is made, else those of conversations. Raises
    SchemaTooNew.
    """

    def work(connection: Any) -> None:
        if schema is not None:
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        _move(connection, revision, _enter(connection, schema))

    await on_postgres(url, work)


async def downgrade_postgres(url: str, revision: str, *, schema: str | None = None) -> None:
    """Undo the migrations after `revision` on the database at `url`; what they brought is lost."""
    await on_postgres(url, lambda at: _move(at, revision, _enter(at, schema), up=False))


def _enter(connection: Any, schema: str | None) -> str:
    """Speak of a schema's tables from now on, over all its revisions' transactions; returns its scripts."""
    if schema is None:
        return CONVERSATIONS
    connection.exec_driver_sql(f"SET search_path TO {schema}")
    connection.commit()
    return KNOWLEDGE


async def on_postgres(url: str, work: Callable[[Any], None]) -> None:
    """Do something with the schema of the database at `url`, alone; `work` ends its transactions itself."""
    import asyncpg  # noqa: PLC0415
    import sqlalchemy as sa  # noqa: PLC0415
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=sa.NullPool
    )
    try:
        async with engine.connect() as connection:
            # It belongs to the session, not to a transaction: it outlives each revision's, and no kill.
            await connection.execute(sa.text(f"SELECT pg_advisory_lock({MIGRATING})"))
            await connection.commit()
            await connection.run_sync(work)
    finally:
        await engine.dispose()


def _config(scripts: str) -> Any:
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / scripts).replace("%", "%%"))
    return config


def _move(connection: Any, revision: str, scripts: str, *, up: bool = True) -> None:
    from alembic import command  # noqa: PLC0415
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

    found = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()
    known = [one.name for one in revisions(scripts)]
    if found is not None and found not in known:
        raise SchemaTooNew(f"The data has schema {found}, and this release knows none above {known[-1]}.")
    config = _config(scripts)
    config.attributes["connection"] = connection
    (command.upgrade if up else command.downgrade)(config, revision)
