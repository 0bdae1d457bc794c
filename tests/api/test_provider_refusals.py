"""What a provider says of its failure reaches a client of chat completions: when to come back, and why."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon.bootstrap import SystemClock
from antiphon.domain.retrying import Retrying
from antiphon.providers.http_client import HttpClient
from antiphon.services.models import Models
from tests.api.client import Api, in_process, parse_events
from tests.providers.asking import KEY, provider
from tests.providers.raw_server import answer, chunked, says, serving
from tests.services.world import open_world

PATH = "/v1/chat/completions"


@asynccontextmanager
async def before(tmp_path: Path, said: bytes) -> AsyncIterator[Api]:
    """The application before a provider that answers every call with the same bytes."""
    http = HttpClient()
    async with serving(says(said)) as server:
        made = provider(http, server.url)
        models = Models({made.name: made}, clock=SystemClock(), retrying=Retrying(retries=0))
        world = await open_world(tmp_path / "data", models=models)
        async with in_process(world) as client:
            yield client
        await world.close()
        await http.close()


async def asked(api: Api, **fields: Any) -> httpx.Response:
    body = {"model": "up/m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return await api.http.post(PATH, json=body)


def refusal(status: bytes, *headers: bytes, **error: Any) -> bytes:
    return answer(json.dumps({"error": error}).encode(), *headers, status=status)


# --- when to come back


@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"store": True}])
@pytest.mark.parametrize(("header", "told"), [(b"33", "33"), (b"0", "1"), (b"99999999", "86400")])
async def test_a_provider_that_limits_says_when_to_come_back(
    tmp_path: Path, fields: dict[str, Any], header: bytes, told: str
) -> None:
    async with before(tmp_path, refusal(b"429 No", b"Retry-After: " + header, message="slow")) as api:
        response = await asked(api, **fields)
        assert (response.status_code, response.headers["retry-after"]) == (429, told)


@pytest.mark.parametrize(("status", "seen"), [(b"429 No", 429), (b"500 No", 502)])
async def test_nothing_is_promised_for_a_provider_that_does_not_say(
    tmp_path: Path, status: bytes, seen: int
) -> None:
    async with before(tmp_path, refusal(status, message="slow")) as api:
        response = await asked(api)
        assert response.status_code == seen and "retry-after" not in response.headers


async def test_a_model_that_is_left_alone_is_503_until_it_is_asked_again(tmp_path: Path) -> None:
    async with before(tmp_path, refusal(b"500 No", message="broken")) as api:
        assert [(await asked(api)).status_code for _ in range(5)] == [502] * 5
        response = await asked(api)
        assert response.status_code == 503 and 1 <= int(response.headers["retry-after"]) <= 10
        assert "upstream_unavailable" in response.json()["error"]["message"]


async def test_a_response_that_failed_is_told_inside_as_ever(tmp_path: Path) -> None:
    async with before(tmp_path, refusal(b"429 No", b"Retry-After: 33", message="slow")) as api:
        body = {"model": "up/m", "input": "hi"}
        response = await api.http.post("/v1/responses", json=body)
        assert response.status_code == 200 and "retry-after" not in response.headers
        assert response.json()["error"]["code"] == "rate_limit_exceeded"


# --- why


PARAM = "tools[0].function.parameters"


@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"store": True}])
@pytest.mark.parametrize(
    ("code", "param"), [("invalid_function_parameters", PARAM), ("context_length_exceeded", "messages")]
)
async def test_what_a_provider_refuses_is_named_as_it_names_it(
    tmp_path: Path, fields: dict[str, Any], code: str, param: str
) -> None:
    said = refusal(b"400 No", message="m", type="invalid_request_error", code=code, param=param)
    async with before(tmp_path, said) as api:
        response = await asked(api, **fields)
        error = response.json()["error"]
        assert response.status_code == 400
        assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)


async def test_an_account_without_credit_is_told_from_one_that_asks_too_fast(tmp_path: Path) -> None:
    async with before(tmp_path, refusal(b"429 No", message="m", code="insufficient_quota")) as api:
        response = await asked(api)
        assert (response.status_code, response.json()["error"]["code"]) == (429, "insufficient_quota")


@pytest.mark.parametrize("begun", [False, True])
async def test_so_is_what_it_refuses_in_a_stream(tmp_path: Path, begun: bool) -> None:
    error = {"message": "m", "type": "invalid_request_error", "code": "context_length_exceeded", "param": "p"}
    word = b'data: {"choices":[{"index":0,"delta":{"content":"one"}}]}\n\n'
    sent = b"data: %b\n\n" % json.dumps({"error": error}).encode()
    async with before(tmp_path, chunked(*[word] * begun, sent)) as api:
        response = await asked(api, stream=True)
        assert response.status_code == (200 if begun else 400)
        told = parse_events(response.text)[-1].data if begun else response.json()
        assert (told["error"]["code"], told["error"]["param"]) == ("context_length_exceeded", "p")


@pytest.mark.parametrize("status", [b"401 No", b"404 No", b"500 No"])
async def test_what_is_no_fault_of_the_request_keeps_the_servers_word(tmp_path: Path, status: bytes) -> None:
    async with before(tmp_path, refusal(status, message="m", code="invalid_api_key", param="p")) as api:
        error = (await asked(api)).json()["error"]
        assert (error["code"], error["param"]) == ("server_error", None)


@pytest.mark.parametrize("odd", [f"x {KEY[3:14]}", "x" * 201, "a\nb", "\ud800", "", 400, ["x"], None])
async def test_words_that_may_not_be_shown_are_left_out(tmp_path: Path, odd: Any) -> None:
    async with before(tmp_path, refusal(b"400 No", message="m", code=odd, param=odd)) as api:
        error = (await asked(api)).json()["error"]
        assert (error["code"], error["param"]) == ("invalid_prompt", None)


async def test_a_response_and_what_is_stored_keep_to_the_closed_list(tmp_path: Path) -> None:
    async with before(tmp_path, refusal(b"400 No", message="m", code="odd", param="p")) as api:
        assert (await api.post("/v1/responses", {"model": "up/m", "input": "hi"}))["error"]["code"] == (
            "invalid_prompt"
        )
        response = await asked(api, store=True)
        told = response.headers["x-request-id"].removeprefix("req_")
        kept = await api.get(f"{PATH}/chatcmpl-{told}")
        assert kept["error"]["code"] == "invalid_prompt"
