"""Brings what SQLite's write-ahead log holds to the disk and into its file, beside the writer.

A checkpoint waits for the disk twice. Done by the writer, as SQLite does it by itself, it holds up
every commit behind it: 10 ms and more where the disk has other work. A second connection may do it
while the writer goes on (https://sqlite.org/wal.html#ckpt); the writer is left with the few pages that
came meanwhile, and only when the log would grow too long, which never pauses by itself under load.

A commit that comes while much of the log goes to the disk waits as well, so it goes in small portions,
and only every so many of them is copied into the file. Measured in decision 17.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from typing import Final

COMMITS: Final = 32
ROWS: Final = 250
"""The log goes to the disk after so many commits or changed rows: some 100 to 250 pages of 4 KiB."""

PORTIONS: Final = 16
"""Every so many times it is copied into the file, too. The last page of every table is written by commit
after commit and copied once: a turn costs 2 to 4 % less than with a quarter of it."""

SECONDS: Final = 5.0
"""After so long the log goes to the disk in any case: a machine that loses its power forgets no more, where
commits do not wait for the disk."""

MAX_LOG_PAGES: Final = 8_000
"""From 32 MiB on the writer itself makes an end of the log, so that it begins anew."""

_sync = getattr(os, "fdatasync", os.fsync)


class Checkpoints:
    """The thread and the connection that checkpoint one file; made, told and closed by its writer.

    `written` is called in the writer's thread. A file in memory, or one without a log, has none.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._writer = connection
        self._commits = 0
        self._portions = 0
        self._waiting = True
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
        self._waiting = True
        changes = self._writer.total_changes
        rows = changes - self._changes
        if self._commits >= COMMITS or rows >= ROWS:
            self._commits, self._changes = 0, changes
            self._portions += max(rows // ROWS, 1)
            self._due.set()

    def close(self) -> None:
        """End the thread; blocks until it has. The writer's connection is to be closed after it."""
        self._closed = True
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, path: str) -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            while True:
                self._due.wait(SECONDS)
                self._due.clear()
                if self._closed:
                    return
                if not self._waiting:
                    continue
                self._waiting = False
                # What fails here (a full disk) fails for the writer too, who tells those that wait.
                with contextlib.suppress(OSError, sqlite3.Error):
                    if self._portions >= PORTIONS:
                        self._portions = 0
                        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")  # waits for the log as well
                    else:
                        _to_the_disk(path + "-wal")


def _to_the_disk(path: str) -> None:
    """Wait until a file's content is on the disk. It is one that SQLite holds no lock on."""
    log = os.open(path, os.O_RDWR)
    try:
        _sync(log)
    finally:
        os.close(log)
