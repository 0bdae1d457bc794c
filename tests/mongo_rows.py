"""MongoDB's documents as the rows that SQL has for the same things, so that tests look into both alike.

The rows are put into a copy of the accounts' SQLite file, in memory.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pymongo import MongoClient

from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.documents import ALIVE
from antiphon.storage.mongo.rows import KINDS
from antiphon.storage.mongo.texts import shown
from antiphon.storage.sql import migrations
from antiphon.storage.sql.sqlite import FILE_NAME
from tests import mongo

T = TypeVar("T")
SCHEMA = Path(migrations.__file__).parent / "schema.sql"
Row = dict[str, Any]


def _place(prefix: str, place: Row | None) -> Row:
    fields = {"segment_id": None, "depth": None, "tokens": None, "item_id": None, **(place or {})}
    return {f"{prefix}_{name}": value for name, value in fields.items()}


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _conversation(d: Row) -> Row:
    times = {"created": d["created_us"], "updated": d["updated_us"], "expires": d["expires_us"]}
    times |= {"pinned": d["pinned_us"], "archived": d["archived_us"]}
    return {**d, **times, **_place("base", d["base"])}


def _branch(d: Row) -> Row:
    return {**d, "slot": 0, "created": d["created_us"], **_place("head", d["head"])}


def _item(d: Row) -> Row:
    return {**d, "created": d["created_us"]}


def _run(d: Row) -> Row:
    places: Row = {}
    for name, field in (("parent", "parent"), ("input", "input_end"), ("output", "output_end")):
        places |= _place(name, d[field])
    texts = {"error": _json(d["error"]), "usage": _json(d["usage"])}
    return {
        **d, **places, **texts, "background": int(d["background"]), "epoch": 0,
        "is_script": int(d.get("is_script") or 0), "cancel_requested": int(d["cancel_requested"]),
        "created": d["created_us"], "ended": d["ended_us"],
    }  # fmt: skip


def _key(d: Row) -> Row:
    return {**d, "created": d["created_us"], "expires": d["expires_us"]}


def _made(d: Row) -> Row:
    return {"slot": 0, "owner_id": d.get("p"), "created": d.get("created_us"), **d}


def _share(d: Row) -> Row:
    return {**d, "created": d["created_us"], "expires": d["expires_us"], "revoked": d["revoked_us"]}


TABLES: dict[str, tuple[str, Callable[[Row], Row]]] = {
    "conversations": (db.CONVERSATIONS, _conversation),
    "branches": (db.BRANCHES, _branch),
    "segments": (db.SEGMENTS, _made),
    "items": (db.ITEMS, _item),
    "hidden_items": (db.HIDDEN, _made),
    "conversation_changes": (db.CHANGES, _made),
    "runs": (db.RUNS, _run),
    "idempotency": (db.KEYS, _key),
    "conversation_members": (db.MEMBERS, _made),
    "share_links": (db.SHARES, _share),
    "aliases": (db.ALIASES, _made),
    "blobs": (db.BLOBS, _made),
    "blob_refs": (db.BLOB_REFS, _made),
    "sweeps": (db.SWEEPS, _made),
    "journal": (db.TICKS, lambda d: {**d, "ops": d["ops"] or b""}),
    "run_chunks": (db.CHUNKS, _made),
    "workers": (db.WORKERS, lambda d: {**d, "id": d["_id"]}),
}


def look(directory: Path, read: Callable[[sqlite3.Connection], T], *, url: str | None = None) -> T:
    """Run a read on rows made of the documents of a directory, or of those at `url`."""
    rows = sqlite3.connect(":memory:")
    client: MongoClient[Row] = MongoClient(url or mongo.url(directory))
    try:
        _accounts(directory, rows)
        documents = client.get_default_database()
        for table, (collection, columns_of) in TABLES.items():
            names = [row[1] for row in rows.execute(f"PRAGMA table_info({table})")]
            rows.execute(f"DELETE FROM {table}")
            found = [columns_of(shown(one)) for one in documents[collection].find()]
            marks = ",".join("?" * len(names))
            rows.executemany(
                f"INSERT INTO {table} ({','.join(names)}) VALUES ({marks})",
                [[one.get(name) for name in names] for one in found],
            )
        return read(rows)
    finally:
        client.close()
        rows.close()


def set_columns(directory: Path, table: str, columns: Row) -> None:
    """Change all documents that stand for a table's rows."""
    kind = KINDS[table]
    changed = {f"{name}_us" if name in kind.times else name: value for name, value in columns.items()}
    if table == "runs" and "state" in columns:
        changed["alive"] = True if columns["state"] in ALIVE else None
    client: MongoClient[Row] = MongoClient(mongo.url(directory))
    try:
        client.get_default_database()[kind.collection].update_many({}, {"$set": changed})
    finally:
        client.close()


def _accounts(directory: Path, rows: sqlite3.Connection) -> None:
    """Copy the accounts' file, or make the tables where they are elsewhere."""
    path = directory / FILE_NAME
    if not path.exists():
        rows.executescript(SCHEMA.read_text())
        return
    stored = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        stored.backup(rows)
    finally:
        stored.close()
