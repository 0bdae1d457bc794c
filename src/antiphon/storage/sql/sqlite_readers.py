"""Reader threads of the embedded store."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from antiphon.storage.system_errors import without_descriptor

READERS: Final = 3

P = ParamSpec("P")
T = TypeVar("T")


class Readers:
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
        """Return what `read` returns; raises Unavailable if there are too many open files."""
        try:
            return await self._loop.run_in_executor(
                self._pool, lambda: read(self._connection(), *args, **kwargs)
            )
        except sqlite3.OperationalError as error:
            if (unopened := without_descriptor(error)) is None:
                raise
            raise unopened from error

    def close(self) -> None:
        self._pool.shutdown(wait=True)
        for connection in self._open:
            connection.close()
