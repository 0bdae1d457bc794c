"""Erases passages that nobody is to see, and counts those that are there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from pymongo import UpdateOne

from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.database import Database
from antiphon.storage.mongo.passage_documents import number_field, vector_field
from antiphon.storage.sql import knowledge_elsewhere as elsewhere
from antiphon.storage.sql import knowledge_index_reads as reads
from antiphon.storage.sql import knowledge_index_writes as writes
from antiphon.storage.sql.knowledge_catalogue import slices
from antiphon.storage.sql.knowledge_store import EVERYBODY, KnowledgeStore

SLICE: Final = 256
"""Documents erased at once."""
SOURCES: Final = 1_000
"""Sources looked at at once for documents without one."""


class PassageSweep:
    """What both ports of the index erase with."""

    def __init__(self, store: KnowledgeStore, database: Database) -> None:
        self._store = store
        self._database = database
        self._looked = False

    async def __call__(self, limit: int | None, owner_id: str | None = None) -> int:
        """Erase up to `limit` withdrawn passages (of one owner), all of them for None.

        Where there are none of anybody's, vectors of a retired model go that a dead process had begun to
        drop, and once in a process's life documents whose source is gone.
        """
        gone = 0
        while limit is None or gone < limit:
            size = SLICE if limit is None else min(SLICE, limit - gone)
            owner = await self._store.read(reads.doomed_owner) if owner_id is None else owner_id
            source = await self._store.read(writes.doomed, owner) if owner is not None else None
            if owner is not None and source is not None:
                gone += await self._erase_of(owner, source, size)
                continue
            erased = 0 if owner_id is not None else await self._erase_unused(size)
            gone += erased
            if not erased:
                break
        return gone

    async def _erase_of(self, owner_id: str, source_no: int, size: int) -> int:
        """Erase passages of a source, and its row with the last of them."""
        erased = await self.erase({"source": source_no}, size)
        if erased < size:
            await self._store.write((owner_id,), writes.forget_source, source_no)
        return erased

    async def erase(self, wanted: dict[str, object], size: int) -> int:
        """Erase up to `size` documents that meet a condition; returns how many went."""
        found = await self._database.find(db.PASSAGES, wanted, limit=size, fields=("_id",))
        if found:
            await self._database.delete(db.PASSAGES, {"_id": {"$in": [one["_id"] for one in found]}})
        return len(found)

    async def _erase_unused(self, size: int) -> int:
        if models := await self._store.read(elsewhere.retired):
            return await self.drop_vectors(models[0], size)
        if self._looked:
            return 0
        self._looked = True
        return await self._erase_orphans()

    async def drop_vectors(self, model_no: int, size: int) -> int:
        """Erase up to `size` vectors of a retired model, and its row with the last of them."""
        found = await self._database.find(db.PASSAGES, {"embedded": model_no}, limit=size, fields=("_id",))
        fields = {vector_field(model_no): "", number_field(model_no): ""}
        change = {"$unset": fields, "$pull": {"embedded": model_no}}
        await self._database.write(db.PASSAGES, [UpdateOne({"_id": one["_id"]}, change) for one in found])
        if len(found) < size:
            await self._store.write(EVERYBODY, elsewhere.forget_model, model_no)
        return len(found)

    async def _erase_orphans(self) -> int:
        """Erase documents whose source has no row: their server died while another one swept the source.

        The documents are looked at first: a source's row is there before its first document.
        """
        rows = await self._database.rows(db.PASSAGES, [{"$group": {"_id": "$source"}}])
        gone = 0
        for some in slices([int(one["_id"]) for one in rows], SOURCES):
            there = await self._store.read(elsewhere.there, some)
            for source_no in set(some) - there:
                gone += await self._database.delete(db.PASSAGES, {"source": source_no})
        return gone

    async def recount(self, owners: Sequence[str], sources: Sequence[int]) -> None:
        """Note how many passages conversations have now; documents of a source that is gone are erased."""
        if not sources:
            return
        passages, words = await asyncio.gather(self._sum(sources, 1), self._sum(sources, "$length"))
        counted = {no: (passages.get(no, 0), words.get(no, 0)) for no in sources}
        there = await self._store.write(tuple(owners), elsewhere.set_counts, counted)
        for source_no in set(sources) - there:
            await self._database.delete(db.PASSAGES, {"source": source_no})

    async def _sum(self, sources: Sequence[int], what: int | str) -> dict[int, int]:
        """Return a sum over the documents of each source; FerretDB 1.24 can add up only one at a time."""
        rows = await self._database.rows(db.PASSAGES, [
            {"$match": {"source": {"$in": list(sources)}}},
            {"$group": {"_id": "$source", "sum": {"$sum": what}}},
        ])  # fmt: skip
        return {int(one["_id"]): int(one["sum"]) for one in rows}
