"""What a read needs of a database: a connection that answers statements with rows.

A read is a plain function of such a connection, written once. On SQLite a reader thread runs it; on
PostgreSQL the event loop does, see `postgres_reading`. The verbs of knowledge write in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Rows(Protocol):
    """What a statement answers; a row is a sequence of its columns."""

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        ...

    @property
    def rowcount(self) -> int:
        """How many rows a statement wrote; of no use for one that reads."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Db(Protocol):
    """A connection. Statements have `?` or `:name` for their values."""

    def execute(self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ..., /) -> Rows:
        """Run one statement."""
        ...

    def executemany(self, statement: str, parameters: Iterable[Sequence[Any]], /) -> object:
        """Run one statement with each of several rows of values."""
        ...


class Reads(Protocol):
    """Runs reads, each with a connection of its own for as long as it takes."""

    async def __call__(self, read: Callable[Concatenate[Db, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `read` returns of a connection and the arguments."""
        ...
