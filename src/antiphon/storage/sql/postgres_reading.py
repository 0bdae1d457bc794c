"""Reads on PostgreSQL: the same plain functions that SQLite's reader threads run.

A read is a function that asks and goes on with the answer. Here it runs in a greenlet, which stops
at each question until the event loop has the answer; nobody waits meanwhile but whoever asked. The
switch costs under a microsecond, a statement some forty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from greenlet import getcurrent, greenlet

from antiphon.storage.sql.database import Db
from antiphon.storage.sql.postgres_pool import GONE, Pool, Session
from antiphon.storage.sql.postgres_text import bound, read_back, translated

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS: Final = 2
"""A read that lost its connection is asked once more: nothing was written."""


class FetchedRows:
    """Rows that have arrived."""

    __slots__ = ("_at", "_rows")

    def __init__(self, rows: Sequence[Any]) -> None:
        self._rows = rows
        self._at = 0

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        at, self._at = self._at, self._at + 1
        return self._rows[at] if at < len(self._rows) else None

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        at, self._at = self._at, len(self._rows)
        return list(self._rows[at:])

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchall())


class Asking:
    """A `Db` inside a read's greenlet: every statement is handed to whoever runs it."""

    def execute(self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = (), /) -> FetchedRows:
        """Return a statement's rows."""
        form = translated(statement)
        parent = getcurrent().parent
        assert parent is not None  # noqa: S101 - a read is never run outside `answering`
        records = parent.switch(form.text, bound(form, parameters))
        return FetchedRows(read_back(records) if form.is_free else records)


async def answering(
    connection: Session, read: Callable[Concatenate[Db, P], T], /, *args: P.args,
    **kwargs: P.kwargs,
) -> T:  # fmt: skip
    """Run a read on a connection."""
    body = greenlet(read)
    asked: Any = body.switch(Asking(), *args, **kwargs)
    while not body.dead:
        text, values = asked
        try:
            records = await connection.fetch(text, *values)
        except BaseException as error:
            asked = body.throw(error)
        else:
            asked = body.switch(records)
    return asked  # type: ignore[no-any-return] # what the function returned


class PostgresReads:
    """`Reads` on pooled connections."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def __call__(self, read: Callable[Concatenate[Db, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `read` returns; raises Unavailable if the database does not answer."""
        for attempt in range(1, ATTEMPTS + 1):
            async with self._pool.connection() as connection:
                try:
                    return await answering(connection, read, *args, **kwargs)
                except GONE:
                    if attempt == ATTEMPTS:
                        raise
        raise AssertionError("unreachable")
