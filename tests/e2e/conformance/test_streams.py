"""POST /responses with a stream: frames, shapes, order, and that each event leaves in one write."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.conformance.events import Completed, Failed, Incomplete, InProgress, Queued, check_stream
from tests.e2e.conformance.requests import MODEL, WEATHER_TOOL
from tests.e2e.conformance.wire import chunks_of_stream, frames
from tests.e2e.sdk.launch import Server

TWO_TOOLS = [WEATHER_TOOL, {**WEATHER_TOOL, "name": "get_forecast"}]
STREAMS = [
    pytest.param({"model": MODEL, "input": "Count from 1 to 5."}, Completed, id="text"),
    pytest.param(
        {"model": "scripted/echo", "input": "ü€😀\u2028\u0000 line\r\nnext"}, Completed, id="hostile"
    ),
    pytest.param({"model": "scripted/slow", "input": "tokens=30 delay_ms=5"}, Completed, id="slow"),
    pytest.param({"model": "scripted/numbered", "input": "tokens=2000 batch=50"}, Completed, id="long"),
    pytest.param({"model": "scripted/tools", "input": "Go.", "tools": TWO_TOOLS}, Completed, id="tools"),
    pytest.param(
        {"model": "scripted/parallel", "input": "Go.", "tools": TWO_TOOLS}, Completed, id="parallel"
    ),
    pytest.param(
        {"model": "scripted/json", "input": "Go.", "text": {"format": {"type": "json_object"}}},
        Completed,
        id="json",
    ),
    pytest.param({"model": "scripted/reasoning", "input": "Go."}, Completed, id="reasoning"),
    pytest.param({"model": "scripted/refusal", "input": "Go."}, Completed, id="refusal"),
    pytest.param({"model": "scripted/truncated", "input": "Go."}, Incomplete, id="truncated"),
    pytest.param({"model": "scripted/fail-before", "input": "Go."}, Failed, id="failed at once"),
    pytest.param({"model": "scripted/fail-after", "input": "Go."}, Failed, id="failed in the middle"),
    pytest.param({"model": "offline/extractive", "input": "Hello"}, Completed, id="offline"),
    pytest.param({"model": MODEL, "input": "Go.", "store": False}, Completed, id="not stored"),
    pytest.param({"model": MODEL, "input": "Go.", "background": True}, Completed, id="background"),
]


@pytest.mark.parametrize(("body", "end"), STREAMS)
def test_a_stream_obeys_shapes_and_grammar(http: httpx.Client, body: dict[str, Any], end: type) -> None:
    answer = http.post("/responses", json={**body, "stream": True})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"].startswith("no-")

    events = check_stream(frames(answer.content))
    assert type(events[-1]) is end
    assert any(type(event) is InProgress for event in events[1:3])
    assert all(type(event) is Queued for event in events[1:2]) or type(events[1]) is InProgress


@pytest.mark.parametrize(("body", "end"), STREAMS)
def test_every_write_holds_whole_events(server: Server, body: dict[str, Any], end: type) -> None:
    chunks = chunks_of_stream(server, "/v1/responses", {**body, "stream": True})

    for chunk in chunks:
        assert chunk.startswith((b"id: ", b"event: ", b": ")), chunk[:200]
        assert chunk.endswith(b"\n\n"), chunk[-200:]
    assert type(check_stream(frames(b"".join(chunks)))[-1]) is end


def test_deltas_arrive_while_the_model_speaks(server: Server) -> None:
    body = {"model": "scripted/slow", "input": "tokens=20 delay_ms=20", "stream": True}
    chunks = chunks_of_stream(server, "/v1/responses", body)

    assert len([chunk for chunk in chunks if b"output_text.delta" in chunk]) > 5


@pytest.mark.parametrize("starting_after", [0, 1, 4, 7])
def test_a_replay_continues_behind_any_event(http: httpx.Client, starting_after: int) -> None:
    live = frames(http.post("/responses", json={"model": MODEL, "input": "Go.", "stream": True}).content)
    response_id = check_stream(live)[0].response.id

    whole = http.get(f"/responses/{response_id}", params={"stream": "true"})
    assert whole.headers["content-type"].startswith("text/event-stream")
    assert frames(whole.content) == live
    rest = http.get(f"/responses/{response_id}", params={"stream": "true", "starting_after": starting_after})
    assert frames(rest.content) == live[starting_after + 1 :]


def test_deltas_and_not_snapshots_are_sent(http: httpx.Client) -> None:
    sizes = []
    for tokens in (200, 2000):
        body = {"model": "scripted/numbered", "input": f"tokens={tokens}", "stream": True}
        sizes.append(len(http.post("/responses", json=body).content))
    assert sizes[1] < 14 * sizes[0], "ten times the tokens cost ten times the bytes"
