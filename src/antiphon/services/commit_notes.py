"""Which messages have been committed and are not indexed yet: in memory, bounded, at no cost to a turn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from antiphon.ports.clock import Clock

MOST: Final = 20_000
"""Notes kept; beyond them the store is scanned from the oldest that was dropped."""


class CommitNotes:
    """Port `CommitWatch`: notes ids of messages, and wakes whoever waits for some."""

    def __init__(self, clock: Clock, *, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._waiting: dict[str, float] = {}
        self._flying: dict[int, str] = {}
        self._number = 0
        self._missed: str | None = None
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, item_ids: Sequence[str]) -> int:
        """See the port."""
        self._number += 1
        self._flying[self._number] = min(item_ids)
        return self._number

    def end(self, number: int, item_ids: Sequence[str], *, committed: bool) -> None:
        """See the port. A commit that failed may have happened all the same, so it is noted too."""
        del self._flying[number]
        self.add(item_ids)

    def add(self, item_ids: Iterable[str]) -> None:
        """Note items."""
        now = self._clock.monotonic()
        for item_id in item_ids:
            if len(self._waiting) < self._most:
                self._waiting.setdefault(item_id, now)
            elif self._missed is None or item_id < self._missed:
                self._missed = item_id
        self._some.set()

    def first(self, limit: int) -> list[str]:
        """Return the notes that wait longest, in the order they came."""
        return list(islice(self._waiting, limit))

    def done(self, item_ids: Iterable[str]) -> None:
        """Forget notes."""
        for item_id in item_ids:
            self._waiting.pop(item_id, None)

    def take_missed(self) -> str | None:
        """Return the lowest id of those that found no room, and forget it."""
        missed, self._missed = self._missed, None
        return missed

    @property
    def lowest(self) -> str | None:
        """The lowest id of all that is noted, dropped, or being committed."""
        known = [*self._waiting, *self._flying.values(), *([self._missed] if self._missed else [])]
        return min(known, default=None)

    @property
    def lag_seconds(self) -> float:
        """How long ago the oldest note was made; 0 without any."""
        oldest = next(iter(self._waiting.values()), None)
        return 0.0 if oldest is None else max(self._clock.monotonic() - oldest, 0.0)

    async def some(self) -> None:
        """Wait for a note; returns at once if there are some."""
        if not self._waiting and self._missed is None:
            self._some.clear()
            await self._some.wait()
