"""One order out of several: what words and what vectors propose.

Scores of each leg are standardised over all candidates, weighted and added (Montague and Aslam 2001,
"Relevance score normalization for metasearch": zero mean, unit variance, then CombSUM). Whatever a
leg's scale, what stands out in it counts, and a leg in which nothing stands out decides nothing.
Against reciprocal ranks see decision 11.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from antiphon.domain.passages import Candidates, LegHit

RRF_K: Final = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009)."""


class Leg(msgspec.Struct, frozen=True):
    """What one comparison proposes, best first.

    `rest` is the score of whatever it leaves out; None where that is only known not to be above the last.
    """

    hits: tuple[LegHit, ...]
    weight: float = 1.0
    rest: float | None = None


class Place(msgspec.Struct, frozen=True):
    """Where one leg has a passage: its rank from 1, the leg's score, and that in standard deviations."""

    rank: int
    score: float
    standard: float


class Fused(msgspec.Struct, frozen=True):
    """A candidate in the common order.

    `score` lies between 0 and 1: 0.5 is the average candidate, and what stands a standard deviation above it
    in every leg has 0.73. `fused` is what orders; `places` has an entry for each leg, None where the
    leg does not propose it.
    """

    passage_id: int
    score: float
    fused: float
    places: tuple[Place | None, ...]


def legs(
    candidates: Candidates, limit: int, *, text_weight: float = 1.0, embedding_weight: float = 1.0
) -> tuple[Leg, Leg]:
    """Return the legs of a search whose legs could have `limit` candidates each: words, vectors.

    Words that were not cut left out only what has none of them, and that scores 0.
    """
    rest = 0.0 if len(candidates.lexical) < limit else None
    return Leg(candidates.lexical, text_weight, rest), Leg(candidates.dense, embedding_weight)


def fuse(proposed: Sequence[Leg]) -> list[Fused]:
    """Return all candidates, best first, equal ones by passage. A leg without hits or weight has no say."""
    telling = [leg for leg in proposed if leg.hits and leg.weight > 0]
    if not telling:
        return []
    ids = sorted({hit.passage_id for leg in telling for hit in leg.hits})
    weights = sum(leg.weight for leg in telling)
    fused = [0.0] * len(ids)
    places: list[dict[int, Place]] = []
    for leg in proposed:
        standing = _standardised(leg, ids) if leg.hits and leg.weight > 0 else [0.0] * len(ids)
        fused = [sum_ + leg.weight / weights * one for sum_, one in zip(fused, standing, strict=True)]
        standard = dict(zip(ids, standing, strict=True))
        places.append(
            {hit.passage_id: Place(rank, hit.score, standard[hit.passage_id])
             for rank, hit in enumerate(leg.hits, 1) if hit.passage_id in standard}
        )  # fmt: skip
    found = [
        Fused(passage_id, 1 / (1 + math.exp(-total)), total, tuple(leg.get(passage_id) for leg in places))
        for passage_id, total in zip(ids, fused, strict=True)
    ]
    return sorted(found, key=lambda one: (-one.fused, one.passage_id))


def _standardised(leg: Leg, ids: Sequence[int]) -> list[float]:
    """Return a leg's scores of all candidates in standard deviations from their mean.

    One more passage counts that no leg proposes: without it a single candidate would be average.
    """
    rest = leg.hits[-1].score if leg.rest is None else leg.rest
    known = {hit.passage_id: hit.score for hit in leg.hits}
    scores = [known.get(passage_id, rest) for passage_id in ids]
    mean = (sum(scores) + rest) / (len(scores) + 1)
    variance = (sum((score - mean) ** 2 for score in scores) + (rest - mean) ** 2) / (len(scores) + 1)
    deviation = math.sqrt(variance)
    if deviation <= abs(mean) * 1e-9:
        return [0.0] * len(scores)
    return [(score - mean) / deviation for score in scores]


def fuse_ranks(proposed: Sequence[Leg], k: int = RRF_K) -> list[int]:
    """Return passages by reciprocal rank fusion, best first; to compare with."""
    scores: dict[int, float] = {}
    for leg in proposed:
        for rank, hit in enumerate(leg.hits, 1):
            scores[hit.passage_id] = scores.get(hit.passage_id, 0.0) + leg.weight / (k + rank)
    return sorted(scores, key=lambda passage_id: (-scores[passage_id], passage_id))
