"""The embedded store: one SQLite file in WAL mode, one writer thread, a few readers.

SQLite means one process: `open_sqlite` holds a lock on the data directory for as long as the
store is open. Nothing but the writer thread writes the file.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Branch, Conversation, PathRange
from antiphon.domain.errors import Conflict, StorageFull, Unavailable
from antiphon.domain.items import Item, Position
from antiphon.domain.runs import Run
from antiphon.ports.storage import (
    Change,
    Fenced,
    KeyRecord,
    Recovered,
    SegmentSummary,
    StorageBusy,
    TurnBase,
)
from antiphon.ports.write_sets import Command, WriteSet
from antiphon.storage.sql import commands, migrate, reads, reads_runs
from antiphon.storage.sql.sqlite_writer import SqliteWriter, run_commands

FILE_NAME: Final = "antiphon.db"
READERS: Final = 3
CHECKPOINT_PAGES: Final = 400
"""A checkpoint moves at most about this many 4 KiB pages, a few milliseconds of the writer."""

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
            f"Another process is serving the data directory '{directory}'. SQLite serves one process;"
            " several replicas need PostgreSQL."
        ) from None
    return descriptor


def _connect(path: Path, *, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=5
    )
    for pragma in (
        "journal_mode=WAL",
        f"synchronous={synchronous}",
        "foreign_keys=OFF",
        "temp_store=MEMORY",
        "cache_size=-16384",
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


class _Readers:
    """A few threads with a read-only connection each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")
        self._loop = asyncio.get_running_loop()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=5
            )
            connection.execute("PRAGMA query_only=ON")
            connection.execute("PRAGMA cache_size=-8192")
            self._local.connection = connection
            self._open.append(connection)
        return connection

    async def __call__(
        self, read: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._loop.run_in_executor(self._pool, lambda: read(self._connection(), *args, **kwargs))

    def close(self) -> None:
        self._pool.shutdown(wait=True)
        for connection in self._open:
            connection.close()


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

    def __init__(self, writer: SqliteWriter, readers: _Readers) -> None:
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
            await self._writer.submit(work, atomic=bool(sets))
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


class SqliteAccounts:
    """Port `Accounts`."""

    def __init__(self, readers: _Readers) -> None:
        self._read = readers

    async def by_name(self, name: str) -> Principal | None:
        """See the port."""
        return await self._read(reads_runs.account, name)


class SqliteConversations:
    """Port `Conversations`."""

    def __init__(self, readers: _Readers) -> None:
        self._read = readers

    async def get(self, account_id: str, conversation_id: str) -> Conversation | None:
        """See the port."""
        return await self._read(reads.conversation, account_id, conversation_id)

    async def page(
        self, account_id: str, *, after: str | None, limit: int, descending: bool
    ) -> list[Conversation]:
        """See the port."""
        return await self._read(reads.conversations, account_id, after, limit, descending)

    async def branch(self, conversation_id: str, branch_id: str) -> Branch | None:
        """See the port."""
        return await self._read(reads.branch, conversation_id, branch_id)

    async def branch_at(self, conversation_id: str, item_id: str) -> Branch | None:
        """See the port."""
        return await self._read(reads.branch_at, conversation_id, item_id)

    async def branches(self, conversation_id: str, *, after: str | None, limit: int) -> list[Branch]:
        """See the port."""
        return await self._read(reads.branches, conversation_id, after, limit)

    async def branch_names(self, conversation_id: str, prefix: str) -> set[str]:
        """See the port."""
        return await self._read(reads.branch_names, conversation_id, prefix)

    async def slice(self, after: str, limit: int) -> tuple[str, str] | None:
        """See the port."""
        return await self._read(reads.conversation_slice, after, limit)

    async def changes(self, conversation_id: str, *, after: int, limit: int) -> list[Change]:
        """See the port."""
        return await self._read(reads.changes, conversation_id, after, limit)


class SqliteTree:
    """Port `Tree`."""

    def __init__(self, readers: _Readers) -> None:
        self._read = readers

    async def turn_base(
        self, account_id: str, conversation_id: str, branch_id: str | None, budget_tokens: int
    ) -> TurnBase | None:
        """See the port."""
        return await self._read(reads.turn_base, account_id, conversation_id, branch_id, budget_tokens)

    async def position_base(
        self, account_id: str, conversation_id: str, position: Position, budget_tokens: int
    ) -> TurnBase | None:
        """See the port."""
        return await self._read(reads.position_base, account_id, conversation_id, position, budget_tokens)

    async def item(self, account_id: str, item_id: str) -> tuple[Item, str] | None:
        """See the port."""
        return await self._read(reads.item, account_id, item_id)

    async def before(self, item: Item) -> Position:
        """See the port."""
        return await self._read(reads.before, item)

    async def path(self, head: Position, *, floor_depth: int) -> list[PathRange]:
        """See the port."""
        return await self._read(reads.path, head, floor_depth)

    async def items(self, ranges: Sequence[PathRange], conversation_id: str) -> list[Item]:
        """See the port."""
        return await self._read(reads.items, ranges, conversation_id)

    async def at(self, position: Position) -> Item | None:
        """See the port."""
        return await self._read(reads.item_at, position)

    async def is_continued(self, position: Position) -> bool:
        """See the port."""
        return await self._read(reads.is_continued, position)

    async def is_hidden(self, conversation_id: str, item_id: str) -> bool:
        """See the port."""
        return await self._read(reads.is_hidden, conversation_id, item_id)

    async def segments(self, conversation_id: str, *, after: str | None, limit: int) -> list[SegmentSummary]:
        """See the port."""
        return await self._read(reads.segments, conversation_id, after, limit)

    async def siblings(self, account_id: str, conversation_id: str, item: Item, limit: int) -> list[Item]:
        """See the port."""
        return await self._read(reads.siblings, account_id, conversation_id, item, limit)


class SqliteRuns:
    """Port `Runs`."""

    def __init__(self, readers: _Readers) -> None:
        self._read = readers

    async def get(self, account_id: str, run_id: str) -> Run | None:
        """See the port."""
        return await self._read(reads_runs.run, account_id, run_id)

    async def outputs(self, run: Run) -> list[Item]:
        """See the port."""
        return await self._read(reads_runs.outputs, run)

    async def inputs(self, run: Run) -> list[Item]:
        """See the port."""
        return await self._read(reads_runs.inputs, run)

    async def log(self, run: Run) -> tuple[bytes, bool]:
        """See the port."""
        return await self._read(reads_runs.log, run.id)

    async def page(
        self,
        account_id: str,
        *,
        surface: str,
        after: str | None,
        limit: int,
        descending: bool,
        model: str | None,
        metadata: dict[str, str],
    ) -> list[Run]:
        """See the port."""
        return await self._read(
            reads_runs.runs, account_id, surface, after, limit, descending, model, metadata
        )

    async def on_input(self, run: Run, limit: int) -> list[str]:
        """See the port."""
        return await self._read(reads_runs.on_input, run, limit)

    async def key(self, owner_id: str, key: str, now_us: int) -> KeyRecord | None:
        """See the port."""
        return await self._read(reads_runs.key, owner_id, key, now_us)

    async def longest_prefix(self, owner_id: str, hashes: Sequence[bytes]) -> tuple[int, Item, str] | None:
        """See the port."""
        return await self._read(reads_runs.longest_prefix, owner_id, hashes)


class SqliteStorage:
    """Port `Storage` on one file."""

    def __init__(self, path: Path, writer: SqliteWriter, lock: int) -> None:
        self._writer = writer
        self._lock = lock
        self._readers = _Readers(path)
        self.unit_of_work = SqliteUnitOfWork(writer)
        self.journal = SqliteJournal(writer, self._readers)
        self.accounts = SqliteAccounts(self._readers)
        self.conversations = SqliteConversations(self._readers)
        self.tree = SqliteTree(self._readers)
        self.runs = SqliteRuns(self._readers)

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


async def open_sqlite(directory: Path, *, power_safe: bool = False) -> SqliteStorage:
    """Open the store under `directory`, migrating it first if it is older.

    `power_safe` waits for the disk at every commit (survives power loss); without it commits
    survive the death of the process. Raises DataDirectoryLocked if another process has it.
    """
    lock = lock_directory(directory)
    path = directory / FILE_NAME
    try:
        connection = _connect(path, synchronous="FULL" if power_safe else "NORMAL")
        path.chmod(0o600)
        if migrate.current_revision(connection) != migrate.NEWEST_REVISION:
            await asyncio.to_thread(migrate.upgrade_sqlite, path)
        return SqliteStorage(path, SqliteWriter(connection, asyncio.get_running_loop()), lock)
    except BaseException:
        os.close(lock)
        raise
