"""The oracle itself: a right stream passes, and each way to be wrong is seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conformance.events import check_stream
from tests.e2e.conformance.shapes import Response, parse

ID = "msg_0123456789abcdef"
MAY_BE_NULL = {
    "completed_at",
    "error",
    "incomplete_details",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "usage",
}
USAGE = {
    "input_tokens": 1,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 3,
}


def response(**changed: Any) -> dict[str, Any]:
    return {
        "id": "resp_0123456789abcdef",
        "object": "response",
        "created_at": 1_767_225_600,
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": "scripted/text",
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "truncation": "disabled",
        "usage": None,
        "metadata": {},
        **changed,
    }


def message(status: str, *texts: str) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []} for text in texts]
    return {"type": "message", "id": ID, "status": status, "role": "assistant", "content": parts}


def good() -> list[dict[str, Any]]:
    where = {"item_id": ID, "output_index": 0, "content_index": 0}
    part = message("completed", "Hello")["content"][0]
    finished = response(
        status="completed", completed_at=1_767_225_601, usage=USAGE, output=[message("completed", "Hello")]
    )
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": response()},
        {"type": "response.in_progress", "response": response()},
        {"type": "response.output_item.added", "output_index": 0, "item": message("in_progress")},
        {"type": "response.content_part.added", **where, "part": {**part, "text": ""}},
        {"type": "response.output_text.delta", **where, "delta": "Hel", "logprobs": []},
        {"type": "response.output_text.delta", **where, "delta": "lo", "logprobs": []},
        {"type": "response.output_text.done", **where, "text": "Hello", "logprobs": []},
        {"type": "response.content_part.done", **where, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": message("completed", "Hello")},
        {"type": "response.completed", "response": finished},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def check(events: list[dict[str, Any]]) -> None:
    check_stream([json.dumps(event) for event in events])


def renumbered(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def test_a_right_stream_passes() -> None:
    check(good())


@pytest.mark.parametrize("missing", range(10))
def test_every_event_is_needed(missing: int) -> None:
    events = good()
    del events[missing]
    with pytest.raises(AssertionError):
        check(renumbered(events))


@pytest.mark.parametrize("place", range(9))
def test_no_two_neighbours_may_change_places(place: int) -> None:
    events = good()
    events[place], events[place + 1] = events[place + 1], events[place]
    with pytest.raises(AssertionError):
        check(renumbered(events))


def _set(number: int, *path: Any, to: Any) -> Callable[[list[dict[str, Any]]], None]:
    def change(events: list[dict[str, Any]]) -> None:
        target: Any = events[number]
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = to

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set(4, "sequence_number", to=9),
        _set(4, "delta", to="Hal"),
        _set(4, "logprobs", to=None),
        _set(4, "item_id", to="msg_other0123456789"),
        _set(4, "output_index", to=1),
        _set(4, "content_index", to=1),
        _set(4, "surprise", to=1),
        _set(6, "text", to="Hell"),
        _set(7, "part", "text", to="Hell"),
        _set(8, "item", "content", 0, "text", to="Hell"),
        _set(9, "response", "output", to=[]),
        _set(9, "response", "usage", to=None),
        _set(9, "response", "status", to="failed"),
        _set(9, "response", "id", to="resp_another0123456"),
        _set(0, "response", "status", to="completed"),
        _set(0, "response", "created_at", to=1.5),
    ],
)
def test_a_wrong_value_is_seen(change: Callable[[list[dict[str, Any]]], None]) -> None:
    events = good()
    change(events)
    with pytest.raises(AssertionError):
        check(events)


def test_nothing_follows_the_end() -> None:
    events = good()
    with pytest.raises(AssertionError):
        check(renumbered([*events, events[-1]]))


@pytest.mark.parametrize("field", sorted(response()))
def test_every_key_of_a_response_is_required(field: str) -> None:
    body = response()
    parse(json.dumps(body), Response)
    del body[field]
    with pytest.raises(AssertionError):
        parse(json.dumps(body), Response)


@pytest.mark.parametrize("field", sorted(set(response()) - MAY_BE_NULL))
def test_null_is_not_everywhere_allowed(field: str) -> None:
    with pytest.raises(AssertionError):
        parse(json.dumps(response(**{field: None})), Response)
