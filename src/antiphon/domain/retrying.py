"""How often a call is repeated, and after which pauses.

At most twice by default, with full jitter, see
https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from antiphon.domain.errors import ProviderError


class Retrying(msgspec.Struct, frozen=True, kw_only=True):
    """How calls are repeated; times are seconds.

    A longer Retry-After than the longest is not waited for, and nothing is repeated for a caller
    who has waited longer than the window: a silent provider costs one time-out, not three.
    """

    retries: int = 2
    window_seconds: float = 20.0
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 4.0
    longest_retry_after_seconds: float = 10.0


class Budget:
    """The retries that one caller has left; `monotonic` gives seconds."""

    def __init__(self, rules: Retrying, monotonic: Callable[[], float]) -> None:
        self._rules = rules
        self._monotonic = monotonic
        self._used = 0
        self._ends = monotonic() + rules.window_seconds

    def next_pause(self, error: ProviderError, chance: float) -> float | None:
        """Return the seconds to wait before the next attempt, None if there is to be none; 0 ≤ chance < 1."""
        rules = self._rules
        asked = error.retry_after_seconds or 0.0
        if not error.retryable or self._used >= rules.retries or asked > rules.longest_retry_after_seconds:
            return None
        if self._monotonic() > self._ends:
            return None
        jitter = chance * min(rules.longest_pause_seconds, rules.first_pause_seconds * 2.0**self._used)
        self._used += 1
        return asked + jitter
