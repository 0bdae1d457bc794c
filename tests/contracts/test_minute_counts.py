"""The moving minute forgets who no longer asks, and what a request costs hangs on nobody else."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from antiphon.ports.limits import Rate, RateState
from antiphon.storage.memory.limits import MemoryRateLimiter
from antiphon.storage.minute_counts import DROPPED_AT_ONCE, MinuteCounts
from tests.contracts.test_cache_port import Time


def filled(clock: Time, accounts: int) -> MinuteCounts:
    """Counts in which so many accounts asked once, all in this minute."""
    counts = MinuteCounts(clock.monotonic)
    for number in range(accounts):
        counts.note(f"c{number}", 1)
    return counts


def steps(done: Callable[[], Any]) -> int:
    """How many lines of Python a call runs through."""
    lines = 0

    def count(_frame: FrameType, event: str, _value: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        done()
    finally:
        sys.settrace(before)
    return lines


def test_accounts_whose_minute_ran_out_are_forgotten_a_few_at_each_request() -> None:
    clock = Time()
    counts = filled(clock, 100)
    clock.now += 60
    counts.note("new", 1)
    assert counts.counters() == (*(f"c{n}" for n in range(DROPPED_AT_ONCE, 100)), "new")
    for _ in range(100 // DROPPED_AT_ONCE):
        counts.note("new", 1)
    assert counts.counters() == ("new",)


def test_who_asked_within_the_minute_is_kept_and_keeps_those_after_it() -> None:
    clock = Time()
    counts = filled(clock, 3)
    clock.now += 30
    counts.note("c0", 1)
    clock.now += 30
    counts.note("new", 1)
    assert counts.counters() == ("c0", "new")
    assert counts.state("c0", 5, 1) == RateState(True, 4, 30.0)


def test_a_minute_of_many_requests_moves_and_keeps_little_more_than_itself() -> None:
    clock = Time()
    counts = MinuteCounts(clock.monotonic)
    for number in range(1, 500):
        clock.now += 1
        state = counts.state("c", 200, 1)
        held = min(number - 1, 59)
        assert (state.remaining, state.free_seconds) == (200 - 2 * held, 60 - held if held else 0)
        counts.note("c", 2, f"n{number}")
        assert [name for _, name, _ in counts.hits("c")] == [
            f"n{n}" for n in range(number - held, number + 1)
        ]
        assert len(counts._windows["c"].hits) <= 2 * 61


def test_a_counter_that_is_only_looked_at_is_not_kept() -> None:
    clock = Time()
    counts = filled(clock, 2)
    clock.now += 60
    assert counts.state("c0", 5, 1) == RateState(True, 5, 0.0)
    assert counts.state("unknown", 5, 6) == RateState(False, 5, 0.0)
    assert counts.hits("c1") == ()
    counts.note("nothing", 0)
    assert counts.counters() == ()


def test_a_request_takes_as_many_steps_however_many_accounts_were_seen() -> None:
    def taken(accounts: int, seconds_later: float) -> int:
        clock = Time()
        counts = filled(clock, accounts)
        clock.now += seconds_later

        def ask() -> None:
            counts.state("me", 9, 1)
            counts.note("me", 1)

        return steps(ask)

    for seconds_later in (0, 60):
        few = taken(2 * DROPPED_AT_ONCE, seconds_later)
        assert 0 < taken(20_000, seconds_later) == few


async def test_the_limiter_of_one_process_keeps_nobody_and_starts_no_thread() -> None:
    clock = Time()
    limiter = MemoryRateLimiter(clock.monotonic)
    threads = set(threading.enumerate())
    for number in range(500):
        clock.now += 1
        assert (await limiter.acquire([Rate(f"c{number}", 10, cost=2)]))[0].allowed
        await limiter.acquire([Rate(f"refused{number}", 10, cost=11)])
    assert len(limiter._counts.counters()) <= 60
    assert set(threading.enumerate()) <= threads
