"""`alembic upgrade head` in the checkout works on the data that the settings name, as often as one likes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

from antiphon.storage.sql.migrate import NEWEST_REVISION
from antiphon.storage.sql.sqlite import FILE_NAME
from scripts.project_files import ROOT
from scripts.write_schema import schema_of
from tests.e2e.sdk.launch import clean_environment


def ran(data: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60,
        env=clean_environment() | {"DATA_DIR": str(data)} | settings, check=False,
    )  # fmt: skip


def alembic(data: Path, *arguments: str) -> str:
    done = ran(data, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_upgrade_head_twice_is_harmless_and_makes_the_servers_schema(tmp_path: Path) -> None:
    alembic(tmp_path, "upgrade", "head")
    first = schema_of(tmp_path / FILE_NAME)
    alembic(tmp_path, "upgrade", "head")
    assert schema_of(tmp_path / FILE_NAME) == first
    assert NEWEST_REVISION in alembic(tmp_path, "current")


def test_data_of_an_older_revision_is_migrated(tmp_path: Path) -> None:
    alembic(tmp_path, "upgrade", "+1")
    alembic(tmp_path, "upgrade", "head")
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    assert found == [(NEWEST_REVISION,)]


def test_without_the_driver_of_postgresql_a_sentence_tells_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "asyncpg.py").write_text("raise ModuleNotFoundError('no asyncpg', name='asyncpg')")
    url = "postgresql://name:hunter2hunter2@127.0.0.1:1/x"
    done = ran(tmp_path, "upgrade", "head", DATABASE_URL=url, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "'asyncpg'" in done.stderr and "make postgres" in done.stderr and "hunter2" not in done.stderr
