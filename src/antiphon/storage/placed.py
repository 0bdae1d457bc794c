"""Knowledge as exports and imports see it, wherever its passages lie: marks of the place stay behind.

Where passages are and which store has them is true of one store only, so no archive says it. Needs no driver.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

from antiphon.domain.archives import Row, Table
from antiphon.ports.archives import Loading, Snapshot, Transfer
from antiphon.storage.sql.knowledge_elsewhere import GIVEN, KEPT, MONGODB, PAIR

MARKS: Final = "marks"
OF_A_PLACE: Final = (GIVEN, KEPT, PAIR)


class Counting(Loading, Protocol):
    """A store that is told how many words the passages of its sources have, since they lie elsewhere."""

    async def set_words(self, words: Mapping[int, int]) -> None:
        """Note the words of sources, by number, and those of scopes."""
        ...


async def is_elsewhere(knowledge: Snapshot) -> bool:
    """Whether the passages of a store are in MongoDB."""
    found = False
    for table in await knowledge.tables():
        if table.name == MARKS:
            name, value = (table.columns.index(one) for one in ("name", "value"))
            async for row in knowledge.rows(table):  # to its end: a cursor that is left is closed too late
                found = found or (row[name], row[value]) == (KEPT, MONGODB.encode())
    return found


async def moved_rows(inner: Snapshot | Loading, table: Table) -> AsyncIterator[Row]:
    """Iterate over the rows of a table that another store may have as well."""
    name = table.columns.index("name") if table.name == MARKS else None
    async for row in inner.rows(table):
        if name is None or row[name] not in OF_A_PLACE:
            yield row


class PlacedSnapshot:
    """Port `Snapshot`."""

    def __init__(self, inner: Snapshot) -> None:
        self._inner = inner
        self.revision = inner.revision

    async def tables(self) -> list[Table]:
        """See the port."""
        return await self._inner.tables()

    def rows(self, table: Table) -> AsyncIterator[Row]:
        """See the port."""
        return moved_rows(self._inner, table)

    def contents(self) -> AsyncIterator[tuple[str, str]]:
        """See the port."""
        return self._inner.contents()


class PlacedLoading:
    """Port `Loading`."""

    def __init__(self, inner: Loading) -> None:
        self._inner = inner

    async def is_empty(self) -> bool:
        """See the port."""
        return await self._inner.is_empty()

    async def tables(self) -> list[Table]:
        """See the port."""
        return await self._inner.tables()

    async def put(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """See the port."""
        await self._inner.put(table, columns, rows)

    def rows(self, table: Table) -> AsyncIterator[Row]:
        """See the port."""
        return moved_rows(self._inner, table)

    async def finish(self) -> None:
        """See the port."""
        await self._inner.finish()


class PlacedTransfer:
    """Port `Transfer` on knowledge whose passages are where it is."""

    def __init__(self, inner: Transfer) -> None:
        self._inner = inner

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """See the port."""
        async with self._inner.snapshot() as inner:
            yield PlacedSnapshot(inner)

    @asynccontextmanager
    async def loading(self, revision: str) -> AsyncIterator[Loading]:
        """See the port."""
        async with self._inner.loading(revision) as inner:
            yield PlacedLoading(inner)
