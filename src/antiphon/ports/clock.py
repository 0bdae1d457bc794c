"""Port to time: the wall clock for what is stored, the monotonic one for timers."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """A source of time, replaceable in tests."""

    def now_us(self) -> int:
        """Microseconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...
