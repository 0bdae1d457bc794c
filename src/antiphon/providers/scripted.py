"""Provider `scripted`: answers known beforehand, for tests, demonstrations and load.

Directives are read from the last user message as `name=value` words.

| model | what it does | directives |
|---|---|---|
| `text` | one fixed text | |
| `echo` | repeats the last user message; `recall N` gives the Nth user message instead | |
| `numbered` | tokens `t{i}:{8 digits} `, see `numbered_token`; continues | `stream tokens delay_ms batch` |
| `slow` | tokens `word{i} `; continues | `tokens delay_ms batch` |
| `reasoning` | some reasoning, then the fixed text | |
| `refusal` | a refusal | |
| `truncated` | half of the fixed text, ended by `length` | |
| `json` | a value that fits `response_format` | |
| `tools` | calls the forced tool or every offered one, then quotes their outputs | |
| `parallel` | two calls whose fragments alternate | |
| `fail-before` | fails before the first token | `status retry_after` |
| `fail-after` | fails after some tokens | `tokens delay_ms` |

What continues goes on with an answer that was cut off; the others begin a new one.

Those that answer from sources are in `scripted_sources`.

`embedding` is no chat model: its vectors count hashed words, see `hashed_words`.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import zip_longest
from typing import Any, Final

import msgspec

from antiphon.domain.errors import ProviderError
from antiphon.ports.embedder import Embedded, EmbeddingRequest
from antiphon.ports.model_provider import (
    Finish,
    ModelInfo,
    ModelRequest,
    ProviderEvent,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from antiphon.providers import hashed_words, scripted_sources
from antiphon.providers import local_answers as local

NAME: Final = "scripted"
EMBEDDING: Final = "embedding"
TEXT: Final = "The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs."
REASONING: Final = "The user wants the fixed text, so the fixed text it is."
REFUSAL: Final = "I am scripted to refuse this."

MAX_TOKENS: Final = 100_000
MAX_DELAY_MS: Final = 10_000
FRAGMENT: Final = 8
"""Characters in one fragment of a tool call's arguments."""

Batches = AsyncIterator[Sequence[ProviderEvent]]

_RECALL = re.compile(r"\brecall (\d{1,6})\b", re.IGNORECASE)


class Scripted:
    """The `scripted` provider. `listed` shows its models to callers who list models."""

    name = NAME

    def __init__(self, *, listed: bool = False) -> None:
        self._listed = listed

    def __repr__(self) -> str:
        return "Scripted()"

    async def models(self) -> Sequence[ModelInfo]:
        """Return the models if they are to be listed."""
        if not self._listed:
            return []
        return [ModelInfo(id=f"{NAME}/{model}", provider=NAME) for model in ALL_MODELS]

    def stream(self, request: ModelRequest) -> Batches:
        """Play the script named by the request's model."""
        script = _SCRIPTS.get(request.model)
        if script is None:
            unknown = f"The scripted provider has no chat model '{request.model}'."
            return local.failing(ProviderError(unknown, status=404))
        return script(request)

    async def embeddings(self, request: EmbeddingRequest) -> Embedded:
        """Return vectors of hashed words, see port `EmbeddingProvider`; a word is a token."""
        if request.model != EMBEDDING:
            refusal = f"The scripted model '{request.model}' makes no embeddings."
            raise ProviderError(refusal, code="invalid_prompt")
        dimensions = hashed_words.DIMENSIONS if request.dimensions is None else request.dimensions
        if not hashed_words.LEAST_DIMENSIONS <= dimensions <= hashed_words.MOST_DIMENSIONS:
            bounds = f"{hashed_words.LEAST_DIMENSIONS} to {hashed_words.MOST_DIMENSIONS}"
            raise ProviderError(f"The scripted model has {bounds} dimensions.", code="invalid_prompt")
        return await asyncio.to_thread(_hashed, request.texts, dimensions)

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""


def _hashed(texts: Sequence[str], dimensions: int) -> Embedded:
    vectors = [hashed_words.embed_words(text, dimensions) for text in texts]
    return Embedded(vectors, sum(len(hashed_words.words_of(text)) for text in texts))


def _directive(request: ModelRequest, name: str, default: int, most: int) -> int:
    found = _word(request, name)
    return min(int(found), most) if found.isdigit() and len(found) < 10 else default


def _word(request: ModelRequest, name: str) -> str:
    said = local.user_texts(request)
    found = re.search(rf"\b{name}=(\S+)", said[-1]) if said else None
    return found.group(1) if found else ""


def _text(request: ModelRequest) -> Batches:
    return local.answer(request, TEXT)


def _truncated(request: ModelRequest) -> Batches:
    return local.answer(request, TEXT[: len(TEXT) // 2], reason="length")


def _echo(request: ModelRequest) -> Batches:
    said = local.user_texts(request) or [""]
    recall = _RECALL.search(said[-1])
    if recall is None:
        return local.answer(request, said[-1])
    number = int(recall.group(1))
    known = 1 <= number <= len(said)
    return local.answer(request, said[number - 1] if known else f"There is no user message {number}.")


async def _paced(request: ModelRequest, token: Callable[[int], str], *, tokens: int, ends: bool) -> Batches:
    counter = local.Counter(request)
    count = _directive(request, "tokens", tokens, MAX_TOKENS)
    delay = _directive(request, "delay_ms", 20 if request.model == "slow" else 0, MAX_DELAY_MS) / 1000
    size = max(1, _directive(request, "batch", 1, 1000))
    reason = "stop"
    begin, said = _said_already(request, token, count)
    for first in range(begin, count, size):
        batch = [token(i) for i in range(first, min(first + size, count))]
        batch[0], said = batch[0][said:], 0
        pieces, reason = local.cut_to_limit(batch, counter, tokens_each=1)
        if pieces:
            yield [TextDelta(0, piece) for piece in pieces]
        if reason == "length":
            break
        await asyncio.sleep(delay)
    if ends:
        yield [Finish(0, reason), counter.report()]


def _said_already(request: ModelRequest, token: Callable[[int], str], count: int) -> tuple[int, int]:
    """Return the token at which an answer goes on, and how many of its characters were said."""
    left = len(local.text_of(request.messages[-1])) if request.continues else 0
    for index in range(count):
        if left < len(token(index)):
            return index, left
        left -= len(token(index))
    return count, 0


def _numbered(request: ModelRequest) -> Batches:
    stream = _word(request, "stream") or "0"
    return _paced(request, lambda i: numbered_token(stream, i), tokens=20, ends=True)


def numbered_token(stream: str, index: int) -> str:
    """Return token `index` (from 0) of the `numbered` model, so that a checker can know it.

    The digits are the first 8 hex digits of sha256 of "{stream}:{index}".
    """
    return f"t{index}:{hashlib.sha256(f'{stream}:{index}'.encode()).hexdigest()[:8]} "


def _slow(request: ModelRequest) -> Batches:
    return _paced(request, lambda i: f"word{i} ", tokens=20, ends=True)


async def _reasoning(request: ModelRequest) -> Batches:
    counter = local.Counter(request)
    thoughts, reason = local.cut_to_limit(local.words(REASONING), counter)
    counter.reasoning = counter.report().output_tokens
    yield [ReasoningDelta(0, piece) for piece in thoughts]
    pieces: list[str] = []
    if reason == "stop":
        pieces, reason = local.cut_to_limit(local.words(TEXT), counter)
    yield [*(TextDelta(0, piece) for piece in pieces), Finish(0, reason), counter.report()]


async def _refusal(request: ModelRequest) -> Batches:
    counter = local.Counter(request)
    pieces, reason = local.cut_to_limit(local.words(REFUSAL), counter)
    yield [*(RefusalDelta(0, piece) for piece in pieces), Finish(0, reason), counter.report()]


def _json(request: ModelRequest) -> Batches:
    schema = local.wanted_json(request)
    value = local.json_value({} if schema is None else schema)
    return local.answer(request, msgspec.json.encode(value).decode())


def _offered(request: ModelRequest) -> list[tuple[str, Any]]:
    """Return (name, parameters schema) of the tools that may be called now."""
    choice = request.params.get("tool_choice")
    if choice == "none":
        return []
    functions = [
        tool["function"]
        for tool in request.params.get("tools") or []
        if isinstance(tool, dict) and isinstance(tool.get("function"), dict)
    ]
    if isinstance(choice, dict) and isinstance(choice.get("function"), dict):
        functions = [f for f in functions if f.get("name") == choice["function"].get("name")]
    if request.params.get("parallel_tool_calls") is False:
        functions = functions[:1]
    return [(str(f.get("name")), f.get("parameters") or {"type": "object"}) for f in functions]


def _outputs(request: ModelRequest) -> list[str]:
    """Return the tool outputs that end the conversation, none if somebody spoke since."""
    found = []
    for message in reversed(request.messages):
        if message.get("role") not in ("tool", "function"):
            break
        found.append(local.text_of(message))
    return found[::-1]


def _fragments(request: ModelRequest, index: int, name: str, schema: Any) -> list[ProviderEvent]:
    arguments = msgspec.json.encode(local.json_value(schema)).decode()
    seed = f"{len(request.messages)}:{index}:{name}"
    call_id = f"call_{hashlib.sha256(seed.encode()).hexdigest()[:24]}"
    rest = [
        ToolCallDelta(0, index, None, None, arguments[at : at + FRAGMENT])
        for at in range(0, len(arguments), FRAGMENT)
    ]
    return [ToolCallDelta(0, index, call_id, name, ""), *rest]


def _tools(request: ModelRequest) -> Batches:
    if outputs := _outputs(request):
        return local.answer(request, "The tools answered: " + "; ".join(f'"{text}"' for text in outputs))
    if not (offered := _offered(request)):
        return local.answer(request, "No tool was offered.")
    calls = [_fragments(request, i, name, schema) for i, (name, schema) in enumerate(offered)]
    return _calls(request, [event for call in calls for event in call])


def _parallel(request: ModelRequest) -> Batches:
    if outputs := _outputs(request):
        return local.answer(request, "The tools answered: " + "; ".join(f'"{text}"' for text in outputs))
    offered = _offered(request) or [("first_tool", {}), ("second_tool", {})]
    pair = (offered * 2)[:2]
    first, second = (_fragments(request, i, name, schema) for i, (name, schema) in enumerate(pair))
    return _calls(request, [event for both in zip_longest(first, second) for event in both if event])


async def _calls(request: ModelRequest, events: list[ProviderEvent]) -> Batches:
    counter = local.Counter(request)
    for batch in local.batches(iter(events), 4):
        yield batch
        await asyncio.sleep(0)
    for event in events:
        if isinstance(event, ToolCallDelta):
            counter.take(event.arguments)
    yield [Finish(0, "tool_calls"), counter.report()]


def _fail_before(request: ModelRequest) -> Batches:
    status = _directive(request, "status", 503, 599)
    wait = _directive(request, "retry_after", 0, 3600)
    return local.failing(
        ProviderError(
            "Scripted to fail before the first token.",
            code="rate_limit_exceeded" if status == 429 else "server_error",
            retryable=status == 429 or status >= 500,
            retry_after_seconds=wait or None,
            status=status,
        )
    )


async def _fail_after(request: ModelRequest) -> Batches:
    async for batch in _paced(request, lambda i: f"word{i} ", tokens=3, ends=False):
        yield batch
    raise ProviderError("Scripted to fail after some tokens.")


_SCRIPTS: Final[dict[str, Callable[[ModelRequest], Batches]]] = {
    "text": _text,
    "echo": _echo,
    "numbered": _numbered,
    "slow": _slow,
    "reasoning": _reasoning,
    "refusal": _refusal,
    "truncated": _truncated,
    "json": _json,
    "tools": _tools,
    "parallel": _parallel,
    "fail-before": _fail_before,
    "fail-after": _fail_after,
    "cites": scripted_sources.cites,
    "cites-split": scripted_sources.cites_split,
    "cites-wrong": scripted_sources.cites_wrong,
    "cites-none": scripted_sources.cites_none,
    "obeys": scripted_sources.obeys,
}

MODELS: Final = tuple(_SCRIPTS)
ALL_MODELS: Final = (*MODELS, EMBEDDING)
