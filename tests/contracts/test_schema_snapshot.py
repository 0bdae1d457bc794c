"""What a first start reads is what the migrations make: otherwise `python -m scripts.write_schema`."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from antiphon.storage.sql import migrate
from scripts.write_schema import migrated, schema_of

BOTH = [(migrate.CONVERSATIONS, migrate.NEWEST_REVISION), (migrate.KNOWLEDGE, migrate.NEWEST_KNOWLEDGE)]


def brought_up(path: Path, scripts: str) -> str | None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        migrate.bring_up(connection, path, scripts)
        return migrate.current_revision(connection)
    finally:
        connection.close()


@pytest.mark.parametrize(("scripts", "newest"), BOTH)
def test_an_empty_file_gets_what_the_migrations_make(tmp_path: Path, scripts: str, newest: str) -> None:
    path = tmp_path / "empty.db"
    assert brought_up(path, scripts) == newest
    assert schema_of(path) == migrated(scripts)
    assert brought_up(path, scripts) == newest, "once more changes nothing"


@pytest.mark.parametrize(("scripts", "newest"), BOTH)
def test_an_older_file_is_migrated(tmp_path: Path, scripts: str, newest: str) -> None:
    path = tmp_path / "older.db"
    migrate.upgrade_sqlite(path, "+1", scripts=scripts)
    with sqlite3.connect(path) as connection:
        first = migrate.current_revision(connection)
    connection.close()
    assert first not in (None, newest)
    assert brought_up(path, scripts) == newest
