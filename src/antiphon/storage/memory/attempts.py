"""Wrong logins in this process: the times of the last few, for as many names as can matter."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from typing import Final

FAILURES: Final = 10
WINDOW_SECONDS: Final = 900.0
NAMES: Final = 100_000
"""More names than passwords can be hashed in a window here, so that no flood of others frees one."""


class InProcessAttempts:
    """Port `Attempts`; `now` tells monotonic seconds."""

    def __init__(self, now: Callable[[], float], *, names: int = NAMES) -> None:
        self._now = now
        self._names = names
        self._failures: dict[bytes, deque[float]] = {}

    async def blocked_seconds(self, name: str) -> float:
        """See the port."""
        times = self._failures.get(_key(name))
        if times is None or len(times) < FAILURES:
            return 0.0
        return max(0.0, times[0] + WINDOW_SECONDS - self._now())

    async def failed(self, name: str) -> None:
        """See the port; the name whose last failure is oldest is forgotten when there are too many."""
        key = _key(name)
        times = self._failures.pop(key, None) or deque(maxlen=FAILURES)
        times.append(self._now())
        self._failures[key] = times
        while len(self._failures) > self._names:
            del self._failures[next(iter(self._failures))]


def _key(name: str) -> bytes:
    """What is sent as a name may be of any length; what is kept is not."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
