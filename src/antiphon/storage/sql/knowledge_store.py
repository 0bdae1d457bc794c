"""What every port of knowledge works on: a store that runs functions of a connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, runtime_checkable

from antiphon.storage.sql.database import Db, Reads
from antiphon.storage.sql.sqlite_readers import Readers
from antiphon.storage.sql.sqlite_writer import SqliteWriter

P = ParamSpec("P")
T = TypeVar("T")

Owners = tuple[str, ...]
"""Whose rows a transaction writes. Transactions of one owner take turns, whichever server they are on."""

EVERYBODY: Final[Owners] = ()
"""Of a transaction that concerns all owners: it is alone."""


class KnowledgeStore(Protocol):
    """Runs functions of a connection, and says beside whom."""

    @property
    def read(self) -> Reads:
        """Run a function that asks, beside others."""
        ...

    async def snapshot(self, work: Callable[Concatenate[Db, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that also computes, in a thread; all it asks is answered as of one moment."""
        ...

    async def write(
        self, owners: Owners, work: Callable[Concatenate[Db, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work` in a transaction and return its result; Conflict undoes all of it."""
        ...


@runtime_checkable
class Streams(Protocol):
    """A connection that hands over many rows in portions by itself."""

    def portions(self, statement: str, values: Sequence[Any], size: int) -> Iterator[list[Any]]:
        """Yield the rows of a statement, up to `size` at a time."""
        ...


def portions(db: Db, statement: str, values: Sequence[Any], size: int) -> Iterator[list[Any]]:
    """Yield the rows of a statement, up to `size` at a time, which is all that is held of them."""
    if isinstance(db, Streams):
        yield from db.portions(statement, values, size)
        return
    cursor: Any = db.execute(statement, values)
    while found := cursor.fetchmany(size):
        yield found


class SqliteKnowledgeStore:
    """`KnowledgeStore` on a file with one writer, whose transactions all take turns."""

    def __init__(self, writer: SqliteWriter, readers: Readers) -> None:
        self._writer = writer
        self.read: Reads = readers

    async def snapshot(self, work: Callable[Concatenate[Db, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See the protocol; reads run in threads anyway."""

        def at_once(db: Db) -> T:
            db.execute("BEGIN")
            try:
                return work(db, *args, **kwargs)
            finally:
                db.execute("COMMIT")

        return await self.read(at_once)

    async def write(
        self, owners: Owners, work: Callable[Concatenate[Db, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """See the protocol."""
        results: list[T] = []

        def job(db: sqlite3.Connection) -> None:
            results[:] = [work(db, *args, **kwargs)]  # a batch that failed is run again, job by job

        await self._writer.submit(job)
        return results[0]
