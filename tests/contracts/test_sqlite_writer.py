"""The thread that writes: neighbours, savepoints, and an answer for everybody at the end."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.domain.errors import Conflict, StorageFull
from antiphon.storage.sql import sqlite_checkpoints
from antiphon.storage.sql.sqlite import connect
from antiphon.storage.sql.sqlite_checkpoints import COMMITS, MAX_LOG_PAGES, PORTIONS, ROWS
from antiphon.storage.sql.sqlite_writer import MAX_BATCH, SqliteWriter
from tests.services.hand import until

PATIENCE_SECONDS = 10


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[SqliteWriter]:
    connection = sqlite3.connect(tmp_path / "t.db", isolation_level=None, check_same_thread=False)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    made = SqliteWriter(connection, asyncio.get_running_loop())
    yield made
    await asyncio.to_thread(made.close)


class Held:
    """Keeps the thread busy until it is let go, so that jobs pile up behind it."""

    def __init__(self, writer: SqliteWriter) -> None:
        self.go = threading.Event()
        self.future = writer.submit(lambda db: self._wait())

    def _wait(self) -> None:
        assert self.go.wait(PATIENCE_SECONDS)


def insert(*numbers: int) -> Any:
    def work(db: sqlite3.Connection) -> None:
        for number in numbers:
            db.execute("INSERT INTO t VALUES (?)", (number,))

    return work


async def numbers(writer: SqliteWriter) -> list[int]:
    found: list[int] = []
    await writer.submit(lambda db: found.extend(row[0] for row in db.execute("SELECT id FROM t ORDER BY id")))
    return found


async def test_a_job_with_an_unexpected_error_hurts_none_of_its_neighbours(writer: SqliteWriter) -> None:
    held = Held(writer)
    jobs = [writer.submit(insert(1)), writer.submit(insert(2, 1)), writer.submit(insert(3))]
    jobs.append(writer.submit(lambda db: db.execute("no such statement")))
    jobs.append(writer.submit(insert(4)))
    held.go.set()
    done = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(one) for one in done] == [
        type(None), sqlite3.IntegrityError, type(None), sqlite3.OperationalError, type(None),
    ]  # fmt: skip
    assert await numbers(writer) == [1, 3, 4]


async def test_a_python_error_in_a_job_is_its_own_too(writer: SqliteWriter) -> None:
    def broken(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO t VALUES (7)")
        raise ZeroDivisionError

    held = Held(writer)
    jobs = [
        writer.submit(insert(1)),
        writer.submit(broken),
        writer.submit(broken),
        writer.submit(insert(2)),
    ]
    held.go.set()
    done = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(one) for one in done] == [type(None), ZeroDivisionError, ZeroDivisionError, type(None)]
    assert await numbers(writer) == [1, 2]


async def test_a_lost_guard_undoes_its_own_job_only(writer: SqliteWriter) -> None:
    def lost(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO t VALUES (5)")
        raise Conflict("late")

    held = Held(writer)
    jobs = [writer.submit(insert(1)), writer.submit(lost), writer.submit(insert(5))]
    held.go.set()
    done = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(one) for one in done] == [type(None), Conflict, type(None)]
    assert await numbers(writer) == [1, 5]


async def test_a_lost_guard_and_an_unexpected_error_in_one_batch_are_told_apart(writer: SqliteWriter) -> None:
    def lost(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO t VALUES (6)")
        raise Conflict("late")

    held = Held(writer)
    jobs = [writer.submit(lost), writer.submit(lambda db: db.execute("nonsense")), writer.submit(insert(1))]
    held.go.set()
    done = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(one) for one in done] == [Conflict, sqlite3.OperationalError, type(None)]
    assert await numbers(writer) == [1]


async def test_jobs_are_done_in_the_order_they_came_also_beyond_one_batch(writer: SqliteWriter) -> None:
    held = Held(writer)
    seen: list[int] = []
    count = 2 * MAX_BATCH + 3
    jobs = [writer.submit(lambda db, n=n: seen.append(n)) for n in range(count)]
    held.go.set()
    await asyncio.gather(*jobs)
    assert seen == list(range(count))


async def test_a_caller_that_has_gone_hurts_nobody(writer: SqliteWriter) -> None:
    held = Held(writer)
    gone, stays = writer.submit(insert(1)), writer.submit(insert(2))
    gone.cancel()
    held.go.set()
    await stays
    assert await numbers(writer) == [1, 2]


async def test_everything_queued_before_the_close_is_written_and_answered(writer: SqliteWriter) -> None:
    held = Held(writer)
    jobs = [writer.submit(insert(n)) for n in range(1, 1_201)]
    closing = asyncio.create_task(asyncio.to_thread(writer.close))
    held.go.set()
    await closing
    assert await asyncio.gather(*jobs) == [None] * 1_200


async def test_what_comes_after_the_close_is_refused_at_once(writer: SqliteWriter) -> None:
    await asyncio.to_thread(writer.close)
    with pytest.raises(StorageFull):
        await writer.submit(insert(1))
    await asyncio.to_thread(writer.close)  # a second close does nothing


async def test_a_job_that_meets_the_close_is_answered_too(writer: SqliteWriter) -> None:
    """The close happens between the look whether the writer is open and the queueing of the job."""

    class Meeting:
        def __init__(self, queue: Any) -> None:
            self.queue = queue

        def put(self, job: Any) -> None:
            writer._queue = self.queue
            closing = threading.Thread(target=writer.close)
            closing.start()
            closing.join(PATIENCE_SECONDS)
            self.queue.put(job)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.queue, name)

    writer._queue = Meeting(writer._queue)  # type: ignore[assignment]
    with pytest.raises(StorageFull):
        await asyncio.wait_for(writer.submit(insert(1)), 2)


@pytest.mark.parametrize(
    "message", ["database or disk is full", "attempt to write a readonly database", "disk I/O error"]
)
async def test_a_full_or_read_only_disk_is_named(writer: SqliteWriter, message: str) -> None:
    def full(db: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError(message)

    with pytest.raises(StorageFull):
        await writer.submit(full)
    await writer.submit(insert(1))


async def test_a_really_full_file_is_named_and_writing_goes_on_when_there_is_room(
    writer: SqliteWriter,
) -> None:
    await writer.submit(insert(1))
    await writer.submit(lambda db: db.execute("CREATE TABLE big (text)"))

    def limit(pages: int) -> Any:
        def work(db: sqlite3.Connection) -> None:
            db.execute(f"PRAGMA max_page_count={pages}")

        return work

    await writer.submit(limit(4))
    with pytest.raises(StorageFull):
        await writer.submit(lambda db: db.execute("INSERT INTO big VALUES (zeroblob(1000000))"))
    await writer.submit(limit(1_000_000))
    await writer.submit(lambda db: db.execute("INSERT INTO big VALUES (zeroblob(1000000))"))
    assert await numbers(writer) == [1]


@pytest.fixture
async def logged(tmp_path: Path) -> AsyncIterator[SqliteWriter]:
    """A writer of a file with a write-ahead log."""
    connection = connect(tmp_path / "logged.db", synchronous="NORMAL")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    made = SqliteWriter(connection, asyncio.get_running_loop())
    yield made
    await asyncio.to_thread(made.close)


def copied(directory: Path, table: str) -> bool:
    """Whether the file holds a table without its log."""
    content = (directory / "logged.db").read_bytes()
    return f"CREATE TABLE {table} ".encode() in content


@pytest.mark.parametrize("rows", [1, ROWS * PORTIONS])
async def test_commits_are_copied_into_the_file_beside_the_writer(
    logged: SqliteWriter, tmp_path: Path, rows: int
) -> None:
    """After many commits, or many rows of one; far before the log is so long that the writer does it."""
    await logged.submit(lambda db: db.execute("CREATE TABLE marked (text)"))
    assert not copied(tmp_path, "marked")
    for number in range(COMMITS * PORTIONS if rows == 1 else 1):
        await logged.submit(insert(*range(number * rows, (number + 1) * rows)))
    await until(lambda: copied(tmp_path, "marked"))
    assert (tmp_path / "logged.db-wal").stat().st_size < MAX_LOG_PAGES * 4096


@pytest.mark.parametrize(("commits", "seconds"), [(COMMITS, 3600.0), (1, 0.01)])
async def test_the_log_goes_to_the_disk_in_portions_and_a_last_commit_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commits: int, seconds: float
) -> None:
    """So a machine that loses its power forgets little, where commits do not wait for the disk."""
    synced: list[str] = []
    sync = sqlite_checkpoints._to_the_disk
    monkeypatch.setattr(sqlite_checkpoints, "_to_the_disk", lambda path: (sync(path), synced.append(path)))
    monkeypatch.setattr(sqlite_checkpoints, "SECONDS", seconds)
    connection = connect(tmp_path / "logged.db", synchronous="NORMAL")
    writer = SqliteWriter(connection, asyncio.get_running_loop())
    await writer.submit(lambda db: db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)"))
    for number in range(3):
        before = len(synced)
        for commit in range(commits):
            await writer.submit(insert(commits * number + commit))
        await until(lambda before=before: len(synced) > before)
    await asyncio.to_thread(writer.close)
    assert set(synced) == {str(tmp_path / "logged.db-wal")}


async def test_a_log_that_is_written_without_a_pause_begins_anew(
    logged: SqliteWriter, tmp_path: Path
) -> None:
    await logged.submit(lambda db: db.execute("CREATE TABLE big (content)"))
    megabytes = MAX_LOG_PAGES * 4096 // 2**20
    for _ in range(4 * megabytes):
        await logged.submit(lambda db: db.execute("INSERT INTO big VALUES (zeroblob(1048576))"))
    assert (tmp_path / "logged.db-wal").stat().st_size < 2 * megabytes * 2**20


async def test_what_a_reader_kept_in_the_log_is_copied_after_it(logged: SqliteWriter, tmp_path: Path) -> None:
    """A reader of an old state keeps what came after it in the log."""
    await logged.submit(insert(1))
    reader = sqlite3.connect(tmp_path / "logged.db", isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT COUNT(*) FROM t").fetchone() == (1,)
    await logged.submit(lambda db: db.execute("CREATE TABLE marked (text)"))
    for number in range(2, 2 + COMMITS * PORTIONS):
        await logged.submit(insert(number))
    assert not copied(tmp_path, "marked")
    reader.close()
    for number in range(2 + COMMITS * PORTIONS, 2 + 2 * COMMITS * PORTIONS):
        await logged.submit(insert(number))
    await until(lambda: copied(tmp_path, "marked"))
