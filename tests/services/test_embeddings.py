"""Embedding knowledge: little is paid twice, and nothing waits for a model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from antiphon.domain.errors import ProviderError
from antiphon.providers.hashed_words import embed_words
from antiphon.services import embeddings as module
from tests.harness.memory_vectors import hash_of
from tests.services.embedding_stage import DOWN, REFUSED, Stage, texts
from tests.services.hand import until
from tests.services.quota_looks import ledger
from tests.services.world import World


@pytest.fixture
async def stage(world: World) -> AsyncIterator[Stage]:
    made = Stage(world)
    yield made
    await made.close()


# --- questions


async def test_a_question_is_embedded_once(stage: Stage) -> None:
    service = await stage.start()
    first, again = await service.embed_query("what is it"), await service.embed_query("what is it")
    assert first == again and first is not None
    assert (first.model, first.vector) == ("p/one", embed_words("what is it", 16))
    assert len(stage.provider.calls) == 1


async def test_the_memory_of_questions_is_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUERIES_KEPT", 2)
    service = await stage.start()
    for question in ("a", "b", "a", "c", "a", "b"):
        await service.embed_query(question)
    assert stage.provider.texts == ["a", "b", "c", "b"]


async def test_without_a_model_there_are_words_only(stage: Stage) -> None:
    service = await stage.start(None)
    stage.store.add("s", stage.owner, texts(2))
    assert await service.embed_query("what") is None
    assert await service.embed_source(stage.owner, "s") is True
    await service.catch_up()
    state = await service.state()
    assert (service.model, state.status, state.model, state.serving) == (None, "off", None, None)
    assert stage.provider.calls == [] and stage.store.kept == {}


async def test_a_silent_model_fails_a_question_in_time(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUERY_SECONDS", 0.02)
    stage.provider.gate.clear()
    service = await stage.start()
    with pytest.raises(ProviderError, match="upstream_timeout"):
        await asyncio.wait_for(service.embed_query("what"), 5)


async def test_a_model_that_keeps_failing_is_left_alone(stage: Stage) -> None:
    service = await stage.start()
    stage.provider.failing = DOWN
    for _ in range(8):
        with pytest.raises(ProviderError):
            await service.embed_query("what")
    assert len(stage.provider.calls) == 5  # the breaker's
    stage.provider.failing = None
    await stage.time.sleep(11)
    assert await service.embed_query("what") is not None


# --- documents


async def test_a_source_is_embedded_in_batches_and_only_what_is_missing(stage: Stage) -> None:
    service = await stage.start(batch=4)
    stage.store.add("s", stage.owner, texts(10), live=False)
    assert await service.embed_source(stage.owner, "s") is True
    assert [len(call.texts) for call in stage.provider.calls] == [4, 4, 2]
    assert stage.store.whole("p/one")
    assert stage.store.kept[stage.owner, "p/one", hash_of("text number 3")] == embed_words(
        "text number 3", 16
    )


async def test_editing_one_paragraph_costs_one_call(stage: Stage) -> None:
    service = await stage.start(batch=64)
    whole = texts(400)
    stage.store.add("v1", stage.owner, whole)
    await service.embed_source(stage.owner, "v1")
    stage.provider.calls.clear()
    stage.store.add("v2", stage.owner, [*whole[:200], "a new paragraph", *whole[201:]], live=False)
    assert await service.embed_source(stage.owner, "v2")
    assert stage.provider.texts == ["a new paragraph"]
    assert await service.embed_source(stage.owner, "v2")
    assert len(stage.provider.calls) == 1


async def test_a_source_larger_than_a_page_is_embedded_to_its_end(stage: Stage) -> None:
    service = await stage.start(batch=500)
    stage.store.add("s", stage.owner, texts(2 * module.PAGE + 3))
    assert await service.embed_source(stage.owner, "s")
    assert stage.store.whole("p/one")


async def test_what_indexing_uses_stands_in_the_ledger_of_its_owner(stage: Stage) -> None:
    service = await stage.start(batch=4)
    stage.store.add("s", stage.owner, texts(10))
    await service.embed_source(stage.owner, "s")
    assert ledger(stage.world) == (3, 30, 0)
    owners = stage.world.rows("SELECT DISTINCT author_id,model,provider FROM ledger")
    assert owners == [(stage.owner, "p/one", "p")]


# --- failures


async def test_a_source_does_not_wait_for_a_model_that_is_down_and_is_embedded_later(
    stage: Stage,
) -> None:
    service = await stage.start(runs=True)
    stage.provider.failing = DOWN
    stage.store.add("s", stage.owner, texts(3), live=False)
    assert await service.embed_source(stage.owner, "s") is False
    await until(lambda: len(stage.time.slept) > 3)
    state = await service.state()
    assert (state.status, state.waiting_sources) == ("waiting", 1)
    assert "down" in str(state.last_error) or "several times" in str(state.last_error)
    stage.provider.failing = None
    await until(lambda: stage.store.whole("p/one"))
    await until(lambda: service._status == "ready")
    assert (await service.state()).last_error is None


async def test_the_pauses_grow_and_have_an_end(stage: Stage) -> None:
    stage.provider.failing = DOWN
    stage.store.add("s", stage.owner, texts(3))
    await stage.start(runs=True)
    await until(lambda: len(stage.time.slept) > 12)
    assert stage.time.slept[:3] == [5.0, 10.0, 20.0]
    assert stage.time.slept == sorted(stage.time.slept)
    assert max(stage.time.slept) == module.LONGEST_PAUSE_SECONDS


async def test_what_was_embedded_before_a_failure_stays(stage: Stage) -> None:
    service = await stage.start(batch=2)
    stage.store.add("s", stage.owner, texts(10))
    stage.provider.fails_from = 3
    assert await service.embed_source(stage.owner, "s") is False
    assert len(stage.store.kept) == 6
    stage.provider.fails_from = 10**9
    stage.provider.calls.clear()
    await service.catch_up()
    assert stage.provider.texts == texts(10)[6:]


async def test_a_text_that_is_refused_in_every_form_harms_no_other(stage: Stage) -> None:
    service = await stage.start(batch=8)
    stage.provider.poison = "poison"
    stage.store.add("s", stage.owner, [*texts(5), "poison here", *texts(5, "more"), "more poison"])
    assert await service.embed_source(stage.owner, "s") is False
    assert len(stage.store.kept) == 10
    calls = len(stage.provider.calls)
    await service.catch_up()
    assert len(stage.provider.calls) == calls  # not asked for again
    state = await service.state()
    assert (state.refused, state.status) == (2, "ready")


async def test_a_change_is_not_over_while_only_the_last_texts_of_a_page_are_refused(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure leaves texts behind the index's place; refused ones at the end must not hide them."""
    monkeypatch.setattr(module, "PAGE", 4)
    stage.store.add("s", stage.owner, [*texts(11), "poison"])
    await (await stage.start("p/one")).catch_up()
    service = await stage.start("p/two", batch=2)
    stage.provider.poison = "poison"
    stage.provider.fails_from = len(stage.provider.calls) + 1
    with pytest.raises(ProviderError):
        await service.catch_up()
    stage.provider.fails_from = 10**9
    await service.catch_up()
    missing = await stage.store.missing("p/two", "s", 100)
    assert [one.text for one in missing] == ["poison"]
    assert service.model == "p/two"


async def test_a_model_that_refuses_everything_is_no_fault_of_the_texts(stage: Stage) -> None:
    service = await stage.start(batch=4)
    stage.provider.failing = REFUSED
    stage.store.add("s", stage.owner, texts(9))
    assert await service.embed_source(stage.owner, "s") is False
    state = await service.state()
    assert (state.refused, state.status) == (0, "waiting")
    stage.provider.failing = None
    await service.catch_up()
    assert stage.store.whole("p/one")


async def test_vectors_of_another_length_are_a_failure_that_names_itself(stage: Stage) -> None:
    service = await stage.start()
    stage.store.kept[stage.owner, "p/one", b"x" * 32] = b"\0" * 12
    stage.store.add("s", stage.owner, texts(1))
    assert await service.embed_source(stage.owner, "s") is False
    assert "has changed" in str((await service.state()).last_error)
