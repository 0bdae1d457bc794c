"""Port `Vectors` with passages in MongoDB: each passage has its own vectors, one a model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from pymongo import UpdateOne

from antiphon.ports.passage_index import Unembedded
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.database import Database, Document
from antiphon.storage.mongo.passage_documents import stored_vector, vector_field
from antiphon.storage.mongo.passage_sweep import PassageSweep
from antiphon.storage.sql import knowledge_elsewhere as elsewhere
from antiphon.storage.sql import knowledge_index_vectors as written
from antiphon.storage.sql.knowledge_catalogue import Lacking, VectorRounds, slices
from antiphon.storage.sql.knowledge_index_reads import embedded_text
from antiphon.storage.sql.knowledge_store import EVERYBODY, KnowledgeStore

BATCH: Final = 256
_TEXT: Final = ("no", "owner", "source", "hash", "heading", "text")


class MongoVectors(VectorRounds):
    """Port `Vectors`."""

    def __init__(self, store: KnowledgeStore, database: Database, sweep: PassageSweep) -> None:
        super().__init__()
        self._store = store
        self._database = database
        self._sweep = sweep

    async def missing(self, model: str, source_id: str, limit: int) -> list[Unembedded]:
        """See the port."""
        numbers = await self._store.read(elsewhere.numbers, [source_id])
        if source_id not in numbers:
            return []
        wanted = {"source": numbers[source_id], **await self._lacking(model)}
        found: dict[bytes, Unembedded] = {}
        async for part in self._database.batches(db.PASSAGES, wanted, BATCH, sort=[("no", 1)], fields=_TEXT):
            for one in part:
                found.setdefault(one["hash"], _unembedded(one))
            if len(found) >= limit:
                break
        return list(found.values())[:limit]

    async def _missing_after(self, model: str, after: int, limit: int) -> Lacking:
        """See the base."""
        lacking = await self._lacking(model)
        found: Lacking = []
        while len(found) < limit:
            part = await self._database.find(
                db.PASSAGES, {"no": {"$gt": after}, **lacking}, sort=[("no", 1)], limit=limit, fields=_TEXT
            )
            seen = await self._store.read(elsewhere.live, list({one["source"] for one in part}))
            found += [(one["no"], one["owner"], _unembedded(one)) for one in part if one["source"] in seen]
            if len(part) < limit:
                break
            after = part[-1]["no"]
        return found[:limit]

    async def _lacking(self, model: str) -> Document:
        """Return the condition that passages without a vector of a model meet."""
        model_no = await self._store.read(elsewhere.model_number, model)
        return {} if model_no is None else {"embedded": {"$ne": model_no}}

    async def put(self, owner_id: str, model: str, vectors: Sequence[tuple[bytes, bytes]]) -> None:
        """See the port."""
        if not vectors:
            return
        dimensions, halves = await asyncio.to_thread(written.halves, vectors)
        model_no = await self._store.write((owner_id,), written.model_number, model, dimensions)
        for part in slices(halves, BATCH):
            await self._put(owner_id, model_no, dict(part))

    async def _put(self, owner_id: str, model_no: int, vectors: dict[bytes, bytes]) -> None:
        """Give the owner's passages their vectors, then say which sources have changed."""
        wanted = {"owner": owner_id, "hash": {"$in": list(vectors)}, "embedded": {"$ne": model_no}}
        found = await self._database.find(db.PASSAGES, wanted, fields=("hash", "source"))
        values = {digest: stored_vector(data) for digest, data in vectors.items()}
        changes = [
            UpdateOne(
                {"_id": one["_id"]},
                {
                    "$set": {vector_field(model_no): values[one["hash"]]},
                    "$addToSet": {"embedded": model_no},
                },
            )
            for one in found
        ]
        await self._database.write(db.PASSAGES, changes)
        if sources := list({one["source"] for one in found}):
            await self._store.write((owner_id,), elsewhere.touch, sources)

    async def models(self) -> dict[str, int]:
        """See the port."""
        numbers = await self._store.read(elsewhere.models)
        counted = await asyncio.gather(*(self._database.count(db.PASSAGES, {"embedded": no})
                                         for no in numbers.values()))  # fmt: skip
        return {model: count for model, count in zip(numbers, counted, strict=True) if count}

    async def drop(self, model: str, limit: int) -> int:
        """See the port."""
        await self._store.write(EVERYBODY, written.retire, model)
        models = await self._store.read(elsewhere.retired)
        return await self._sweep.drop_vectors(models[0], limit) if models else 0


def _unembedded(one: Document) -> Unembedded:
    return Unembedded(bytes(one["hash"]), embedded_text(one["heading"], one["text"]))
