"""The official Python SDK against long and unhappy answers: background, resume, cancel, failure."""

from __future__ import annotations

import json
from typing import Any

import httpx
from openai import OpenAI

from tests.e2e.sdk.launch import Server
from tests.e2e.sdk.polling import eventually
from tests.e2e.sdk.vocabulary import (
    CODE_WORD,
    ECHO,
    ERROR_CODES,
    FAIL_AFTER,
    FAIL_BEFORE,
    REASONING,
    RECALL,
    REFUSAL,
    REMEMBER,
    SLOW,
    TAKE_FOREVER,
    TAKE_YOUR_TIME,
    TEXT,
    TRUNCATED,
)

# --- in the background ----------------------------------------------------------------------------


def test_background_and_polling(client: OpenAI) -> None:
    started = client.responses.create(model=SLOW, input=TAKE_YOUR_TIME, background=True)
    assert started.status in ("queued", "in_progress")
    assert started.background is True

    def finished() -> Any:
        response = client.responses.retrieve(started.id)
        return response if response.status not in ("queued", "in_progress") else None

    response = eventually(finished)
    assert response.status == "completed"
    assert response.output_text
    assert response.background is True


def test_cancelling_is_final_and_harmless_twice(client: OpenAI) -> None:
    started = client.responses.create(model=SLOW, input=TAKE_FOREVER, background=True)

    cancelled = client.responses.cancel(started.id)
    assert cancelled.status == "cancelled"
    assert client.responses.cancel(started.id).status == "cancelled"
    assert client.responses.retrieve(started.id).status == "cancelled"


def test_a_finished_response_stays_finished_when_cancelled(client: OpenAI) -> None:
    started = client.responses.create(model=TEXT, input="Hello", background=True)

    def finished() -> Any:
        return True if client.responses.retrieve(started.id).status == "completed" else None

    eventually(finished)
    assert client.responses.cancel(started.id).status == "completed"


def test_a_background_stream_is_resumed_where_it_was_left(client: OpenAI) -> None:
    seen = []
    with client.responses.create(model=SLOW, input=TAKE_YOUR_TIME, background=True, stream=True) as stream:
        for event in stream:
            seen.append(event)
            if len(seen) == 6:
                break
    response_id = seen[0].response.id

    rest = list(client.responses.retrieve(response_id, stream=True, starting_after=seen[-1].sequence_number))

    together = [event.sequence_number for event in [*seen, *rest]]
    assert together == list(range(len(together)))
    assert rest[-1].type == "response.completed"
    text = "".join(e.delta for e in [*seen, *rest] if e.type == "response.output_text.delta")
    assert text == rest[-1].response.output_text != ""


def events_of(stream: str) -> list[str]:
    """The event and data lines of every event; pings and what EventSource resumes from are not promised."""
    blocks = [block.split("\n") for block in stream.split("\n\n") if block and not block.startswith(":")]
    return ["\n".join(line for line in lines if not line.startswith("id: ")) for lines in blocks]


def test_a_replay_is_the_same_to_the_byte(client: OpenAI, server: Server) -> None:
    payload = {"model": TEXT, "input": "Hello", "stream": True}
    with httpx.Client(base_url=server.base_url, timeout=30, trust_env=False) as http:
        live = events_of(http.post("/responses", json=payload).text)
        path = f"/responses/{json.loads(live[0].split('data: ', 1)[1])['response']['id']}"
        replay = events_of(http.get(path, params={"stream": "true"}).text)
        tail = events_of(http.get(path, params={"stream": "true", "starting_after": "2"}).text)

    assert replay == live
    assert tail == live[3:]


def test_the_stream_helper_resumes_by_id(client: OpenAI) -> None:
    with client.responses.stream(model=SLOW, input=TAKE_YOUR_TIME, background=True) as stream:
        first = next(iter(stream))
    with client.responses.stream(response_id=first.response.id) as stream:
        final = stream.get_final_response()

    assert final.id == first.response.id
    assert final.output_text


# --- reasoning, ends that are no success ----------------------------------------------------------


def test_reasoning_is_an_item_of_its_own(client: OpenAI) -> None:
    events = list(client.responses.create(model=REASONING, input="Think.", stream=True))
    final = events[-1].response

    assert [item.type for item in final.output] == ["reasoning", "message"]
    deltas = [event.delta for event in events if event.type == "response.reasoning_text.delta"]
    (done,) = [event for event in events if event.type == "response.reasoning_text.done"]
    assert "".join(deltas) == done.text == final.output[0].content[0].text != ""
    assert final.usage is not None
    assert final.usage.output_tokens_details.reasoning_tokens > 0
    assert final.output_text


def test_a_refusal_is_no_text(client: OpenAI) -> None:
    events = list(client.responses.create(model=REFUSAL, input="Hello", stream=True))
    (part,) = events[-1].response.output[0].content

    deltas = [event.delta for event in events if event.type == "response.refusal.delta"]
    (done,) = [event for event in events if event.type == "response.refusal.done"]
    assert part.type == "refusal"
    assert "".join(deltas) == done.refusal == part.refusal != ""


def test_a_truncated_answer_is_incomplete(client: OpenAI) -> None:
    response = client.responses.create(model=TRUNCATED, input="Go on.")

    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output_text
    assert response.output[-1].status == "incomplete"


def test_a_truncated_stream_ends_with_incomplete(client: OpenAI) -> None:
    events = list(client.responses.create(model=TRUNCATED, input="Go on.", stream=True))

    assert events[-1].type == "response.incomplete"
    assert events[-1].response.incomplete_details.reason == "max_output_tokens"


def test_a_failure_is_a_state_and_not_an_http_error(client: OpenAI) -> None:
    response = client.responses.create(model=FAIL_BEFORE, input="Hello")

    assert response.status == "failed"
    assert response.error is not None
    assert response.error.code in ERROR_CODES
    assert response.error.message
    assert client.responses.retrieve(response.id).status == "failed"


def test_a_failed_stream_keeps_its_partial_text(client: OpenAI) -> None:
    events = list(client.responses.create(model=FAIL_AFTER, input="Hello", stream=True))
    final = events[-1]
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")

    assert final.type == "response.failed"
    assert final.response.error.code in ERROR_CODES
    assert text != ""
    kept = client.responses.retrieve(final.response.id)
    assert kept.status == "failed"
    assert kept.output_text == text
    assert kept.output[-1].status == "incomplete"


def test_a_failed_turn_can_be_continued(client: OpenAI) -> None:
    failed = client.responses.create(model=FAIL_AFTER, input=REMEMBER)
    second = client.responses.create(model=ECHO, input=RECALL, previous_response_id=failed.id)

    assert second.status == "completed"
    assert CODE_WORD in second.output_text
