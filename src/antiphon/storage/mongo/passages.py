"""Port `PassageIndex` with passages in MongoDB and their catalogue in SQL.

What is seen is decided in SQL, in one transaction with the member a source is of: see `Catalogue`. Documents
are written before anybody can see them and erased after nobody can, so a server that dies in between leaves
documents that nobody finds, and the sweep erases them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from antiphon.domain.passages import Candidates, Cut, IndexQuery, NewPassage, Passage, Source
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.database import Database, Document
from antiphon.storage.mongo.passage_documents import document, passage, vector_field
from antiphon.storage.mongo.passage_search import MongoSearch
from antiphon.storage.mongo.passage_sweep import PassageSweep
from antiphon.storage.sql import knowledge_elsewhere as elsewhere
from antiphon.storage.sql.knowledge_catalogue import MESSAGES, Catalogue, portions, slices
from antiphon.storage.sql.knowledge_store import KnowledgeStore

SLICE: Final = 256
"""Passages of a document written at once."""


class MongoPassageIndex(Catalogue):
    """Port `PassageIndex`."""

    def __init__(
        self, store: KnowledgeStore, database: Database, search: MongoSearch, sweep: PassageSweep
    ) -> None:
        super().__init__(store)
        self._database = database
        self._search = search
        self._sweep = sweep

    async def add(self, source: Source, passages: Sequence[NewPassage]) -> None:
        """See the port."""
        for part in list(slices(passages, SLICE)) or [()]:
            owners = (source.owner_id, elsewhere.GIVEN) if part else (source.owner_id,)
            reserved = await self._store.write(owners, elsewhere.reserve, source, len(part))
            if reserved is None:
                return
            place = reserved.places[source.id]
            added = await self._insert(reserved, [
                document(place, no, one) for no, one in enumerate(part, reserved.first)
            ])  # fmt: skip
            words = sum(one["length"] for one in added)
            if added and not await self._store.write(
                (source.owner_id,), elsewhere.add_counts, source.id, len(added), words
            ):
                await self._database.delete(db.PASSAGES, {"source": place.source_no})
                return

    async def add_messages(self, cuts: Sequence[Cut]) -> None:
        """See the port."""
        for part in portions(cuts, MESSAGES):
            owners = tuple({source.owner_id for source, _ in part})
            reserved = await self._store.write((*owners, elsewhere.GIVEN), elsewhere.reserve_messages, part)
            placed = (
                (place, one)
                for source, passages in part
                if (place := reserved.places.get(source.id)) is not None
                for one in passages
            )
            documents = [document(place, no, one) for no, (place, one) in enumerate(placed, reserved.first)]
            await self._insert(reserved, documents)
            await self._sweep.recount(owners, [place.source_no for place in reserved.places.values()])

    async def _insert(self, reserved: elsewhere.Reserved, documents: list[Document]) -> list[Document]:
        """Insert passages but for those whose place is taken, with the vectors their texts have already."""
        if documents and reserved.models:
            await self._lend_vectors(reserved.models, documents)
        return await self._database.insert_told(db.PASSAGES, documents)

    async def _lend_vectors(self, models: Sequence[int], documents: Sequence[Document]) -> None:
        for owner_id in {one["owner"] for one in documents}:
            wanted = {one["hash"]: one for one in documents if one["owner"] == owner_id}
            known: dict[bytes, Document] = {}
            async for part in self._database.batches(
                db.PASSAGES,
                {"owner": owner_id, "hash": {"$in": list(wanted)}, "embedded": {"$in": list(models)}},
                SLICE,
                fields=("hash", "embedded", *map(vector_field, models)),
            ):
                known |= {bytes(one["hash"]): one for one in part}
            for one in documents:
                if one["owner"] == owner_id and one["hash"] in known:
                    _lend(known[one["hash"]], one)

    async def sweep(self, limit: int) -> int:
        """See the port."""
        return await self._sweep(limit)

    async def search(self, query: IndexQuery) -> Candidates:
        """See the port."""
        return await self._search(query)

    async def passages(self, scopes: Sequence[str], ids: Sequence[int]) -> list[Passage]:
        """See the port."""
        if not ids or not scopes:
            return []
        found = await self._database.find(db.PASSAGES, {"no": {"$in": list(ids)}}, fields=_SHOWN)
        known = {one.id: one for one in await self._shown(scopes, found)}
        return [known[one] for one in ids if one in known]

    async def neighbours(self, passage: Passage, before: int, after: int) -> list[Passage]:
        """See the port."""
        numbers = await self._store.read(elsewhere.numbers, [passage.source_id])
        if passage.source_id not in numbers:
            return []
        near = {"$gte": passage.ordinal - before, "$lte": passage.ordinal + after}
        wanted = {"source": numbers[passage.source_id], "item": passage.item_id or "", "ordinal": near}
        found = await self._database.find(db.PASSAGES, wanted, sort=[("ordinal", 1)], fields=_SHOWN)
        return await self._shown([passage.scope], found)

    async def _shown(self, scopes: Sequence[str], found: Sequence[Document]) -> list[Passage]:
        """Return those documents whose sources are seen in some scopes."""
        sources = list({one["source"] for one in found})
        catalogued = await self._store.read(elsewhere.catalogued, scopes, sources)
        return [passage(one, *catalogued[one["source"]]) for one in found if one["source"] in catalogued]


_SHOWN: Final = (
    "no", "source", "ordinal", "start", "end", "page", "heading", "text", "item", "role", "model", "author",
    "created",
)  # fmt: skip


def _lend(known: Document, new: Document) -> None:
    """Give a new passage the vectors of one with the same text."""
    vectors: dict[str, Any] = {
        vector_field(no): known[vector_field(no)] for no in known["embedded"] if vector_field(no) in known
    }
    new |= vectors
    new["embedded"] = [no for no in known["embedded"] if vector_field(no) in vectors]
