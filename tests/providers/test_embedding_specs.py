"""Which embedding model and which reranker configuration means, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.domain.errors import InvalidRequest
from antiphon.providers.embedding_specs import EmbeddingSpec, embedding_spec, rerank_spec
from antiphon.providers.specs import ProviderSpec

NEAR = ProviderSpec(name="near", base_url="http://near.test/v1", api_key="sk-near-0123456789")


def test_nothing_configured_is_nothing() -> None:
    assert embedding_spec({}, {}) is None
    assert embedding_spec({"batch": 3}, {"model": "", "base_url": None}) is None
    assert rerank_spec({}, {"url": None}, ()) is None


@pytest.mark.parametrize(
    ("fields", "provider", "model", "shown"),
    [
        ({"written": "ollama/nomic-embed-text:v1.5"}, "ollama", "nomic-embed-text:v1.5", None),
        ({"written": "huggingface/BAAI/bge-m3"}, "huggingface", "BAAI/bge-m3", None),
        ({"written": "BAAI/bge-m3", "base_url": "http://tei.test"}, "embedding", "BAAI/bge-m3", None),
        ({"written": "local:/models/minilm/"}, "local", "minilm", None),
    ],
)
def test_a_name_says_where_the_model_is(fields: Any, provider: str, model: str, shown: str | None) -> None:
    spec = EmbeddingSpec(**fields)
    assert (spec.provider, spec.model) == (provider, model)
    assert spec.shown == f"{provider}/{model}"


def test_the_environment_wins_over_the_table() -> None:
    table = {"model": "a/b", "dimensions": 8, "query_prefix": "query: ", "batch": 7}
    spec = embedding_spec(table, {"model": "c/d", "dimensions": None, "api_key": "k"})
    assert spec is not None
    assert (spec.written, spec.dimensions, spec.query_prefix, spec.batch) == ("c/d", 8, "query: ", 7)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"model": "x", "size": 3}, "knows no 'size'"),
        ({"model": "a/b", "batch": "many"}, "batch has the wrong type"),
        ({"model": "a/b", "batch": True}, "batch has the wrong type"),
        ({"model": "a/b", "batch": 0}, "batch is a number from 1"),
        ({"model": "a/b", "max_characters": 0}, "max_characters is a number"),
        ({"model": "a/b", "dimensions": 0}, "EMBEDDING_DIMENSIONS"),
        ({"model": "minilm"}, "'local:DIRECTORY' or 'provider/model'"),
        ({"model": "local:"}, "'local:DIRECTORY' or 'provider/model'"),
        ({"model": "a", "base_url": "ftp://x"}, "EMBEDDING_BASE_URL starts with"),
        ({"model": "a", "base_url": "http://[x"}, "EMBEDDING_BASE_URL starts with"),
    ],
)
def test_what_makes_no_sense_is_refused(table: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        embedding_spec(table, {})


def test_a_description_rebuilds_the_model_and_holds_no_key() -> None:
    key = "sk-secret-0123456789"
    spec = EmbeddingSpec(
        written="m", base_url="http://a.test", api_key=key, document_prefix="p: ", dimensions=8
    )
    description = spec.description()
    assert key.encode() not in description and key not in repr(spec)
    now = EmbeddingSpec(written="other", base_url="http://a.test", api_key="new-key-0123456789")
    rebuilt = now.described(description)
    assert rebuilt is not None
    assert rebuilt.vectors_id() == spec.vectors_id() and rebuilt.api_key == "new-key-0123456789"


def test_a_key_does_not_go_to_another_address_than_it_was_configured_for() -> None:
    old = EmbeddingSpec(written="m", base_url="http://old.test", api_key="k" * 20)
    now = EmbeddingSpec(written="n", base_url="http://new.test", api_key="secret" * 4)
    rebuilt = now.described(old.description())
    assert rebuilt is not None and (rebuilt.base_url, rebuilt.api_key) == ("http://old.test", None)


@pytest.mark.parametrize("description", [b"", b"{}", b"[]", b"\xff", b'{"written": 3}'])
def test_a_description_that_cannot_be_read_is_no_model(description: bytes) -> None:
    assert EmbeddingSpec(written="a/b").described(description) is None


# --- rerankers


@pytest.mark.parametrize(
    ("url", "called"),
    [
        ("http://r.test", "http://r.test/rerank"),
        ("http://r.test/", "http://r.test/rerank"),
        ("https://r.test/v1", "https://r.test/v1/rerank"),
        ("https://r.test/v2/rerank", "https://r.test/v2/rerank"),
        ("https://r.test/v2/rerank/", "https://r.test/v2/rerank"),
    ],
)
def test_a_rerankers_address_ends_in_rerank(url: str, called: str) -> None:
    spec = rerank_spec({}, {"url": url}, ())
    assert spec is not None and (spec.url, spec.shown) == (called, "rerank/default")


def test_a_reranker_can_be_a_configured_providers() -> None:
    spec = rerank_spec({}, {"model": "near/rerank-x"}, [NEAR])
    assert spec is not None
    assert (spec.url, spec.model, spec.api_key) == ("http://near.test/v1/rerank", "rerank-x", NEAR.api_key)
    assert spec.shown == "near/rerank-x" and "sk-near" not in repr(spec)
    with pytest.raises(InvalidRequest, match="needs a RERANK_URL"):
        rerank_spec({}, {"model": "far/rerank-x"}, [NEAR])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"url": "r.test"}, "RERANK_URL starts with"),
        ({"url": "http://r.test", "seconds": 0}, "seconds is a number"),
        ({"url": "http://r.test", "seconds": "2"}, "seconds has the wrong type"),
        ({"url": "http://r.test", "max_characters": 0}, "max_characters is a number"),
        ({"url": "http://r.test", "top": 3}, "knows no 'top'"),
    ],
)
def test_a_reranker_that_makes_no_sense_is_refused(table: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        rerank_spec(table, {}, ())
