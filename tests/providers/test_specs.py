"""Providers come from well-known names and from tables, and their keys never show."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from antiphon.domain.errors import InvalidRequest
from antiphon.domain.usage import Price, Usage
from antiphon.ports.outbound import OutboundRequest
from antiphon.providers.registry import ProviderSpec, build_providers, from_toml, presets, with_built_in

KEY = "sk-canary-0123456789abcdef"


class NoHttp:
    async def send(self, request: OutboundRequest) -> Any:
        raise AssertionError("nothing is to be sent")

    async def close(self) -> None: ...


def test_no_names_no_providers() -> None:
    assert presets({}) == []
    assert presets({"GROQ_API_KEY": " ", "OLLAMA_BASE_URL": ""}) == []


def test_every_preset() -> None:
    env = {
        "GROQ_API_KEY": KEY,
        "OPENAI_API_KEY": KEY,
        "HF_TOKEN": KEY,
        "OLLAMA_BASE_URL": "http://localhost:11434",
        "VLLM_BASE_URL": "http://gpu:8000/v1/",
        "LLAMACPP_BASE_URL": "http://127.0.0.1:8080",
    }
    found = {spec.name: spec for spec in presets(env)}
    assert list(found) == ["groq", "openai", "huggingface", "ollama", "vllm", "llamacpp"]
    assert found["groq"].base_url == "https://api.groq.com/openai/v1"
    assert found["groq"].default_model == "llama3-8b-8192"
    assert found["huggingface"].default_model == "mistralai/Mistral-7B-Instruct-v0.2"
    assert found["ollama"].base_url == "http://localhost:11434/v1"
    assert found["vllm"].base_url == "http://gpu:8000/v1/"
    assert found["ollama"].api_key is None and found["groq"].api_key == KEY
    assert "GROQ_MODEL_NAME" in found["groq"].model_hint


def test_names_beside_the_key_are_read() -> None:
    env = {"GROQ_API_KEY": KEY, "GROQ_BASE_URL": "http://127.0.0.1:9/v1", "GROQ_MODEL_NAME": "gemma"}
    (spec,) = presets(env)
    assert (spec.base_url, spec.default_model) == ("http://127.0.0.1:9/v1", "gemma")


def test_a_table() -> None:
    table = tomllib.loads(
        """
        [mine]
        base_url = "https://user:pass-word-1@models.example.org/v1"
        api_key_env = "MINE"
        models = ["a/b", "c"]
        context_tokens = 32768
        extra_headers = { x-org = "env:ORG" }
        prices = { "a/b" = { input = 0.59, output = 0.79 }, "*" = { input = 1 } }
        """
    )
    (spec,) = from_toml(table, {"MINE": KEY, "ORG": "organisation-7"})
    assert spec.models == ("a/b", "c") and spec.api_key == KEY and spec.context_tokens == 32768
    assert spec.prices["a/b"] == Price(590_000, 790_000)
    assert spec.prices["a/b"].cost(Usage(1_000_000, 1_000_000)) == 1_380_000
    assert spec.prices["*"] == Price(1_000_000, 0)
    assert spec.shown_url == "https://models.example.org/v1"
    assert not any(secret in repr(spec) for secret in (KEY, "organisation-7", "pass-word-1"))
    assert set(spec.secrets) == {KEY, "organisation-7", "pass-word-1"}


@pytest.mark.parametrize(
    "table",
    [
        {"x": {"base_url": "ftp://a"}},
        {"x": {"base_url": "http://"}},
        {"x": {}},
        {"x": 3},
        {"X Y": {"base_url": "http://a"}},
        {"a/b": {"base_url": "http://a"}},
        {"offline": {"base_url": "http://a"}},
        {"x": {"base_url": "http://a", "api_key": KEY}},
        {"x": {"base_url": "http://a", "api_key_env": "UNSET"}},
        {"x": {"base_url": "http://a", "models": "a"}},
        {"x": {"base_url": "http://a", "prices": {"m": 3}}},
        {"x": {"base_url": "http://a", "prices": {"m": {"input": -1}}}},
        {"x": {"base_url": "http://a:99999"}},
    ],
    ids=range(13),
)
def test_wrong_tables_are_refused_with_a_sentence(table: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        from_toml(table, {})
    assert refused.value.message and KEY not in refused.value.message


@pytest.mark.parametrize("name", ["offline", "scripted"])
def test_the_name_of_a_built_in_provider_is_refused_for_what_it_is(name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"'{name}' is a built-in provider; choose another name"):
        from_toml({name: {"base_url": "http://127.0.0.1:9/v1"}}, {})


def test_the_built_in_ones_are_always_there_and_names_are_unique() -> None:
    spec = ProviderSpec(name="p", base_url="http://127.0.0.1:9/v1", api_key=KEY)
    built = build_providers([spec], NoHttp())
    assert list(built) == ["p", "offline", "scripted"]
    assert KEY not in repr(built)
    assert with_built_in([]).keys() == {"offline", "scripted"}
    assert not with_built_in([])["scripted"].listed
    assert with_built_in([], list_scripted=True)["scripted"].listed
    with pytest.raises(InvalidRequest):
        build_providers([spec, spec], NoHttp())


async def test_configured_models_are_listed_without_asking() -> None:
    spec = ProviderSpec(name="p", base_url="http://127.0.0.1:9/v1", models=("a", "b/c"), context_tokens=7)
    infos = await build_providers([spec], NoHttp())["p"].models()
    assert [(info.id, info.context_tokens) for info in infos] == [("p/a", 7), ("p/b/c", 7)]
