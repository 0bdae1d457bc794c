"""What every port of knowledge works on: the file's writer and its readers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from antiphon.storage.sql.sqlite_readers import Readers
from antiphon.storage.sql.sqlite_writer import SqliteWriter

P = ParamSpec("P")
T = TypeVar("T")
Db = sqlite3.Connection


class KnowledgeStore:
    """Runs functions of a connection: `read` beside others, `write` as one transaction."""

    def __init__(self, writer: SqliteWriter, readers: Readers) -> None:
        self._writer = writer
        self.read = readers

    async def write(self, work: Callable[Concatenate[Db, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a transaction and return its result; Conflict undoes all of it."""
        results: list[T] = []

        def job(db: Db) -> None:
            results[:] = [work(db, *args, **kwargs)]  # a batch that failed is run again, job by job

        await self._writer.submit(job)
        return results[0]
