"""The rate limiter of one process: moving minutes in memory.

A window belongs to a counter, whatever the amount: a changed limit holds against what passed so far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from antiphon.ports.limits import Rate, RateState
from antiphon.storage.minute_counts import MINUTE_SECONDS, MinuteCounts


class MemoryRateLimiter:
    """Port `RateLimiter`. Nothing in it waits, so what it does between two awaits is atomic.

    `now` tells monotonic seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._counts = MinuteCounts(now)

    async def acquire(self, rates: Sequence[Rate]) -> list[RateState]:
        """See the port."""
        states = [self._state(rate) for rate in rates]
        if not all(state.allowed for state in states):
            return states
        for rate in rates:
            self._counts.note(rate.counter, rate.cost)
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
        return self._counts.state(rate.counter, rate.amount, rate.cost)
