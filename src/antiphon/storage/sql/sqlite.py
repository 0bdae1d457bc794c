"""The embedded store: one SQLite file in WAL mode, one writer thread, a few readers.

SQLite means one process: `open_sqlite` holds a lock on the data directory for as long as the
store is open. Nothing but the writer thread writes the file.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from antiphon.domain.errors import Conflict, StorageFull, Unavailable
from antiphon.ports.storage import (
    Fenced,
    Recovered,
    StorageBusy,
)
from antiphon.ports.write_sets import Command, WriteSet
from antiphon.storage.sql import commands, migrate, reads_runs
from antiphon.storage.sql.reading import SqlReading
from antiphon.storage.sql.sole_worker import SoleWorker
from antiphon.storage.sql.sqlite_readers import Readers
from antiphon.storage.sql.sqlite_writer import SqliteWriter, run_commands

FILE_NAME: Final = "antiphon.db"
READERS: Final = 3

P = ParamSpec("P")
T = TypeVar("T")


class DataDirectoryLocked(Unavailable):
    """Another process serves this data directory."""

    code = "data_directory_locked"


def lock_directory(directory: Path) -> int:
    """Take the directory's lock for this process; returns the descriptor that holds it."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise DataDirectoryLocked(
            f"Another process is serving the data directory '{directory}'. One process has it at a time;"
            " several servers need PostgreSQL, and a directory each."
        ) from None
    return descriptor


def connect(path: Path, *, synchronous: str) -> sqlite3.Connection:
    """Open a file to write it, with a write-ahead log; `synchronous` is NORMAL or FULL."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=5
    )
    for pragma in (
        "journal_mode=WAL",
        f"synchronous={synchronous}",
        "foreign_keys=OFF",
        "temp_store=MEMORY",
        "cache_size=-16384",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _forget_others(db: sqlite3.Connection, worker_id: str) -> None:
    db.execute(commands.FORGET_OTHERS, (worker_id,))


class SqliteUnitOfWork:
    """Port `UnitOfWork` on the writer thread."""

    def __init__(self, writer: SqliteWriter) -> None:
        self._writer = writer

    async def commit(self, *sets: Command) -> None:
        """See the port."""
        await self._writer.write(sets)


class SqliteJournal:
    """Port `Journal`; a tick and the write sets of the runs it ends are one transaction."""

    def __init__(self, writer: SqliteWriter, readers: Readers) -> None:
        self._writer = writer
        self._read = readers

    async def write_tick(self, worker_id: str, tick: int, ops: bytes, sets: Sequence[WriteSet]) -> None:
        """See the port."""

        def work(connection: sqlite3.Connection) -> None:
            if connection.execute(commands.PUT_TICK, (worker_id, tick, ops)).rowcount < 1:
                raise Conflict("tick")
            for index, one in enumerate(sets):
                try:
                    run_commands(connection, one)
                except Conflict as lost:
                    raise Conflict(lost.message, param=str(index)) from None

        try:
            await self._writer.submit(work)
        except Conflict as lost:
            if lost.message == "tick":
                raise Fenced(worker_id) from None
            raise
        except StorageFull as full:
            raise StorageBusy(full.message) from full

    async def seal(
        self, worker_id: str, upto_tick: int, chunks: Sequence[tuple[str, int, int, bytes]]
    ) -> None:
        """See the port."""

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(commands.PUT_CHUNK, chunks)
            connection.execute(commands.TRIM_TICKS, (worker_id, upto_tick))

        await self._writer.submit(work)

    async def unfinished(self, limit: int, *, after: str = "") -> Sequence[Recovered]:
        """See the port."""
        return await self._read(reads_runs.unfinished, limit, after)

    async def forget_others(self, worker_id: str) -> None:
        """See the port."""
        await self._writer.submit(lambda db: _forget_others(db, worker_id))


class SqliteStorage(SqlReading):
    """Port `Storage` on one file."""

    def __init__(self, path: Path, writer: SqliteWriter, lock: int) -> None:
        self._writer = writer
        self._lock = lock
        self._readers = Readers(path)
        super().__init__(self._readers)
        self.unit_of_work = SqliteUnitOfWork(writer)
        self.journal = SqliteJournal(writer, self._readers)
        self.workers = SoleWorker()

    async def check(self) -> None:
        """See the port."""
        try:
            await self._readers(lambda db: db.execute("SELECT 1").fetchone())
        except sqlite3.Error as error:
            raise Unavailable("The store does not answer.") from error

    async def close(self) -> None:
        """See the port."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._writer.close)
        await loop.run_in_executor(None, self._readers.close)
        os.close(self._lock)


async def open_sqlite(
    directory: Path, *, power_safe: bool = False, require: Callable[[Path], None] | None = None
) -> SqliteStorage:
    """Open the store under `directory`, migrating it first if it is older.

    `power_safe` waits for the disk at every commit (survives power loss); without it commits
    survive the death of the process. Raises DataDirectoryLocked if another process has it, and what
    `require` raises of the locked directory.
    """
    lock = lock_directory(directory)
    path = directory / FILE_NAME
    try:
        if require is not None:
            await asyncio.to_thread(require, directory)
        connection = connect(path, synchronous="FULL" if power_safe else "NORMAL")
        path.chmod(0o600)
        await asyncio.to_thread(migrate.bring_up, connection, path)
        return SqliteStorage(path, SqliteWriter(connection, asyncio.get_running_loop()), lock)
    except BaseException:
        os.close(lock)
        raise
