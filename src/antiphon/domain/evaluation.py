"""How good retrieval is: the measures of BEIR over graded judgements, and what a run of them found.

nDCG after Järvelin and Kekäläinen (2002) with gains 2^grade - 1, as trec_eval and BEIR compute it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

DEPTH: Final = 100
"""Documents of a ranking that are looked at."""

SYSTEMS: Final = ("words", "vectors", "both", "ranks")
"""What is measured: each leg alone, both as searches fuse them, and both by reciprocal ranks to compare."""

Judgements = Mapping[str, int]
"""Grades of documents for one query; documents that are not named have grade 0."""


class Quality(msgspec.Struct, frozen=True):
    """Measures of one ranking, or their means; all between 0 and 1."""

    ndcg_10: float
    recall_10: float
    recall_100: float
    mrr: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a run found. Times in ms, rates in documents, passages or texts a second.

    `qualities` has the means for each of SYSTEMS that was measured, `queries` the nDCG@10 of every query
    in them. Rates are None for what was found in the directory from an earlier run.
    """

    dataset: str
    documents: int
    passages: int
    model: str | None
    qualities: dict[str, Quality]
    queries: dict[str, dict[str, float]]
    search_p50_ms: float
    search_p95_ms: float
    embed_p50_ms: float | None = None
    documents_per_second: float | None = None
    passages_per_second: float | None = None
    embedded_per_second: float | None = None

    @property
    def best(self) -> Quality:
        """The quality of what a search gives: both legs if there are vectors."""
        return self.qualities.get("both") or self.qualities["words"]


def quality(ranking: Sequence[str], judged: Judgements) -> Quality:
    """Return the measures of a ranking, best first."""
    relevant = {document for document, grade in judged.items() if grade > 0}
    return Quality(
        ndcg(ranking, judged, 10),
        _recall(ranking[:10], relevant),
        _recall(ranking[:100], relevant),
        next((1 / rank for rank, one in enumerate(ranking[:DEPTH], 1) if one in relevant), 0.0),
    )


def ndcg(ranking: Sequence[str], judged: Judgements, depth: int) -> float:
    """Return the discounted gain of a ranking over that of the best one; 0 where nothing is relevant."""
    best = _gain(sorted((grade for grade in judged.values() if grade > 0), reverse=True)[:depth])
    return _gain([judged.get(one, 0) for one in ranking[:depth]]) / best if best else 0.0


def _gain(grades: Sequence[int]) -> float:
    return math.fsum((2.0 ** max(grade, 0) - 1) / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


def _recall(found: Sequence[str], relevant: Collection[str]) -> float:
    return len(set(found) & set(relevant)) / len(relevant) if relevant else 0.0


def mean(qualities: Sequence[Quality]) -> Quality:
    """Return the means over queries."""
    columns = zip(*(msgspec.structs.astuple(one) for one in qualities), strict=True)
    return Quality(*(math.fsum(column) / len(qualities) for column in columns))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed; 0 for none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
