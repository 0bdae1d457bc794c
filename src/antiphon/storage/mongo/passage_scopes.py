"""Port `IndexScopes` with passages in MongoDB; what it tells of sources and marks is in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.database import Database
from antiphon.storage.mongo.passage_documents import key
from antiphon.storage.mongo.passage_sweep import SLICE, PassageSweep
from antiphon.storage.sql import knowledge_elsewhere as elsewhere
from antiphon.storage.sql import knowledge_index_reads as reads
from antiphon.storage.sql import knowledge_index_writes as writes
from antiphon.storage.sql.knowledge_catalogue import CatalogueScopes, slices
from antiphon.storage.sql.knowledge_store import KnowledgeStore

ITEMS: Final = 500
"""Messages named in one condition."""


class MongoIndexScopes(CatalogueScopes):
    """Port `IndexScopes`."""

    def __init__(self, store: KnowledgeStore, database: Database, sweep: PassageSweep) -> None:
        super().__init__(store)
        self._database = database
        self._sweep = sweep

    async def holding(self, messages: Sequence[tuple[str, str]]) -> set[str]:
        """See the port."""
        numbers = await self._store.read(elsewhere.numbers, list({source for source, _ in messages}))
        asked = {key(numbers[source], item, 0): item for source, item in messages if source in numbers}
        found: set[str] = set()
        for some in slices(list(asked), ITEMS):
            there = await self._database.find(db.PASSAGES, {"_id": {"$in": list(some)}}, fields=("_id",))
            found |= {asked[one["_id"]] for one in there}
        return found

    async def forget_items(self, source_id: str, item_ids: Sequence[str]) -> int:
        """See the port."""
        owners = await self._store.read(reads.owners, [source_id])
        numbers = await self._store.read(elsewhere.numbers, [source_id])
        if source_id not in numbers or source_id not in owners:
            return 0
        gone = 0
        for some in slices(item_ids, ITEMS):
            erased = SLICE
            while erased == SLICE:
                erased = await self._sweep.erase(
                    {"source": numbers[source_id], "item": {"$in": list(some)}}, SLICE
                )
                gone += erased
        await self._sweep.recount((owners[source_id],), [numbers[source_id]])
        return gone

    async def forget_owner(self, owner_id: str) -> int:
        """See the port."""
        await self._store.write((owner_id,), writes.doom_owner, owner_id)
        return await self._sweep(None, owner_id)

    async def erase_traces(self) -> bool:
        """See the port: words lie in the documents and go with them."""
        return False
