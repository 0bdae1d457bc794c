"""`/v1/embeddings` over HTTP: OpenAI's wire, its errors, limits, and what is listed."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from antiphon.bootstrap import SystemClock
from antiphon.ports.model_provider import ModelInfo
from antiphon.providers.http_client import HttpClient
from antiphon.providers.scripted import Scripted
from antiphon.services.models import Models
from tests.api.client import Api, in_process
from tests.harness.embedding_server import EmbeddingServer, embedding_server, says
from tests.harness.local_model import minilm
from tests.harness.people import Person
from tests.services.quota_looks import counted, ledger
from tests.services.world import open_world

PATH = "/v1/embeddings"
MODEL = "scripted/embedding"


async def embed(api: Api, given: Any, **fields: Any) -> Any:
    return await api.post(PATH, {"model": MODEL, "input": given, **fields})


@asynccontextmanager
async def configured(directory: Path, **settings: Any) -> AsyncIterator[Api]:
    """An application with an embedding model of its own."""
    http = HttpClient()
    world = await open_world(directory / "data", http=http, **settings)
    try:
        async with in_process(world) as api:
            yield api
    finally:
        await world.application.embeddings.close()
        await world.close()
        await http.close()


# --- the wire


async def test_an_answer_is_openais(api: Api) -> None:
    made = await embed(api, ["the first text", "the second"])
    assert made.keys() == {"object", "data", "model", "usage"}
    assert (made["object"], made["model"]) == ("list", MODEL)
    assert made["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    for index, one in enumerate(made["data"]):
        assert one.keys() == {"object", "index", "embedding"}
        assert (one["object"], one["index"]) == ("embedding", index)
        assert math.hypot(*one["embedding"]) == pytest.approx(1.0, abs=1e-6)


async def test_a_string_is_a_list_of_one(api: Api) -> None:
    assert (await embed(api, "a text"))["data"] == (await embed(api, ["a text"]))["data"]


async def test_base64_holds_the_same_numbers(api: Api) -> None:
    floats = (await embed(api, "a text", encoding_format="float"))["data"][0]["embedding"]
    packed = base64.b64decode((await embed(api, "a text", encoding_format="base64"))["data"][0]["embedding"])
    assert list(struct.unpack(f"<{len(packed) // 4}f", packed)) == floats


async def test_dimensions_are_as_asked(api: Api) -> None:
    made = await embed(api, ["a", "b"], dimensions=64, user="someone")
    assert {len(one["embedding"]) for one in made["data"]} == {64}


async def test_many_texts_are_answered_in_order(api: Api) -> None:
    texts = [f"text {index}" for index in range(2048)]
    made = await embed(api, texts, encoding_format="base64", dimensions=32)
    assert [one["index"] for one in made["data"]] == list(range(2048))
    last = await embed(api, texts[-1], encoding_format="base64", dimensions=32)
    assert made["data"][-1]["embedding"] == last["data"][0]["embedding"]


# --- refusals


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"model": MODEL}, "input", "missing_required_parameter"),
        ({"model": MODEL, "input": ""}, "input", "invalid_value"),
        ({"model": MODEL, "input": []}, "input", "invalid_value"),
        ({"model": MODEL, "input": ["a", ""]}, "input", "invalid_value"),
        ({"model": MODEL, "input": None}, "input", "invalid_type"),
        ({"model": MODEL, "input": {"text": "a"}}, "input", "invalid_type"),
        ({"model": MODEL, "input": ["a", None]}, "input", "invalid_value"),
        ({"model": MODEL, "input": ["a", {"b": 1}]}, "input", "invalid_value"),
        ({"model": MODEL, "input": [1, 2, 3]}, "input", "unsupported_input"),
        ({"model": MODEL, "input": [[1, 2], [3]]}, "input", "unsupported_input"),
        ({"model": MODEL, "input": ["x"] * 2049}, "input", "array_above_max_length"),
        ({"model": MODEL, "input": "x" * 200_000}, "input", "context_length_exceeded"),
        ({"model": MODEL, "input": ["x" * 100_000] * 20}, "input", "max_tokens_per_request"),
        ({"model": MODEL, "input": "x", "encoding_format": "hex"}, "encoding_format", "invalid_type"),
        ({"model": MODEL, "input": "x", "dimensions": 0}, "dimensions", "invalid_type"),
        ({"model": MODEL, "input": "x", "dimensions": 10**9}, "dimensions", "invalid_type"),
        ({"model": MODEL, "input": "x", "dimensions": "many"}, "dimensions", "invalid_type"),
        ({"model": MODEL, "input": "x", "user": 3}, "user", "invalid_type"),
        ({"model": 3, "input": "x"}, "model", "invalid_type"),
        ({"model": MODEL, "input": "x", "api_base": "http://elsewhere"}, "api_base", "unknown_parameter"),
        ({"input": "x"}, "model", "missing_required_parameter"),
        ({"model": "", "input": "x"}, "model", "missing_required_parameter"),
    ],
    ids=str,
)
async def test_what_cannot_be_embedded_is_refused(api: Api, body: Any, param: str, code: str) -> None:
    error = await api.refused("POST", PATH, body, status=400)
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert ledger(api.world)[0] == 0


async def test_a_hundred_thousand_texts_are_refused_before_they_are_looked_at(api: Api) -> None:
    error = await api.refused("POST", PATH, {"model": MODEL, "input": ["x"] * 100_000}, status=413)
    assert error["code"] == "too_many_values"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b"[" * 50_000, b'{"input": "\xff"}'])
async def test_what_is_no_object_is_refused(api: Api, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = await api.http.request("POST", PATH, content=content, headers=headers)
    assert answer.status_code == 400 and answer.json()["error"]["type"] == "invalid_request_error"


async def test_unknown_models_and_models_of_another_kind_are_refused(api: Api) -> None:
    error = await api.refused("POST", PATH, {"model": "nobody/nothing", "input": "x"}, status=404)
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    error = await api.refused("POST", PATH, {"model": "scripted/echo", "input": "x"}, status=400)
    assert "makes no embeddings" in error["message"]
    error = await api.refused("POST", PATH, {"model": "hand/echo", "input": "x"}, status=400)
    assert (error["code"], error["param"]) == ("unsupported_model", "model")
    error = await api.refused("POST", PATH, {"model": MODEL, "input": "x", "dimensions": 16_000}, status=400)
    assert error["code"] == "invalid_prompt"


async def test_an_embedding_model_does_not_chat(api: Api) -> None:
    answer = await api.chat({"role": "user", "content": "x"}, model=MODEL, status=502)
    assert "no chat model 'embedding'" in answer["error"]["message"]


# --- use and limits


async def test_use_stands_in_the_ledger_and_on_the_counters(api: Api) -> None:
    await api.post(
        "/v1/admin/limits", {"scope": "everyone", "metric": "tokens", "period": "day", "amount": 999}
    )
    await api.post(
        "/v1/admin/limits", {"scope": "everyone", "metric": "requests", "period": "day", "amount": 9}
    )
    answer = await api.http.request("POST", PATH, json={"model": MODEL, "input": ["one two", "three"]})
    assert answer.headers["x-ratelimit-limit-tokens"] == "999"
    assert answer.headers["x-ratelimit-remaining-requests"] == "8"
    assert counted(api.world) == {"|tokens|day": (3, 0), "|requests|day": (1, 0)}
    assert ledger(api.world)[:2] == (1, 3)
    (line,) = (await api.get("/v1/usage"))["data"]
    assert (line["model"], line["requests"], line["input_tokens"]) == (MODEL, 1, 3)


async def test_a_limit_that_is_reached_is_a_429_and_nothing_is_called(api: Api) -> None:
    await api.post(
        "/v1/admin/limits", {"scope": "everyone", "metric": "tokens", "period": "day", "amount": 10}
    )
    error = await api.refused("POST", PATH, {"model": MODEL, "input": "word " * 100}, status=429)
    assert (error["type"], error["code"]) == ("rate_limit_error", "insufficient_quota")
    assert counted(api.world) == {} and ledger(api.world)[0] == 0


async def test_requests_of_a_minute_are_counted_with_those_for_answers(api: Api) -> None:
    await api.post(
        "/v1/admin/limits", {"scope": "everyone", "metric": "requests", "period": "minute", "amount": 2}
    )
    await api.ask("x")
    await embed(api, "x")
    error = await api.refused("POST", PATH, {"model": MODEL, "input": "x"}, status=429)
    assert error["code"] == "rate_limit_exceeded"


async def test_a_call_that_fails_gives_back_what_it_held(tmp_path: Path) -> None:
    async with embedding_server(always=says(400)) as server, at(server, tmp_path) as api:
        await api.post(
            "/v1/admin/limits", {"scope": "everyone", "metric": "tokens", "period": "day", "amount": 99}
        )
        await api.refused("POST", PATH, {"input": "x"}, status=400)
        assert counted(api.world) == {"|tokens|day": (0, 0)} and ledger(api.world)[0] == 0
        assert api.world.application.quotas.holding == set()


# --- a server of one's own


def at(server: EmbeddingServer, directory: Path, **settings: Any) -> Any:
    return configured(
        directory, embedding_model="words", embedding_base_url=server.base_url,
        embedding_api_key="ek-0123456789abcdef", **settings,
    )  # fmt: skip


async def test_the_configured_model_answers_by_all_its_names_and_without_one(tmp_path: Path) -> None:
    async with embedding_server() as server, at(server, tmp_path) as api:
        for fields in ({"model": "embedding/words"}, {"model": "words"}, {}):
            made = await api.post(PATH, {"input": "a text", **fields})
            assert made["model"] == "embedding/words"
        assert {call.body["model"] for call in server.calls} == {"words"}
        assert server.calls[0].headers["authorization"] == "Bearer ek-0123456789abcdef"
        made = await api.post(PATH, {"input": "a text", "dimensions": 16})
        assert len(made["data"][0]["embedding"]) == 16


@pytest.mark.parametrize(
    ("status", "seen", "code"),
    [(400, 400, "invalid_prompt"), (401, 502, "server_error"), (500, 502, "server_error")],
)
async def test_failures_of_the_model_are_openais_errors_and_show_no_key(
    tmp_path: Path, status: int, seen: int, code: str
) -> None:
    async with embedding_server(always=says(status)) as server, at(server, tmp_path) as api:
        error = await api.refused("POST", PATH, {"input": "x"}, status=seen)
        assert error["code"] == code
        assert "ek-0123" not in json.dumps(error)


async def test_a_model_that_is_limited_says_when_to_come_back(tmp_path: Path) -> None:
    async with embedding_server(always=says(429, retry_after="77")) as server, at(server, tmp_path) as api:
        answer = await api.http.request("POST", PATH, json={"input": "x"})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "77")


# --- a model in a directory


async def test_a_model_in_a_directory_is_served_and_listed(tmp_path: Path) -> None:
    async with configured(tmp_path, embedding_model=f"local:{minilm()}") as api:
        made = await api.post(PATH, {"model": "local/model", "input": ["a happy person", "a sunny day"]})
        assert {len(one["embedding"]) for one in made["data"]} == {384}
        error = await api.refused("POST", PATH, {"input": "x", "dimensions": 8}, status=400)
        assert error["param"] == "dimensions"


# --- lists and state


async def test_embedding_models_are_listed_and_retrieved(tmp_path: Path) -> None:
    own = ModelInfo(id="local/minilm", provider="local")
    models = Models({"scripted": Scripted(listed=True)}, clock=SystemClock(), further=[own])
    async with configured(tmp_path, models=models) as api:
        listed = [one["id"] for one in (await api.get("/v1/models"))["data"]]
        assert MODEL in listed and listed.count("local/minilm") == 1
        for model in (MODEL, "local/minilm"):
            assert (await api.get(f"/v1/models/{model}"))["id"] == model


async def test_without_a_model_the_state_says_words_only(api: Api) -> None:
    state = await api.get("/v1/admin/embeddings")
    assert state["object"] == "embedding.state"
    assert (state["status"], state["model"], state["serving"], state["vectors"]) == ("off", None, None, [])


async def test_only_administrators_see_the_state(town: Any) -> None:
    someone: Person = await town.person("someone")
    answer = await someone.call("GET", "/v1/admin/embeddings")
    assert answer.status_code == 403
