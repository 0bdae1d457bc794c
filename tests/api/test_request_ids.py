"""Every answer of `/v1` has an `x-request-id` of its own, errors too, and the log names a fault by it."""

from __future__ import annotations

import logging
import re
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, NotFoundError

from tests.api.client import Api, front_of
from tests.services.hand import ECHO
from tests.services.world import World

HEADER = "x-request-id"
UNKNOWN = {"model": "none/such", "input": "x", "messages": [{"role": "user", "content": "x"}]}
CALLS: list[tuple[str, str, Any, dict[str, str], int]] = [
    ("GET", "/v1/models", None, {}, 200),
    ("GET", "/v1/conversations", None, {}, 200),
    ("POST", "/v1/conversations", {}, {}, 200),
    ("POST", "/v1/responses", {"model": "none/such", "input": "x"}, {}, 404),
    ("POST", "/v1/responses", {"zz": 1}, {}, 400),
    ("POST", "/v1/responses/input_tokens", {"zz": 1}, {}, 400),
    ("POST", "/v1/chat/completions", {"model": "none/such", "messages": UNKNOWN["messages"]}, {}, 404),
    ("GET", "/v1/responses/resp_" + "0" * 32, None, {}, 404),
    ("GET", "/v1/responses/resp_" + "0" * 32 + "?stream=true", None, {}, 404),
    ("POST", "/v1/search", {"query": 5}, {}, 400),
    ("GET", "/v1/nowhere", None, {}, 404),
    ("PUT", "/v1/models", None, {}, 405),
    ("GET", "/v1/models", None, {"host": "evil.example"}, 403),
    ("GET", "/v1/models", None, {"authorization": "Bearer antk_wrong"}, 401),
    ("POST", "/v1/responses", UNKNOWN, {"authorization": "Bearer antk_wrong"}, 401),
]


def of_one(response: httpx.Response) -> str:
    """The only id of an answer."""
    (identifier,) = response.headers.get_list(HEADER)
    assert re.fullmatch(r"req_[0-9a-f]{32}", identifier)
    return str(identifier)


@pytest.mark.parametrize(("method", "path", "body", "headers", "status"), CALLS)
async def test_an_answer_has_an_id_of_its_own(
    api: Api, method: str, path: str, body: Any, headers: dict[str, str], status: int
) -> None:
    seen = set()
    for _ in range(2):
        response = await api.http.request(
            method, path, json=body, headers=headers | {HEADER: "req_" + "a" * 32}
        )
        assert response.status_code == status, response.text
        seen.add(of_one(response))
    assert len(seen) == 2 and "req_" + "a" * 32 not in seen, "no client chooses it"


async def test_an_answer_with_a_run_has_the_runs_id(api: Api) -> None:
    body = {"model": ECHO, "input": "x"}
    said = await api.http.post("/v1/responses", json=body)
    identifier = said.json()["id"].removeprefix("resp_")
    assert of_one(said) == f"req_{identifier}"
    again = await api.http.get(f"/v1/responses/resp_{identifier}?stream=true")
    assert of_one(again) == f"req_{identifier}"
    streamed = await api.http.post("/v1/responses", json=body | {"stream": True})
    assert of_one(streamed).removeprefix("req_") in streamed.text


async def test_the_official_client_names_a_request_that_failed(world: World) -> None:
    transport = httpx.ASGITransport(front_of(world))
    async with httpx.AsyncClient(transport=transport) as http:
        client = AsyncOpenAI(base_url="http://testserver/v1", api_key="none", http_client=http)
        with pytest.raises(NotFoundError) as failed:
            await client.responses.create(model="none/such", input="x")
        assert (failed.value.request_id or "").startswith("req_")


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/models"), ("POST", "/v1/responses")])
async def test_the_log_names_a_fault_by_the_id_that_its_client_was_told(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str, path: str
) -> None:
    async def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(type(api.world.application.models), "list", fails)
    monkeypatch.setattr(type(api.world.application.turns), "begin", fails)
    with caplog.at_level(logging.ERROR):
        response = await api.http.request(method, path, json={"model": ECHO, "input": "x"})
    assert response.status_code == 500
    assert f"unhandled error in {of_one(response)}" in caplog.messages
