"""What Atlas is asked, as data: no Atlas could be had, so its answers are not played here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bson.binary import Binary, BinaryVectorDtype

from antiphon.domain.passages import HistoryFilter, IndexQuery
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.connection import connect
from antiphon.storage.mongo.passage_atlas import AtlasVectors, definition, hits_of, index_name, pipeline
from antiphon.storage.mongo.passage_documents import floats, stored_vector
from tests import mongo

VECTOR = np.array([0.6, 0.8], "<f4")
MODEL_NO = 3


def question(**more: Any) -> IndexQuery:
    return IndexQuery(
        scopes=("a" * 32,), terms=(), vector=VECTOR.tobytes(), model="m", **{"limit": 50, **more}
    )


def asked(query: IndexQuery, scopes: list[int], sources: list[int]) -> dict[str, Any]:
    search, shown = pipeline(MODEL_NO, query, scopes, sources)
    assert shown == {"$project": {"_id": 0, "no": 1, "score": {"$meta": "vectorSearchScore"}}}
    found: dict[str, Any] = search["$vectorSearch"]
    return found


def test_scope_and_sources_hold_before_the_best_are_chosen() -> None:
    found = asked(question(), [7], [1, 2])
    assert (found["index"], found["path"]) == ("antiphon_vector3", "vector3")
    assert (found["limit"], found["numCandidates"]) == (50, 1_000)
    assert found["filter"] == {"$and": [{"scope": {"$in": [7]}}, {"source": {"$in": [1, 2]}}]}
    assert asked(question(limit=200), [7], [1])["numCandidates"] == 4_000
    assert asked(question(limit=900), [7], [1])["numCandidates"] == 10_000, "the most that Atlas takes"


def test_what_is_asked_of_messages_is_part_of_the_filter() -> None:
    history = HistoryFilter(from_us=5, until_us=9, role="user", author_id="o", conversation_ids=("c",))
    assert asked(question(history=history), [7], [1])["filter"]["$and"][2:] == [
        {"created": {"$gte": 5}}, {"created": {"$lt": 9}}, {"role": {"$eq": "user"}},
        {"author": {"$eq": "o"}},
    ]  # fmt: skip


def test_every_field_of_a_filter_is_in_the_index() -> None:
    made = definition(MODEL_NO, 384)
    assert (made["name"], made["type"]) == (index_name(MODEL_NO), "vectorSearch")
    vector, *filters = made["definition"]["fields"]
    assert vector == {"type": "vector", "path": "vector3", "numDimensions": 384, "similarity": "cosine"}
    history = HistoryFilter(from_us=5, until_us=9, role="user", model="m", author_id="o")
    conditions = asked(question(history=history), [7], [1])["filter"]["$and"]
    assert {name for one in conditions for name in one} == {one["path"] for one in filters}
    assert {one["type"] for one in filters} == {"filter"}


def test_vectors_are_what_the_driver_makes_of_float32() -> None:
    kept = stored_vector(VECTOR.astype("<f2").tobytes())
    halves = VECTOR.astype("<f2").astype("<f4")
    assert kept == Binary.from_vector(halves.tolist(), BinaryVectorDtype.FLOAT32)
    assert floats(kept) == halves.tobytes()
    asked_for = asked(question(), [7], [1])["queryVector"]
    assert asked_for == Binary.from_vector(VECTOR.tolist(), BinaryVectorDtype.FLOAT32)


def test_scores_become_cosines_best_first_equal_ones_by_passage() -> None:
    found = hits_of([{"no": 4, "score": 0.75}, {"no": 9, "score": 1.0}, {"no": 2, "score": 0.75}])
    assert [(hit.passage_id, hit.score) for hit in found] == [(9, 1.0), (2, 0.5), (4, 0.5)]


@pytest.mark.skipif(not mongo.is_there(), reason=mongo.ABSENT)
async def test_a_server_without_it_is_noticed_and_not_asked(tmp_path: Path) -> None:
    database = connect(mongo.url(tmp_path))
    try:
        await database.prepare((db.PASSAGES,))
        is_there = await database.search_indexes(db.PASSAGES) is not None
        assert not is_there, "a server with search indexes: try it on Atlas by hand"
        atlas = AtlasVectors(database, is_there=is_there)
        assert await atlas.search(MODEL_NO, question(), [7], [1]) is None
    finally:
        await database.close()
