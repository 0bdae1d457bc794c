"""Embedding knowledge: little is paid twice, nothing waits for a model, and a new one leaves no gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from antiphon.domain.errors import ProviderError
from antiphon.domain.retrying import Retrying
from antiphon.ports.embedder import Embedded, Embedder, EmbeddingRequest
from antiphon.providers.embedding_remote import RemoteEmbedder
from antiphon.providers.embedding_specs import EmbeddingSpec
from antiphon.providers.hashed_words import embed_words
from antiphon.services import embeddings as module
from antiphon.services.embedding_models import Configured
from antiphon.services.embedding_use import EmbeddingUse
from antiphon.services.embeddings import Embeddings
from antiphon.services.model_routes import ModelRoute
from tests.harness.memory_vectors import MemoryVectors, hash_of
from tests.services.fake_provider import Time
from tests.services.hand import until
from tests.services.quota_looks import ledger
from tests.services.world import World

DOWN = ProviderError("the model is down", retryable=True, status=503)
REFUSED = ProviderError("the text cannot be embedded", code="invalid_prompt", status=400)


class Words:
    """Port `EmbeddingProvider` that counts words, and fails as a test wants it.

    `failing` fails every call, `fails_from` those from that number on, `poison` those with a text
    that has the word. `gate` holds every call up.
    """

    def __init__(self) -> None:
        self.calls: list[EmbeddingRequest] = []
        self.failing: ProviderError | None = None
        self.fails_from = 10**9
        self.poison: str | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def embeddings(self, request: EmbeddingRequest) -> Embedded:
        self.calls.append(request)
        await self.gate.wait()
        if self.failing is not None or len(self.calls) > self.fails_from:
            raise self.failing or DOWN
        if self.poison is not None and any(self.poison in text for text in request.texts):
            raise REFUSED
        vectors = [embed_words(text, request.dimensions or 16) for text in request.texts]
        return Embedded(vectors, sum(len(text.split()) for text in request.texts))

    @property
    def texts(self) -> list[str]:
        return [text for call in self.calls for text in call.texts]


class Closing(RemoteEmbedder):
    """Notes that it was closed."""

    closed = False

    async def close(self) -> None:
        self.closed = True


class Stage:
    """A store that outlives services, a provider, and the services that a test starts one after the other."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.owner = world.who.account_id
        self.store = MemoryVectors()
        self.provider = Words()
        self.time = Time()
        self.built: list[Closing] = []
        self.gone: set[str] = set()
        self.tasks: list[asyncio.Task[None]] = []

    def embedder(self, spec: EmbeddingSpec) -> Closing:
        made = Closing(self.provider, spec, retrying=Retrying(retries=0))
        self.built.append(made)
        return made

    async def start(self, model: str | None = "p/one", *, batch: int = 4, runs: bool = False) -> Embeddings:
        """A service as a new process makes it."""
        configured = None
        if model is not None:
            spec = EmbeddingSpec(written=model, batch=batch)

            def rebuild(description: bytes) -> Embedder | None:
                other = spec.described(description)
                return None if other is None or other.written in self.gone else self.embedder(other)

            route = ModelRoute(id=spec.shown, provider=spec.provider, model=spec.model, context_tokens=512)
            configured = Configured(
                self.embedder(spec), route, frozenset({model}), spec.description(), rebuild
            )
        use = EmbeddingUse(self.world.storage.unit_of_work, self.world.application.quotas, self.time)
        made = Embeddings(configured, self.store, self.store, use, self.time, sleep=self.time.sleep)
        await made.open()
        if runs:
            self.tasks.append(asyncio.create_task(made.run()))
        return made

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def stage(world: World) -> AsyncIterator[Stage]:
    made = Stage(world)
    yield made
    await made.close()


def texts(count: int, stem: str = "text") -> list[str]:
    return [f"{stem} number {index}" for index in range(count)]


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


# --- another model


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
