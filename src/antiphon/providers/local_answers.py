"""What the two built-in providers share: reading a request, and giving an answer as events."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from antiphon.domain import items, usage
from antiphon.domain.errors import ProviderError
from antiphon.ports.model_provider import Finish, ModelRequest, ProviderEvent, TextDelta, UsageReport
from antiphon.providers.schema_values import UnfitSchema, value_for

MAX_CHOICES: Final = 128
"""OpenAI's own limit for `n`."""

WORDS_PER_BATCH: Final = 16

_WORD = re.compile(r"\s*\S+\s?|\s+")


def text_of(message: dict[str, Any]) -> str:
    """Return the readable text of one chat message."""
    return items.text_of(message)


def user_texts(request: ModelRequest) -> list[str]:
    """Return what the user said, oldest first."""
    return [text_of(message) for message in request.messages if message.get("role") == "user"]


def token_limit(request: ModelRequest) -> int | None:
    """Return how many tokens the caller wants at most, None if it did not say."""
    for field in ("max_completion_tokens", "max_tokens"):
        limit = request.params.get(field)
        if isinstance(limit, int) and limit > 0:
            return limit
    return None


def choices(request: ModelRequest) -> range:
    """Return the indexes of the answers asked for."""
    wanted = request.params.get("n")
    return range(min(max(wanted, 1), MAX_CHOICES) if isinstance(wanted, int) else 1)


def wanted_json(request: ModelRequest) -> Any | None:
    """Return the JSON Schema the answer must fit, None if plain text is wanted."""
    wanted = request.params.get("response_format")
    if not isinstance(wanted, dict):
        return None
    if wanted.get("type") == "json_object":
        return {}
    if wanted.get("type") == "json_schema":
        described = wanted.get("json_schema")
        return described.get("schema", {}) if isinstance(described, dict) else {}
    return None


def json_value(schema: Any) -> Any:
    """Return a value for `schema`, or an empty object if none is found."""
    try:
        return value_for(schema)
    except UnfitSchema:
        return {}


def input_tokens(request: ModelRequest) -> int:
    """Estimate the tokens of all messages."""
    return sum(usage.estimate_item_tokens(message) for message in request.messages)


class Counter:
    """Counts the tokens of an answer and says when the caller's limit is reached."""

    def __init__(self, request: ModelRequest) -> None:
        self._input = input_tokens(request)
        self._limit = token_limit(request)
        self._output = 0
        self.reasoning = 0

    def take(self, text: str, tokens: int | None = None) -> bool:
        """Count `text` (as `tokens`), or return False if it would go past the limit of one answer."""
        tokens = usage.estimate_tokens(text) if tokens is None else tokens
        if self._limit is not None and self._output + tokens > self._limit:
            return False
        self._output += tokens
        return True

    def report(self, answers: int = 1) -> UsageReport:
        """Return the usage of `answers` equal answers."""
        return UsageReport(self._input, self._output * answers, 0, self.reasoning * answers)


def words(text: str) -> list[str]:
    """Cut a text into words that keep their spaces; joined again they are the text."""
    return _WORD.findall(text)


def cut_to_limit(
    pieces: Sequence[str], counter: Counter, reason: str = "stop", *, tokens_each: int | None = None
) -> tuple[list[str], str]:
    """Return the pieces that fit the caller's limit, and `reason` or, if some did not fit, `length`."""
    taken: list[str] = []
    for piece in pieces:
        if not counter.take(piece, tokens_each):
            return taken, "length"
        taken.append(piece)
    return taken, reason


async def answer(
    request: ModelRequest, text: str, *, reason: str = "stop"
) -> AsyncIterator[Sequence[ProviderEvent]]:
    """Yield `text` word by word as every choice asked for, then finishes and usage."""
    counter = Counter(request)
    pieces, reason = cut_to_limit(words(text), counter, reason)
    asked = choices(request)
    for batch in batches(TextDelta(choice, piece) for piece in pieces for choice in asked):
        yield batch
        await asyncio.sleep(0)  # others run between two batches of a long answer
    ends: list[ProviderEvent] = [Finish(choice, reason) for choice in asked]
    yield [*ends, counter.report(len(asked))]


def batches(events: Iterator[ProviderEvent], size: int = WORDS_PER_BATCH) -> Iterator[list[ProviderEvent]]:
    """Yield the events in lists of `size`."""
    while batch := list(islice(events, size)):
        yield batch


async def failing(error: ProviderError) -> AsyncIterator[Sequence[ProviderEvent]]:
    """Yield nothing and raise `error`: a port's errors come while its stream is read."""
    nothing: tuple[Sequence[ProviderEvent], ...] = ()
    for batch in nothing:
        yield batch
    raise error
