"""Ops as the chunks of a chat completion, and finished runs as `chat.completion` objects."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from antiphon.api.errors import error_object
from antiphon.api.v1.wire_json import encode_object, encode_text
from antiphon.domain import ids
from antiphon.domain.errors import ProviderError
from antiphon.domain.run_events import ARGUMENTS, FILE_SEARCH, REASONING, REFUSAL, TEXT, Op, RunLog
from antiphon.domain.runs import ANSWERED, Run, RunError
from antiphon.domain.usage import Usage
from antiphon.services.answers import Answer
from antiphon.services.runs.follow import Follower

DONE: Final = b"data: [DONE]\n\n"

_ERROR_STATUS: Final = {"rate_limit_exceeded": 429, "invalid_prompt": 400, "cancelled": 400}
"""HTTP status of a failed completion by the run's error code. SDKs repeat 409 and 5xx."""
_CANCELLED: Final = RunError("cancelled", "The completion was cancelled before it was whole.")


class ChatEvents:
    """Encoder of one run for one reader that begins at its first op."""

    def __init__(self, follower: Follower, *, include_usage: bool) -> None:
        self._follower = follower
        self._log: RunLog = follower.log
        self._include_usage = include_usage
        self._greeted: set[int] = set()
        self._calls: dict[int, tuple[int, int]] = {}
        self._called: dict[int, int] = {}
        run = follower.run
        head = {
            "id": ids.CHAT_COMPLETION + run.id,
            "object": "chat.completion.chunk",
            "created": run.created_us // 1_000_000,
            "model": run.model,
        }
        self._head = b"data: " + msgspec.json.encode(head)[:-1] + b',"choices":['
        self._tail = b'],"usage":null}\n\n' if include_usage else b"]}\n\n"
        self._output = -1
        self._text_head = b""
        self._field: str | None = None

    def render(self, start: int, end: int, limit: int) -> tuple[bytes, int]:
        """Return the chunks of ops `start` to `end` (excluded) and where it stopped, at `limit` bytes."""
        frames: list[bytes] = []
        size = 0
        while start < end and size < limit:
            op = self._log.ops[start]
            frames += [self._delta(op)] if isinstance(op, str) else self._op(op)
            size += len(frames[-1]) if frames else 0
            start += 1
        return b"".join(frames), start

    def _delta(self, text: str) -> bytes:
        if self._field is not None:
            return b"%b%b%b" % (self._text_head, encode_text(text), self._text_tail)
        if self._output not in self._calls:
            return b""  # a reasoning summary, which chat completions do not have
        choice, call = self._calls[self._output]
        delta = {"tool_calls": [{"index": call, "function": {"arguments": text}}]}
        return self._chunk(choice, delta)

    @property
    def _text_tail(self) -> bytes:
        return b'},"logprobs":null,"finish_reason":null}' + self._tail

    def _op(self, op: Op) -> list[bytes]:
        code = op[0]
        if code == "A":
            return self._added(op)
        if code == "B":
            self._select(op[1], op[2])
        elif code == "D":
            self._select(op[1], op[2])
            return [self._delta(op[4])]
        elif code == "L":
            self._select(op[1], op[2])
            choice = self._log.outputs[op[1]].choice
            logprobs = {"content": op[5], "refusal": None}
            return [self._chunk(choice, {"content": op[4]}, logprobs=logprobs)]
        elif code == "N":
            choice = self._log.outputs[op[1]].choice
            return [self._chunk(choice, {"annotations": shifted([op[4]], self._said_before(op[1]))})]
        elif code == "Z":
            return self._end(op)
        return []

    def _said_before(self, output: int) -> int:
        """Return how much of a choice's text stands in outputs before one: offsets count in all of it."""
        outputs = self._log.outputs
        earlier = (one for one in outputs[:output] if one.choice == outputs[output].choice)
        return sum(len(part.text) for one in earlier for part in one.parts.values() if part.kind == TEXT)

    def _select(self, output: int, kind: str) -> None:
        self._output = output
        self._field = {TEXT: "content", REFUSAL: "refusal", REASONING: "reasoning_content"}.get(kind)
        if kind == ARGUMENTS or self._field is None:
            return
        choice = self._log.outputs[output].choice
        self._text_head = b'%b{"index":%d,"delta":{"%b":' % (self._head, choice, self._field.encode())

    def _added(self, op: Op) -> list[bytes]:
        output, choice, fixed = op[1], op[2], op[3]
        if fixed["type"] == FILE_SEARCH:
            return []
        first = choice not in self._greeted
        self._greeted.add(choice)
        if fixed["type"] != "function_call":
            return [self._chunk(choice, {"role": "assistant", "content": ""})] if first else []
        call = self._called[choice] = self._called.get(choice, -1) + 1
        self._calls[output] = (choice, call)
        self._select(output, ARGUMENTS)
        delta: dict[str, Any] = {"role": "assistant", "content": None} if first else {}
        function = {"name": fixed["name"], "arguments": ""}
        delta["tool_calls"] = [
            {"index": call, "id": fixed["call_id"], "type": "function", "function": function}
        ]
        return [self._chunk(choice, delta)]

    def _chunk(
        self, choice: int, delta: dict[str, Any], *, logprobs: Any = None, reason: str | None = None
    ) -> bytes:
        body = {"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return self._head + encode_object(body) + self._tail

    def _end(self, op: Op) -> list[bytes]:
        run = self._follower.run
        error = error_of(run)
        if error is not None:
            _, body = error_answer(error.code, error.message, self._follower.failure)
            return [b"data: " + encode_object(body) + b"\n\n"]
        frames: list[bytes] = []
        for choice in sorted(self._greeted) or [0]:
            if choice not in self._greeted:
                frames.append(self._chunk(choice, {"role": "assistant", "content": ""}))
            frames.append(self._chunk(choice, {}, reason=finish_reason(run, op[1], choice)))
        if self._include_usage:
            usage = msgspec.json.encode(usage_object(run.usage))
            frames.append(self._head + b'],"usage":' + usage + b"}\n\n")
        frames.append(DONE)
        return frames


def error_answer(code: str, message: str, failure: ProviderError | None) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and body of a failed completion, with what its provider said of the request.

    Where the provider is at fault it is 502, but 503 where it is known when to come back.
    """
    if failure is None:
        status = _ERROR_STATUS.get(code, 502)
        return status, error_object(status, message, param=None, code=code)
    status = _ERROR_STATUS.get(code, 502 if failure.retry_after_seconds is None else 503)
    return status, error_object(status, message, param=failure.param, code=failure.reason or code)


def error_of(run: Run) -> RunError | None:
    """Return why a run that has ended gave no answer; None if it gave one."""
    return _CANCELLED if run.state == "cancelled" and run.error is None else run.error


def finish_reason(run: Run, reasons: list[str | None], choice: int) -> str | None:
    """Return a choice's finish reason, from the model or else from how the run ended; None if it has not,
    or not with an answer.
    """
    known = reasons[choice] if choice < len(reasons) else None
    if known is not None or run.state not in ANSWERED:
        return known
    return {"max_output_tokens": "length", "content_filter": "content_filter"}.get(
        run.incomplete_reason or "", "stop"
    )


def usage_object(usage: Usage | None) -> dict[str, Any]:
    """Return token counts in the shape of chat completions."""
    usage = usage or Usage()
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def completion_object(answer: Answer, *, with_metadata: bool = False) -> dict[str, Any]:
    """Return a finished run as a `chat.completion`."""
    run = answer.run
    body: dict[str, Any] = {
        "id": ids.CHAT_COMPLETION + run.id,
        "object": "chat.completion",
        "created": run.created_us // 1_000_000,
        "model": run.model,
        "choices": [_choice(answer, choice) for choice in sorted(set(answer.choices)) or [0]],
        "usage": usage_object(run.usage),
        "service_tier": "default",
        "system_fingerprint": None,
    }
    if (error := error_of(run)) is not None:
        body["error"] = msgspec.to_builtins(error)
    if with_metadata:
        body["metadata"] = msgspec.json.decode(run.metadata)
    return body


def shifted(annotations: list[dict[str, Any]], offset: int) -> list[dict[str, Any]]:
    """Return the annotations of a text that begins at `offset` of a message's whole text."""
    if not offset:
        return annotations
    return [one | {"index": one["index"] + offset} if "index" in one else one for one in annotations]


def _choice(answer: Answer, choice: int) -> dict[str, Any]:
    texts: list[str] = []
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    calls: list[dict[str, Any]] = []
    logprobs: list[Any] = []
    for output, of in zip(answer.outputs, answer.choices, strict=True):
        if of != choice:
            continue
        payload = output.payload
        if output.type == "function_call":
            function = {"name": payload["name"], "arguments": payload["arguments"]}
            calls.append({"id": payload["call_id"], "type": "function", "function": function})
        elif output.type == "reasoning":
            message["reasoning_content"] = "".join(part["text"] for part in payload.get("content", []))
        for part in payload.get("content", []) if output.type == "message" else []:
            if part["type"] == "refusal":
                message["refusal"] = part["refusal"]
            else:
                message["annotations"] += shifted(part.get("annotations") or [], sum(map(len, texts)))
                texts.append(part["text"])
                logprobs += part.get("logprobs") or []
    if texts:
        message["content"] = "".join(texts)
    if calls:
        message["tool_calls"] = calls
    return {
        "index": choice,
        "message": message,
        "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
        "finish_reason": finish_reason(answer.run, answer.reasons, choice),
    }
