"""`Idempotency-Key`: a retry of whatever creates something acts once."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.api.client import Api
from tests.services.hand import BROKEN, ECHO, HAND, until

KEY = {"idempotency_key": "k1"}


def message(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text}


async def creations(api: Api) -> dict[str, tuple[str, dict[str, Any]]]:
    """Every POST that creates something, with a body."""
    conversation = await api.conversation("u0")
    talk = f"/v1/conversations/{conversation}"
    item = (await api.get(f"{talk}/items"))["data"][0]["id"]
    return {
        "response": ("/v1/responses", {"model": ECHO, "input": "x"}),
        "chat": ("/v1/chat/completions", {"model": ECHO, "messages": [message("x")], "store": True}),
        "conversation": ("/v1/conversations", {"items": [message("x")]}),
        "items": (f"{talk}/items", {"items": [message("x")]}),
        "branch": (f"{talk}/branches", {"name": "side"}),
        "fork": (f"{talk}/fork", {}),
        "edit": (f"{talk}/items/{item}/edit", {"content": "e", "model": ECHO}),
        "edit only": (f"{talk}/items/{item}/edit", {"content": "e", "respond": False}),
        "regenerate": (f"{talk}/items/{item}/regenerate", {"model": ECHO}),
        "fan out": (f"{talk}/fan_out", {"models": [ECHO, "scripted/text", ECHO], "input": "x"}),
    }


NAMES = (
    "response",
    "chat",
    "conversation",
    "items",
    "branch",
    "fork",
    "edit",
    "edit only",
    "regenerate",
    "fan out",
)
COUNTED = ("conversations", "items", "branches", "segments", "runs")


def counts(api: Api) -> list[int]:
    return [api.world.rows(f"SELECT COUNT(*) FROM {table}")[0][0] for table in COUNTED]


@pytest.mark.parametrize("name", NAMES)
async def test_a_retry_acts_once_and_answers_the_same(api: Api, name: str) -> None:
    path, body = (await creations(api))[name]
    first = await api.post(path, body, **KEY)
    before = counts(api)
    second = await api.post(path, body, **KEY)
    assert counts(api) == before
    assert second == first


@pytest.mark.parametrize("name", NAMES)
async def test_twenty_equal_requests_at_once_act_once(api: Api, name: str) -> None:
    path, body = (await creations(api))[name]
    done = await asyncio.gather(
        *(api.http.post(path, json=body, headers={"Idempotency-Key": "k"}) for _ in range(20))
    )
    assert {response.status_code for response in done} <= {200, 409}
    answers = [response.json() for response in done if response.status_code == 200]
    assert answers and all(answer == answers[0] for answer in answers)
    for refused in (response for response in done if response.status_code == 409):
        assert refused.headers["retry-after"] == "1"
    once = counts(api)
    await api.post(path, body, idempotency_key="k")
    assert counts(api) == once


@pytest.mark.parametrize("name", NAMES)
async def test_the_same_key_with_another_body_is_422(api: Api, name: str) -> None:
    path, body = (await creations(api))[name]
    await api.post(path, body, **KEY)
    before = counts(api)
    error = await api.refused(
        "POST",
        path,
        {**body, "metadata": {"a": "b"}} if name not in ("items", "branch", "fork") else _other(name),
        status=422,
        headers={"Idempotency-Key": "k1"},
    )
    assert error["code"] == "idempotency_key_reused"
    assert counts(api) == before


def _other(name: str) -> dict[str, Any]:
    return {"items": {"items": [message("y")]}, "branch": {"name": "other"}, "fork": {"title": "T"}}[name]


async def test_a_retry_of_a_stream_gets_the_same_bytes_while_it_runs_and_afterwards(
    served: tuple[Api, int],
) -> None:
    api, _ = served
    body = {"model": HAND, "input": "x", "stream": True}

    def ask() -> asyncio.Task[httpx.Response]:
        asking = api.http.post("/v1/responses", json=body, headers={"Idempotency-Key": "k"})
        return asyncio.create_task(asking)

    first = ask()
    call = await api.world.hand.next()
    second = ask()
    await until(lambda: len(api.world.application.followers) >= 2)
    call.answer("once")
    one, two = (await first).text, (await second).text
    assert two == one
    assert (await ask()).text == one
    assert len(api.world.hand.calls) == 1


async def test_a_failure_of_the_servers_with_no_output_frees_the_key(api: Api) -> None:
    body = {"model": BROKEN, "input": "x"}
    first = await api.post("/v1/responses", body, **KEY)
    second = await api.post("/v1/responses", body, **KEY)
    assert first["status"] == second["status"] == "failed"
    assert first["id"] != second["id"]


async def test_an_answer_that_was_not_stored_cannot_be_replayed_but_is_not_made_twice(api: Api) -> None:
    body = {"model": ECHO, "input": "x", "store": False}
    await api.post("/v1/responses", body, **KEY)
    error = await api.refused("POST", "/v1/responses", body, status=400, headers={"Idempotency-Key": "k1"})
    assert error["code"] == "idempotency_key_not_replayable"
    assert len(api.world.hand.calls) == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_has_1_to_255_characters(api: Api, key: str) -> None:
    for path, body in (("/v1/responses", {"model": ECHO, "input": "x"}), ("/v1/conversations", {})):
        await api.refused("POST", path, body, status=400, headers={"Idempotency-Key": key})
