"""Chat completions: bodies, chunks, stored completions, models."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.e2e.conformance.chat_shapes import (
    ChatChunk,
    ChatCompletion,
    CompletionList,
    DeletedCompletion,
    Model,
    ModelList,
    StoredMessageList,
)
from tests.e2e.conformance.requests import MODEL, TOOL_MODEL, WEATHER_TOOL
from tests.e2e.conformance.shapes import ErrorBody, parse
from tests.e2e.conformance.wire import chunks_of_stream
from tests.e2e.sdk.launch import Server

HELLO = [{"role": "user", "content": "Hello"}]
CHAT_TOOL = {
    "type": "function",
    "function": {key: value for key, value in WEATHER_TOOL.items() if key != "type"},
}


def complete(http: httpx.Client, **body: Any) -> ChatCompletion:
    answer = http.post("/chat/completions", json={"model": MODEL, "messages": HELLO, **body})
    assert answer.status_code == 200, answer.text
    completion: ChatCompletion = parse(answer.content, ChatCompletion)
    return completion


def stream(http: httpx.Client, **body: Any) -> list[ChatChunk]:
    answer = http.post("/chat/completions", json={"model": MODEL, "messages": HELLO, "stream": True, **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return chunks_of(answer.content)


def chunks_of(body: bytes) -> list[ChatChunk]:
    """Every chunk of a stream: data lines only, closed by [DONE]."""
    assert b"\r" not in body
    blocks = [block for block in body.decode().split("\n\n") if block and not block.startswith(":")]
    assert blocks.pop() == "data: [DONE]"
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    return [parse(block[6:], ChatChunk) for block in blocks]


@pytest.mark.parametrize(
    "messages",
    [
        HELLO,
        [{"role": "system", "content": "Be brief."}, *HELLO],
        [{"role": "developer", "content": "Be brief."}, *HELLO],
        [*HELLO, {"role": "assistant", "content": "Hi."}, *HELLO],
        [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}},
                ],
            }
        ],
    ],
)
def test_messages_are_answered(http: httpx.Client, messages: list[dict[str, Any]]) -> None:
    completion = complete(http, messages=messages)
    (choice,) = completion.choices
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert choice.message.content
    assert completion.usage.completion_tokens > 0


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("scripted/text", "stop"),
        ("scripted/echo", "stop"),
        ("scripted/truncated", "length"),
        ("scripted/reasoning", "stop"),
        ("scripted/refusal", "stop"),
        ("offline/extractive", "stop"),
    ],
)
def test_a_stream_says_what_the_whole_says(http: httpx.Client, model: str, reason: str) -> None:
    whole = complete(http, model=model)
    chunks = stream(http, model=model)

    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert choices[0].delta.role == "assistant"
    assert [choice.finish_reason for choice in choices[:-1]] == [None] * (len(choices) - 1)
    assert choices[-1].finish_reason == whole.choices[0].finish_reason == reason
    for field in ("content", "refusal"):
        pieces = [getattr(choice.delta, field) or "" for choice in choices]
        assert "".join(pieces) == (getattr(whole.choices[0].message, field) or "")


def test_usage_comes_when_it_is_asked_for(http: httpx.Client) -> None:
    chunks = stream(http, stream_options={"include_usage": True})
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert all(chunk.choices for chunk in stream(http))


@pytest.mark.parametrize("model", [TOOL_MODEL, "scripted/parallel"])
def test_tool_calls_in_one_piece_and_in_many(http: httpx.Client, model: str) -> None:
    tools = [CHAT_TOOL, {**CHAT_TOOL, "function": {**CHAT_TOOL["function"], "name": "get_forecast"}}]
    whole = complete(http, model=model, tools=tools)
    assert whole.choices[0].finish_reason == "tool_calls"
    calls = whole.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get_forecast"]

    arguments: dict[int, str] = {}
    names: dict[int, str] = {}
    for chunk in stream(http, model=model, tools=tools):
        for fragment in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            arguments[fragment.index] = arguments.get(fragment.index, "") + (
                fragment.function.arguments or ""
            )
            if fragment.function.name:
                names[fragment.index] = fragment.function.name
                assert fragment.id
                assert fragment.type == "function"
    assert names == {0: "get_weather", 1: "get_forecast"}
    assert [set(json.loads(text)) for text in arguments.values()] == [{"location"}] * 2


def test_several_choices(http: httpx.Client) -> None:
    assert [choice.index for choice in complete(http, n=3).choices] == [0, 1, 2]

    texts = {0: "", 1: "", 2: ""}
    ends = {}
    for chunk in stream(http, n=3):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            ends[choice.index] = choice.finish_reason or ends.get(choice.index)
    assert len(set(texts.values())) == 1
    assert ends == {0: "stop", 1: "stop", 2: "stop"}


def test_every_write_holds_whole_chunks(server: Server) -> None:
    body = {"model": "scripted/slow", "messages": [{"role": "user", "content": "tokens=20 delay_ms=10"}]}
    chunks = chunks_of_stream(server, "/v1/chat/completions", {**body, "stream": True})

    assert all(chunk.startswith((b"data: ", b": ")) and chunk.endswith(b"\n\n") for chunk in chunks)
    assert chunks_of(b"".join(chunks))
    assert len(chunks) > 5


def test_a_failure_in_mid_stream_is_an_error_event(http: httpx.Client) -> None:
    body = {"model": "scripted/fail-after", "messages": HELLO, "stream": True}
    blocks = [block for block in http.post("/chat/completions", json=body).text.split("\n\n") if block]
    failures = [block for block in blocks if '"error"' in block]

    assert len(failures) == 1
    parse(failures[0].removeprefix("data: "), ErrorBody)
    assert '"finish_reason":"stop"' not in "".join(blocks).replace(": ", ":")


def test_a_failure_before_the_stream_is_an_http_error(http: httpx.Client) -> None:
    for streamed in (False, True):
        body = {"model": "scripted/fail-before", "messages": HELLO, "stream": streamed}
        answer = http.post("/chat/completions", json=body)
        assert answer.status_code >= 500, answer.text
        parse(answer.content, ErrorBody)


def test_a_stored_completion(http: httpx.Client) -> None:
    made = complete(http, store=True, metadata={"suite": "conformance"})

    found = parse(http.get(f"/chat/completions/{made.id}").content, ChatCompletion)
    assert (found.id, found.choices, found.usage) == (made.id, made.choices, made.usage)
    assert found.metadata == {"suite": "conformance"}
    changed = http.post(f"/chat/completions/{made.id}", json={"metadata": {"suite": "changed"}})
    assert parse(changed.content, ChatCompletion).metadata == {"suite": "changed"}

    listed = http.get("/chat/completions", params={"metadata[suite]": "changed"})
    assert [completion.id for completion in parse(listed.content, CompletionList).data] == [made.id]
    messages = http.get(f"/chat/completions/{made.id}/messages")
    (message,) = parse(messages.content, StoredMessageList).data
    assert (message.role, message.content) == ("user", "Hello")

    parse(http.delete(f"/chat/completions/{made.id}").content, DeletedCompletion)
    assert http.get(f"/chat/completions/{made.id}").status_code == 404
    empty = http.get("/chat/completions", params={"metadata[suite]": "changed"})
    assert parse(empty.content, CompletionList).data == []


def test_models(http: httpx.Client) -> None:
    models = parse(http.get("/models").content, ModelList).data
    assert models
    for model in models:
        assert parse(http.get(f"/models/{model.id}").content, Model) == model
        escaped = http.get(f"/models/{model.id.replace('/', '%2F')}")
        assert parse(escaped.content, Model) == model
