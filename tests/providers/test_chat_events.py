"""Chunks of every shape that providers send become the same few events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon.ports.model_provider import (
    Finish,
    ProviderEvent,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from antiphon.providers.chat_events import ChatEvents
from antiphon.providers.provider_errors import Blame

SECRET = "sk-canary-0123456789abcdef"


def reader() -> ChatEvents:
    return ChatEvents(Blame("p", "m", secrets=(SECRET,)))


def sse(*payloads: Any, done: bool = True) -> bytes:
    lines = [p if isinstance(p, str) else json.dumps(p) for p in payloads]
    return "".join(f"data: {line}\n\n" for line in [*lines, *(["[DONE]"] if done else [])]).encode()


def chunk(index: int = 0, reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": reason}]}


STOP = chunk(reason="stop")


def read(stream: bytes) -> list[ProviderEvent]:
    reading = reader()
    events = reading.feed(stream)
    if not reading.done and reading.error is None:
        events = events + reading.feed(b"")
    assert reading.error is None, reading.error
    assert reading.done
    return events


def test_text_finish_usage() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    last = {"choices": [], "usage": usage}
    stream = sse(chunk(role="assistant", content=""), chunk(content="Hi"), STOP, last)
    assert read(stream) == [TextDelta(0, "Hi"), Finish(0, "stop"), UsageReport(9, 4, 3, 2)]


def test_the_last_of_several_usages_counts_and_groq_hides_it() -> None:
    first = {**chunk(content="a"), "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    last = {**STOP, "x_groq": {"id": "r", "usage": {"prompt_tokens": 2, "completion_tokens": 5}}}
    assert read(sse(first, last))[-1] == UsageReport(2, 5)


@pytest.mark.parametrize("count", ["NaN", "-1", "1e400", '"7"', "null", "true", "99999999999999999999"])
def test_a_usage_that_cannot_be_true_is_none(count: str) -> None:
    usage = '{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":COUNT}}'.replace("COUNT", count)
    stream = sse(chunk(content="a"), STOP, usage)
    assert read(stream) == [TextDelta(0, "a"), Finish(0, "stop")]


def test_reasoning_and_refusal() -> None:
    stream = sse(
        chunk(reasoning_content="x"), chunk(reasoning="y"), chunk(refusal="no"), chunk(content="a"), STOP
    )
    assert read(stream) == [
        ReasoningDelta(0, "x"),
        ReasoningDelta(0, "y"),
        RefusalDelta(0, "no"),
        TextDelta(0, "a"),
        Finish(0, "stop"),
    ]


def probable(logprobs: Any, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta or {"content": "a"}, "logprobs": logprobs}]}


WHOLE = {"token": "é", "logprob": -0.5, "bytes": [195, 169], "top_logprobs": []}


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        (WHOLE, WHOLE),
        ({"token": "é", "logprob": -0.5}, WHOLE),
        ({**WHOLE, "bytes": None, "top_logprobs": None}, WHOLE),
        ({**WHOLE, "bytes": [256], "surplus": 1, "logprob": -0.5}, WHOLE),
        (
            {**WHOLE, "top_logprobs": [{"token": "e", "logprob": 0}, {"token": 7}]},
            {**WHOLE, "top_logprobs": [{"token": "e", "logprob": 0.0, "bytes": [101]}]},
        ),
    ],
)
def test_a_token_has_every_field_its_probability_is_told_with(sent: Any, read_as: Any) -> None:
    stream = sse(probable({"content": [sent], "refusal": None}), STOP)
    assert read(stream) == [TextDelta(0, "a", [read_as]), Finish(0, "stop")]


@pytest.mark.parametrize(
    "logprobs",
    [
        {"content": [], "refusal": None}, {"content": None, "refusal": [WHOLE]}, {}, [], [WHOLE], "x", 1,
        {"content": "x"}, {"content": [WHOLE, None]}, {"content": [{"token": "x"}]},
        {"content": [{"logprob": 0}]},
        {"content": [{"token": "x", "logprob": True}]}, {"content": [{"token": "x", "logprob": 10**400}]},
        {"tokens": ["x"], "token_logprobs": [0.0]},
    ],
)  # fmt: skip
def test_none_or_malformed_ones_are_none_and_make_no_text(logprobs: Any) -> None:
    assert read(sse(probable(logprobs), STOP)) == [TextDelta(0, "a"), Finish(0, "stop")]
    assert read(sse(probable(logprobs, content=""), STOP)) == [Finish(0, "stop")]


def test_those_of_thoughts_and_calls_belong_to_no_text() -> None:
    thought = probable({"content": [WHOLE]}, reasoning="é")
    assert read(sse(thought, STOP)) == [ReasoningDelta(0, "é"), Finish(0, "stop")]


def test_those_of_a_part_of_a_character_come_without_a_text() -> None:
    stream = sse(probable({"content": [WHOLE]}, content=""), STOP)
    assert read(stream) == [TextDelta(0, "", [WHOLE]), Finish(0, "stop")]


def call(index: int | None, call_id: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"id": call_id, "function": {"name": name, "arguments": arguments}}
    return made if index is None else {**made, "index": index}


def test_parallel_tool_calls_interleaved() -> None:
    stream = sse(
        chunk(tool_calls=[call(0, "c0", "f", "")]),
        chunk(tool_calls=[call(1, "c1", "g", "")]),
        chunk(tool_calls=[call(0, None, None, '{"a"'), call(1, None, None, "{}")]),
        chunk(tool_calls=[call(0, None, None, ":1}")]),
        chunk(reason="tool_calls"),
    )
    assert read(stream) == [
        ToolCallDelta(0, 0, "c0", "f", ""),
        ToolCallDelta(0, 1, "c1", "g", ""),
        ToolCallDelta(0, 0, None, None, '{"a"'),
        ToolCallDelta(0, 1, None, None, "{}"),
        ToolCallDelta(0, 0, None, None, ":1}"),
        Finish(0, "tool_calls"),
    ]


def test_name_and_id_are_told_once_however_often_they_come() -> None:
    stream = sse(
        chunk(tool_calls=[call(0, "c0", "f", "{")]),
        chunk(tool_calls=[call(0, "c0", "f", "}")]),
        chunk(reason="stop"),
    )
    assert read(stream)[:2] == [ToolCallDelta(0, 0, "c0", "f", "{"), ToolCallDelta(0, 0, None, None, "}")]


@pytest.mark.parametrize("index", [None, 0])
def test_calls_that_are_numbered_badly_are_told_apart_by_id(index: int | None) -> None:
    stream = sse(
        chunk(tool_calls=[call(index, "c0", "f", "{}")]),
        chunk(tool_calls=[call(index, "c1", "g", "{")]),
        chunk(tool_calls=[call(index, "c1", None, "}")]),
        chunk(reason="tool_calls"),
    )
    assert read(stream)[:3] == [
        ToolCallDelta(0, 0, "c0", "f", "{}"),
        ToolCallDelta(0, 1, "c1", "g", "{"),
        ToolCallDelta(0, 1, None, None, "}"),
    ]


def test_calls_without_ids_in_one_chunk_and_decoded_arguments() -> None:
    events = read(sse(chunk(tool_calls=[call(None, None, "f", {"a": 1}), call(None, None, "g", "{}")]), STOP))
    first, second = events[0], events[1]
    assert isinstance(first, ToolCallDelta) and isinstance(second, ToolCallDelta)
    assert (first.index, first.name, first.arguments) == (0, "f", '{"a": 1}')
    assert (second.index, second.name) == (1, "g")
    assert first.call_id and second.call_id and first.call_id != second.call_id


def test_the_older_function_call() -> None:
    events = read(
        sse(chunk(function_call={"name": "f", "arguments": "{"}), chunk(function_call={"arguments": "}"}),
            chunk(reason="function_call"))
    )  # fmt: skip
    assert [type(e).__name__ for e in events] == ["ToolCallDelta", "ToolCallDelta", "Finish"]
    assert events[-1] == Finish(0, "tool_calls")


def test_several_choices_each_end() -> None:
    events = read(sse(chunk(0, content="a"), chunk(1, content="b"), chunk(1, "length"), chunk(0, "stop")))
    assert events == [TextDelta(0, "a"), TextDelta(1, "b"), Finish(1, "length"), Finish(0, "stop")]
    reading = reader()
    reading.feed(sse(chunk(0, content="a"), chunk(1, content="b"), chunk(1, "stop"), done=False))
    reading.feed(b"")
    assert reading.error is not None


@pytest.mark.parametrize(
    ("said", "reason"),
    [("max_tokens", "length"), ("eos", "stop"), ("SAFETY", "content_filter"), ("tool_use", "tool_calls")],
)
def test_other_words_for_reasons(said: str, reason: str) -> None:
    assert read(sse(chunk(content="a"), chunk(reason=said)))[-1] == Finish(0, reason)


def test_content_in_parts() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    parts = [thinking, {"type": "text", "text": "yes"}]
    assert read(sse(chunk(content=parts), STOP))[:2] == [TextDelta(0, "yes"), ReasoningDelta(0, "hm")]


def test_done_without_a_finish_is_an_end_and_an_end_without_done_is_one_if_finished() -> None:
    assert read(sse(chunk(content="a"))) == [TextDelta(0, "a"), Finish(0, "stop")]
    assert read(sse(chunk(content="a"), STOP, done=False)) == [TextDelta(0, "a"), Finish(0, "stop")]


def test_what_comes_after_done_is_not_read() -> None:
    assert read(sse(chunk(content="a"), STOP) + sse(chunk(content="b")))[-1] == Finish(0, "stop")


def test_a_cut_stream_keeps_its_text_and_is_an_error_at_every_byte() -> None:
    stream = sse(chunk(role="assistant", content=""), chunk(content="né🎉"), chunk(content="d"), STOP)
    whole = 0
    for at in range(len(stream)):
        reading = reader()
        events = reading.feed(stream[:at]) if at else []
        events = events + ([] if reading.done or reading.error else reading.feed(b""))
        text = "".join(e.text for e in events if isinstance(e, TextDelta))
        assert "né🎉d".startswith(text)
        if reading.error is None:
            whole += 1
            assert Finish(0, "stop") in events
        else:
            assert reading.error.retryable == (not events)
            assert reading.error.code == "server_error"
    assert whole < 30  # only once the finish had come


def test_malformed_data_ends_with_the_text_before_it() -> None:
    for bad in ("{broken}", "nonsense", "[1,2]", "{" * 5000 + "}"):
        reading = reader()
        events = reading.feed(sse(chunk(content="a"), bad, chunk(content="b"), done=False))
        assert events == [TextDelta(0, "a")]
        assert reading.error is not None and "upstream_protocol_error" in reading.error.message
        assert not reading.error.retryable


def test_bytes_that_are_no_text_are_replaced() -> None:
    stream = sse(chunk(content="a?b"), STOP).replace(b"?", b"\xff")
    assert read(stream)[0] == TextDelta(0, "a\ufffdb")


def test_control_characters_in_strings_are_forgiven() -> None:
    assert read(sse(chunk(content="a?b"), STOP).replace(b"?", b"\x00"))[0] == TextDelta(0, "a\x00b")


def saying(text: str) -> str:
    return '{"choices":[{"delta":{"content":"%s"}}]}' % text  # noqa: UP031 - the braces are JSON's


def test_half_characters_are_joined_or_replaced() -> None:
    pair = sse(saying("a\\ud83c"), saying("\\udf89b"), STOP)
    assert [e.text for e in read(pair) if isinstance(e, TextDelta)] == ["a", "🎉b"]
    lone = sse(saying("\\udf89b"), saying("c\\ud83c"), STOP)
    assert "".join(e.text for e in read(lone) if isinstance(e, TextDelta)) == "\ufffdbc\ufffd"
    half = sse(saying("\\ud83c"), chunk(content="b"), STOP)
    assert [e.text for e in read(half) if isinstance(e, TextDelta)] == ["\ufffdb"]


def test_half_characters_in_arguments_of_two_calls_stay_apart() -> None:
    frame = '{"choices":[{"delta":{"tool_calls":[{"index":%%d,%s}]}}]}'
    first = frame % '"id":"c%d","function":{"name":"f","arguments":"\\ud83c"}'
    second = frame % '"function":{"arguments":"\\udf89"}'
    events = read(sse(first % (0, 0), first % (1, 1), second % 1, second % 0, STOP))
    assert [e.arguments for e in events if isinstance(e, ToolCallDelta)] == ["", "", "🎉", "🎉"]


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        ({"message": "overloaded", "type": "server_error"}, "server_error", True),
        ({"message": "slow down", "code": "rate_limit_exceeded"}, "rate_limit_exceeded", True),
        ({"message": "bad", "type": "invalid_request_error"}, "invalid_prompt", False),
        ({"message": "upstream", "code": 502}, "server_error", True),
        ("just words", "server_error", True),
    ],
)
def test_errors_in_the_stream(error: Any, code: str, retryable: bool) -> None:
    reading = reader()
    assert reading.feed(sse({"error": error})) == []
    assert reading.error is not None
    assert (reading.error.code, reading.error.retryable) == (code, retryable)
    late = reader()
    assert late.feed(sse(chunk(content="a"), {"error": error})) == [TextDelta(0, "a")]
    assert late.error is not None and not late.error.retryable


def test_an_error_that_repeats_the_key_is_not_quoted() -> None:
    for echo in (SECRET, f"Bearer {SECRET}", f"{SECRET[:10]}***", f"x{SECRET[-9:]}"):
        reading = reader()
        reading.feed(sse({"error": {"message": f"no credit for {echo}"}}))
        assert reading.error is not None
        assert "canary" not in reading.error.message and SECRET[-8:] not in reading.error.message


def test_a_whole_answer_is_one_batch() -> None:
    calls = [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]
    message = {"role": "assistant", "content": "Hi", "tool_calls": calls}
    body = {
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    reading = reader()
    assert reading.read_whole(json.dumps(body).encode()) == [
        TextDelta(0, "Hi"),
        ToolCallDelta(0, 0, "c", "f", "{}"),
        Finish(0, "tool_calls"),
        UsageReport(1, 2),
    ]
    assert reading.done


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"choices":[]}', b'{"detail":"x"}', b'{"error":"x"}', b'{"object":"error","message":"x"}'],
)
def test_a_whole_body_without_an_answer_is_an_error(body: bytes) -> None:
    reading = reader()
    assert reading.read_whole(body) == []
    assert reading.error is not None and reading.error.retryable


def test_foreign_indexes_are_passed_over() -> None:
    stream = sse(chunk(content="a"), chunk(-1, content="b"), chunk(10**6, content="c"), STOP)
    assert read(stream) == [TextDelta(0, "a"), Finish(0, "stop")]
