"""What one call says: the server-sent events of an answer, before HTTP framing, or its JSON body."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from tests.harness.behaviour import Behaviour
from tests.harness.tokens import hashed_token, plain_token, wide_token

CREATED: Final = 1_700_000_000
DONE: Final = b"data: [DONE]\n\n"
LONG_LINE_BYTES: Final = 2 * 1024 * 1024
HTML: Final = b"<!doctype html><html><head><title>502</title></head><body><h1>Bad gateway</h1></body></html>"
_CACHED_EVENTS: Final = 16_384
_FRAGMENT_CHARACTERS: Final = 7

Json = dict[str, Any]


@dataclass(slots=True)
class Call:
    """One request as it came, and what became of it.

    ``outcome`` is ``open``, then ``done``, ``fault`` (as told), ``error`` (a status) or ``client_gone``.
    ``billed`` counts the tokens handed to the socket, ``prompt_tokens`` is one per four bytes of request.
    """

    number: int
    model: str
    behaviour: Behaviour
    stream: str
    prompt: str = ""
    streamed: bool = False
    include_usage: bool = False
    authorization: str = ""
    body: bytes = b""
    answers_tool: bool = False
    prompt_tokens: int = 1
    billed: int = 0
    outcome: str = "open"
    id: str = field(init=False)

    def __post_init__(self) -> None:
        self.id = f"up{self.number:08d}"

    @property
    def calls_tool(self) -> bool:
        """Whether this answer is a tool call rather than text."""
        return bool(self.behaviour.tool) and not self.answers_tool


@dataclass(slots=True)
class Script:
    """An answer as events: each of ``deltas`` carries one token, ``tail`` is all that follows the last."""

    deltas: Iterator[bytes]
    count: int
    tail: bytes


def script_for(call: Call) -> Script:
    """The events of a streamed call."""
    behaviour = call.behaviour
    if call.calls_tool:
        fragments = _tool_deltas(call)
        script = Script(iter(fragments), len(fragments), _tail(call, len(fragments)))
    else:
        count = behaviour.reasoning_tokens + behaviour.tokens
        script = Script(_text_deltas(call), count, _tail(call, count))
    if behaviour.malformed:
        _MALFORM[behaviour.malformed](script)
    return script


def json_answer(call: Call) -> bytes:
    """The body of a call that is not streamed."""
    if call.behaviour.malformed == "html":
        return HTML
    message: Json = {"role": "assistant", "content": None, "refusal": None}
    if call.calls_tool:
        numbers = range(call.behaviour.tool_calls)
        message["tool_calls"] = [_tool_call(call, number, _arguments(call, number)) for number in numbers]
    else:
        text_of = text_source(call)
        message["content"] = "".join(text_of(i) for i in range(call.behaviour.tokens))
        if call.behaviour.reasoning_tokens:
            thoughts = range(call.behaviour.reasoning_tokens)
            message["reasoning_content"] = "".join(_reasoning(index) for index in thoughts)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(call)}
    answer = {**_envelope(call, "chat.completion"), "choices": [choice]}
    if not call.behaviour.no_usage:
        answer["usage"] = _usage(call, total_tokens(call))
    body = _dumps(answer)
    return body[: len(body) // 2] if call.behaviour.malformed == "json" else body


def total_tokens(call: Call) -> int:
    """How many tokens a whole answer bills."""
    if call.calls_tool:
        return sum(len(_fragments(_arguments(call, n))) for n in range(call.behaviour.tool_calls))
    return call.behaviour.tokens + call.behaviour.reasoning_tokens


def text_source(call: Call) -> Callable[[int], str]:
    """The function that says token i of this call's text."""
    if call.behaviour.hashed:
        stream = call.stream
        return lambda index: hashed_token(stream, index)
    return wide_token if call.behaviour.wide else plain_token


def event(payload: Json) -> bytes:
    """One server-sent data event."""
    return b"data: " + _dumps(payload) + b"\n\n"


def error_body(status: int, message: str) -> bytes:
    """An error body in OpenAI's shape."""
    kinds = {401: "authentication_error", 404: "invalid_request_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "server_error")
    return _dumps({"error": {"message": message, "type": kind, "param": None, "code": str(status)}})


def _dumps(payload: Json) -> bytes:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def _envelope(call: Call, kind: str) -> Json:
    return {"id": f"chatcmpl-{call.id}", "object": kind, "created": CREATED, "model": call.model}


def _chunk(call: Call, delta: Json, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return event({**_envelope(call, "chat.completion.chunk"), "choices": [choice]})


_HEAD: Final = b'data: {"id":"chatcmpl-'


@lru_cache(maxsize=_CACHED_EVENTS)
def _rest(model: str, text: str, first: bool) -> bytes:
    """A text event after its id, shared by all streams. The first one also names the role, as is usual."""
    role = '"role":"assistant",' if first else ""
    return (
        f'","object":"chat.completion.chunk","created":{CREATED},"model":{json.dumps(model)},"choices":[{{"index":0,'
        f'"delta":{{{role}"content":{json.dumps(text, ensure_ascii=False)}}},"finish_reason":null}}]}}\n\n'
    ).encode()


def _text_deltas(call: Call) -> Iterator[bytes]:
    """One event per token: reasoning first if asked for, then the text."""
    behaviour = call.behaviour
    for index in range(behaviour.reasoning_tokens):
        yield _chunk(call, {"reasoning_content": _reasoning(index)})
    head = _HEAD + call.id.encode()
    text_of = text_source(call)
    for index in range(behaviour.tokens):
        yield head + _rest(call.model, text_of(index), index == 0)


def _reasoning(index: int) -> str:
    return f"r{index} "


def _arguments(call: Call, number: int) -> str:
    """The arguments of tool call ``number``: JSON with what makes a careless joiner stumble."""
    query = f'{call.stream} ü\n"{number}"'
    return json.dumps({"query": query, "limit": 3, "nested": {"a": [1, 2.5, None]}})


def _fragments(arguments: str) -> list[str]:
    step = _FRAGMENT_CHARACTERS
    return [arguments[at : at + step] for at in range(0, len(arguments), step)]


def _tool_call(call: Call, number: int, arguments: str) -> Json:
    function = {"name": call.behaviour.tool, "arguments": arguments}
    return {"id": f"call_{call.id}_{number}", "type": "function", "function": function}


def _tool_deltas(call: Call) -> list[bytes]:
    """Tool calls in fragments. The first fragment of each names it; several calls are interleaved."""
    rows = [_fragments(_arguments(call, number)) for number in range(call.behaviour.tool_calls)]
    events: list[bytes] = []
    for position in range(max(len(row) for row in rows)):
        for number, row in enumerate(rows):
            if position >= len(row):
                continue
            part: Json = {"index": number, "function": {"arguments": row[position]}}
            if position == 0:
                part = {"index": number, **_tool_call(call, number, row[0])}
            role: Json = {} if events else {"role": "assistant", "content": None}
            events.append(_chunk(call, {**role, "tool_calls": [part]}))
    return events


def _finish_reason(call: Call) -> str:
    return call.behaviour.finish_reason or ("tool_calls" if call.calls_tool else "stop")


def _usage(call: Call, completion: int) -> Json:
    prompt = call.prompt_tokens
    details = {"reasoning_tokens": call.behaviour.reasoning_tokens}
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "completion_tokens_details": details,
    }


def _tail(call: Call, completion: int) -> bytes:
    """The finishing chunk, the usage chunk if the client asked for one, and ``[DONE]``."""
    tail = _chunk(call, {}, _finish_reason(call))
    if call.include_usage and not call.behaviour.no_usage:
        usage = _usage(call, completion)
        tail += event({**_envelope(call, "chat.completion.chunk"), "choices": [], "usage": usage})
    return tail + DONE


def _rewrite(script: Script, change: Callable[[bytes], bytes]) -> None:
    """Send every event of ``script`` through ``change``."""
    script.deltas = map(change, script.deltas)
    script.tail = change(script.tail)


def _with_extra(script: Script, extra: bytes) -> None:
    """Put ``extra`` before the second event."""
    original = script.deltas

    def deltas() -> Iterator[bytes]:
        for index, payload in enumerate(original):
            yield extra + payload if index == 1 else payload

    script.deltas = deltas()


def _replace_all(script: Script, body: bytes) -> None:
    script.deltas, script.count, script.tail = iter(()), 0, body


def _set_tail(script: Script, tail: bytes) -> None:
    script.tail = tail


_LONG_TEXT: Final = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * LONG_LINE_BYTES)
_NAN_USAGE: Final = b'data: {"choices":[],"usage":{"prompt_tokens":NaN,"completion_tokens":NaN}}\n\n'
_COMMENTS: Final = b": PROCESSING\n\nevent: ping\ndata:\n\nid: 7\nretry: 1000\n"

_MALFORM: Final[dict[str, Callable[[Script], None]]] = {
    "json": lambda script: _with_extra(script, b'data: {"choices":[{"index":0,"delta":{"content":"bro\n\n'),
    "html": lambda script: _replace_all(script, HTML),
    "crlf": lambda script: _rewrite(script, lambda payload: payload.replace(b"\n", b"\r\n")),
    "cr": lambda script: _rewrite(script, lambda payload: payload.replace(b"\n", b"\r")),
    "nodone": lambda script: _set_tail(script, script.tail.removesuffix(DONE)),
    "twodone": lambda script: _set_tail(script, script.tail + DONE),
    "longline": lambda script: _with_extra(script, _LONG_TEXT),
    "nan": lambda script: _set_tail(script, script.tail.split(b"\n\n")[0] + b"\n\n" + _NAN_USAGE + DONE),
    "comments": lambda script: _with_extra(script, _COMMENTS),
    "nospace": lambda script: _rewrite(script, lambda payload: payload.replace(b"data: ", b"data:")),
    "empty": lambda script: _replace_all(script, b""),
}
