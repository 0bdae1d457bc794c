"""No bytes a provider can send make anything but events and our own errors."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.ports.model_provider import ToolCallDelta
from antiphon.ports.outbound import OutboundError, OutboundRequest
from antiphon.providers.chat_events import ChatEvents
from antiphon.providers.http_exchange import Exchange
from antiphon.providers.model_list import read_models
from antiphon.providers.provider_errors import Blame, from_status
from tests.providers.raw_server import chunked

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("\ud83d"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def shaped(*names: str) -> st.SearchStrategy[Any]:
    """Objects with some of the right names and anything in them."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, ANYTHING))


FUNCTIONS = st.fixed_dictionaries({}, optional={"name": ANYTHING, "arguments": ANYTHING}) | ANYTHING
CALLS = st.fixed_dictionaries(
    {},
    optional={"index": st.integers() | ANYTHING, "id": st.sampled_from(["a", "b", 3]), "function": FUNCTIONS},
)
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "content": ANYTHING | st.text(),
        "reasoning": ANYTHING,
        "refusal": ANYTHING,
        "tool_calls": st.lists(CALLS, max_size=3) | ANYTHING,
        "function_call": FUNCTIONS,
    },
)
CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(-1, 3) | ANYTHING,
        "delta": DELTAS | ANYTHING,
        "message": DELTAS,
        "finish_reason": st.sampled_from(["stop", "error", "", None, 7]),
        "logprobs": ANYTHING,
    },
)
CHUNKS = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(CHOICES, max_size=2) | ANYTHING,
        "usage": shaped("prompt_tokens", "completion_tokens", "prompt_tokens_details") | ANYTHING,
        "x_groq": shaped("usage"),
        "error": st.none() | shaped("message", "code", "type", "status") | ANYTHING,
    },
)


def drain(reading: ChatEvents, parts: list[bytes]) -> None:
    for part in [*(part for part in parts if part), b""]:
        events = reading.feed(part)
        for event in events:
            json.dumps(str(event)).encode()
            if isinstance(event, ToolCallDelta):
                event.arguments.encode()  # no half characters
                assert 0 <= event.index < 2000
        if reading.error is not None or reading.done:
            return
    raise AssertionError("an end must be an end or an error")


@given(st.lists(CHUNKS, max_size=5), st.booleans())
@settings(max_examples=600, deadline=None)
def test_chunks_of_any_content(chunks: list[Any], done: bool) -> None:
    lines = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks]
    drain(ChatEvents(Blame("p", "m")), [*lines, *([b"data: [DONE]\n\n"] if done else [])])
    for chunk in chunks:
        whole = ChatEvents(Blame("p", "m"))
        whole.read_whole(json.dumps(chunk).encode())
        assert whole.done != (whole.error is not None)


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"data: ", b"\n", b"\r", b"{", b"}", b"[DONE]"])))
@settings(max_examples=300, deadline=None)
def test_any_bytes(parts: list[bytes]) -> None:
    drain(ChatEvents(Blame("p", "m")), parts)


@given(ANYTHING | CHUNKS, st.integers(300, 599))
@settings(deadline=None)
def test_any_refusal_and_any_list(value: Any, status: int) -> None:
    body = json.dumps(value).encode()
    assert from_status(Blame("p", "m"), status, {}, body).message
    try:
        read_models(body)
    except ValueError as error:
        assert str(error)


class NoLine:
    """A connection that only counts."""

    def __init__(self) -> None:
        self.over: list[bool] = []

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def hurry(self, seconds: float) -> None: ...
    def exchange_over(self, *, keep: bool) -> None:
        self.over.append(keep)


REQUEST = OutboundRequest(method="GET", url="http://x/", trust="operator", max_bytes=10_000)
HTTP_WORDS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Encoding: gzip\r\n",
        b"\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        chunked(b"a", b"b"),
    ]
)


async def read_out(parts: list[bytes]) -> None:
    line = NoLine()
    exchange = Exchange(line, REQUEST, "http://x/")
    for part in parts:
        if line.over:
            break  # a connection would hand on nothing more
        exchange.feed(part)
    exchange.ended(None)
    assert len(line.over) == 1
    try:
        await exchange.head()
        while await exchange.read():
            pass
    except OutboundError:
        assert not line.over[0] or parts
    exchange.close()
    assert len(line.over) == 1


@given(st.lists(HTTP_WORDS | st.binary(min_size=1, max_size=20), min_size=1, max_size=8))
@settings(max_examples=500, deadline=None)
async def test_any_bytes_as_http(parts: list[bytes]) -> None:
    await read_out(parts)
