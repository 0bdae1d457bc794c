"""What was let through in the last minute, by counter: the moving window of the rate limiters.

It keeps nothing of a counter whose minute ran out, and starts no thread to see to that: counters stand
in the order of their last requests, and each new request drops a few that ran out at the front.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from antiphon.ports.limits import RateState

MINUTE_SECONDS: Final = 60.0
DROPPED_AT_ONCE: Final = 4
"""More than the one counter that a request can add, so that those that ran out do not pile up."""

Hit = tuple[float, str, int]
"""When, by which name, and for how many it counts."""


class _Window:
    """The requests of one counter from `first` on, the oldest first, and how many they count for.

    Most hold a few, and a list takes half the room of a deque. What ran out leaves it by halves.
    """

    __slots__ = ("first", "hits", "used")

    def __init__(self) -> None:
        self.hits: list[Hit] = []
        self.first = 0
        self.used = 0

    def drop(self, until: float) -> bool:
        """Drop what is as old as that; returns whether anything is left."""
        while self.first < len(self.hits) and self.hits[self.first][0] <= until:
            self.used -= self.hits[self.first][2]
            self.first += 1
        if self.first * 2 > len(self.hits):
            del self.hits[: self.first]
            self.first = 0
        return bool(self.hits)


class MinuteCounts:
    """Counts by counter; `now` tells seconds that never go back."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def note(self, counter: str, cost: int, name: str = "") -> None:
        """Add a request, and drop a few counters that had none for a minute."""
        if cost < 1:
            return
        at = self._now()
        window = self._windows.setdefault(counter, _Window())
        self._windows.move_to_end(counter)
        window.hits.append((at, name, cost))
        window.used += cost
        for _ in range(DROPPED_AT_ONCE):
            oldest = next(iter(self._windows))
            if self._windows[oldest].hits[-1][0] > at - MINUTE_SECONDS:
                break
            del self._windows[oldest]

    def state(self, counter: str, amount: int, cost: int) -> RateState:
        """Return how a counter stands at an amount, of which a cost is asked for."""
        window = self._current(counter)
        if window is None:
            return RateState(cost <= amount, amount, 0.0)
        left = max(amount - window.used, 0)
        free = max(window.hits[window.first][0] + MINUTE_SECONDS - self._now(), 0.0)
        return RateState(cost <= left, left, free)

    def counters(self) -> tuple[str, ...]:
        """Return the counters that are remembered."""
        return tuple(self._windows)

    def hits(self, counter: str) -> tuple[Hit, ...]:
        """Return the last minute's requests on a counter, the oldest first."""
        window = self._current(counter)
        return tuple(window.hits[window.first :]) if window is not None else ()

    def _current(self, counter: str) -> _Window | None:
        """Return a counter's window without what ran out, and none if nothing is left in it."""
        window = self._windows.get(counter)
        if window is None:
            return None
        if window.drop(self._now() - MINUTE_SECONDS):
            return window
        del self._windows[counter]
        return None
