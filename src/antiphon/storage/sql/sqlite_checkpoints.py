"""Moves what SQLite's write-ahead log holds into its file, beside the writer.

A checkpoint waits for the disk twice. Done by the writer, as SQLite does it by itself, it holds up
every commit behind it: 10 ms and more where the disk has other work. A second connection may do it
while the writer goes on (https://sqlite.org/wal.html#ckpt); the writer is left with the few pages that
came meanwhile, and only when the log would grow too long, which never pauses by itself under load.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import threading
from typing import Final

COMMITS: Final = 512
ROWS: Final = 4_000
"""A checkpoint follows so many commits or changed rows: some 1,600 to 4,000 pages of 4 KiB. The last page of
every table is written by commit after commit, and copied once by each checkpoint: a turn costs 7 % less than
with a quarter of both."""

SECONDS: Final = 30.0
"""After so long it follows in any case: until then a commit may lie in memory that a lost power empties."""

MAX_LOG_PAGES: Final = 8_000
"""From 32 MiB on the writer itself makes an end of the log, so that it begins anew."""

NICENESS: Final = 10
"""A checkpoint has time, and on a machine with one core the event loop has not."""


class Checkpoints:
    """The thread and the connection that checkpoint one file; made, told and closed by its writer.

    `written` is called in the writer's thread. A file in memory, or one without a log, has none.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._writer = connection
        self._commits = 0
        self._uncopied = True
        self._changes = connection.total_changes
        self._due = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        path = connection.execute("PRAGMA database_list").fetchone()[2]
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        if path and mode == "wal":
            connection.execute(f"PRAGMA wal_autocheckpoint={MAX_LOG_PAGES}")
            self._thread = threading.Thread(
                target=self._run, args=(path,), name="sqlite-checkpoints", daemon=True
            )
            self._thread.start()

    def written(self) -> None:
        """Note one commit."""
        self._commits += 1
        self._uncopied = True
        changes = self._writer.total_changes
        if self._commits >= COMMITS or changes - self._changes >= ROWS:
            self._commits, self._changes = 0, changes
            self._due.set()

    def close(self) -> None:
        """End the thread; blocks until it has. The writer's connection is to be closed after it."""
        self._closed = True
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, path: str) -> None:
        if sys.platform == "linux":  # where each thread has a priority of its own
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            while True:
                due = self._due.wait(SECONDS)
                self._due.clear()
                if self._closed:
                    return
                if not (due or self._uncopied):
                    continue
                self._uncopied = False
                # What fails here (a full disk) fails for the writer too, who tells those that wait.
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
