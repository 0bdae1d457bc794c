"""Knowledge whose passages are in MongoDB as exports and imports see it: rows, as stores in SQL have them.

What is seen is decided in SQL, so the moment of a copy is that of a snapshot there. A source's row changes
with its passages: what was read of MongoDB goes with a snapshot if no row has changed since before, and of
those that have it is read again.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any, Final, cast

from antiphon.domain.archives import Row, Table
from antiphon.domain.errors import Unavailable
from antiphon.ports.archives import Loading, Snapshot, Transfer
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.connection import opened
from antiphon.storage.mongo.database import Database, Document
from antiphon.storage.mongo.passage_spool import KEPT, PassageSpool
from antiphon.storage.mongo.passage_store import ABOUT_PASSAGES
from antiphon.storage.placed import (
    MARKS,
    Counting,
    PlacedLoading,
    PlacedSnapshot,
    is_elsewhere,
    moved_rows,
)
from antiphon.storage.sql import knowledge_elsewhere as elsewhere

TRIES: Final = 30
SLICE: Final = 256
"""Documents written at once."""
SOURCES: Final = "sources"
NEVER_WHOLE: Final = "Documents and messages are indexed without a pause. Try again later."


class PassageSnapshot(PlacedSnapshot):
    """Port `Snapshot`: what SQL has, and what was copied of MongoDB."""

    def __init__(self, inner: Snapshot, spool: PassageSpool) -> None:
        super().__init__(inner)
        self._spool = spool

    def rows(self, table: Table) -> AsyncIterator[Row]:
        """See the port."""
        return _spooled(self._spool, table) if table.name in KEPT else moved_rows(self._inner, table)


class PassageLoading(PlacedLoading):
    """Port `Loading`; documents are written when all that belongs to them is here."""

    def __init__(self, inner: Counting, database: Database, spool: PassageSpool) -> None:
        super().__init__(inner)
        self._counting = inner
        self._database = database
        self._spool = spool
        self._words: dict[int, int] | None = None

    async def is_empty(self) -> bool:
        """See the port."""
        if await self._database.get(db.ABOUT, ABOUT_PASSAGES) is not None:
            return False
        if await self._database.first(db.PASSAGES, {}, fields=["_id"]) is not None:
            return False
        return await self._inner.is_empty()

    async def put(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """See the port."""
        if table in KEPT:
            self._spool.put(table, columns, rows)
            return
        if table == SOURCES:
            _take_sources(self._spool, columns, rows)
        await self._inner.put(table, columns, rows)

    def rows(self, table: Table) -> AsyncIterator[Row]:
        """See the port."""
        return self._written(table) if table.name in KEPT else moved_rows(self._inner, table)

    async def _written(self, table: Table) -> AsyncIterator[Row]:
        await self._write()
        with closing(PassageSpool()) as there:
            for source in await _tables(self._inner, SOURCES):
                async for row in self._inner.rows(source):
                    _take_sources(there, source.columns, [row])
            async for one in self._database.each(db.PASSAGES, {}):
                there.take(one)
            async for row in _spooled(there, table):
                yield row

    async def _write(self) -> None:
        """Write the documents, once."""
        if self._words is not None:
            return
        words: dict[int, int] = {}
        some: list[Document] = []
        for one in self._spool.documents():
            words[one["source"]] = words.get(one["source"], 0) + one["length"]
            some.append(one)
            if len(some) == SLICE:
                await self._database.insert_new(db.PASSAGES, some)
                some = []
        await self._database.insert_new(db.PASSAGES, some)
        self._words = words

    async def finish(self) -> None:
        """See the port; the two stores belong together from now on."""
        await self._write()
        await self._inner.finish()
        await self._counting.set_words(self._words or {})
        about: Document = {"_id": ABOUT_PASSAGES, "pair": secrets.token_hex(16)}
        if not await self._database.insert(db.ABOUT, about):
            about = await self._database.get(db.ABOUT, ABOUT_PASSAGES) or about
        marks = {elsewhere.GIVEN: str(self._spool.last()), elsewhere.PAIR: about["pair"]}
        marks[elsewhere.KEPT] = elsewhere.MONGODB
        await self._inner.put(MARKS, ("name", "value"), [(name, one.encode()) for name, one in marks.items()])


class PassageTransfer:
    """Port `Transfer` on knowledge, with passages in the database at `url` if they are or shall be there."""

    def __init__(self, url: str, inner: Transfer, *, wanted: bool) -> None:
        self._url = url
        self._inner = inner
        self._wanted = wanted

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """See the port."""
        async with self._inner.snapshot() as inner:
            if not await is_elsewhere(inner):
                yield PlacedSnapshot(inner)
                return
        async with opened(self._url) as database:
            with closing(PassageSpool()) as spool:
                await self._read(database, spool, None)
                for _ in range(TRIES):
                    async with self._inner.snapshot() as inner:
                        changed = await _changed(inner, spool)
                        if not changed:
                            yield PassageSnapshot(inner, spool)
                            return
                    await self._read(database, spool, changed)
        raise Unavailable(NEVER_WHOLE)

    async def _read(self, database: Database, spool: PassageSpool, sources: Sequence[int] | None) -> None:
        """Copy the passages of some sources, or of all."""
        for source_no in sources or ():
            spool.clear(source_no)
            async for one in database.each(db.PASSAGES, {"source": source_no}):
                spool.take(one)
        if sources is None:
            async for one in database.each(db.PASSAGES, {}):
                spool.take(one)

    @asynccontextmanager
    async def loading(self, revision: str) -> AsyncIterator[Loading]:
        """See the port."""
        async with self._inner.loading(revision) as inner:
            if not self._wanted:
                yield PlacedLoading(inner)
                return
            async with opened(self._url) as database:
                await database.prepare((db.ABOUT, db.PASSAGES))
                with closing(PassageSpool()) as spool:
                    yield PassageLoading(cast(Counting, inner), database, spool)


async def _spooled(spool: PassageSpool, table: Table) -> AsyncIterator[Row]:
    for row in spool.rows(table.name, table.columns):
        yield row


async def _tables(store: Snapshot | Loading, name: str) -> list[Table]:
    return [table for table in await store.tables() if table.name == name]


def _take_sources(spool: PassageSpool, columns: Sequence[str], rows: Sequence[Row]) -> list[int]:
    """Take rows of sources; returns the numbers of those that are new or changed."""
    changed: list[int] = []
    for row in rows:
        fields: dict[str, Any] = dict(zip(columns, row, strict=True))
        if spool.changed(fields["no"], fields["owner_id"], fields["scope_no"], row):
            changed.append(fields["no"])
    return changed


async def _changed(snapshot: Snapshot, spool: PassageSpool) -> list[int]:
    """Take the sources of a snapshot; returns those that have changed since the one before."""
    changed: list[int] = []
    there: set[int] = set()
    for table in await _tables(snapshot, SOURCES):
        place = table.columns.index("no")
        async for row in snapshot.rows(table):
            there.add(cast(int, row[place]))
            changed += _take_sources(spool, table.columns, [row])
    spool.keep_sources(there)
    return changed
