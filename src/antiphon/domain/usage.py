"""Tokens and money.

Token counts made here are estimates that need no vocabulary file; a provider's `usage` is
the truth for money.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

BYTES_PER_TOKEN: Final = 4
"""English text averages about four bytes a token in current vocabularies; CJK text, at three
bytes a character, comes out near 0.75 tokens a character, which is in its usual range."""

TOKENS_PER_ITEM: Final = 4
"""Role and separators of one message."""

IMAGE_TOKENS: Final = 765
"""A 1024 × 1024 image at high detail, as OpenAI counts it."""

DOCUMENT_TEXT_BYTES: Final = 64 * 1024
DOCUMENT_BYTES_PER_TOKEN: Final = 128
"""A PDF or office file counts like text up to so many decoded bytes: manuals of plain text have 7 to 8 KB a
page, and a model is shown 1,400 to 2,000 tokens of one. What a file has beyond that is pictures and fonts
more often than words: a scanned page has 100 to 300 KB. 10 MiB come to 98,000 tokens."""

AUDIO_BYTES_PER_TOKEN: Final = 800
"""OpenAI counts a token for 100 ms of speech, which are 800 bytes at 64 kbit/s."""

MAX_URL_HEAD: Final = 256
"""A data URL's media type ends within so many characters."""

_DOCUMENTS: Final = ("JVBER", "UEsDB")
"""How base64 of `%PDF` and of a zip archive begins; what is sent as a PDF and is none counts as text."""


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one run; `estimated` when the provider reported none."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


class Price(msgspec.Struct, frozen=True):
    """Micro-units of money for a million tokens (1 USD per million = 1,000,000)."""

    input_per_million: int = 0
    output_per_million: int = 0

    def cost(self, usage: Usage) -> int:
        """Return the price of `usage` in micro-units, rounded up."""
        total = usage.input_tokens * self.input_per_million
        total += usage.output_tokens * self.output_per_million
        return -(-total // 1_000_000)


class UsageSum(msgspec.Struct, frozen=True, kw_only=True):
    """Use by one account of one model on one day (UTC); `day` counts from 1970, cost in micro-units."""

    day: int
    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost: int


class UserUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What one account used of each model in a time; `day` of the sums is its first day."""

    account_id: str
    name: str
    models: list[UsageSum]


class UsageLine(msgspec.Struct, frozen=True, kw_only=True):
    """What one run used: its line in the ledger. Cost in micro-units, times in µs."""

    run_id: str
    author_id: str
    provider: str | None
    model: str
    state: str
    usage: Usage
    cost: int
    cached: bool
    created_us: int
    latency_us: int


class UsageBucket(msgspec.Struct, frozen=True, kw_only=True):
    """Use of one model in one stretch of time; cost in micro-units, `p50_us` and `p95_us` of the latency."""

    start_us: int
    model: str
    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost: int
    p50_us: int
    p95_us: int


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text; at least 1 for any text that is not empty."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // BYTES_PER_TOKEN)


def estimate_request_tokens(messages: Iterable[dict[str, Any]], tools: Iterable[Any] = ()) -> int:
    """Estimate the input tokens of a call in the shape of chat completions."""
    total = 0
    for message in messages:
        total += estimate_item_tokens({**message, "type": "message"})
        if message.get("tool_calls"):
            total += len(msgspec.json.encode(message["tool_calls"])) // BYTES_PER_TOKEN
    return total + sum(-(-len(msgspec.json.encode(tool)) // BYTES_PER_TOKEN) for tool in tools)


_COUNTED: Final = frozenset({"content", "arguments", "output", "summary", "name", "encrypted_content"})
_KNOWN_TYPES: Final = frozenset(
    {"message", "function_call", "function_call_output", "reasoning", "compaction"}
)
_UNSEEN: Final = frozenset({"file_search_call"})
"""What models are not shown: a search's passages were in the prompt of their own turn only."""


def estimate_item_tokens(payload: dict[str, Any]) -> int:
    """Estimate the tokens of an item's payload (always ≥ 1); of unknown types all of it counts."""
    if payload.get("type") in _UNSEEN:
        return 1
    if payload.get("type", "message") not in _KNOWN_TYPES:
        return TOKENS_PER_ITEM + len(msgspec.json.encode(payload)) // BYTES_PER_TOKEN
    total = TOKENS_PER_ITEM
    for field, value in payload.items():
        if value and field in _COUNTED:
            total += _estimate_value(value)
    return total


def _estimate_value(value: Any) -> int:
    if isinstance(value, str):
        return estimate_tokens(value)
    if not isinstance(value, list):
        return 0
    total = 0
    for part in value:
        if isinstance(part, dict):
            total += _estimate_part(part)
    return total


_BEYOND_TEXT: Final = frozenset({"refusal", "file", "file_data", "input_audio"})


def _estimate_part(part: dict[str, Any]) -> int:
    """Estimate a part of a message, in the shape of responses or of chat completions."""
    total = IMAGE_TOKENS if part.get("type") in ("input_image", "image_url") else 0
    text = part.get("text")
    if isinstance(text, str):
        total += estimate_tokens(text)
    if part.keys().isdisjoint(_BEYOND_TEXT):
        return total
    refusal = part.get("refusal")
    if isinstance(refusal, str):
        total += estimate_tokens(refusal)
    file, audio = part.get("file", part), part.get("input_audio")
    data = file.get("file_data") if isinstance(file, dict) else None
    if isinstance(data, str):
        total += estimate_file_tokens(data)
    sound = audio.get("data") if isinstance(audio, dict) else None
    if isinstance(sound, str):
        total += -(-_decoded(sound)[1] // AUDIO_BYTES_PER_TOKEN)
    return total


def estimate_file_tokens(data: str) -> int:
    """Estimate the tokens of a file, base64 or a data URL, by its decoded size, without decoding it."""
    begin, size = _decoded(data)
    if data.startswith(_DOCUMENTS, begin) and size > DOCUMENT_TEXT_BYTES:
        size = (
            DOCUMENT_TEXT_BYTES + (size - DOCUMENT_TEXT_BYTES) * BYTES_PER_TOKEN // DOCUMENT_BYTES_PER_TOKEN
        )
    return -(-size // BYTES_PER_TOKEN)


def _decoded(data: str) -> tuple[int, int]:
    """Return where the content of base64 or a data URL begins, and how many bytes it stands for."""
    begin = data.find(",", 0, MAX_URL_HEAD) + 1 if data.startswith("data:") else 0
    written = len(data) - begin
    plain = begin > 0 and ";base64" not in data[:begin]
    return begin, written if plain else written * 3 // 4
