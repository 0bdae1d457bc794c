"""A store of two as exports and imports see it: the rows of both, in the form that stores in SQL have."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Final

from antiphon.domain.archives import BadArchive, Row, Table
from antiphon.domain.errors import Unavailable
from antiphon.ports.archives import Loading, Snapshot, Transfer
from antiphon.ports.write_sets import Command
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.connection import opened
from antiphon.storage.mongo.copying import Copying
from antiphon.storage.mongo.database import Database, Document
from antiphon.storage.mongo.draft import require_room
from antiphon.storage.mongo.leases import living
from antiphon.storage.mongo.log import Log, record_id
from antiphon.storage.mongo.rows import KINDS, OWNED, document_of, row_of
from antiphon.storage.mongo.spool import Spool
from antiphon.storage.mongo.store import FORM, TOO_NEW
from antiphon.storage.pairing import FOREIGN, PAIR, pair_of
from antiphon.storage.sql.migrate import NEWEST_REVISION

HELD: Final = "held"
OLDER: Final = (
    "The archive has the schema {} of an older release, and MongoDB takes that of this one only ({}): import"
    " it into SQLite or PostgreSQL, which migrates it, and export that."
)
NOT_STARTED: Final = "The accounts' store has the schema {}, this release's is {}: start the server once."


class MongoSnapshot:
    """Port `Snapshot`: what was copied from MongoDB, and the accounts as they were a moment later."""

    def __init__(self, spool: Spool, accounts: Snapshot) -> None:
        self._spool = spool
        self._accounts = accounts
        self.revision = accounts.revision

    async def tables(self) -> list[Table]:
        """See the port."""
        return await self._accounts.tables()

    async def rows(self, table: Table) -> AsyncIterator[Row]:
        """See the port."""
        if table.name in KINDS:
            for row in self._spool.rows(table.name):
                yield row
            return
        async for one in self._accounts.rows(table):
            yield one

    async def contents(self) -> AsyncIterator[tuple[str, str]]:
        """See the port."""
        (blobs,) = [one for one in await self.tables() if one.name == "blobs"]
        places = [blobs.columns.index(name) for name in ("owner_id", "digest", "state")]
        for row in self._spool.rows("blobs"):
            owner_id, digest, state = (str(row[place]) for place in places)
            if state == HELD:
                yield owner_id, digest


class MongoLoading:
    """Port `Loading`; rows that are there already stay, and a part that was half written is written again."""

    def __init__(self, database: Database, accounts: Loading) -> None:
        self._database = database
        self._accounts = accounts
        self._begun: set[str] = set()

    async def is_empty(self) -> bool:
        """See the port."""
        for collection in (*(kind.collection for kind in KINDS.values()), db.LOG, db.ABOUT):
            if await self._database.first(collection, {}, fields=["_id"]) is not None:
                return False
        return await self._accounts.is_empty()

    async def tables(self) -> list[Table]:
        """See the port."""
        return await self._accounts.tables()

    async def put(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """See the port; raises TooLarge for what no document can hold."""
        if table not in KINDS:
            await self._accounts.put(table, columns, rows)
            return
        documents = [document_of(table, columns, row) for row in rows]
        for one in documents:
            require_room(one)
        if table in OWNED:
            await self._begin_logs({str(one["p"]) for one in documents})
        await self._database.insert_new(KINDS[table].collection, documents)

    async def _begin_logs(self, owners: set[str]) -> None:
        """Begin an owner's log, by which owners are found."""
        now = time.time_ns() // 1000
        new = sorted(owners - self._begun)
        records = [{"_id": record_id(one, 1), "p": one, "n": 1, "token": "import", "at": now} for one in new]
        await self._database.insert_new(db.LOG, records)
        self._begun |= owners

    async def rows(self, table: Table) -> AsyncIterator[Row]:
        """See the port."""
        if table.name in KINDS:
            async for found in self._database.each(KINDS[table.name].collection, {}):
                yield row_of(table, found)
            return
        async for one in self._accounts.rows(table):
            yield one

    async def finish(self) -> None:
        """See the port; the two stores belong together from now on."""
        about: Document = {"_id": "store", "pair": secrets.token_hex(16), "form": FORM}
        if not await self._database.insert(db.ABOUT, about):
            about = await self._database.get(db.ABOUT, "store") or about
        owner_id, alias = PAIR
        columns = ("owner_id", "alias", "slot", "target_id")
        await self._accounts.put("aliases", columns, [(owner_id, alias, 0, about["pair"])])
        await self._accounts.finish()


class MongoTransfer:
    """Port `Transfer` on the database at `url`, and on the accounts beside it."""

    def __init__(self, url: str, accounts: Transfer) -> None:
        self._url = url
        self._accounts = accounts

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[MongoSnapshot]:
        """See the port."""
        async with opened(self._url) as database:
            with closing(Spool()) as spool:
                await self._copy(database, spool)
                async with self._accounts.snapshot() as accounts:
                    yield MongoSnapshot(spool, accounts)

    async def _copy(self, database: Database, spool: Spool) -> None:
        async with self._accounts.snapshot() as accounts:
            if accounts.revision != NEWEST_REVISION:
                raise Unavailable(NOT_STARTED.format(accounts.revision, NEWEST_REVISION))
            tables = {one.name: one for one in await accounts.tables()}
            pair = await pair_of(accounts)
        about = await database.get(db.ABOUT, "store")
        if about is None or pair is None or about["pair"] != pair:
            raise Unavailable(FOREIGN)
        if about["form"] > FORM:
            raise Unavailable(TOO_NEW)
        await Copying(database, Log(database, _note_nothing, shared=True), tables, spool).all()

    @asynccontextmanager
    async def loading(self, revision: str) -> AsyncIterator[MongoLoading]:
        """See the port."""
        if revision != NEWEST_REVISION:
            raise BadArchive(OLDER.format(revision, NEWEST_REVISION))
        async with opened(self._url) as database, self._accounts.loading(revision) as accounts:
            await database.prepare()
            if found := await living(database):
                raise Unavailable(f"Servers run on this database ({len(found)}); stop them first.")
            yield MongoLoading(database, accounts)


async def _note_nothing(tail: Sequence[Command]) -> None:
    """Nothing is committed by who reads."""
