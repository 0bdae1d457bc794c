"""Moving a schema keeps the data, up and down, however often it is killed and whoever tries at once.

MIGRATED_ITEMS says with how many items; 100,000 is what docs/deploying.md tells of.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.ports import write_sets as ws
from antiphon.ports.storage import Storage
from antiphon.storage.sql import migrate
from antiphon.storage.sql.postgres import open_postgres
from antiphon.storage.sql.sqlite import FILE_NAME, open_sqlite
from tests import postgres, warm
from tests.contracts.builders import change, end_of, finish, new_conversation, new_item, new_run, put
from tests.e2e.sdk.launch import clean_environment

ITEMS = int(os.environ.get("MIGRATED_ITEMS", "2000"))
LINE = 500
FIRST = "0001"
WORKER = "a" * 32
DYING = """
import os, signal, sys
import sqlalchemy as sa
left = [int(sys.argv[1])]
def count(*_):
    left[0] -= 1
    if left[0] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
sa.event.listen(sa.engine.Engine, "after_cursor_execute", count)
from antiphon.cli.main import app
app(args=["migrate", "up"], prog_name="antiphon")
"""


class Place:
    """A store that tests fill, move and look at beside the program."""

    def __init__(self, engine: str, directory: Path) -> None:
        self.engine = engine
        self.directory = directory
        self.url = postgres.prepared(directory) if engine == "postgres" else ""

    async def open(self) -> Storage:
        """The store, migrated."""
        if self.url:
            return await open_postgres(self.url, connections=2)
        return await open_sqlite(self.directory)

    def rows(self, statement: str) -> Iterator[tuple[Any, ...]]:
        """A statement's rows."""
        if self.url:
            yield from postgres.look(self.directory, lambda db: [tuple(r) for r in db.execute(statement)])
            return
        db = sqlite3.connect(self.directory / FILE_NAME)
        try:
            yield from db.execute(statement)
        finally:
            db.close()

    def revision(self) -> str:
        """The schema's revision."""
        return str(next(self.rows("SELECT version_num FROM alembic_version"))[0])

    def environment(self) -> dict[str, str]:
        """What a command needs to find the store."""
        return clean_environment() | {"DATA_DIR": str(self.directory), "DATABASE_URL": self.url}

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin a command."""
        return subprocess.Popen(
            [sys.executable, *words], env=self.environment(), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, *words: str) -> str:
        """What a command says; it must succeed."""
        done = warm.run(words, env=self.environment(), cwd=self.directory.parent, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(params=["sqlite", "postgres"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A filled store of the newest schema."""
    made = Place(request.param, tmp_path)
    storage = await made.open()
    try:
        for number in range(max(1, ITEMS // (2 * LINE))):
            await fill(storage, number)
    finally:
        await storage.close()
    return made


async def fill(storage: Storage, number: int) -> None:
    """A conversation of two lines of items, and a finished answer."""
    first = [new_item(f"{number}.{index} ä\u2028") for index in range(LINE)]
    conversation, head, commands = new_conversation(*first, title=f"talk {number}")
    run = new_run(conversation)
    await storage.unit_of_work.commit(*commands, ws.OpenRun(run=run, worker_id=WORKER), change(conversation))
    more = [new_item(f"{number}.{LINE + index}", digest=bytes([index % 256])) for index in range(LINE)]
    assert end_of(head, *more).depth == 2 * LINE - 1
    await storage.journal.write_tick(WORKER, number + 1, b"x", [[put(head, *more), finish(run)]])


def columns_of_the_first() -> dict[str, list[str]]:
    """The tables and columns that the first revision has."""
    found: dict[str, list[str]] = {}
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "first.db"
        migrate.upgrade_sqlite(path, FIRST)
        db = sqlite3.connect(path)
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall():
            if table != "alembic_version":
                found[table] = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        db.close()
    return found


FIRST_COLUMNS = columns_of_the_first()


def digest(place: Place) -> tuple[int, int]:
    """The number of rows that the first revision has a place for, and a sum over what is in them."""
    total = count = 0
    for table, columns in FIRST_COLUMNS.items():
        named = ",".join(f'"{column}"' for column in columns)
        for row in place.rows(f"SELECT {named} FROM {table}"):
            count += 1
            seen = hashlib.sha256(repr((table, *row)).encode()).digest()
            total = (total + int.from_bytes(seen)) % 2**256
    return count, total


def test_up_down_and_up_again_keeps_the_data(place: Place) -> None:
    before = digest(place)
    assert before[0] > ITEMS
    began = time.monotonic()
    place.run("migrate", "down", FIRST, "--yes")
    half = time.monotonic()
    assert (place.revision(), digest(place)) == (FIRST, before)
    again = time.monotonic()
    place.run("migrate", "up")
    print(f"{place.engine}: {ITEMS} items, down {half - began:.1f} s, up {time.monotonic() - again:.1f} s")
    assert (place.revision(), digest(place)) == (migrate.NEWEST_REVISION, before)


def test_a_kill_costs_the_revision_it_hit_and_no_row(place: Place) -> None:
    """Killed after more and more statements: what is left is a revision, and the next run goes on."""
    before = digest(place)
    place.run("migrate", "down", FIRST, "--yes")
    seen = [place.revision()]
    for statements in (3, 25, 60, 60, 60, 60):
        process = place.start("-c", DYING, str(statements))
        said, _ = process.communicate(timeout=60)
        seen.append(place.revision())
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, said
        assert digest(place) == before
    place.run("migrate", "up")
    assert len(set(seen)) > 2 and sorted(seen) == seen, seen
    assert (place.revision(), digest(place)) == (migrate.NEWEST_REVISION, before)
    place.run("migrate", "down", FIRST, "--yes")
    assert digest(place) == before


def test_of_four_at_once_one_migrates_and_the_others_wait(place: Place) -> None:
    place.run("migrate", "down", FIRST, "--yes")
    at_once = [place.start("-m", "antiphon", "migrate") for _ in range(4)]
    said = [process.communicate(timeout=120)[0] for process in at_once]
    assert [process.returncode for process in at_once] == [0] * 4, said
    assert place.revision() == migrate.NEWEST_REVISION
    assert "is the newest" in place.run("migrate", "up")


async def test_data_of_a_newer_release_is_left_alone(place: Place) -> None:
    newer = "UPDATE alembic_version SET version_num='9999'"
    if place.url:
        postgres.look(place.directory, lambda db: db.execute(newer).fetchall())
    else:
        with sqlite3.connect(place.directory / FILE_NAME) as db:
            db.execute(newer)
        (place.directory / "knowledge.db").touch()  # without one it is its absence that is told
    for words in (["migrate", "up"], ["serve"]):
        process = place.start("-m", "antiphon", *words)
        said, _ = process.communicate(timeout=60)
        assert process.returncode != 0
        assert "9999" in said and f"none above {migrate.NEWEST_REVISION}" in said, said
    process = place.start("-m", "antiphon", "migrate", "status")
    assert "newer release" in process.communicate(timeout=60)[0] and process.returncode == 1
