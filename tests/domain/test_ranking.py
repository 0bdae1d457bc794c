"""Fusion: one order out of what words and vectors propose, whatever the scale of their scores."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.domain.passages import Candidates, LegHit
from antiphon.domain.ranking import Leg, fuse, fuse_ranks, legs


def leg(*scores: tuple[int, float], weight: float = 1.0, rest: float | None = None) -> Leg:
    hits = sorted((LegHit(*one) for one in scores), key=lambda hit: (-hit.score, hit.passage_id))
    return Leg(tuple(hits), weight, rest)


def order(*proposed: Leg) -> list[int]:
    return [one.passage_id for one in fuse(proposed)]


def test_what_both_legs_like_comes_first() -> None:
    assert order(leg((1, 9.0), (2, 8.0), (3, 1.0)), leg((2, 0.9), (1, 0.5), (4, 0.4)))[0] == 2


def test_the_only_passage_with_a_rare_word_comes_before_what_is_merely_similar() -> None:
    """An error code is in one document; fifty others are about as close to the question as one another."""
    dense = leg(*((number, 0.6 - number / 1000) for number in range(50)))
    assert order(leg((49, 11.0), rest=0.0), dense)[0] == 49


def test_a_leg_in_which_nothing_stands_out_decides_nothing() -> None:
    dense = leg((1, 0.5), (2, 0.5), (3, 0.5))
    assert order(leg((3, 4.0), (2, 3.0), (1, 2.0)), dense) == [3, 2, 1]


def test_one_leg_alone_keeps_its_order() -> None:
    assert order(leg((5, 3.0), (1, 2.0), (9, 1.0)), leg()) == [5, 1, 9]
    assert order(leg(), leg((5, 0.3), (1, 0.2))) == [5, 1]
    assert order(leg((1, 2.0), (2, 1.0), weight=0.0), leg((2, 0.9), (1, 0.1))) == [2, 1]
    assert order(leg(), leg()) == []


def test_weights_count() -> None:
    words, vectors = ((1, 2.0), (2, 1.0)), ((2, 0.9), (1, 0.1))
    assert order(leg(*words, weight=3.0), leg(*vectors)) == [1, 2]
    assert order(leg(*words), leg(*vectors, weight=3.0)) == [2, 1]


def test_the_trace_has_rank_score_and_standing_in_each_leg() -> None:
    first, second = fuse([leg((7, 4.0), (8, 2.0)), leg((7, 0.9))])
    assert (first.passage_id, second.passage_id) == (7, 8)
    word, vector = first.places
    assert word is not None and vector is not None
    assert (word.rank, word.score) == (1, 4.0)
    assert word.standard > 0
    assert second.places[1] is None
    assert first.fused == pytest.approx((word.standard + vector.standard) / 2)


def test_one_candidate_found_by_a_word_is_better_than_average() -> None:
    (only,) = fuse(legs(Candidates(lexical=(LegHit(1, 3.0),)), 50))
    assert only.score > 0.7


def test_words_that_were_cut_do_not_count_as_absent() -> None:
    found = Candidates(lexical=(LegHit(1, 3.0), LegHit(2, 2.5)))
    assert legs(found, 2)[0].rest is None
    assert legs(found, 3)[0].rest == 0.0


def test_reciprocal_ranks_are_as_published() -> None:
    assert fuse_ranks([leg((1, 2.0), (2, 1.0)), leg((2, 0.9), (3, 0.1))]) == [2, 1, 3]


SCORES = st.dictionaries(
    st.integers(1, 30), st.floats(-5, 50, allow_nan=False).map(lambda x: round(x, 3)), max_size=20
)


@given(SCORES, SCORES, st.floats(0.1, 100), st.floats(-50, 50))
def test_a_legs_scale_makes_no_difference(
    words: dict[int, float], vectors: dict[int, float], factor: float, shift: float
) -> None:
    """Every candidate appears once, ordered by score then id, and a leg may be stretched and moved."""
    found = fuse([leg(*words.items()), leg(*vectors.items())])
    assert sorted(one.passage_id for one in found) == sorted(words.keys() | vectors.keys())
    assert [(one.fused, -one.passage_id) for one in found] == sorted(
        ((one.fused, -one.passage_id) for one in found), reverse=True
    )
    assert all(0 < one.score < 1 and math.isfinite(one.fused) for one in found)
    moved = fuse([leg(*((i, s * factor + shift) for i, s in words.items())), leg(*vectors.items())])
    before = {one.passage_id: one.fused for one in found}
    for one in moved:
        assert one.fused == pytest.approx(before[one.passage_id], abs=1e-4)
