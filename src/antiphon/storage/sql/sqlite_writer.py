"""The one thread that writes a SQLite file.

It takes everything waiting (write sets, ticks) into one transaction and answers all of it with
one call into the event loop. Nearly all sets keep their guards, so a batch is tried without
savepoints, whose copies of every page cost a tenth of the writing; if a guard is lost after
something was written, the batch is rolled back and written again with them, and that set is undone
alone by its own. After an unexpected error the batch is replayed job by job, so that one bad job
cannot hurt its neighbours.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Final

from antiphon.domain.errors import Conflict, StorageFull
from antiphon.ports.write_sets import Command
from antiphon.storage.sql import commands
from antiphon.storage.sql.sqlite_checkpoints import Checkpoints
from antiphon.storage.system_errors import without_descriptor

MAX_BATCH: Final = 512
"""Jobs in one transaction: bounds how long a commit can take."""

Work = Callable[[sqlite3.Connection], None]
"""Statements of one job; raises to have them undone."""

_FULL = ("disk is full", "readonly", "disk I/O error", "unable to open")


class _LostLate(Exception):
    """A guard was lost after its set had written something."""


class _Job:
    __slots__ = ("error", "future", "work")

    def __init__(self, work: Work, future: asyncio.Future[None]) -> None:
        self.work = work
        self.future = future
        self.error: BaseException | None = None


def run_commands(connection: sqlite3.Connection, sets: Sequence[Command]) -> None:
    """Execute a write set; raises Conflict at the first guard that does not hold."""
    execute = connection.execute
    for command in sets:
        for statement, parameters, expect in commands.steps(command):
            cursor = execute(statement, parameters)
            if expect is not None and cursor.rowcount < expect:
                raise Conflict(type(command).__name__)


class SqliteWriter:
    """Owns the write connection; `submit` may be called from the event loop only."""

    def __init__(self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._checkpoints = Checkpoints(connection)
        self._loop = loop
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> asyncio.Future[None]:
        """Queue statements; the future is done after their commit.

        They may run more than once, each time after being undone.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        if self._closed:
            future.set_exception(StorageFull("The store is closed."))
            return future
        self._queue.put(_Job(work, future))
        if not self._thread.is_alive():
            self._refuse_late()  # the close came between the look and the put
        return future

    def write(self, sets: Sequence[Command]) -> asyncio.Future[None]:
        """Queue one write set."""
        return self.submit(lambda connection: run_commands(connection, sets))

    def close(self) -> None:
        """Write what is queued, then end the thread; blocks until it has."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()
            self._checkpoints.close()
            self._connection.close()
            self._refuse_late()

    def _refuse_late(self) -> None:
        """Answer jobs that were queued while the thread was ending."""
        late: list[_Job] = []
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._queue.get_nowait()
                if job is not None:
                    job.error = StorageFull("The store is closed.")
                    late.append(job)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_answer, late)

    def _run(self) -> None:
        running = True
        while running:
            batch, running = self._take()
            if batch:
                self._write_batch(batch)
                with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits
                    self._loop.call_soon_threadsafe(_answer, batch)
            del batch  # else the last jobs' data stays until the next come

    def _take(self) -> tuple[list[_Job], bool]:
        batch: list[_Job] = []
        job = self._queue.get()
        while job is not None:
            batch.append(job)
            if len(batch) >= MAX_BATCH:
                return batch, True
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _write_batch(self, batch: list[_Job]) -> None:
        try:
            try:
                self._transaction(batch, careful=False)
            except _LostLate:
                self._transaction(batch, careful=True)
        except Exception as error:
            if len(batch) == 1:
                batch[0].error = _named(error)
                return
            for job in batch:
                try:
                    self._transaction([job], careful=True)
                except Exception as alone:
                    job.error = _named(alone)

    def _transaction(self, batch: list[_Job], *, careful: bool) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            for job in batch:
                job.error = None
                if careful:
                    self._one_alone(connection, job)
                else:
                    self._one(connection, job)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._checkpoints.written()

    @staticmethod
    def _one(connection: sqlite3.Connection, job: _Job) -> None:
        before = connection.total_changes
        try:
            job.work(connection)
        except Conflict as lost:
            if connection.total_changes != before:
                raise _LostLate from None
            job.error = lost.with_traceback(None)  # its frames hold the job, which holds it

    @staticmethod
    def _one_alone(connection: sqlite3.Connection, job: _Job) -> None:
        connection.execute("SAVEPOINT job")
        try:
            job.work(connection)
        except Conflict as lost:
            job.error = lost.with_traceback(None)
            connection.execute("ROLLBACK TO job")
        finally:
            if connection.in_transaction:
                connection.execute("RELEASE job")


def _named(error: Exception) -> Exception:
    if (unopened := without_descriptor(error)) is not None:
        return unopened
    if isinstance(error, sqlite3.OperationalError) and any(word in str(error) for word in _FULL):
        return StorageFull("The store cannot be written now (disk full or read-only).")
    return error


def _answer(batch: list[_Job]) -> None:
    for job in batch:
        if job.future.done():
            continue
        if job.error is None:
            job.future.set_result(None)
        else:
            job.future.set_exception(job.error)
