"""The store that tests of the whole core run on: the embedded one or, with TEST_STORE=postgres, PostgreSQL.

With TEST_STORE=mongo conversations are in MongoDB and accounts in the embedded store.

The suites are the same; what looks into the store beside the server goes through `look`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from antiphon.ports.storage import Storage
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge import FILE_NAME as KNOWLEDGE
from antiphon.storage.sql.migrate import SCHEMA
from antiphon.storage.sql.sqlite import FILE_NAME, open_sqlite

T = TypeVar("T")

STORE = os.environ.get("TEST_STORE", "sqlite")
ON_POSTGRES = STORE == "postgres"
ON_MONGO = STORE == "mongo"


def store_settings(directory: Path) -> dict[str, str]:
    """Settings of a server that has the store of a directory, beside its DATA_DIR."""
    if not ON_MONGO:
        return {}
    from tests import mongo

    return {"MONGODB_URL": mongo.url(directory)}


async def open_store(directory: Path) -> Storage:
    """Open the store that belongs to a test's directory."""
    if ON_POSTGRES:
        from antiphon.storage.sql.postgres import open_postgres
        from tests import postgres

        return await open_postgres(postgres.prepared(directory), connections=4)
    accounts = await open_sqlite(directory)
    return await _with_mongo(directory, accounts) if ON_MONGO else accounts


async def _with_mongo(directory: Path, accounts: Any) -> Any:
    from antiphon.storage.mongo.store import open_mongo
    from tests import mongo

    storage: Any = await open_mongo(mongo.url(directory), accounts)
    own = storage.close

    async def close() -> None:
        await own()
        await accounts.close()

    storage.close = close
    storage._writer = accounts._writer  # for tests that change an account's row behind the server
    return storage


async def set_columns(storage: Any, directory: Path, table: str, **columns: Any) -> None:
    """Change all rows of a table of conversations behind the server."""
    if ON_MONGO:
        from tests import mongo_rows

        mongo_rows.set_columns(directory, table, columns)
        return
    settings = ",".join(f"{name}=?" for name in columns)
    await storage._writer.submit(
        lambda db: db.execute(f"UPDATE {table} SET {settings}", tuple(columns.values()))
    )


def address(directory: Path) -> str | None:
    """The database that belongs to a test's directory, None for files in it."""
    if not ON_POSTGRES:
        return None
    from tests import postgres

    return postgres.prepared(directory)


def look(directory: Path, read: Callable[[Db], T], *, name: str = FILE_NAME) -> T:
    """Run a read on the directory's store, or a file beside it, beside whoever has it open."""
    if ON_POSTGRES:
        from tests import postgres

        return postgres.look(directory, read, schema=SCHEMA if name == KNOWLEDGE else "public")
    if ON_MONGO and name == FILE_NAME:
        from tests import mongo_rows

        return mongo_rows.look(directory, read)
    db = sqlite3.connect(f"file:{directory / name}?mode=ro", uri=True)
    try:
        return read(db)
    finally:
        db.close()


def contents(directory: Path, root: str) -> dict[str, bytes]:
    """What lies in the blob store of a test's directory under `root`, by digest."""
    if not ON_POSTGRES:
        found = (path for path in (directory / root).rglob("*") if path.is_file())
        return {path.name: path.read_bytes() for path in found}
    rows = query(
        directory, "SELECT c.digest,p.data FROM contents c LEFT JOIN content_pieces p ON p.content_no=c.no"
        " WHERE c.root=? ORDER BY c.no,p.piece", root, name=KNOWLEDGE,
    )  # fmt: skip
    pieces: dict[str, bytes] = {}
    for digest, data in rows:
        pieces[digest] = pieces.get(digest, b"") + (data or b"")
    return pieces


def passages(directory: Path) -> list[dict[str, Any]]:
    """The passages of a test's directory, in order: source's number, message, ordinal, text, and vectors."""
    if ON_MONGO:
        from pymongo import MongoClient

        from tests import mongo

        with MongoClient[dict[str, Any]](mongo.url(directory)) as client:
            found = list(client.get_default_database()["passages"].find({}))
        rows = [
            (one["source"], one["item"], one["ordinal"], one["text"], len(one["embedded"])) for one in found
        ]
    else:
        rows = query(
            directory, "SELECT p.source_no,p.item_id,p.ordinal,t.text,(SELECT count(*) FROM vectors v"
            " WHERE v.text_hash=p.text_hash) FROM passages p JOIN passage_texts t ON t.no=p.no",
            name=KNOWLEDGE,
        )  # fmt: skip
    return [
        dict(zip(("source", "item", "ordinal", "text", "vectors"), row, strict=True)) for row in sorted(rows)
    ]


def query(directory: Path, statement: str, *values: Any, name: str = FILE_NAME) -> list[tuple[Any, ...]]:
    """Return a statement's rows."""
    return look(directory, lambda db: [tuple(row) for row in db.execute(statement, values)], name=name)


def tables(db: Db) -> list[str]:
    """Return the names of all tables."""
    names = (
        "SELECT tablename FROM pg_tables WHERE schemaname=current_schema()"
        if ON_POSTGRES
        else "SELECT name FROM sqlite_master WHERE type='table'"
    )
    return [row[0] for row in db.execute(names)]
