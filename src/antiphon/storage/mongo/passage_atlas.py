"""The vectors' leg by Atlas' `$vectorSearch`, where the server has it.

Whether it has is asked once: a server that does not know search indexes refuses to list them. Each model
gets an index of its own, made by the first search with it; until Atlas says that it can be asked, and
wherever it cannot say what is asked of it, vectors are compared exactly. Its index follows the documents
some seconds behind, and finds nearly all of the nearest.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from bson.binary import Binary

from antiphon.domain.errors import Unavailable
from antiphon.domain.passages import HistoryFilter, IndexQuery, LegHit
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.database import Database, Document
from antiphon.storage.mongo.passage_documents import FLOATS, VECTOR_SUBTYPE, vector_field

FILTERS: Final = ("scope", "source", "created", "role", "model", "author")
LOOK_FACTOR: Final = 20
MOST_CANDIDATES: Final = 10_000
"""`numCandidates` at most; Atlas' own bound. MongoDB advises twenty times the limit."""
MOST_SOURCES: Final = 10_000
"""Sources named in a filter; a search in more of them is done exactly."""
LOOK_SECONDS: Final = 10.0
"""How often an index that cannot be asked yet is looked at."""


def index_name(model_no: int) -> str:
    """Return the name of a model's index."""
    return f"antiphon_{vector_field(model_no)}"


def definition(model_no: int, dimensions: int) -> Document:
    """Return what the index of a model is, as `createSearchIndexes` takes it."""
    vector = {
        "type": "vector", "path": vector_field(model_no), "numDimensions": dimensions, "similarity": "cosine",
    }  # fmt: skip
    filters = [{"type": "filter", "path": field} for field in FILTERS]
    return {
        "name": index_name(model_no), "type": "vectorSearch", "definition": {"fields": [vector, *filters]},
    }  # fmt: skip


def pipeline(
    model_no: int, query: IndexQuery, scopes: Sequence[int], sources: Sequence[int]
) -> list[Document]:
    """Return the aggregation that finds the nearest passages; filters hold before the best are chosen."""
    search = {
        "index": index_name(model_no),
        "path": vector_field(model_no),
        "queryVector": Binary(FLOATS + (query.vector or b""), VECTOR_SUBTYPE),
        "numCandidates": min(LOOK_FACTOR * query.limit, MOST_CANDIDATES),
        "limit": query.limit,
        "filter": {"$and": [
            {"scope": {"$in": list(scopes)}}, {"source": {"$in": list(sources)}}, *_history(query.history),
        ]},
    }  # fmt: skip
    return [
        {"$vectorSearch": search},
        {"$project": {"_id": 0, "no": 1, "score": {"$meta": "vectorSearchScore"}}},
    ]


def _history(history: HistoryFilter | None) -> list[Document]:
    """Return what is asked of messages, but for their conversations: those are sources."""
    if history is None:
        return []
    asked: tuple[tuple[str, str, Any], ...] = (
        ("created", "$gte", history.from_us), ("created", "$lt", history.until_us),
        ("role", "$eq", history.role), ("model", "$eq", history.model), ("author", "$eq", history.author_id),
    )  # fmt: skip
    return [{field: {sign: value}} for field, sign, value in asked if value is not None]


def hits_of(found: Sequence[Document]) -> list[LegHit]:
    """Return what was found with cosines: Atlas' score is (1 + cosine) / 2."""
    hits = [LegHit(int(one["no"]), 2 * float(one["score"]) - 1) for one in found]
    return sorted(hits, key=lambda hit: (-hit.score, hit.passage_id))


class AtlasVectors:
    """Asks Atlas where that is possible; a server without it costs one question at the start."""

    def __init__(self, database: Database, *, is_there: bool) -> None:
        self._database = database
        self._is_there = is_there
        self._ready: set[int] = set()
        self._looked: dict[int, float] = {}

    async def search(
        self, model_no: int, query: IndexQuery, scopes: Sequence[int], sources: Sequence[int]
    ) -> list[LegHit] | None:
        """Return the nearest passages, None if they are to be found exactly."""
        if not self._is_there or len(sources) > MOST_SOURCES or not await self._is_ready(model_no, query):
            return None
        if not sources:
            return []
        try:
            return hits_of(await self._database.rows(db.PASSAGES, pipeline(model_no, query, scopes, sources)))
        except Unavailable:  # what it refuses, exact scores can do; a server that is away refuses those too
            return None

    async def embedded(self, model_no: int, scopes: Sequence[int]) -> int:
        """Return how many passages of scopes have a vector of a model, those just withdrawn among them."""
        counted = await self._database.rows(db.PASSAGES, [
            {"$match": {"embedded": model_no, "scope": {"$in": list(scopes)}}}, {"$count": "passages"},
        ])  # fmt: skip
        return int(counted[0]["passages"]) if counted else 0

    async def _is_ready(self, model_no: int, query: IndexQuery) -> bool:
        """Whether a model's index can be asked; it is made if it is missing."""
        if model_no in self._ready:
            return True
        now = time.monotonic()
        if now < self._looked.get(model_no, 0.0):
            return False
        self._looked[model_no] = now + LOOK_SECONDS
        indexes = {one.get("name"): one for one in await self._database.search_indexes(db.PASSAGES) or []}
        found = indexes.get(index_name(model_no))
        if found is None:
            dimensions = len(query.vector or b"") // 4
            await self._database.make_search_index(db.PASSAGES, definition(model_no, dimensions))
        elif found.get("queryable"):
            self._ready.add(model_no)
        return model_no in self._ready
