"""Reads on PostgreSQL: the same plain functions that SQLite's reader threads run.

A read (or a verb of knowledge, which also writes) is a function that asks and goes on with the answer. Here
it runs in a greenlet, which stops
at each question until the event loop has the answer; nobody waits meanwhile but whoever asked. The
switch costs under a microsecond, a statement some forty.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from greenlet import getcurrent, greenlet

from antiphon.storage.sql.database import Db
from antiphon.storage.sql.postgres_pool import GONE, Pool, Session, is_silence
from antiphon.storage.sql.postgres_text import Translated, bound, read_back, translated

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS: Final = 2
"""A read that lost its connection is asked once more: nothing was written."""


class FetchedRows:
    """Rows that have arrived."""

    __slots__ = ("_at", "_rows", "rowcount")

    def __init__(self, rows: Sequence[Any], rowcount: int) -> None:
        self._rows = rows
        self._at = 0
        self.rowcount = rowcount

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
        return answer(form, _asked(asking(form), form, bound(form, parameters)))

    def executemany(self, statement: str, parameters: Iterable[Sequence[Any]], /) -> None:
        """Run a statement with each of several rows of values."""
        form = translated(statement)
        if rows := [bound(form, one) for one in parameters]:
            _asked(_many, form, rows)


Asked = Callable[[Session, str, list[Any]], Awaitable[Any]]


def _asked(how: Asked, form: Translated, values: list[Any]) -> Any:
    """Have whoever runs this greenlet ask."""
    parent = getcurrent().parent
    assert parent is not None  # noqa: S101 - a read is never run outside `answering`
    return parent.switch(how, form.text, values)


async def _fetch(connection: Session, text: str, values: list[Any]) -> Any:
    return await connection.fetch(text, *values)


async def _execute(connection: Session, text: str, values: list[Any]) -> Any:
    return await connection.execute(text, *values)


async def _many(connection: Session, text: str, values: list[Any]) -> Any:
    return await connection.executemany(text, values)


def asking(form: Translated) -> Asked:
    """Return how a statement is run: the driver tells either its rows or how many it wrote."""
    return _fetch if form.has_rows else _execute


def answer(form: Translated, told: Any) -> FetchedRows:
    """Return what the driver told as rows."""
    if not form.has_rows:
        count = told.rsplit(" ", 1)[-1]
        return FetchedRows((), int(count) if count.isdecimal() else 0)
    return FetchedRows(read_back(told) if form.is_free else told, len(told))


async def answering(
    connection: Session, read: Callable[Concatenate[Db, P], T], /, *args: P.args,
    **kwargs: P.kwargs,
) -> T:  # fmt: skip
    """Run a read on a connection."""
    body = greenlet(read)
    asked: Any = body.switch(Asking(), *args, **kwargs)
    while not body.dead:
        how, text, values = asked
        try:
            records = await how(connection, text, values)
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
                except GONE as error:
                    if attempt == ATTEMPTS or is_silence(error):
                        raise
                    await self._pool.renew()
        raise AssertionError("unreachable")
