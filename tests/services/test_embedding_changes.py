"""Another embedding model leaves no gap, whatever happens on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from antiphon.domain.errors import ProviderError
from antiphon.providers.embedding_specs import EmbeddingSpec
from antiphon.services import embeddings as module
from tests.harness.memory_vectors import hash_of
from tests.services.embedding_stage import Stage, texts
from tests.services.quota_looks import ledger
from tests.services.world import World


@pytest.fixture
async def stage(world: World) -> AsyncIterator[Stage]:
    made = Stage(world)
    yield made
    await made.close()


async def embedded(stage: Stage, count: int = 30) -> None:
    """Texts of two owners under the model `p/one`."""
    service = await stage.start("p/one")
    stage.store.add("s", stage.owner, texts(count))
    stage.store.add("t", stage.world.who.account_id, texts(3, "others"))
    await service.catch_up()
    assert stage.store.whole("p/one")
    stage.provider.calls.clear()


async def test_questions_go_under_the_old_model_until_every_text_has_a_vector_of_the_new(
    stage: Stage,
) -> None:
    await embedded(stage)
    service = await stage.start("p/two", batch=4)
    seen: list[tuple[str | None, bool]] = []
    put = stage.store.put

    async def watched(owner_id: str, model: str, vectors: Sequence[tuple[bytes, bytes]]) -> None:
        question = await service.embed_query(f"question {len(seen)}")
        assert question is not None
        seen.append((question.model, stage.store.whole(question.model)))
        await put(owner_id, model, vectors)

    stage.store.put = watched  # type: ignore[method-assign]
    await service.catch_up()
    assert len(seen) >= 8 and set(seen) == {("p/one", True)}
    question = await service.embed_query("after")
    assert question is not None and question.model == "p/two"
    assert await stage.store.models() == {"p/two": 33}


async def test_a_change_of_model_is_visible_and_costs_nobody_of_the_owners(stage: Stage) -> None:
    await embedded(stage)
    before = ledger(stage.world)
    service = await stage.start("p/two", batch=4)
    state = await service.state()
    assert (state.status, state.model, state.serving) == ("changing", "p/two", "p/one")
    assert state.vectors == {"p/one": 33}
    await service.catch_up()
    state = await service.state()
    assert (state.status, state.model, state.serving) == ("ready", "p/two", "p/two")
    assert ledger(stage.world) == before
    old = [one for one in stage.built if one.model == "p/one"]
    assert old[-1].closed


@pytest.mark.parametrize("survived", [0, 1, 3, 7])
async def test_a_change_goes_on_where_a_killed_process_left_it(stage: Stage, survived: int) -> None:
    await embedded(stage)
    first = await stage.start("p/two", batch=4)
    stage.provider.fails_from = survived
    with pytest.raises(ProviderError):
        await first.catch_up()
    del first
    done = (await stage.store.models()).get("p/two", 0)
    stage.provider.fails_from, stage.provider.calls = 10**9, []
    second = await stage.start("p/two", batch=4)
    assert second.model == "p/one"
    await second.catch_up()
    assert second.model == "p/two" and stage.store.whole("p/two")
    assert len(stage.provider.texts) == 33 - done  # nothing is paid twice
    assert await stage.store.models() == {"p/two": 33}


async def test_a_process_killed_after_the_switch_drops_the_rest_of_the_old_vectors(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE", 10)
    await embedded(stage)
    first = await stage.start("p/two")
    drop = stage.store.drop

    async def dies(model: str, limit: int) -> int:
        if (await stage.store.models())["p/one"] < 20:
            raise asyncio.CancelledError
        return await drop(model, limit)

    stage.store.drop = dies  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await first.catch_up()
    stage.store.drop = drop  # type: ignore[method-assign]
    assert (await stage.store.models())["p/one"] == 13
    second = await stage.start("p/two")
    assert second.model == "p/two"
    await second.catch_up()
    assert await stage.store.models() == {"p/two": 33}


async def test_a_document_added_during_a_change_is_found_under_both_models(stage: Stage) -> None:
    await embedded(stage)
    service = await stage.start("p/two")
    stage.store.add("new", stage.owner, ["a new document"], live=False)
    assert await service.embed_source(stage.owner, "new")
    for model in ("p/one", "p/two"):
        assert (stage.owner, model, hash_of("a new document")) in stage.store.kept


async def test_an_old_model_that_cannot_be_had_leaves_the_place_at_once(stage: Stage) -> None:
    await embedded(stage)
    stage.gone.add("p/one")
    service = await stage.start("p/two")
    assert service.model == "p/two"
    await service.catch_up()
    assert await stage.store.models() == {"p/two": 33}


async def test_the_same_model_again_costs_nothing(stage: Stage) -> None:
    await embedded(stage)
    service = await stage.start("p/one")
    await service.catch_up()
    assert stage.provider.calls == [] and service.model == "p/one"


async def test_without_a_model_for_a_while_nothing_is_lost(stage: Stage) -> None:
    await embedded(stage)
    none = await stage.start(None)
    await none.catch_up()
    service = await stage.start("p/one")
    await service.catch_up()
    assert stage.provider.calls == [] and await stage.store.models() == {"p/one": 33}


async def test_another_prefix_of_documents_is_another_model(stage: Stage) -> None:
    plain = EmbeddingSpec(written="p/one")
    prefixed = EmbeddingSpec(written="p/one", document_prefix="passage: ")
    asked: Any = EmbeddingSpec(written="p/one", query_prefix="query: ")
    assert plain.vectors_id() == asked.vectors_id() == "p/one"
    assert prefixed.vectors_id() != "p/one"
    assert EmbeddingSpec(written="p/one", dimensions=8).vectors_id() == "p/one@8"
