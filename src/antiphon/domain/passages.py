"""Passages: what is indexed and found. Offsets are code points of the canonical text, half open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from antiphon.domain.filters import Filter

SourceKind = Literal["file", "history"]

MAX_CANDIDATES: Final = 200
"""Passages each leg may propose to the fusion."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What passages come from: one version of a file in one collection, or one conversation.

    `scope` is what a search is confined to: a collection's id, or an owner's id for the history of
    his conversations. `ref_id` is the file's or the conversation's id. A file's source is staged
    until it is published; a conversation's is live from the start and grows.
    """

    id: str
    kind: SourceKind
    owner_id: str
    scope: str
    ref_id: str
    version: int = 0
    title: str = ""
    language: str | None = None


class NewPassage(msgspec.Struct, frozen=True, kw_only=True):
    """A passage to be indexed.

    `text` equals the source's canonical text from `start` to `end`. `heading` is the path of titles
    above it ("Title > Section"), which is searched and never quoted. `title_terms` and `body_terms`
    are the analysed words, separated by spaces (see `domain.analysis`). `item_id` is a message's id in a
    conversation's source, where `ordinal` counts within the message; `page` counts from 1.
    """

    ordinal: int
    start: int
    end: int
    text: str
    heading: str = ""
    page: int | None = None
    title_terms: str
    body_terms: str
    item_id: str | None = None
    role: str | None = None
    model: str | None = None
    author_id: str | None = None
    created_us: int = 0


Cut = tuple[Source, Sequence[NewPassage]]
"""What is added to one source."""


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """An indexed passage as it is found. `id` is a number of this index, of no use elsewhere.

    `attributes` are those of the file in the collection that was searched.
    """

    id: int
    source_id: str
    kind: SourceKind
    scope: str
    ref_id: str
    version: int
    ordinal: int
    start: int
    end: int
    text: str
    heading: str
    page: int | None
    item_id: str | None
    role: str | None
    model: str | None
    author_id: str | None
    created_us: int
    attributes: dict[str, str | float | bool]


class HistoryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What messages a search in conversations wants; None asks for all. Times in µs, `until_us` excluded.

    `except_ids` are conversations that are passed over.
    """

    from_us: int | None = None
    until_us: int | None = None
    role: str | None = None
    model: str | None = None
    author_id: str | None = None
    conversation_ids: tuple[str, ...] | None = None
    except_ids: tuple[str, ...] = ()


class IndexQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A question to the index. Every filter holds before the best are chosen.

    `terms` are alternatives of analysed words: one tuple for each language of the scope. `vector`
    is the question's embedding, float32 little-endian, of `model`; without it only words are
    compared. `limit` is for each leg.

    The words' leg also takes the beginning of a word (`prefix`), phrases of which each must stand in
    one of its alternatives, and phrases or words (`excluded`) of which none may.
    """

    scopes: tuple[str, ...]
    terms: tuple[str, ...]
    vector: bytes | None = None
    model: str | None = None
    filter: Filter | None = None
    history: HistoryFilter | None = None
    prefix: str | None = None
    phrases: tuple[tuple[str, ...], ...] = ()
    excluded: tuple[str, ...] = ()
    limit: int = 100


class LegHit(msgspec.Struct, frozen=True):
    """A passage that one leg proposes; higher scores are better, whatever the leg."""

    passage_id: int
    score: float


class Candidates(msgspec.Struct, frozen=True, kw_only=True):
    """What the legs propose, best first. `embedded` and `total` count passages in the scopes."""

    lexical: tuple[LegHit, ...] = ()
    dense: tuple[LegHit, ...] = ()
    lexical_us: int = 0
    dense_us: int = 0
    embedded: int = 0
    total: int = 0
