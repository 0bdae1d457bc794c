"""Limits: how they are written, which of them hold, and when their windows begin and end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.api.rate_limits import duration, headers_of
from antiphon.domain.limits import (
    EVERYONE,
    MONEY,
    Period,
    Standing,
    applying,
    new_limit,
    parse_limits,
    window_end,
    window_start,
)

DETERMINISTIC = settings(derandomize=True, deadline=None)
PERIODS: list[Period] = ["minute", "day", "month"]


def us(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[misc,arg-type]


def test_limits_are_read_as_they_are_written() -> None:
    text = "requests/minute=60, tokens/day=200000,cost/month=10.00, cost/day@openai/gpt-x=0.000001,"
    assert [(one.scope, one.metric, one.period, one.amount, one.model) for one in parse_limits(text)] == [
        (EVERYONE, "requests", "minute", 60, ""),
        (EVERYONE, "tokens", "day", 200_000, ""),
        (EVERYONE, "cost", "month", 10 * MONEY, ""),
        (EVERYONE, "cost", "day", 1, "openai/gpt-x"),
    ]
    assert parse_limits("") == parse_limits(" , ") == ()


@pytest.mark.parametrize(
    "text",
    ["requests", "requests/hour=1", "tokens/day=-1", "tokens/day=1.5", "cost/day=1e3", "a=b", "tokens/day="],
)
def test_what_is_no_limit_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=text.split("/")[0]):
        parse_limits(f"requests/day=1,{text}")


def test_a_limit_written_twice_is_one() -> None:
    (one,) = parse_limits("requests/day=1,requests/day=2")
    assert one.amount == 2 and one.id == new_limit(EVERYONE, "requests", "day", 9).id


def test_the_users_own_limit_takes_the_place_of_everyones_and_that_of_the_configured_one() -> None:
    configured = parse_limits("tokens/day=1,requests/day=1,cost/day=0.000001")
    everyone = [new_limit(EVERYONE, "tokens", "day", 2), new_limit(EVERYONE, "requests", "day", 2)]
    own = [new_limit("user:u", "tokens", "day", 3)]
    besides = [new_limit("group:g", "tokens", "day", 4), new_limit("key:k", "tokens", "day", 5)]
    model = [new_limit("user:u", "tokens", "day", 6, "p/m")]
    found = applying([*besides, *model, *own, *everyone], configured)
    assert sorted((one.metric, one.scope, one.amount) for one in found) == [
        ("cost", EVERYONE, 1),
        ("requests", EVERYONE, 2),
        ("tokens", "group:g", 4),
        ("tokens", "key:k", 5),
        ("tokens", "user:u", 3),
        ("tokens", "user:u", 6),
    ]  # fmt: skip


def test_everyones_limit_counts_each_account_by_itself_and_a_groups_all_together() -> None:
    everyone, group = (new_limit(scope, "tokens", "day", 1) for scope in (EVERYONE, "group:g"))
    assert everyone.counter("a") != everyone.counter("b")
    assert group.counter("a") == group.counter("b")
    assert new_limit("user:a", "tokens", "day", 1).counter("a") == everyone.counter("a")


@DETERMINISTIC
@given(st.sampled_from(PERIODS), st.integers(0, us(2100, 1, 1)))
def test_every_moment_lies_in_its_window_and_windows_join(period: Period, now: int) -> None:
    start, end = window_start(period, now), window_end(period, now)
    assert start <= now < end
    assert window_start(period, start) == start and window_start(period, end - 1) == start
    assert window_start(period, end) == end


@pytest.mark.parametrize(
    ("period", "now", "start", "end"),
    [
        ("minute", (2026, 12, 31, 23, 59, 59), (2026, 12, 31, 23, 59), (2027, 1, 1)),
        ("day", (2028, 2, 29, 12), (2028, 2, 29), (2028, 3, 1)),
        ("month", (2028, 2, 29, 12), (2028, 2, 1), (2028, 3, 1)),
        ("month", (2026, 12, 31, 23, 59, 59), (2026, 12, 1), (2027, 1, 1)),
    ],
)
def test_windows_are_those_of_the_calendar(period: Period, now: Any, start: Any, end: Any) -> None:
    assert (window_start(period, us(*now)), window_end(period, us(*now))) == (us(*start), us(*end))


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0ms"), (0.25, "250ms"), (1, "1s"), (7.2, "8s"), (360, "6m0s"), (83_040.5, "23h4m1s"), (-3, "0ms")],
)
def test_durations_are_written_as_openai_writes_them(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_headers_tell_of_each_metric_the_limit_with_the_least_left() -> None:
    def standing(metric: Any, remaining: int) -> Standing:
        limit = new_limit(EVERYONE, metric, "day", 100)
        return Standing(limit=limit, remaining=remaining, reset_seconds=360)

    found = headers_of([standing("requests", 7), standing("requests", 3), standing("cost", 1)])
    assert found == [
        (b"x-ratelimit-limit-requests", b"100"),
        (b"x-ratelimit-remaining-requests", b"3"),
        (b"x-ratelimit-reset-requests", b"6m0s"),
    ]
    assert headers_of([]) == []
