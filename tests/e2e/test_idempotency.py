"""`Idempotency-Key`: however often a creation is sent, it acts once and answers the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.events import bare, events_of, require_terminal, run_id_of, stored_text, text_of
from tests.e2e.server_process import NewServer, ServerProcess
from tests.e2e.wire import Exchange, begin, call, get
from tests.harness.tokens import expected_text
from tests.harness.upstream import Upstream

TIMES = 50
TOKENS = 25
MODEL = f"openai/paced-n{TOKENS}-i4-hash"


def key(name: str) -> dict[str, str]:
    """The header."""
    return {"idempotency-key": name}


async def patient(port: int, path: str, body: Any, headers: dict[str, str]) -> Exchange:
    """Send a creation as an SDK does: again after a 409 that says when."""
    for _ in range(8):
        answer = await call(port, "POST", path, body, headers)
        if answer.status != 409:
            return answer
        assert answer.headers["retry-after"] == "1", "a 409 must say when to come back"
        assert answer.json()["error"]["code"] == "idempotency_in_flight"
        await asyncio.sleep(float(answer.headers["retry-after"]))
    raise AssertionError("409 for ever")


async def many(port: int, path: str, body: Any, name: str, times: int = TIMES) -> list[Exchange]:
    """The same creation, many times at once."""
    answers = await asyncio.gather(*(patient(port, path, body, key(name)) for _ in range(times)))
    assert {answer.status for answer in answers} == {200}, {answer.status for answer in answers}
    return list(answers)


@pytest.mark.parametrize("stream", [True, False])
async def test_equal_requests_at_once_act_once(node: ServerProcess, upstream: Upstream, stream: bool) -> None:
    name = f"once{stream}"
    body = {"model": MODEL, "input": f"stream={name}", "stream": stream}
    answers = await many(node.port, "/v1/responses", body, name)
    assert len({bytes(answer.body) for answer in answers}) == 1, "different bytes"
    assert upstream.stats()["calls_by_stream"][name] == 1
    late = await call(node.port, "POST", "/v1/responses", body, key(name))
    assert bytes(late.body) == bytes(answers[0].body), "a late retry gives other bytes"
    response = require_terminal(late.body).data["response"] if stream else late.json()
    assert stored_text(response) == expected_text(name, TOKENS)
    assert await get(node.port, f"/v1/responses/{response['id']}") == response
    assert upstream.stats()["calls_by_stream"][name] == 1


async def test_a_retry_joins_in_the_middle(node: ServerProcess, upstream: Upstream) -> None:
    body = {"model": MODEL, "input": "stream=joined", "stream": True}
    first = await begin(node.port, "POST", "/v1/responses", body, key("joined"))
    await first.until(lambda: first.body.count(b"output_text.delta") > 10)
    first.close()
    retry = await call(node.port, "POST", "/v1/responses", body, key("joined"))
    assert bytes(retry.body).startswith(bytes(first.body))
    assert text_of(events_of(retry.body)) == expected_text("joined", TOKENS)
    assert upstream.stats()["calls_by_stream"]["joined"] == 1


async def test_background_creations_act_once(node: ServerProcess, upstream: Upstream) -> None:
    body = {"model": MODEL, "input": "stream=behind", "background": True}
    answers = await many(node.port, "/v1/responses", body, "behind")
    assert len({answer.json()["id"] for answer in answers}) == 1
    run_id = answers[0].json()["id"]
    whole = await call(node.port, "GET", f"/v1/responses/{run_id}?stream=true")
    require_terminal(whole.body)
    assert upstream.stats()["calls_by_stream"]["behind"] == 1


async def test_the_key_survives_a_restart(new_server: NewServer, upstream: Upstream) -> None:
    server = new_server(DRAIN_SECONDS="1")
    await asyncio.to_thread(server.start)
    body = {"model": MODEL, "input": "stream=reborn", "stream": True}
    first = await call(server.port, "POST", "/v1/responses", body, key("reborn"))
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    again = await call(server.port, "POST", "/v1/responses", body, key("reborn"))
    assert bytes(again.body) == bytes(first.body)
    assert upstream.stats()["calls_by_stream"]["reborn"] == 1


async def test_another_body_or_path_is_refused(node: ServerProcess) -> None:
    body = {"model": "scripted/text", "input": "one"}
    assert (await call(node.port, "POST", "/v1/responses", body, key("other"))).status == 200
    for path, other in (
        ("/v1/responses", body | {"input": "two"}),
        ("/v1/responses", body | {"stream": True}),
        ("/v1/conversations", {}),
        ("/v1/conversations", body),
    ):
        answer = await call(node.port, "POST", path, other, key("other"))
        if path == "/v1/conversations" and other is body:
            assert answer.status in (400, 422), "it is wrong in two ways"
            continue
        assert answer.status == 422, (path, other, answer.status)
        assert answer.json()["error"]["code"] == "idempotency_key_reused"


async def test_a_failure_without_output_frees_the_key(node: ServerProcess, upstream: Upstream) -> None:
    body = {"model": "openai/status-400", "input": "stream=freed"}
    first = await call(node.port, "POST", "/v1/responses", body, key("freed"))
    second = await call(node.port, "POST", "/v1/responses", body, key("freed"))
    assert first.json()["status"] == second.json()["status"] == "failed"
    assert first.json()["id"] != second.json()["id"]
    assert upstream.stats()["calls_by_stream"]["freed"] == 2


async def test_a_failure_with_output_is_answered_again(node: ServerProcess, upstream: Upstream) -> None:
    body = {"model": "openai/error-after3-hash", "input": "stream=partly"}
    first = await call(node.port, "POST", "/v1/responses", body, key("partly"))
    second = await call(node.port, "POST", "/v1/responses", body, key("partly"))
    assert first.json()["status"] == "failed"
    assert bytes(first.body) == bytes(second.body)
    assert upstream.stats()["calls_by_stream"]["partly"] == 1


async def test_ephemeral_answers_act_once(node: ServerProcess, upstream: Upstream) -> None:
    body = {"model": MODEL, "input": "stream=fleeting", "store": False}

    async def one() -> Exchange:
        return await call(node.port, "POST", "/v1/responses", body, key("fleeting"))

    answers = await asyncio.gather(*(one() for _ in range(TIMES)))
    assert sorted(answer.status for answer in answers)[:2] == [200, 409], "one acts, the others wait"
    assert upstream.stats()["calls_by_stream"]["fleeting"] == 1
    late = await one()
    assert late.status == 400
    assert upstream.stats()["calls_by_stream"]["fleeting"] == 1


async def test_stored_chat_completions_act_once(node: ServerProcess, upstream: Upstream) -> None:
    messages = [{"role": "user", "content": "stream=chatonce"}]
    for stream in (False, True):
        name = f"chatonce{stream}"
        body = {"model": MODEL, "messages": messages, "store": True, "stream": stream}
        answers = await many(node.port, "/v1/chat/completions", body, name)
        assert len({bytes(answer.body) for answer in answers}) == 1
        late = await call(node.port, "POST", "/v1/chat/completions", body, key(name))
        assert bytes(late.body) == bytes(answers[0].body)
    assert upstream.stats()["calls_by_stream"]["chatonce"] == 2


async def conversation_with_an_answer(node: ServerProcess) -> tuple[str, str, str]:
    """A conversation, its question and its answer."""
    made = (await call(node.port, "POST", "/v1/conversations", {})).json()["id"]
    body = {"model": "scripted/text", "input": "hello", "conversation": made}
    response = (await call(node.port, "POST", "/v1/responses", body)).json()
    return made, response["antiphon"]["input_item_ids"][0], response["output"][0]["id"]


USER_ITEM = {"type": "message", "role": "user", "content": "added"}
Plain = tuple[str, dict[str, Any], str]
PLAIN: dict[str, Callable[[str, str, str], Plain]] = {
    "conversation": lambda c, q, a: ("/v1/conversations", {"items": [USER_ITEM]}, "conversations"),
    "items": lambda c, q, a: (f"/v1/conversations/{c}/items", {"items": [USER_ITEM, USER_ITEM]}, "items"),
    "branch": lambda c, q, a: (f"/v1/conversations/{c}/branches", {}, "branches"),
    "named branch": lambda c, q, a: (
        f"/v1/conversations/{c}/branches", {"name": "side", "item_id": q}, "branches",
    ),
    "active branch": lambda c, q, a: (f"/v1/conversations/{c}/branches", {"activate": True}, "branches"),
    "fork": lambda c, q, a: (f"/v1/conversations/{c}/fork", {"item_id": a, "title": "f"}, "conversations"),
    "edit": lambda c, q, a: (
        f"/v1/conversations/{c}/items/{q}/edit", {"content": "edited", "respond": False}, "items",
    ),
}  # fmt: skip
"""Creations that make no answer: path, body, and the table whose growth tells how often they acted."""


@pytest.mark.parametrize("kind", sorted(PLAIN))
async def test_plain_creations_act_once(node: ServerProcess, kind: str) -> None:
    path, body, table = PLAIN[kind](*await conversation_with_an_answer(node))
    count = f"SELECT count(*) FROM {table}"
    before = node.query(count)[0][0]
    answers = await many(node.port, path, body, f"plain {kind}")
    made = node.query(count)[0][0] - before
    assert made == (2 if kind == "items" else 1), f"acted more than once: {made} new rows"
    assert len({bytes(answer.body) for answer in answers}) == 1, {bytes(a.body) for a in answers}
    late = await call(node.port, "POST", path, body, key(f"plain {kind}"))
    assert bytes(late.body) == bytes(answers[0].body)
    other = await call(
        node.port, "POST", path, body | {"title": "x", "content": "y", "name": "z"}, key(f"plain {kind}")
    )
    assert other.status in (400, 422)


@pytest.mark.parametrize("kind", ["regenerate", "edit"])
@pytest.mark.parametrize("stream", [True, False])
async def test_other_answers_act_once(
    node: ServerProcess, upstream: Upstream, kind: str, stream: bool
) -> None:
    name = f"alt{kind}{stream}"
    conversation, question, answer = await conversation_with_an_answer(node)
    base = f"/v1/conversations/{conversation}/items"
    body: dict[str, Any] = {"model": MODEL, "stream": stream}
    path = f"{base}/{answer}/regenerate"
    if kind == "edit":
        path, body["content"] = f"{base}/{question}/edit", f"stream={name}"
    before = upstream.stats()["calls"]
    answers = await many(node.port, path, body, name)
    assert upstream.stats()["calls"] - before == 1
    assert len({bytes(answer.body) for answer in answers}) == 1
    late = await call(node.port, "POST", path, body, key(name))
    assert bytes(late.body) == bytes(answers[0].body)
    branches = await get(node.port, f"/v1/conversations/{conversation}/branches?limit=100")
    assert len(branches["data"]) == 2


async def test_a_fan_out_acts_once(node: ServerProcess, upstream: Upstream) -> None:
    conversation, _, _ = await conversation_with_an_answer(node)
    path = f"/v1/conversations/{conversation}/fan_out"
    models = [MODEL, f"{MODEL}-d1", f"{MODEL}-d2"]
    body = {"models": models, "input": "stream=fanned"}
    answers = await many(node.port, path, body, "fanned")
    assert upstream.stats()["calls_by_stream"]["fanned"] == 3
    found = [[one["id"] for one in answer.json()["data"]] for answer in answers]
    assert all(len(one) == 3 for one in found), sorted({len(one) for one in found})
    assert len({json.dumps(one) for one in found}) == 1
    late = await call(node.port, "POST", path, body, key("fanned"))
    assert bytes(late.body) == bytes(answers[0].body)


async def test_streams_under_a_key_equal_the_log(node: ServerProcess) -> None:
    body = {"model": "openai/reasoning-r3-n9-hash", "input": "stream=equal", "stream": True}
    posted = await call(node.port, "POST", "/v1/responses", body, key("equal"))
    run_id = run_id_of(posted.body, posted.headers)
    followed = await call(node.port, "GET", f"/v1/responses/{run_id}?stream=true")
    assert bare(followed.body) == bytes(posted.body)
