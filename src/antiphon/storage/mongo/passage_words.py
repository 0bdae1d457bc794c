"""The words' leg: BM25 over the documents that have a word of the question.

Ranks of the server's own text search are those of its release and know nothing of our analysis, so
documents are looked up by words and counted here; the formula is that of SQLite's FTS5 (k1 1.2, b .75), with
figures of the scope and not of the collection: no owner's words weigh on another's.
"""

from __future__ import annotations

import heapq
import math
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.passages import HistoryFilter, IndexQuery, LegHit
from antiphon.storage.mongo.database import Document
from antiphon.storage.mongo.passage_documents import BETWEEN, unmarked, word
from antiphon.storage.sql.knowledge_index_search import TITLE_WEIGHT
from antiphon.storage.sql.knowledge_index_terms import cleaned, in_order, terms_of

LAST: Final = "\U0010ffff"
"""Above every character that goes on with a word."""
LEAST_WEIGHT: Final = 0.000001
FIELDS: Final = ("no", "source", "scope", "length", "terms")
OF_MESSAGES: Final = ("created", "role", "model", "author")


class Asked(msgspec.Struct, frozen=True):
    """What a question asks of words."""

    terms: tuple[str, ...]
    prefix: str
    phrases: tuple[tuple[str, ...], ...]
    excluded: tuple[str, ...]
    history: HistoryFilter | None

    @property
    def fields(self) -> tuple[str, ...]:
        """Which fields of a document tell whether it is what is asked for."""
        return FIELDS if self.history is None else (*FIELDS, *OF_MESSAGES)

    def wanted(self, scopes: Sequence[int]) -> Document:
        """Return the condition that documents of some scopes meet if they have any of the words."""
        words = {"words": {"$in": [word(scope, term) for scope in scopes for term in self.terms]}}
        if not self.prefix:
            return words
        beginnings = [
            {"words": {"$elemMatch": {"$gte": beginning, "$lt": beginning + LAST}}}
            for beginning in (word(scope, self.prefix) for scope in scopes)
        ]
        return {"$or": [words, *beginnings]}


def asked(query: IndexQuery) -> Asked | None:
    """Return what a question asks of words, None if there are none in it."""
    terms = terms_of(map(unmarked, query.terms))
    prefix = cleaned(unmarked(query.prefix)) if query.prefix else ""
    if not (terms or prefix):
        return None
    return Asked(
        tuple(terms), prefix, tuple(map(_phrases, query.phrases)), _phrases(query.excluded), query.history
    )


def _phrases(alternatives: Iterable[str]) -> tuple[str, ...]:
    split = (in_order(unmarked(one)) for one in alternatives)
    return tuple(f" {' '.join(words)} " for words in split if words)


class Figures(msgspec.Struct, frozen=True):
    """A scope: its visible sources, and how many passages and words they have."""

    sources: Collection[int]
    total: int
    words: int


class Matches:
    """The documents found so far, in a few numbers each; `sources` are those that filters leave."""

    def __init__(self, asked: Asked, scopes: Mapping[int, Figures], sources: Collection[int] | None) -> None:
        self._asked = asked
        self._scopes = scopes
        self._sources = sources
        self._numbers = {term: number for number, term in enumerate(asked.terms)}
        self._having = Counter[tuple[int, int]]()
        self._passages, self._places, self._lengths = array("q"), array("q"), array("l")
        self._of, self._terms, self._times = array("l"), array("l"), array("l")

    def take(self, found: Iterable[Document]) -> None:
        """Count the words of documents; those of sources that are not seen do not count."""
        for one in found:
            scope = one["scope"]
            if scope not in self._scopes or one["source"] not in self._scopes[scope].sources:
                continue
            times = self._count(one["terms"])
            for term in times:
                self._having[scope, term] += 1
            if times and self._passes(one):
                place = len(self._passages)
                self._passages.append(one["no"])
                self._places.append(scope)
                self._lengths.append(one["length"])
                for term in sorted(times):
                    self._of.append(place)
                    self._terms.append(term)
                    self._times.append(times[term])

    def _count(self, terms: str) -> Counter[int]:
        """Return how often each word of the question stands in a passage; the prefix is the last."""
        times = Counter[int]()
        title, _, body = terms.partition(BETWEEN)
        for text, weight in ((title, int(TITLE_WEIGHT)), (body, 1)):
            for term in text.split():
                number = self._numbers.get(term)
                if number is not None:
                    times[number] += weight
                if self._asked.prefix and term.startswith(self._asked.prefix):
                    times[len(self._numbers)] += weight
        return times

    def _passes(self, one: Document) -> bool:
        if self._sources is not None and one["source"] not in self._sources:
            return False
        terms: str = one["terms"]
        return (
            _is_wanted(one, self._asked.history)
            and all(any(phrase in terms for phrase in phrases) for phrases in self._asked.phrases)
            and not any(phrase in terms for phrase in self._asked.excluded)
        )

    def best(self, limit: int) -> list[LegHit]:
        """Return the best passages; equal scores by passage."""
        scores = array("d", bytes(8 * len(self._passages)))
        weights = {place: self._weight(*place) for place in self._having}
        averages = {no: max(one.words, 1) / max(one.total, 1) for no, one in self._scopes.items()}
        for place, term, times in zip(self._of, self._terms, self._times, strict=True):
            scope = self._places[place]
            part = times + 0.3 + 0.9 * self._lengths[place] / averages[scope]
            scores[place] += weights[scope, term] * times * 2.2 / part
        ranked = ((-round(score, 12), no) for score, no in zip(scores, self._passages, strict=True))
        return [LegHit(no, -score) for score, no in heapq.nsmallest(limit, ranked)]

    def _weight(self, scope: int, term: int) -> float:
        """Return how much a word says: the rarer, the more."""
        having = self._having[scope, term]
        total = max(self._scopes[scope].total, having)
        return max(math.log((total - having + 0.5) / (having + 0.5)), LEAST_WEIGHT)


def _is_wanted(one: Mapping[str, Any], history: HistoryFilter | None) -> bool:
    """Whether a message is what is asked for."""
    if history is None:
        return True
    created = one["created"]
    return (
        (history.from_us is None or created >= history.from_us)
        and (history.until_us is None or created < history.until_us)
        and all(
            value is None or one[field] == value
            for field, value in (
                ("role", history.role), ("model", history.model), ("author", history.author_id),
            )
        )
    )  # fmt: skip
