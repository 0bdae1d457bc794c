"""An embedding model behind HTTP, with servers that do what servers do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from antiphon.domain.errors import ProviderError
from antiphon.domain.retrying import Retrying
from antiphon.ports.embedder import EmbeddingRequest
from antiphon.providers.embedding_remote import RemoteEmbedder, batches
from antiphon.providers.embedding_specs import EmbeddingSpec
from antiphon.providers.http_client import HttpClient
from antiphon.providers.openai_compatible import OpenAICompatible
from antiphon.providers.specs import ProviderSpec
from tests.harness.embedding_server import Bad, EmbeddingServer, cosine, embedding_server, length_of, says

KEY = "sk-a-secret-of-some-length"


@pytest.fixture
async def server() -> AsyncIterator[EmbeddingServer]:
    async with embedding_server() as running:
        yield running


class Pauses:
    """Notes what would be waited, and does not wait."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waited.append(seconds)


def embedder_at(
    server: EmbeddingServer,
    http: HttpClient,
    *,
    pauses: Pauses | None = None,
    times: Any = None,
    **fields: Any,
) -> RemoteEmbedder:
    provider = OpenAICompatible(
        ProviderSpec(name="near", base_url=server.base_url, api_key=KEY, **(times or {})), http
    )
    return RemoteEmbedder(
        provider,
        EmbeddingSpec(written="near/words", **fields),
        retrying=Retrying(),
        random=lambda: 0.5,
        sleep=pauses or Pauses(),
    )


async def test_what_is_sent_is_openais(server: EmbeddingServer, http: HttpClient) -> None:
    await embedder_at(server, http, dimensions=32).embed(["a", "b"], "document")
    (call,) = server.calls
    assert call.path == "/v1/embeddings"
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert call.body == {
        "model": "words", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 32,
    }  # fmt: skip


async def test_prefixes_go_before_questions_and_documents_and_never_before_plain_texts(
    server: EmbeddingServer, http: HttpClient
) -> None:
    embedder = embedder_at(server, http, query_prefix="query: ", document_prefix="passage: ")
    for kind in ("query", "document", "text"):
        await embedder.embed(["x"], kind)  # type: ignore[arg-type]
    assert server.texts == ["query: x", "passage: x", "x"]


async def test_batches_are_bounded_by_texts_and_by_characters(
    server: EmbeddingServer, http: HttpClient
) -> None:
    texts = [f"text {i}" for i in range(10)] + ["y" * 50, "z"]
    made = await embedder_at(server, http, batch=4, batch_characters=40).embed(texts, "document")
    assert len(made.vectors) == 12
    sizes = [[len(text) for text in call.body["input"]] for call in server.calls]
    assert all(len(batch) <= 4 and (sum(batch) <= 40 or len(batch) == 1) for batch in sizes)
    assert [text for call in server.calls for text in call.body["input"]] == texts
    assert list(batches([], 4, 40)) == []


@pytest.mark.parametrize("kind", ["takes_base64", "ignores_base64"])
async def test_floats_are_read_where_base64_is_not_to_be_had(kind: str, http: HttpClient) -> None:
    async with embedding_server(**{kind: kind != "takes_base64"}) as server:
        embedder = embedder_at(server, http)
        first = await embedder.embed(["aspirin and blood"], "document")
        await embedder.embed(["aspirin"], "document")
        assert length_of(first.vectors[0]) == pytest.approx(1.0, abs=1e-6)
        refused = 0 if kind == "ignores_base64" else 1
        assert len(server.calls) == 2 + refused  # asked for once, and then remembered


async def test_embeddings_are_placed_by_their_index(server: EmbeddingServer, http: HttpClient) -> None:
    def backwards(body: Any, right: Any) -> Any:
        return 200, {**right, "data": right["data"][::-1]}, {}

    embedder = embedder_at(server, http)
    right = (await embedder.embed(["one", "two", "three"], "document")).vectors
    server.bad.append(backwards)
    assert (await embedder.embed(["one", "two", "three"], "document")).vectors == right


async def test_tokens_are_counted_as_billed_or_estimated(server: EmbeddingServer, http: HttpClient) -> None:
    embedder = embedder_at(server, http, batch=1)
    assert (await embedder.embed(["one two", "three"], "document")).tokens == 3
    server.always = lambda body, right: (200, {**right, "usage": None}, {})
    assert (await embedder.embed(["one two three four"], "document")).tokens == 5


def changed(**fields: Any) -> Bad:
    """The right answer with its first entry changed."""

    def bad(body: Any, right: Any) -> Any:
        first = {**right["data"][0], **fields}
        return 200, {**right, "data": [first, *right["data"][1:]]}, {}

    return bad


def raw(text: str) -> Bad:
    return lambda body, right: (200, text, {})


WRONG: dict[str, Bad] = {
    "too few": lambda body, right: (200, {**right, "data": right["data"][:1]}, {}),
    "too many": lambda body, right: (200, {**right, "data": right["data"] * 2}, {}),
    "an index twice": changed(index=1),
    "an index too high": changed(index=7),
    "a negative index": changed(index=-1),
    "other dimensions": changed(embedding=[1.0, 2.0]),
    "no dimensions": changed(embedding=[]),
    "zero": changed(embedding=[0.0] * 64),
    "infinity": changed(embedding=[1e39] * 64),
    "no numbers": changed(embedding=["a"] * 64),
    "null": changed(embedding=None),
    "no base64": changed(embedding="%%%"),
    "half a float": changed(embedding="AAA="),
    "NaN in base64": changed(embedding="AADAfw=="),
    "NaN in JSON": raw('{"data": [{"index": 0, "embedding": [NaN]}, {"index": 1, "embedding": [1.0]}]}'),
    "no list": raw('{"data": {}}'),
    "no JSON": raw("hello"),
    "nothing": raw(""),
    "an error with 200": raw('{"error": {"message": "overloaded"}}'),
    "deep": raw("[" * 100_000),
}


@pytest.mark.parametrize("kind", WRONG)
async def test_an_answer_that_is_none_is_an_error_and_no_vector(
    kind: str, server: EmbeddingServer, http: HttpClient
) -> None:
    server.always = WRONG[kind]
    with pytest.raises(ProviderError, match="upstream_protocol_error"):
        await embedder_at(server, http).embed(["one", "two"], "text")
    assert len(server.calls) == 3  # a proxy in between may do better the next time


async def test_a_web_page_says_so(server: EmbeddingServer, http: HttpClient) -> None:
    server.always = raw("<html>Login</html>")
    with pytest.raises(ProviderError, match="web page"):
        await embedder_at(server, http).embed(["one"], "document")


async def test_vectors_that_changed_their_length_are_refused(
    server: EmbeddingServer, http: HttpClient
) -> None:
    embedder = embedder_at(server, http)
    await embedder.embed(["one"], "document")
    server.dimensions = 32
    with pytest.raises(ProviderError, match="gave 32 dimensions, not 64"):
        await embedder.embed(["one"], "document")


async def test_dimensions_that_a_server_ignores_are_refused(
    server: EmbeddingServer, http: HttpClient
) -> None:
    server.always = changed(embedding=[1.0] * 64)
    with pytest.raises(ProviderError, match="64 dimensions in place of 32"):
        await embedder_at(server, http, dimensions=32).embed(["one"], "document")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_what_may_pass_is_tried_again_with_pauses(
    status: int, server: EmbeddingServer, http: HttpClient
) -> None:
    pauses = Pauses()
    server.bad.extend([says(status), says(status)])
    made = await embedder_at(server, http, pauses=pauses).embed(["one"], "document")
    assert len(made.vectors) == 1
    assert pauses.waited == [0.25, 0.5]  # half of 0.5 and of 1, as chance has it


async def test_a_retry_after_is_waited_for_and_one_too_long_is_not(
    server: EmbeddingServer, http: HttpClient
) -> None:
    pauses = Pauses()
    embedder = embedder_at(server, http, pauses=pauses)
    server.bad.append(says(429, retry_after="3"))
    await embedder.embed(["one"], "document")
    assert pauses.waited == [3.25]
    server.bad.append(says(429, retry_after="3600"))
    with pytest.raises(ProviderError) as failed:
        await embedder.embed(["one"], "document")
    assert failed.value.retry_after_seconds == 3600
    assert failed.value.code == "rate_limit_exceeded"
    assert len(pauses.waited) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_what_cannot_pass_is_not_tried_again_and_shows_no_key(
    status: int, server: EmbeddingServer, http: HttpClient
) -> None:
    server.always = lambda *_: (status, {"error": {"message": f"Incorrect API key: {KEY[:20]}…"}}, {})
    with pytest.raises(ProviderError) as failed:
        await embedder_at(server, http).embed(["one"], "document")
    assert len(server.calls) == 1
    assert KEY[:12] not in failed.value.message


async def test_an_answer_that_is_cut_is_tried_again(server: EmbeddingServer, http: HttpClient) -> None:
    cut = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + json.dumps({"data": []}).encode()
    server.bad.extend([lambda *_: cut, lambda *_: b"", lambda *_: cut])
    with pytest.raises(ProviderError, match="upstream_connection_error"):
        await embedder_at(server, http).embed(["one"], "document")
    assert len(server.calls) == 3
    assert len((await embedder_at(server, http).embed(["one"], "document")).vectors) == 1


async def test_a_silent_server_is_given_up(http: HttpClient) -> None:
    async with embedding_server(delay_seconds=30.0) as server:
        embedder = embedder_at(server, http, times={"idle_seconds": 0.05})
        with pytest.raises(ProviderError, match="upstream_timeout"):
            await asyncio.wait_for(embedder.embed(["one"], "document"), 5)
        assert len(server.calls) == 3


async def test_nobody_listening_is_an_error(server: EmbeddingServer, http: HttpClient) -> None:
    provider = OpenAICompatible(ProviderSpec(name="near", base_url="http://127.0.0.1:9/v1"), http)
    embedder = RemoteEmbedder(provider, EmbeddingSpec(written="near/words"), sleep=Pauses())
    with pytest.raises(ProviderError) as failed:
        await embedder.embed(["one"], "document")
    assert failed.value.retryable


async def test_a_document_that_is_too_long_is_cut_and_its_neighbours_are_whole(
    http: HttpClient,
) -> None:
    long, short = "word " * 400, "another text"
    async with embedding_server(max_characters=600) as server:
        embedder = embedder_at(server, http)
        made = (await embedder.embed([short, long, short + " 2"], "document")).vectors
        alone = (await embedder.embed([short, long[:500], short + " 2"], "document")).vectors
    assert [cosine(one, other) for one, other in zip(made, alone, strict=True)] == pytest.approx([1.0] * 3)


async def test_a_callers_own_text_is_not_cut_but_refused(http: HttpClient) -> None:
    async with embedding_server(max_characters=600) as server:
        with pytest.raises(ProviderError) as failed:
            await embedder_at(server, http).embed(["word " * 400], "text")
        assert failed.value.code == "invalid_prompt"
        assert len(server.calls) == 1


async def test_a_server_that_refuses_everything_is_not_asked_for_ever(http: HttpClient) -> None:
    async with embedding_server(poison="word") as server:
        with pytest.raises(ProviderError):
            await embedder_at(server, http).embed(["word " * 400] * 64, "document")
        assert len(server.calls) <= 12


async def test_no_more_than_the_configured_characters_are_sent(
    server: EmbeddingServer, http: HttpClient
) -> None:
    await embedder_at(server, http, max_characters=100).embed(["x" * 1000], "document")
    assert [len(text) for text in server.texts] == [100]


async def test_large_answers_are_read_off_the_loop_and_whole(http: HttpClient) -> None:
    async with embedding_server(dimensions=3072) as server:
        provider = OpenAICompatible(ProviderSpec(name="near", base_url=server.base_url), http)
        texts = [f"text {i}" for i in range(64)]
        made = await provider.embeddings(EmbeddingRequest(model="words", texts=texts))
    assert {len(vector) for vector in made.vectors} == {3072 * 4}
