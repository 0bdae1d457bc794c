"""The system's clocks, and the time a server takes to stop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable


class SystemClock:
    """Port `Clock` on the system's clocks."""

    def now_us(self) -> int:
        """See the port."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """See the port."""
        return time.monotonic()


class Drain:
    """Tells whether the server is shutting down, and when its runs must end at the latest."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.began: float | None = None
        self._hurried = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._beginning: list[Callable[[], None]] = []
        self._ending: list[Callable[[], None]] = []

    def at_begin(self, call: Callable[[], None]) -> None:
        """Have something called when it begins; it must not raise."""
        self._beginning.append(call)

    def at_end(self, call: Callable[[], None]) -> None:
        """Have something called when answers are waited for no longer; it must not raise."""
        self._ending.append(call)

    def begin(self) -> None:
        """Begin; does nothing the second time."""
        if self.began is None:
            self.began = time.monotonic()
            for call in self._beginning:
                call()

    def end(self) -> None:
        """Say that answers are waited for no longer; does nothing the second time."""
        calls, self._ending = self._ending, []
        for call in calls:
            call()

    def hurry(self) -> None:
        """End the drain now; may be called from a signal's handler."""
        self.seconds = 0.0
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._hurried.set)

    async def over(self) -> None:
        """Wait until no time is left, or somebody is in a hurry."""
        self._loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.left):
                await self._hurried.wait()

    @property
    def left(self) -> float:
        """Seconds left for running answers."""
        return self.seconds if self.began is None else max(0.0, self.began + self.seconds - time.monotonic())
