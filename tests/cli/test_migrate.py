"""`antiphon migrate`: says where the data stands, and never goes back unasked."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from antiphon.cli.main import app
from antiphon.storage.sql.migrate import NEWEST_KNOWLEDGE, NEWEST_REVISION
from antiphon.storage.sql.sqlite import lock_directory


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def ran(data: Path, *words: str, status: int = 0, given: str = "") -> Result:
    result = CliRunner().invoke(app, ["migrate", *words, "--data-dir", str(data)], input=given)
    assert result.exit_code == status, result.output
    return result


def standing(data: Path, status: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ran(data, "status", "--json", status=status).stdout)
    return found


def test_both_files_are_made_and_told_of(data: Path) -> None:
    assert [one["revision"] for one in standing(data)] == [None, None]
    ran(data, "up")
    assert [one["revision"] for one in standing(data)] == [NEWEST_REVISION, NEWEST_KNOWLEDGE]
    assert [one["waiting"] for one in standing(data)] == [[], []]
    assert (data / "knowledge.db").stat().st_mode & 0o777 == 0o600


def test_going_back_is_asked_for_and_told(data: Path) -> None:
    ran(data, "up")
    refused = ran(data, "down", "0006", status=1, given="n\n")
    assert NEWEST_REVISION in refused.output
    assert standing(data)[0]["revision"] == NEWEST_REVISION
    ran(data, "down", "0006", given="y\n")
    ran(data, "down", "k0001", "--yes")
    older = standing(data, status=1)
    assert [one["revision"] for one in older] == ["0006", "k0001"]
    assert older[0]["waiting"][-1] == NEWEST_REVISION and older[1]["waiting"][-1] == NEWEST_KNOWLEDGE
    assert "waiting: k0002" in ran(data, "status", status=1).stdout
    ran(data, "up")
    assert standing(data)[0]["waiting"] == []


def test_a_revision_that_nobody_knows_is_named_with_those_there_are(data: Path) -> None:
    ran(data, "up")
    assert "0001, 0002" in ran(data, "down", "head", "--yes", status=1).stderr


def of_a_newer_release(data: Path) -> None:
    ran(data, "up")
    with sqlite3.connect(data / "antiphon.db") as db:
        db.execute("UPDATE alembic_version SET version_num='9999'")


def test_of_a_newer_schema_nothing_is_waiting(data: Path) -> None:
    of_a_newer_release(data)
    told = ran(data, "status", status=1).stdout
    assert "9999 of a newer release" in told and "waiting" not in told


def test_a_newer_schema_is_not_gone_back_from(data: Path) -> None:
    of_a_newer_release(data)
    assert "9999 is of a newer release" in ran(data, "down", "0006", "--yes", status=1).stderr


def test_a_full_database_on_a_read_only_mount_is_told_as_it_is(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(data, "up")
    asked: list[str] = []
    connect = sqlite3.connect

    def read_only(place: str, **options: Any) -> sqlite3.Connection:
        asked.append(place)
        if "immutable=1" not in place:  # as SQLite says where it can make no file beside the database
            raise sqlite3.OperationalError("unable to open database file")
        return connect(place, **options)

    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    monkeypatch.setattr(sqlite3, "connect", read_only)
    assert [one["revision"] for one in standing(data)] == [NEWEST_REVISION, NEWEST_KNOWLEDGE]
    assert len(asked) == 2
    monkeypatch.setattr(os, "access", lambda path, mode: True)
    assert "unable to open" in ran(data, "status", status=1).stderr


def test_nothing_moves_while_another_process_has_the_data(data: Path) -> None:
    ran(data, "up")
    ran(data, "down", "0006", "--yes")
    lock = lock_directory(data)
    waited = ran(data, "up", "--wait", "0.3", status=1)
    assert "waiting up to 0.3 s" in waited.stdout and "Another process" in waited.stderr
    os.close(lock)
    ran(data, "up")
    with sqlite3.connect(data / "antiphon.db") as db:
        assert db.execute("SELECT version_num FROM alembic_version").fetchall() == [(NEWEST_REVISION,)]
