"""The shape of chat completion chunks, read strictly and fast or loosely and forgivingly.

See https://platform.openai.com/docs/api-reference/chat-streaming for the shape. What is not in
these types is skipped by the decoder at almost no cost.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec


class Function(msgspec.Struct, gc=False):
    """The function of a call: its name once, its arguments in fragments."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct, gc=False):
    """A fragment of a tool call."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Delta(msgspec.Struct, gc=False):
    """What a choice says more, or in a whole answer all it said.

    `reasoning_content` (DeepSeek, vLLM, llama.cpp) and `reasoning` (Groq, OpenRouter, Ollama)
    are two names for the same thing.
    """

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None


class Choice(msgspec.Struct, gc=False):
    """One of the answers; `message` stands in for `delta` where the answer comes whole."""

    index: int = 0
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    logprobs: Any = None


class Chunk(msgspec.Struct, gc=False):
    """One event's data. `usage` and `error` are judged later; `x_groq` holds Groq's usage."""

    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None
    x_groq: Any = None


decode_chunk = msgspec.json.Decoder(Chunk).decode
"""bytes → Chunk; raises msgspec.DecodeError, UnicodeDecodeError or RecursionError."""


class NotAChunk(ValueError):
    """The data is no JSON object."""


def decode_loosely(data: bytes) -> Chunk:
    """Read a chunk that is not quite as it should be; raises NotAChunk.

    Forgives bytes that are no UTF-8, lone surrogates (kept, for the caller to join), NaN (as
    None), control characters in strings, numbers for strings and the reverse, content in parts
    and fields of other types (as absent).
    """
    try:
        value = json.loads(data.decode("utf-8", "replace"), strict=False, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        raise NotAChunk("the data is no JSON") from None
    if not isinstance(value, dict):
        raise NotAChunk("the data is no JSON object")
    error = value.get("error")
    if error is None and value.get("object") == "error":
        error = value  # vLLM's older shape
    choices = value.get("choices")
    return Chunk(
        choices=[_choice(c) for c in choices if isinstance(c, dict)] if isinstance(choices, list) else None,
        usage=value.get("usage"),
        error=error,
        x_groq=value.get("x_groq"),
    )


def _choice(value: dict[str, Any]) -> Choice:
    delta = value.get("delta") or value.get("message")
    reason = value.get("finish_reason")
    return Choice(
        index=_whole(value.get("index")) or 0,
        delta=_delta(delta) if isinstance(delta, dict) else None,
        finish_reason=reason if isinstance(reason, str) else None,
        logprobs=value.get("logprobs"),
    )


def _delta(value: dict[str, Any]) -> Delta:
    content, thinking = _parts(value.get("content"))
    calls = value.get("tool_calls")
    call = value.get("function_call")
    return Delta(
        content=content,
        reasoning_content=_text(value.get("reasoning_content")) or thinking,
        reasoning=_text(value.get("reasoning")),
        refusal=_text(value.get("refusal")),
        tool_calls=[_tool_call(c) for c in calls if isinstance(c, dict)] if isinstance(calls, list) else None,
        function_call=_function(call) if isinstance(call, dict) else None,
    )


def _parts(content: Any) -> tuple[str | None, str | None]:
    """Return (text, reasoning) of content that may be a list of parts, as Mistral sends it."""
    if not isinstance(content, list):
        return _text(content), None
    text, thinking = "", ""
    for part in content:
        if not isinstance(part, dict):
            continue
        if part.get("type") == "thinking":
            thinking += _parts(part.get("thinking"))[0] or ""
        else:
            text += _text(part.get("text")) or ""
    return text or None, thinking or None


def _tool_call(value: dict[str, Any]) -> ToolCall:
    function = value.get("function")
    return ToolCall(
        index=_whole(value.get("index")),
        id=_text(value.get("id")),
        function=_function(function) if isinstance(function, dict) else None,
    )


def _function(value: dict[str, Any]) -> Function:
    arguments = value.get("arguments")
    if isinstance(arguments, dict | list):  # Ollama and others send them decoded
        arguments = json.dumps(arguments, ensure_ascii=False)
    return Function(name=_text(value.get("name")), arguments=_text(arguments))


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) < 6:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10_000 else None
