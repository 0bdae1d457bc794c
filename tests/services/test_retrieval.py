"""One order out of two legs, several queries and a reranker; and a trace that explains it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from antiphon.domain.errors import InvalidRequest, ProviderError
from antiphon.domain.file_search import Ranking
from antiphon.domain.passages import Candidates, IndexQuery, LegHit, Passage
from antiphon.services.retrieval import Asked, Retrieval
from tests.harness.library import Library
from tests.services.world import World

TEXTS = ["Bees make honey.", "Honey is sweet.", "Wasps hunt bees.", "Rivers flow."]


class Legs:
    """An index whose legs say what the test wants: passages 1 to 4, by query."""

    def __init__(self, retrieval: Retrieval, scope: str) -> None:
        self.scope = scope
        self.lexical: dict[str, tuple[int, ...]] = {}
        self.dense: tuple[int, ...] = ()
        self.asked: list[IndexQuery] = []
        retrieval._index = self  # type: ignore[assignment]
        retrieval._files = self  # type: ignore[assignment]

    async def search(self, query: IndexQuery) -> Candidates:
        self.asked.append(query)
        found = self.lexical.get(" ".join(query.terms), ())
        dense = self.dense if query.vector is not None else ()
        return Candidates(lexical=_leg(found), dense=_leg(dense), total=4, embedded=len(dense))

    async def passages(self, scopes: Sequence[str], ids: Sequence[int]) -> list[Passage]:
        return [
            Passage(
                id=one, source_id="s", kind="file", scope=self.scope, ref_id=f"{one:032x}", version=1,
                ordinal=one, start=0, end=1, text=TEXTS[one - 1], heading="", page=None, item_id=None,
                role=None, model=None, author_id=None, created_us=0, attributes={},
            )
            for one in ids
        ]  # fmt: skip

    async def get(self, account_id: str, file_id: str) -> Any:
        return type("File", (), {"id": file_id, "filename": "f"})()


def _leg(ids: Sequence[int]) -> tuple[LegHit, ...]:
    return tuple(LegHit(one, 9.0 - place) for place, one in enumerate(ids))


class Vectors:
    model = "m"
    vector = b"1234"

    async def embed_query(self, text: str) -> Vectors:
        return self


class Backwards:
    """Puts the last first, as a reranker with scores of its own."""

    model = "r"
    delay = 0.0
    error: Exception | None = None

    async def rerank(self, question: str, texts: Sequence[str]) -> list[tuple[int, float]]:
        await asyncio.sleep(self.delay)
        if self.error is not None:
            raise self.error
        return [(index, -3.0 * place) for place, index in enumerate(reversed(range(len(texts))))]


@pytest.fixture
async def collection(world: World) -> str:
    return await Library(world).collection()


@pytest.fixture
def retrieval(world: World) -> Retrieval:
    return world.application.retrieval


@pytest.fixture
def legs(retrieval: Retrieval, collection: str) -> Legs:
    return Legs(retrieval, collection.removeprefix("vs_"))


async def found(world: World, collection: str, *queries: str, **fields: Any) -> tuple[list[int], Any]:
    """The ids in order, and the trace."""
    result = await world.application.retrieval.search(
        world.who, [collection], Asked(queries=queries, **fields)
    )
    assert [hit.score for hit in result.hits] == sorted((hit.score for hit in result.hits), reverse=True)
    assert all(0 <= hit.score <= 1 for hit in result.hits)
    return [hit.passage.id for hit in result.hits], result.trace


async def test_both_legs_are_fused_by_what_stands_out(
    world: World, collection: str, legs: Legs, retrieval: Retrieval
) -> None:
    legs.lexical, legs.dense = {"honey": (1, 2, 3)}, (3, 4, 2)
    retrieval._embedder = Vectors()
    order, trace = await found(world, collection, "honey")
    assert order == [3, 1, 2, 4]
    assert (trace.mode, trace.embedding_model) == ("hybrid", "m")
    by_id = {int(one.file_id[-1]): one for one in trace.passages}
    assert by_id[1].score > 0.5 > by_id[4].score and by_id[1].dense is None
    assert by_id[3].fused > by_id[1].fused > 0 > by_id[4].fused
    assert (by_id[3].lexical.rank, by_id[3].dense.rank) == (3, 1)


async def test_what_every_query_finds_comes_first(world: World, collection: str, legs: Legs) -> None:
    legs.lexical = {"honey": (2, 1), "bees": (2, 3)}
    result = await world.application.retrieval.search(
        world.who, [collection], Asked(queries=("honey", "bees"))
    )
    assert result.hits[0].passage.id == 2 and result.hits[0].score > result.hits[1].score
    assert {hit.passage.id for hit in result.hits} == {1, 2, 3}


async def test_weights_move_the_order(
    world: World, collection: str, legs: Legs, retrieval: Retrieval
) -> None:
    legs.lexical, legs.dense = {"honey": (1,)}, (4,)
    retrieval._embedder = Vectors()
    words = Ranking(text_weight=2.0, embedding_weight=0.1)
    meaning = Ranking(text_weight=0.0, embedding_weight=1.0)
    assert (await found(world, collection, "honey", ranking=words))[0] == [1, 4]
    assert (await found(world, collection, "honey", ranking=meaning))[0] == [4]


async def test_a_threshold_and_a_limit_cut_and_say_so(world: World, collection: str, legs: Legs) -> None:
    legs.lexical = {"honey": (1, 2, 3, 4)}
    order, trace = await found(world, collection, "honey", limit=2)
    assert order == [1, 2] and [one.outcome for one in trace.passages][2:] == ["above the limit"] * 2
    order, trace = await found(world, collection, "honey", ranking=Ranking(score_threshold=0.55))
    assert order == [1, 2, 3] and trace.passages[-1].outcome == "below the threshold"


async def test_a_reranker_decides_the_order_if_it_is_in_time(
    world: World, collection: str, legs: Legs, retrieval: Retrieval, monkeypatch: pytest.MonkeyPatch
) -> None:
    legs.lexical = {"honey": (1, 2, 3)}
    reranker = retrieval._reranker = Backwards()
    order, trace = await found(world, collection, "honey")
    assert order == [3, 2, 1] and trace.reranking_model == "r"
    assert [one.reranked for one in trace.passages] == [-6.0, -3.0, 0.0]
    assert (await found(world, collection, "honey", ranking=Ranking(ranker="none")))[0] == [1, 2, 3]
    reranker.error = ProviderError("down")
    order, trace = await found(world, collection, "honey")
    assert order == [1, 2, 3] and trace.notes == ["The reranking model failed: down"]
    monkeypatch.setattr("antiphon.services.retrieval.RERANK_SECONDS", 0.001)
    reranker.error, reranker.delay = None, 5.0
    order, trace = await found(world, collection, "honey")
    assert order == [1, 2, 3] and "did not answer within" in trace.notes[0]


async def test_the_same_in_one_collection_whatever_is_in_others(world: World) -> None:
    library = Library(world)
    one, other = await library.collection(), await library.collection()
    await library.add(one, "a.txt", "Bees make honey.", year=2019)
    await library.add(other, "b.txt", "Bees make honey too.", year=2020)
    both = await world.application.retrieval.search(world.who, [one, other], Asked(queries=("honey",)))
    assert {hit.file.filename for hit in both.hits} == {"a.txt", "b.txt"}
    only = await world.application.retrieval.search(world.who, [one], Asked(queries=("honey",)))
    assert [hit.file.filename for hit in only.hits] == ["a.txt"]
    assert only.trace.passages_in_scope == 1


async def test_a_collection_that_has_ended_is_refused(world: World, collection: str) -> None:
    await world.application.collections.update(world.who, collection, expires_after_days=1)
    identifier = collection.removeprefix("vs_")
    stored = await world.knowledge.store.collections.get(world.who.account_id, identifier)
    assert stored is not None and stored.expires_us is not None
    await world.knowledge.store.collections.change(msgspec.structs.replace(stored, expires_us=1))
    with pytest.raises(InvalidRequest) as refused:
        await found(world, collection, "honey")
    assert refused.value.code == "vector_store_expired"
    assert await world.application.retrieval.own(world.who.account_id, [identifier]) == []
