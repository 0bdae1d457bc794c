"""The cache of answers on the wire: a header, a way to refuse, and a hit that looks like an answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.api.client import Api, Event, in_process, over_sockets, parse_events
from tests.services.hand import ECHO
from tests.services.world import open_world

HEADER = "x-antiphon-cache"
ASK = {"model": ECHO, "input": "hello"}
CHAT = {"model": ECHO, "messages": [{"role": "user", "content": "hello"}]}
PATHS = {"/v1/responses": ASK, "/v1/chat/completions": CHAT}


@pytest.fixture
async def cached(tmp_path: Path) -> AsyncIterator[Api]:
    world = await open_world(tmp_path / "data", response_cache="user")
    async with in_process(world) as api:
        yield api
    await world.close()


async def post(api: Api, path: str, body: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await api.http.post(path, json=body, headers=named)
    assert response.status_code == 200, response.text
    return response


def without_ids(value: Any) -> Any:
    """A body without what is every answer's own."""
    own = {"id", "item_id", "created_at", "completed_at", "created", "antiphon", "obfuscation"}
    if isinstance(value, dict):
        return {name: without_ids(one) for name, one in value.items() if name not in own}
    return [without_ids(one) for one in value] if isinstance(value, list) else value


def text_of(events: list[Event]) -> str:
    pieces = [e.data["delta"] for e in events if e.name == "response.output_text.delta"]
    for event in events:
        if event.name == "message" and isinstance(event.data, dict):
            pieces += [choice["delta"].get("content") or "" for choice in event.data["choices"]]
    return "".join(pieces)


@pytest.mark.parametrize("path", PATHS)
async def test_without_a_cache_nothing_speaks_of_one(api: Api, path: str) -> None:
    for _ in range(2):
        assert HEADER not in (await post(api, path, PATHS[path])).headers
    assert len(api.world.hand.calls) == 2


@pytest.mark.parametrize("path", PATHS)
async def test_the_second_answer_is_a_hit_and_says_the_same(cached: Api, path: str) -> None:
    first, second = [await post(cached, path, PATHS[path]) for _ in range(2)]
    assert (first.headers[HEADER], second.headers[HEADER]) == ("miss", "hit")
    assert without_ids(first.json()) == without_ids(second.json())
    assert first.json()["id"] != second.json()["id"]
    assert first.json()["usage"] == second.json()["usage"]
    assert len(cached.world.hand.calls) == 1


@pytest.mark.parametrize("path", PATHS)
async def test_a_streamed_hit_is_a_stream_whoever_asked_first(cached: Api, path: str) -> None:
    body = {**PATHS[path], "stream": True}
    if path.startswith("/v1/chat"):
        body["stream_options"] = {"include_usage": True}
    first, second = [await post(cached, path, body) for _ in range(2)]
    assert (first.headers[HEADER], second.headers[HEADER]) == ("miss", "hit")
    assert second.headers["content-type"].startswith("text/event-stream")
    old, new = parse_events(first.text), parse_events(second.text)
    assert text_of(old) == text_of(new) == "re: hello"
    assert [e.name for e in old] == [e.name for e in new]
    assert without_ids([e.data for e in old]) == without_ids([e.data for e in new])
    whole = await post(cached, path, PATHS[path])
    assert whole.headers[HEADER] == "hit", "how it is told is no part of the question"


async def test_a_hit_is_stored_and_can_be_read_replayed_and_continued(cached: Api) -> None:
    await post(cached, "/v1/responses", ASK)
    hit = (await post(cached, "/v1/responses", ASK)).json()
    assert await cached.get(f"/v1/responses/{hit['id']}") == hit
    events = await cached.stream("GET", f"/v1/responses/{hit['id']}?stream=true")
    assert [e.data["sequence_number"] for e in events] == list(range(len(events)))
    more = await post(cached, "/v1/responses", {**ASK, "previous_response_id": hit["id"]})
    assert more.headers[HEADER] == "miss"


async def test_the_surfaces_share_what_the_model_was_asked(cached: Api) -> None:
    await post(cached, "/v1/responses", ASK)
    assert (await post(cached, "/v1/chat/completions", CHAT)).headers[HEADER] == "hit"


@pytest.mark.parametrize("path", PATHS)
async def test_a_request_may_refuse(cached: Api, path: str) -> None:
    async def asked(**headers: str) -> str:
        return str((await post(cached, path, PATHS[path], **headers)).headers[HEADER])

    assert await asked(cache_control="no-store") == "miss"
    assert await asked() == "miss", "nothing was kept"
    assert await asked() == "hit"
    assert await asked(cache_control="max-age=0, No-Cache") == "miss"
    assert await asked(cache_control="max-age=0") == "hit"
    assert await asked(cache_control="private, no-store, no-cache") == "miss"
    assert len(cached.world.hand.calls) == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"instructions": "be brief"},
        {"temperature": 0},
        {"tools": [{"type": "function", "name": "f"}]},
        {"text": {"format": {"type": "json_object"}}},
        {"input": "hello "},
        {"model": "hand/silent"},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_another_question_is_a_miss(cached: Api, changes: dict[str, Any]) -> None:
    await post(cached, "/v1/responses", ASK)
    assert (await post(cached, "/v1/responses", {**ASK, **changes})).headers[HEADER] == "miss"
    again = await post(cached, "/v1/responses", {**ASK, "metadata": {"a": "b"}, "store": False})
    assert again.headers[HEADER] == "hit", "what the model does not see makes no difference"


async def test_a_retry_under_its_key_is_the_first_answer_and_no_hit(cached: Api) -> None:
    first, again = [await post(cached, "/v1/responses", ASK, idempotency_key="k") for _ in range(2)]
    assert first.content == again.content
    assert HEADER not in again.headers


async def test_alternatives_are_other_answers(cached: Api) -> None:
    conversation = await cached.conversation()
    first = (await post(cached, "/v1/responses", {**ASK, "conversation": conversation})).json()
    path = f"/v1/conversations/{conversation}/items/{first['output'][0]['id']}/regenerate"
    assert (await post(cached, path, {})).headers[HEADER] == "miss"
    fan_out = f"/v1/conversations/{conversation}/fan_out"
    await post(cached, fan_out, {"models": [ECHO, ECHO], "input": "twice"})
    assert len(cached.world.hand.calls) == 4


async def test_a_socket_is_served_from_the_cache_unless_it_refuses(tmp_path: Path) -> None:
    world = await open_world(tmp_path / "data", response_cache="user")

    async def turn(socket: Any) -> str:
        await socket.send(json.dumps({"type": "response.create", **ASK}))
        said = ""
        while True:
            event = json.loads(await socket.recv())
            said += event.get("delta", "")
            if event["type"] == "response.completed":
                return said

    async with over_sockets(world) as (_, port):
        url = f"ws://127.0.0.1:{port}/v1/responses"
        browser = {"Cache-Control": "no-cache"}  # sent by browsers with every socket
        for headers, calls in (({}, 1), (browser, 1), ({"Cache-Control": "no-store"}, 2)):
            async with connect(url, additional_headers=headers, proxy=None) as socket:
                assert await turn(socket) == "re: hello"
            assert len(world.hand.calls) == calls
    await world.close()
