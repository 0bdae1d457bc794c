"""A reranker behind HTTP: two shapes, a hard limit in time, and servers that do what servers do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.domain.errors import ProviderError
from antiphon.providers.embedding_specs import RerankSpec
from antiphon.providers.http_client import HttpClient
from antiphon.providers.rerank_remote import MAX_TEXTS, RemoteReranker
from tests.harness.embedding_server import Bad, EmbeddingServer, embedding_server, says

KEY = "rk-a-secret-of-some-length"
TEXTS = ["one two", "two three", "three"]


def reranker_at(server: EmbeddingServer, http: HttpClient, **fields: Any) -> RemoteReranker:
    return RemoteReranker(
        RerankSpec(**{"url": f"{server.url}/v1/rerank", "model": "x", "api_key": KEY, **fields}), http
    )


async def test_what_is_sent_is_coheres(http: HttpClient) -> None:
    async with embedding_server() as server:
        ranked = await reranker_at(server, http).rerank("two three", TEXTS)
    (call,) = server.calls
    assert call.path == "/v1/rerank" and call.headers["authorization"] == f"Bearer {KEY}"
    assert call.body == {"model": "x", "query": "two three", "documents": TEXTS, "top_n": 3}
    assert ranked == [(1, 2.0), (0, 1.0), (2, 1.0)]


@pytest.mark.parametrize(("shape", "model"), [("tei", "x"), ("cohere", "")])
async def test_the_other_shape_is_found_and_remembered(http: HttpClient, shape: str, model: str) -> None:
    async with embedding_server(shape=shape) as server:
        reranker = reranker_at(server, http, model=model)
        first = await reranker.rerank("two three", TEXTS)
        assert len(server.calls) == 2
        assert await reranker.rerank("two three", TEXTS) == first
        assert len(server.calls) == 3
    assert first[0] == (1, 2.0)


async def test_texts_and_question_are_cut(http: HttpClient) -> None:
    async with embedding_server() as server:
        await reranker_at(server, http, max_characters=50).rerank("q" * 9000, ["x" * 900, "\ud800y"])
    body = server.calls[0].body
    assert [len(text) for text in body["documents"]] == [50, 2] and len(body["query"]) == 2000


async def test_more_texts_than_allowed_are_refused_before_anything_is_sent(http: HttpClient) -> None:
    async with embedding_server() as server:
        reranker = reranker_at(server, http)
        assert len(await reranker.rerank("q", ["x"] * MAX_TEXTS)) == MAX_TEXTS
        with pytest.raises(ProviderError, match="at most 50"):
            await reranker.rerank("q", ["x"] * (MAX_TEXTS + 1))
    assert len(server.calls) == 1


async def test_a_slow_reranker_is_given_up_in_time_and_not_asked_again(http: HttpClient) -> None:
    async with embedding_server(delay_seconds=30.0) as server:
        reranker = reranker_at(server, http, seconds=0.1)
        with pytest.raises(ProviderError, match="upstream_timeout"):
            await asyncio.wait_for(reranker.rerank("q", TEXTS), 5)
    assert len(server.calls) == 1


async def test_one_that_drips_is_given_up_too(http: HttpClient) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        try:
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            writer.close()

    listening = await asyncio.start_server(play, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    reranker = RemoteReranker(RerankSpec(url=f"http://127.0.0.1:{port}/rerank", seconds=0.2), http)
    with pytest.raises(ProviderError, match="upstream_timeout"):
        await asyncio.wait_for(reranker.rerank("q", TEXTS), 5)
    listening.close()


def answered(value: Any) -> Bad:
    return lambda *_: (200, value, {})


def ranked(*pairs: tuple[Any, Any]) -> Any:
    return {"results": [{"index": index, "relevance_score": score} for index, score in pairs]}


WRONG: dict[str, Bad] = {
    "too few": answered(ranked((0, 1.0), (1, 0.5))),
    "one twice": answered(ranked((0, 1.0), (1, 0.5), (1, 0.5))),
    "one twice and all": answered(ranked((0, 1.0), (1, 0.5), (2, 0.5), (2, 0.5))),
    "an index too high": answered(ranked((0, 1.0), (1, 0.5), (7, 0.5))),
    "a negative index": answered(ranked((0, 1.0), (1, 0.5), (-1, 0.5))),
    "no score": answered({"results": [{"index": index} for index in range(3)]}),
    "a text for a score": answered(ranked((0, "high"), (1, 0.5), (2, 0.5))),
    "NaN": answered('{"results": [{"index": 0, "relevance_score": NaN}]}'),
    "no list": answered({"data": []}),
    "no JSON": answered("hello"),
    "a web page": answered("<html></html>"),
    "too much": answered(" " * (2 * 1024 * 1024)),
    "refused": says(400),
    "no key": says(401),
    "down": says(503),
    "cut": lambda *_: b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{}",
    "closed": lambda *_: b"",
}


@pytest.mark.parametrize("kind", WRONG)
async def test_whatever_goes_wrong_is_a_provider_error(kind: str, http: HttpClient) -> None:
    async with embedding_server(always=WRONG[kind]) as server:
        with pytest.raises(ProviderError) as failed:
            await reranker_at(server, http).rerank("q", TEXTS)
    assert len(server.calls) == 1
    assert KEY[:10] not in failed.value.message
