"""What a search found and how: passages with scores, and a trace that explains every one of them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from antiphon.domain.collections import Collection
from antiphon.domain.files import File
from antiphon.domain.passages import Passage

Mode = Literal["lexical", "hybrid"]

Outcome = Literal[
    "used", "below the threshold", "above the limit", "no room in the prompt", "same text as a better one",
    "file is gone", "text cannot be verified",
]  # fmt: skip
"""What became of a candidate."""


class Rank(msgspec.Struct, frozen=True):
    """A place in a leg's order, from 1, with the leg's own score."""

    rank: int
    score: float


class TracedPassage(msgspec.Struct, kw_only=True):
    """One candidate; ids as on the wire, offsets in code points. Ranks are the best over all queries."""

    collection_id: str
    file_id: str
    version: int
    start: int
    end: int
    page: int | None = None
    lexical: Rank | None = None
    dense: Rank | None = None
    fused: float = 0.0
    reranked: float | None = None
    score: float = 0.0
    outcome: Outcome = "used"
    source: int | None = None
    """The number under which the model was given it."""


class Trace(msgspec.Struct, kw_only=True):
    """How a search went; JSON-able, without any passage's text. Times in ms."""

    question: str
    queries: list[str] = []
    rewriting: str | None = None
    collections: list[str] = []
    filter: dict[str, Any] | None = None
    mode: Mode = "lexical"
    languages: list[str] = []
    embedding_model: str | None = None
    reranking_model: str | None = None
    ranker: str = "auto"
    limit: int = 0
    score_threshold: float = 0.0
    passages_in_scope: int = 0
    passages_embedded: int = 0
    budget_tokens: int | None = None
    candidates: int = 0
    """How many passages both legs proposed; a log keeps the first of them only."""

    passages: list[TracedPassage] = []
    notes: list[str] = []
    """What did not go as it should: an embedder that failed, a reranker that took too long."""

    error: str | None = None
    times_ms: dict[str, float] = {}


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A passage that was found; `score` lies between 0 and 1, higher is better."""

    passage: Passage
    collection: Collection
    file: File
    score: float
    traced: TracedPassage


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The passages of a search, best first, and its trace."""

    hits: list[Hit]
    trace: Trace
