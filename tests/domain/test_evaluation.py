"""Measures of retrieval: as BEIR computes them, by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.domain.evaluation import Quality, mean, ndcg, percentile, quality


def test_a_ranking_is_measured_as_published() -> None:
    """Grades 3, 2 and 1; the ranking has the second, a stranger, the first."""
    judged = {"a": 3, "b": 2, "c": 1, "d": 0}
    gained = 3 / math.log2(2) + 7 / math.log2(4)
    best = 7 / math.log2(2) + 3 / math.log2(3) + 1 / math.log2(4)
    assert ndcg(["b", "x", "a"], judged, 10) == pytest.approx(gained / best)
    found = quality(["x", "b", "d", "a"], judged)
    assert (found.recall_10, found.recall_100, found.mrr) == (pytest.approx(2 / 3), pytest.approx(2 / 3), 0.5)


def test_only_the_first_ten_and_hundred_count() -> None:
    judged = {"a": 1, "b": 1}
    late = quality(
        [*(str(number) for number in range(10)), "a", *(str(number) for number in range(100, 200)), "b"],
        judged,
    )
    assert (late.ndcg_10, late.recall_10, late.recall_100) == (0.0, 0.0, 0.5)
    assert late.mrr == pytest.approx(1 / 11)


def test_nothing_found_and_nothing_relevant_are_zero() -> None:
    assert quality([], {"a": 1}) == Quality(0.0, 0.0, 0.0, 0.0)
    assert quality(["a"], {}) == quality(["a"], {"a": 0}) == Quality(0.0, 0.0, 0.0, 0.0)


def test_means_and_percentiles() -> None:
    assert mean([Quality(1.0, 0.0, 1.0, 0.5), Quality(0.0, 0.0, 0.5, 0.5)]) == Quality(0.5, 0.0, 0.75, 0.5)
    assert [percentile([3, 1, 2, 4], share) for share in (0.5, 0.95, 0.0)] == [2, 4, 1]
    assert percentile([], 0.5) == 0.0


@given(
    st.permutations(list("abcdef")), st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3), min_size=1)
)
def test_the_order_by_grade_is_the_best(ranking: list[str], judged: dict[str, int]) -> None:
    found = quality(ranking, judged)
    ideal = quality(sorted(ranking, key=lambda one: -judged.get(one, 0)), judged)
    assert 0 <= found.ndcg_10 <= ideal.ndcg_10 + 1e-12
    assert ideal.ndcg_10 == pytest.approx(1.0 if any(judged.values()) else 0.0)
