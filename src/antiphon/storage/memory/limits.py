"""The rate limiter of one process: the moving window of `limits`, in memory.

A limit that is changed begins with an empty window, since its amount is part of the window's key.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from antiphon.ports.limits import Rate, RateState

MINUTE_SECONDS: Final = 60.0


class MemoryRateLimiter:
    """Port `RateLimiter`. Nothing in it waits, so what it does between two awaits is atomic."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def acquire(self, rates: Sequence[Rate]) -> list[RateState]:
        """See the port."""
        states = [self._state(rate) for rate in rates]
        if not all(state.allowed for state in states):
            return states
        for rate in rates:
            self._limiter.hit(_item(rate), rate.counter, cost=rate.cost)
        return [
            RateState(True, state.remaining - rate.cost, state.free_seconds or MINUTE_SECONDS)
            for rate, state in zip(rates, states, strict=True)
        ]

    async def states(self, rates: Sequence[Rate]) -> list[RateState]:
        """See the port."""
        return [self._state(rate) for rate in rates]

    def _state(self, rate: Rate) -> RateState:
        if rate.amount < 1:
            return RateState(rate.cost < 1, 0, MINUTE_SECONDS)
        window = self._limiter.get_window_stats(_item(rate), rate.counter)
        remaining = max(window.remaining, 0)
        # The library names a time for an empty window too.
        free = max(window.reset_time - time.time(), 0.0) if remaining < rate.amount else 0.0
        return RateState(rate.cost <= remaining, remaining, free)


def _item(rate: Rate) -> RateLimitItemPerMinute:
    return RateLimitItemPerMinute(rate.amount)
