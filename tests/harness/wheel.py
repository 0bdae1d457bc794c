"""One timer for very many streams.

Callbacks are filed under the millisecond they are due; only the nearest one has a timer of the event loop.
Filing costs a dictionary look-up, so 5,000 paced streams cost little more than their writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil
from time import monotonic


class TimerWheel:
    """Runs callbacks at monotonic times, at most about a millisecond late on an idle loop, never early."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, list[Callable[[], None]]] = {}
        self._order: list[int] = []
        self._timer: asyncio.Handle | None = None
        self._timer_slot = 0

    def add(self, due_seconds: float, callback: Callable[[], None]) -> None:
        """Run ``callback`` once at ``due_seconds`` on :func:`time.monotonic`; soon, if that is past."""
        slot = ceil(due_seconds * 1000)
        waiting = self._slots.get(slot)
        if waiting is not None:
            waiting.append(callback)
            return
        self._slots[slot] = [callback]
        heappush(self._order, slot)
        if self._timer is None or slot < self._timer_slot:
            self._arm()

    def clear(self) -> None:
        """Forget everything filed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._slots.clear()
        self._order.clear()

    def _arm(self) -> None:
        """Set the loop's timer to the nearest slot."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._order:
            return
        self._timer_slot = self._order[0]
        wait_seconds = self._timer_slot / 1000 - monotonic()
        if wait_seconds <= 0:
            self._timer = self._loop.call_soon(self._fire)
        else:
            self._timer = self._loop.call_later(wait_seconds, self._fire)

    def _fire(self) -> None:
        """Run what is due now. What these callbacks file anew waits for the next turn of the loop."""
        self._timer = None
        now_slot = int(monotonic() * 1000)
        due: list[list[Callable[[], None]]] = []
        while self._order and self._order[0] <= now_slot:
            due.append(self._slots.pop(heappop(self._order)))
        self._timer_slot = now_slot
        for callbacks in due:
            for callback in callbacks:
                callback()
        self._arm()
