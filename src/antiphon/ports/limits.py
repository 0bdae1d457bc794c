"""Port to the rate limiter: requests in a moving minute, counted outside the store.

It never fails: an adapter that counts elsewhere and cannot reach it counts by itself (at the
limit divided by the replicas), and never lets everything through.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Rate(msgspec.Struct, frozen=True):
    """At most `amount` a minute on a counter, of which `cost` are asked for."""

    counter: str
    amount: int
    cost: int = 1


class RateState(msgspec.Struct, frozen=True):
    """What is left on a counter. `free_seconds`: until the oldest one counted leaves the minute."""

    allowed: bool
    remaining: int
    free_seconds: float


class RateLimiter(Protocol):
    """Counts requests."""

    async def acquire(self, rates: Sequence[Rate]) -> list[RateState]:
        """Take every rate's cost, or nothing if one of them is not allowed; returns how each stands."""
        ...

    async def states(self, rates: Sequence[Rate]) -> list[RateState]:
        """Return how each stands, taking nothing."""
        ...
