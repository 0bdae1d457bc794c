"""From a provider's stream of chat completion chunks to our events."""

from __future__ import annotations

import secrets
from typing import Any, Final

import msgspec

from antiphon.domain.errors import ProviderError
from antiphon.ports.model_provider import (
    Finish,
    ProviderEvent,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from antiphon.providers import provider_errors
from antiphon.providers.chat_wire import (
    Chunk,
    Delta,
    Function,
    NotAChunk,
    ToolCall,
    decode_chunk,
    decode_loosely,
)
from antiphon.providers.logprobs import read_logprobs
from antiphon.providers.provider_errors import Blame
from antiphon.providers.sse_reader import DONE, LineTooLong, SseReader
from antiphon.providers.surrogates import SurrogateJoiner, mend

REASONS: Final = {
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "tool_call": "tool_calls",
    "max_tokens": "length",
    "model_length": "length",
    "max_length": "length",
    "safety": "content_filter",
}
"""Other providers' words for OpenAI's four; what is unknown counts as `stop`."""

OPENAI_REASONS: Final = frozenset({"stop", "length", "tool_calls", "content_filter"})
MAX_CHOICES: Final = 128
MAX_CALLS: Final = 1024
MAX_TOKENS: Final = 1 << 24
"""A usage above this is no count of tokens: no model has such a window, and it would be billed."""


class ChatEvents:
    """Reads one answer, in server-sent events or whole.

    After each call a fault stands in `error`, with the events before it returned. `done` is set
    when the answer is whole and nothing more is to come, `begun` once any event was returned.
    """

    __slots__ = ("_blame", "_calls", "_choices", "_joiner", "_sse", "_usage", "begun", "done", "error")

    def __init__(self, blame: Blame) -> None:
        self.error: ProviderError | None = None
        self.done = False
        self.begun = False
        self._blame = blame
        self._sse = SseReader()
        self._usage: Any = None
        self._choices: dict[int, bool] = {}
        self._calls: dict[tuple[int, int], ToolCall] = {}
        self._joiner = SurrogateJoiner()

    @property
    def complete(self) -> bool:
        """Whether every choice that began has ended."""
        return bool(self._choices) and all(self._choices.values())

    def feed(self, received: bytes) -> list[ProviderEvent]:
        """Return the events that the bytes complete; b"" says that no more will come."""
        events: list[ProviderEvent] = []
        try:
            payloads = self._sse.feed(received) if received else self._sse.end()
        except LineTooLong as error:
            self.error = self._protocol(str(error))
            return self._returned(events)
        for payload in payloads:
            if payload == DONE:
                self._end(events, said=True)
            else:
                self._read(payload, events)
            if self.done or self.error is not None:
                return self._returned(events)
        if not received:
            self._end(events, said=False)
        return self._returned(events)

    def read_whole(self, body: bytes) -> list[ProviderEvent]:
        """Return the events of an answer that came as one JSON body."""
        events: list[ProviderEvent] = []
        self._read(body, events)
        if self.error is None:
            self._end(events, said=True)
        return self._returned(events)

    def _returned(self, events: list[ProviderEvent]) -> list[ProviderEvent]:
        if events:
            self.begun = True
        if self.begun and self.error is not None:
            self.error.retryable = False  # a second attempt would say again what was said
        return events

    def _end(self, events: list[ProviderEvent], *, said: bool) -> None:
        """Close the answer. `said` if the provider said so itself, by [DONE] or by answering whole."""
        for choice, kind, index in tuple(self._joiner.held):
            events.append(_event(choice, kind, index, "\ufffd"))
        self._joiner.held.clear()
        if not self._choices or not (said or self.complete):
            self.error = self._protocol("the answer was cut off" if self._choices else "the answer was empty")
            return
        self.done = True
        events += [Finish(choice, "stop") for choice, ended in self._choices.items() if not ended]
        usage = read_usage(self._usage)
        if usage is not None:
            events.append(usage)

    def _protocol(self, what: str) -> ProviderError:
        return provider_errors.protocol(self._blame, what)

    def _read(self, payload: bytes, events: list[ProviderEvent]) -> None:
        """Append the events of one chunk. The common one, a piece of text, is done in the first lines."""
        loose = False
        try:
            chunk = decode_chunk(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            loose = True
            try:
                chunk = decode_loosely(payload)
            except NotAChunk as error:
                self.error = self._protocol(str(error))
                return
        if chunk.error or not chunk.choices:
            self._read_rest(chunk, payload)
            return
        if chunk.usage is not None or chunk.x_groq is not None:
            self._keep_usage(chunk)
        for choice in chunk.choices:
            index = choice.index
            if index not in self._choices and not self._begin(index):
                continue
            delta = choice.delta or choice.message
            if delta is not None:
                logprobs = choice.logprobs
                if delta.content or logprobs is not None:
                    text = delta.content or ""
                    if loose or self._joiner.held:
                        text = self._joiner.join((index, "text", 0), text)
                    if logprobs is not None:  # where there is no content they are those of thoughts or calls
                        logprobs = read_logprobs(logprobs) if delta.content is not None else None
                    if text or logprobs is not None:
                        events.append(TextDelta(index, text, logprobs))
                if (
                    delta.reasoning_content or delta.reasoning or delta.refusal
                    or delta.tool_calls or delta.function_call is not None
                ):  # fmt: skip
                    self._read_delta(index, delta, events)
            if choice.finish_reason and not self._choices[index]:
                self._finish(index, choice.finish_reason, events)

    def _begin(self, index: int) -> bool:
        """Note a new choice; False for an index that no request can have asked for."""
        fits = 0 <= index < MAX_CHOICES
        if fits:
            self._choices[index] = False
        return fits

    def _finish(self, index: int, reason: str, events: list[ProviderEvent]) -> None:
        if reason == "error":
            self.error = self._protocol("the provider ended the answer with an error")
            return
        self._choices[index] = True
        known = REASONS.get(reason.lower(), reason.lower())
        events.append(Finish(index, known if known in OPENAI_REASONS else "stop"))

    def _read_delta(self, index: int, delta: Delta, events: list[ProviderEvent]) -> None:
        reasoning = delta.reasoning_content or delta.reasoning
        if reasoning:
            text = self._joiner.join((index, "reasoning", 0), reasoning)
            if text:
                events.append(ReasoningDelta(index, text))
        if delta.refusal:
            text = self._joiner.join((index, "refusal", 0), delta.refusal)
            if text:
                events.append(RefusalDelta(index, text))
        if delta.tool_calls:
            for position, call in enumerate(delta.tool_calls):
                self._read_call(index, call, position, events)
        if delta.function_call is not None:
            self._read_call(index, ToolCall(index=0, function=delta.function_call), 0, events)

    def _read_call(self, choice: int, call: ToolCall, position: int, events: list[ProviderEvent]) -> None:
        function = call.function or Function()
        index = self._call_index(choice, call, position)
        arguments = self._joiner.join((choice, "arguments", index), function.arguments or "")
        known = self._calls.get((choice, index))
        if known is None:
            call_id = mend(call.id or f"call_{secrets.token_hex(12)}")
            self._calls[choice, index] = ToolCall(id=call.id, function=Function(name=function.name))
            events.append(ToolCallDelta(choice, index, call_id, mend(function.name or ""), arguments))
            return
        late_name = None
        if function.name and known.function is not None and not known.function.name:
            known.function.name = late_name = mend(function.name)
        if arguments or late_name:
            events.append(ToolCallDelta(choice, index, None, late_name, arguments))

    def _call_index(self, choice: int, call: ToolCall, position: int) -> int:
        """Return which call a fragment belongs to, also where a provider numbers them badly.

        Some leave the index out and some give 0 to every call; then another id means another call.
        """
        index = call.index
        if index is None or not 0 <= index < MAX_CALLS:
            latest = max((i for c, i in self._calls if c == choice), default=-1)
            index = max(latest, position) if call.id is None or latest < 0 else latest
        known = self._calls.get((choice, index))
        if known is None or not call.id or not known.id or known.id == call.id:
            return index
        for (of, other), earlier in self._calls.items():
            if of == choice and earlier.id == call.id:
                return other
        return max(i for c, i in self._calls if c == choice) + 1

    def _keep_usage(self, chunk: Chunk) -> None:
        groq = chunk.x_groq
        self._usage = chunk.usage or (groq.get("usage") if isinstance(groq, dict) else None) or self._usage

    def _read_rest(self, chunk: Chunk, payload: bytes) -> None:
        """Read a chunk without choices: usage, an error, or something to pass over."""
        if not chunk.error and chunk.usage is None and b'"error"' in payload:
            chunk = decode_loosely(payload)
        if chunk.error:
            self.error = provider_errors.in_stream(self._blame, chunk.error)
        else:
            self._keep_usage(chunk)


def _event(choice: int, kind: str, index: int, text: str) -> ProviderEvent:
    if kind == "text":
        return TextDelta(choice, text)
    if kind == "reasoning":
        return ReasoningDelta(choice, text)
    if kind == "refusal":
        return RefusalDelta(choice, text)
    return ToolCallDelta(choice, index, None, None, text)


def read_usage(usage: Any) -> UsageReport | None:
    """Return the provider's count of tokens, None if it gave none that can be true."""
    if not isinstance(usage, dict):
        return None
    counts = [_count(usage, "prompt_tokens"), _count(usage, "completion_tokens")]
    if counts[0] is None or counts[1] is None:
        return None
    cached = _count(usage.get("prompt_tokens_details"), "cached_tokens") or 0
    reasoning = _count(usage.get("completion_tokens_details"), "reasoning_tokens") or 0
    return UsageReport(counts[0], counts[1], min(cached, counts[0]), min(reasoning, counts[1]))


def _count(table: Any, field: str) -> int | None:
    value = table.get(field) if isinstance(table, dict) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_TOKENS:
        return value
    return None
