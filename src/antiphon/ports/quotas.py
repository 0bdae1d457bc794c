"""Ports to what is limited and reserved, and to what was used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from antiphon.domain.limits import Limit
from antiphon.domain.usage import UsageBucket, UsageLine, UsageSum, UserUsage

CounterKey = tuple[str, int]
"""A counter's name and the start of its window (µs UTC)."""


class Counter(msgspec.Struct, frozen=True):
    """What was used in a window, and what running answers may still use."""

    used: int = 0
    reserved: int = 0


class Quotas(Protocol):
    """Reads of limits and counters."""

    async def limits_for(self, scopes: Sequence[str]) -> list[Limit]:
        """Return all limits of these scopes."""
        ...

    async def limits(self, scope: str | None, *, after: str | None, limit: int) -> list[Limit]:
        """Return a page of limits by id, of one scope or of all."""
        ...

    async def knows(self, scope: str) -> bool:
        """Whether there is the user, group or key that a scope names."""
        ...

    async def counters(self, keys: Sequence[CounterKey]) -> list[Counter]:
        """Return each counter, all of one moment."""
        ...

    async def abandoned(self, before_us: int, *, after: str, limit: int) -> list[str]:
        """Return, by id, runs that hold reservations made before a time and are not stored as unfinished."""
        ...


class Ledger(Protocol):
    """Sums of what was used, in since ≤ time < until."""

    async def by_day(
        self, author_id: str, since_us: int, until_us: int, *, after: tuple[int, str] | None, limit: int
    ) -> list[UsageSum]:
        """Return an account's use by (day, model), in that order."""
        ...

    async def line(self, owner_id: str, run_id: str) -> UsageLine | None:
        """Return what a run used, None while it runs."""
        ...

    async def series(
        self, author_id: str | None, since_us: int, until_us: int, *, bucket_us: int, model: str | None,
        after: tuple[int, str] | None, limit: int, together: bool = False,
    ) -> list[UsageBucket]:  # fmt: skip
        """Return an account's use, or everybody's, by stretches of time and model, in that order.

        With `together` a stretch holds the use of all models, and its model is "".
        `after` is the (start, model) of the last one of the page before. Stretches begin at whole
        multiples of `bucket_us`; latencies are percentiles by nearest rank.
        """
        ...

    async def by_model(self, author_id: str, since_us: int, until_us: int) -> list[UsageSum]:
        """Return an account's use by model; `day` of the sums is the first."""
        ...

    async def by_user(
        self, since_us: int, until_us: int, *, after: str | None, limit: int
    ) -> list[UserUsage]:
        """Return the use of a page of accounts by account id, those that used nothing too."""
        ...
