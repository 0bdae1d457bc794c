"""Ports `Embedder` and `Reranker`: what every adapter promises."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from antiphon.domain.retrying import Retrying
from antiphon.ports.embedder import Embedder, Reranker
from antiphon.providers.embedding_local import LocalEmbedder
from antiphon.providers.embedding_remote import RemoteEmbedder
from antiphon.providers.embedding_specs import EmbeddingSpec, RerankSpec
from antiphon.providers.http_client import HttpClient
from antiphon.providers.openai_compatible import OpenAICompatible
from antiphon.providers.rerank_remote import RemoteReranker
from antiphon.providers.scripted import Scripted
from antiphon.providers.specs import ProviderSpec
from tests.harness.embedding_server import cosine, embedding_server, length_of
from tests.harness.local_model import minilm

TEXTS = [
    "Aspirin thins the blood and lowers the risk of a heart attack.",
    "The city council voted on a new tram line.",
    "Rabbits eat grass.",
    "A short one",
    "Interest rates were raised by the central bank, for the third time in a row this year.",
]
QUESTION = "Does aspirin prevent a heart attack?"


@asynccontextmanager
async def remote() -> AsyncIterator[Embedder]:
    http = HttpClient()
    async with embedding_server() as server:
        provider = OpenAICompatible(ProviderSpec(name="near", base_url=server.base_url), http)
        yield RemoteEmbedder(
            provider, EmbeddingSpec(written="near/words", batch=2), retrying=Retrying(retries=0)
        )
        await http.close()


@asynccontextmanager
async def scripted() -> AsyncIterator[Embedder]:
    yield RemoteEmbedder(Scripted(), EmbeddingSpec(written="scripted/embedding"))


@asynccontextmanager
async def local() -> AsyncIterator[Embedder]:
    embedder = LocalEmbedder(EmbeddingSpec(written=f"local:{minilm()}"))
    yield embedder
    await embedder.close()


EMBEDDERS: dict[str, Callable[[], AbstractAsyncContextManager[Embedder]]] = {
    "remote": remote,
    "scripted": scripted,
    "local": local,
}


@pytest.fixture(params=EMBEDDERS)
async def embedder(request: pytest.FixtureRequest) -> AsyncIterator[Embedder]:
    async with EMBEDDERS[request.param]() as made:
        yield made


async def test_every_text_gets_a_vector_of_length_one_and_all_are_equally_long(embedder: Embedder) -> None:
    made = await embedder.embed(TEXTS, "document")
    assert len(made.vectors) == len(TEXTS)
    assert len({len(vector) for vector in made.vectors}) == 1
    assert [length_of(vector) for vector in made.vectors] == pytest.approx([1.0] * len(TEXTS), abs=1e-6)
    assert made.tokens >= len(TEXTS)


async def test_vectors_come_in_the_order_of_their_texts_whatever_their_lengths(embedder: Embedder) -> None:
    together = (await embedder.embed(TEXTS, "document")).vectors
    for text, vector in zip(TEXTS, together, strict=True):
        alone = (await embedder.embed([text], "document")).vectors[0]
        assert cosine(alone, vector) == pytest.approx(1.0, abs=1e-5)


async def test_a_question_is_closest_to_the_text_that_answers_it(embedder: Embedder) -> None:
    question = (await embedder.embed([QUESTION], "query")).vectors[0]
    documents = (await embedder.embed(TEXTS, "document")).vectors
    scores = [cosine(question, vector) for vector in documents]
    assert scores.index(max(scores)) == 0


async def test_no_texts_cost_nothing(embedder: Embedder) -> None:
    made = await embedder.embed([], "document")
    assert (made.vectors, made.tokens) == ([], 0)


async def test_strange_texts_do_no_harm(embedder: Embedder) -> None:
    strange = ["\ud800 half", "\0", " \n\t ", "𝔘𝔫𝔦 \u2028", "漢字" * 50, "x" * 100_000, "?!", "a " * 20_000]
    made = await embedder.embed(strange, "document")
    assert len(made.vectors) == len(strange)
    for vector in made.vectors:
        assert length_of(vector) == pytest.approx(1.0, abs=1e-5)
        assert len(struct.unpack(f"<{len(vector) // 4}f", vector)) * 4 == len(vector)


async def test_several_callers_at_once_get_their_own(embedder: Embedder) -> None:
    expected = (await embedder.embed(TEXTS, "document")).vectors
    both = await asyncio.gather(*(embedder.embed([text], "document") for text in TEXTS))
    for vector, made in zip(expected, both, strict=True):
        assert cosine(vector, made.vectors[0]) == pytest.approx(1.0, abs=1e-5)


async def test_it_has_a_name_and_a_batch_and_can_be_closed_twice(embedder: Embedder) -> None:
    provider, _, model = embedder.model.partition("/")
    assert provider and model
    assert embedder.max_batch >= 1
    await embedder.close()
    await embedder.close()


# --- rerankers


@asynccontextmanager
async def reranking(shape: str, model: str) -> AsyncIterator[Reranker]:
    http = HttpClient()
    async with embedding_server(shape=shape) as server:
        yield RemoteReranker(RerankSpec(url=f"{server.url}/rerank", model=model), http)
        await http.close()


RERANKERS = {
    "cohere": lambda: reranking("cohere", "rerank-x"),
    "cohere without a model": lambda: reranking("cohere", ""),
    "tei": lambda: reranking("tei", ""),
    "tei with a model": lambda: reranking("tei", "rerank-x"),
}


@pytest.fixture(params=RERANKERS)
async def reranker(request: pytest.FixtureRequest) -> AsyncIterator[Reranker]:
    async with RERANKERS[request.param]() as made:
        yield made


async def test_all_texts_come_back_once_best_first(reranker: Reranker) -> None:
    for _ in range(2):  # the second time the server's shape is known
        ranked = await reranker.rerank(QUESTION, TEXTS)
        assert sorted(index for index, _ in ranked) == list(range(len(TEXTS)))
        assert ranked[0][0] == 0
        assert [score for _, score in ranked] == sorted((score for _, score in ranked), reverse=True)


async def test_nothing_to_order_is_in_order(reranker: Reranker) -> None:
    assert await reranker.rerank(QUESTION, []) == []
    assert reranker.model
    await reranker.close()
    await reranker.close()
