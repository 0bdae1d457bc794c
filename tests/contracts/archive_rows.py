"""Stores full of hostile rows, every table of them, for tests that move everything."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
import zlib
from pathlib import Path
from typing import Any

from antiphon.domain.archives import Table
from antiphon.storage.sql import migrate
from antiphon.storage.sql.migrate import CONVERSATIONS, KNOWLEDGE
from tests.contracts.builders import OWNER

FREE = {"title", "name", "email", "user_agent", "subject", "target"}
"""Columns in which any character may stand, NUL too."""
OBJECTS = {
    ("runs", "error"): '{"code":"server_error","message":"ä\\u0000"}',
    ("runs", "usage"): '{"input_tokens":3,"output_tokens":4}',
    ("runs", "metadata"): '{ "a": "1", "b": "\\u0000" }',
}
"""Columns that hold an object as a server writes it."""
TRUTHS = {"background", "cancel_requested", "is_script"}
ROWS = 11
WORDS = ["", "a", "ä\u2028\uffff", '{"a": [1.50, null, "\\u0000"]}', "x" * 3000]


def _columns(scripts: str) -> dict[str, dict[str, tuple[str, bool]]]:
    """The columns of every table: the kind, and whether it may be missing."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x.db"
        migrate.upgrade_sqlite(path, scripts=scripts)
        db = sqlite3.connect(path)
        found = {}
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall():
            info = db.execute(f"PRAGMA table_info({table})").fetchall()
            found[table] = {row[1]: (row[2].upper(), not row[3] and not row[5]) for row in info}
        db.close()
    return found


COLUMNS = {scripts: _columns(scripts) for scripts in (CONVERSATIONS, KNOWLEDGE)}


def content(number: int) -> bytes:
    """What the content with a number is."""
    return bytes([number]) * (number * 10_000)


def rows(scripts: str, table: Table) -> list[tuple[Any, ...]]:
    """Rows for a table, no two with a value in common that must be its only one."""
    return [
        tuple(_value(scripts, table.name, one, number) for one in table.columns) for number in range(ROWS)
    ]


def _value(scripts: str, table: str, column: str, number: int) -> Any:
    kind, optional = COLUMNS[scripts][table][column]
    if optional and number % 3 == 0:
        return None
    if column == "owner_id":
        return OWNER
    if (table, column) == ("blobs", "state"):
        return "held" if number % 2 else "loose"
    if (table, column) in OBJECTS:
        return OBJECTS[table, column]
    if kind == "VARCHAR(64)":
        return hashlib.sha256(content(number)).hexdigest()
    if kind.startswith("VARCHAR"):
        return f"{zlib.crc32(f'{table}.{column}.{number}'.encode()):032x}"
    if kind == "BLOB":
        return bytes([number, 0, 255]) * (number + 1)
    if kind == "TEXT":
        text = f"{WORDS[number % len(WORDS)]}{number}"
        return f"\0{text}\uffff0" if column in FREE else text
    if kind == "BOOLEAN" or (table == "runs" and column in TRUTHS):
        return number % 2
    return number if kind == "SMALLINT" or number % 5 else number + 2**40
