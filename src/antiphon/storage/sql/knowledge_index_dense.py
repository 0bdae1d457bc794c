"""The vector leg: exact scores of all rows that pass, or of those that a coarse look leaves.

Beyond COARSE_FROM rows the signs of the vectors are compared first (48 bytes a row instead of 1,536 at
384 dimensions) and only the nearest are scored exactly; what a filter keeps out is out before that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from antiphon.domain.passages import HistoryFilter, LegHit
from antiphon.storage.sql.knowledge_index_matrix import Entry, Matrices, Rows, Words, packed_signs, stream
from antiphon.storage.sql.knowledge_index_vector_rows import Scope, VectorRows

COARSE_FROM: Final = 200_000
COARSE_KEPT: Final = 2_000
"""Rows scored exactly after the coarse look; 500 of 6,583 already held 99.85 % of the best ten."""
SPARSE: Final = 8
"""Below one row in so many the rows that pass are gathered instead of all being scored."""


class Wanted(msgspec.Struct, frozen=True):
    """What rows must be to be proposed; `sources` are numbers, None for all."""

    sources: frozenset[int] | None = None
    history: HistoryFilter | None = None
    limit: int = 50


def search(
    read: VectorRows,
    matrices: Matrices,
    scopes: Sequence[Scope],
    model_no: int,
    vector: bytes,
    wanted: Wanted,
) -> tuple[list[LegHit], int]:
    """Return the best passages by cosine, and how many of the scopes' passages have vectors."""
    question = np.frombuffer(vector, np.float32)
    hits: list[LegHit] = []
    embedded = 0
    for scope in scopes:
        for rows, words, entry in _rows(read, matrices, scope, model_no, len(question)):
            embedded += rows.embedded
            hits = merged([*hits, *_best(rows, words, entry, question, wanted)], wanted.limit)
    matrices.trim()
    return hits, embedded


def merged(hits: Iterable[LegHit], limit: int) -> list[LegHit]:
    """Return the best of several lists; equal scores by passage."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.passage_id))[:limit]


def _rows(
    read: VectorRows, matrices: Matrices, scope: Scope, model_no: int, dimensions: int
) -> Iterable[tuple[Rows, Words, Entry | None]]:
    if matrices.holds(scope, dimensions):
        entry = matrices.entry(scope, model_no, dimensions)
        yield entry.read_on(read, scope), entry.words, entry
        return
    words = Words()
    for rows in stream(read, scope, dimensions, words):
        yield rows, words, None


def _best(
    rows: Rows, words: Words, entry: Entry | None, question: NDArray[np.float32], wanted: Wanted
) -> list[LegHit]:
    passing = _passing(rows, words, wanted)
    count = int(np.count_nonzero(passing))
    if not count:
        return []
    if count > COARSE_FROM and entry is not None:
        chosen = _coarse(entry.signs(rows), question, passing, max(COARSE_KEPT, 10 * wanted.limit))
    elif count * SPARSE < len(passing):
        chosen = np.flatnonzero(passing)
    else:
        scores = rows.vectors @ question
        scores[~passing] = -np.inf
        return _top(scores, rows.ids, min(count, wanted.limit))
    return _top(rows.vectors[chosen] @ question, rows.ids[chosen], min(count, wanted.limit))


def _top(scores: NDArray[np.float32], ids: NDArray[np.int64], count: int) -> list[LegHit]:
    if count < len(scores):
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        chosen = np.flatnonzero(scores >= least)  # with all that are equal at the edge
        scores, ids = scores[chosen], ids[chosen]
    order = np.lexsort((ids, -scores))[:count]
    return [LegHit(int(ids[one]), float(scores[one])) for one in order]


def _coarse(
    signs: NDArray[np.uint64],
    question: NDArray[np.float32],
    passing: NDArray[np.bool_],
    count: int,
) -> NDArray[np.intp]:
    asked = packed_signs(question[None, :])
    apart = np.bitwise_count(signs ^ asked).sum(axis=1, dtype=np.uint16)
    apart[~passing] = np.iinfo(np.uint16).max
    return np.argpartition(apart, count)[:count] if count < len(apart) else np.flatnonzero(passing)


def _passing(rows: Rows, words: Words, wanted: Wanted) -> NDArray[np.bool_]:
    passing = rows.alive
    if wanted.sources is not None:
        passing = passing & np.isin(rows.sources, np.array(sorted(wanted.sources), np.int64))
    history = wanted.history
    if history is None:
        return passing
    conditions: list[Any] = []
    if history.from_us is not None:
        conditions.append(rows.created >= history.from_us)
    if history.until_us is not None:
        conditions.append(rows.created < history.until_us)
    for column, word in enumerate((history.role, history.model, history.author_id)):
        if word is not None:
            conditions.append(rows.words[:, column] == words.known(word))
    for condition in conditions:
        passing = passing & condition
    return passing
