"""Reading everything of a store that servers go on writing: each owner's documents as of one moment.

An owner's log decides what that moment is. If its newest number was the same before and after an owner's
documents were read, nothing was committed meanwhile, and what was decided but not done yet stands in its
open records. If not, what changed is read again; whoever writes all the time is held for that moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from antiphon.domain.archives import Table
from antiphon.domain.errors import Unavailable
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.database import Database, Document
from antiphon.storage.mongo.draft import GONE
from antiphon.storage.mongo.log import ABORT_SECONDS, POLL_SECONDS, Log
from antiphon.storage.mongo.rows import KINDS, OWNED, row_of
from antiphon.storage.mongo.spool import Spool

FREE_TRIES: Final = 3
TRIES: Final = 30
NOTED_SECONDS: Final = 1.0
"""How long a server that lives may take to note in SQL what stands in a record."""

NEVER_WHOLE: Final = (
    "What is in MongoDB cannot be seen as of one moment: a server died in the middle of a commit just now, or"
    " the database is too slow for what is written. Try again later."
)

_TABLES: Final = {kind.collection: name for name, kind in KINDS.items()}


class Copying:
    """Copies documents into a spool."""

    def __init__(self, database: Database, log: Log, tables: Mapping[str, Table], spool: Spool) -> None:
        self._database = database
        self._log = log
        self._tables = tables
        self._spool = spool
        self._seen_open: Sequence[str] = ()

    async def all(self) -> None:
        """Copy everything; raises Unavailable."""
        for name in OWNED:
            await self._database.index(KINDS[name].collection, ("p", "v"))
        async for one in self._database.each(db.LOG, {}, fields=["p"]):
            self._spool.add_owner(one["p"])
        for owner_id in self._spool.owners():
            await self._take(owner_id)
        await self._take_rest()
        await self._await_notes()

    async def _take(self, owner_id: str) -> None:
        """Copy what an owner has as of one moment."""
        since = -1
        for attempt in range(TRIES):
            head = await self._newest(owner_id)
            if attempt < FREE_TRIES:
                since, is_whole = await self._pass(owner_id, since, head)
                if is_whole and await self._newest(owner_id) == head:
                    return
            elif await self._take_held(owner_id, since, head):
                return
        raise Unavailable(NEVER_WHOLE)

    async def _take_held(self, owner_id: str, since: int, head: int) -> bool:
        """Copy what changed while nobody commits; returns whether that lasted."""
        held = await self._log.hold(owner_id, head)
        if held is None:
            return False
        loop = asyncio.get_running_loop()
        until = loop.time() + ABORT_SECONDS
        is_whole = False
        try:
            while not is_whole and loop.time() < until:
                since, is_whole = await self._pass(owner_id, since, head)
        finally:
            lasted = await self._log.let_go(held)
        return is_whole and lasted

    async def _newest(self, owner_id: str) -> int:
        found = await self._database.first(db.LOG, {"p": owner_id}, sort=[("n", -1)], fields=["n"])
        return int(found["n"]) if found else 0

    async def _pass(self, owner_id: str, since: int, head: int) -> tuple[int, bool]:
        """Copy what records after `since` wrote; returns since when to go on, and whether all is here.

        It is not if records were done meanwhile: their documents may have been read before.
        """
        wanted = {"p": owner_id, "open": True, "n": {"$lte": head}}
        found = await self._database.find(db.LOG, wanted, sort=[("n", 1)], fields=["n"])
        dropped = await self._dropped(owner_id, since, head)
        for table in OWNED:
            collection = KINDS[table].collection
            again = since < 0 or collection in dropped
            if again:
                self._spool.clear(table, owner_id)
            changed: Document = {"p": owner_id} | ({} if again else {"v": {"$gt": since}})
            async for one in self._database.each(collection, changed):
                self._put(table, one)
        await self._take_running(owner_id)
        is_whole = all([await self._redo(one["_id"]) for one in found])
        self._seen_open = [one["_id"] for one in found]
        return min([head, *(one["n"] - 1 for one in found)]), is_whole

    async def _dropped(self, owner_id: str, since: int, head: int) -> set[str]:
        """Return the collections from which records erased something; all of them if records are gone."""
        if since < 0:
            return set()
        wanted = {"p": owner_id, "n": {"$gt": since, "$lte": head}}
        found = await self._database.find(db.LOG, wanted, fields=["n", "drops"])
        if len(found) < head - since:
            return set(_TABLES)
        return {name for one in found for name in one.get("drops", ())}

    async def _redo(self, record_id: str) -> bool:
        """Do in the spool what an open record says; returns whether that is known."""
        loop = asyncio.get_running_loop()
        until = loop.time() + ABORT_SECONDS
        while (record := await self._database.get(db.LOG, record_id)) is not None and record.get("open"):
            counts = await self._log.decided(record)
            if counts is None and loop.time() < until:
                await asyncio.sleep(POLL_SECONDS)
                continue
            if counts:
                operations, _ = await self._log.content(record)
                for word, collection, what in operations:
                    self._do(word, _TABLES[collection], what, record["n"])
            return counts is not None
        return False

    def _do(self, word: str, table: str, what: Document | str, number: int) -> None:
        key = what if isinstance(what, str) else what["_id"]
        if self._spool.version(table, key) >= number:
            return
        if word == GONE or isinstance(what, str):
            self._spool.drop(table, key)
        else:
            self._put(table, {**what, "v": number})

    async def _take_running(self, owner_id: str) -> None:
        """Copy what an owner's runs have said so far: records before chunks, as `MongoWorkers` reads them."""
        running = self._spool.running(owner_id)
        for worker_id in sorted({worker_id for _, worker_id in running}):
            async for one in self._database.each(db.TICKS, {"worker_id": worker_id}):
                self._put("journal", one)
        self._spool.clear("run_chunks", owner_id)
        for run_id, _ in running:
            async for one in self._database.each(db.CHUNKS, {"run_id": run_id}):
                self._put("run_chunks", {**one, "p": owner_id})

    async def _take_rest(self) -> None:
        """Copy what of the journal belongs to nobody that was copied."""
        async for one in self._database.each(db.TICKS, {}):
            self._put("journal", one)
        async for one in self._database.each(db.CHUNKS, {}):
            if self._spool.version("run_chunks", one["_id"]) < 0 and not self._spool.has_ended(one["run_id"]):
                self._put("run_chunks", one)

    def _put(self, table: str, one: Document) -> None:
        worker_id = (one.get("worker_id") or "") if table == "runs" and one["alive"] else None
        self._spool.put(
            table, one["_id"], row_of(self._tables[table], one),
            owner_id=one.get("p"), version=one.get("v", 0), worker_id=worker_id,
        )  # fmt: skip

    async def _await_notes(self) -> None:
        """Wait until what the last records noted is in SQL, which is looked at after this."""
        loop = asyncio.get_running_loop()
        until = loop.time() + NOTED_SECONDS
        wanted = {"_id": {"$in": list(self._seen_open)}, "open": True}
        while self._seen_open and loop.time() < until:
            if await self._database.first(db.LOG, wanted, fields=["n"]) is None:
                return
            await asyncio.sleep(POLL_SECONDS)
