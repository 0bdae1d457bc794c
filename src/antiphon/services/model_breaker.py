"""Stop calling a model that keeps failing, and try it again carefully.

    closed ──5 failures in a row──> open ──pause over──> half-open (one probe)
       ^                             ^                        │
       └────────── probe answered ───┼────────────────────────┤
                                     └─ probe failed, pause × 2 (10 s … 60 s)

Failures are counted in a row over all callers; an error that is the request's own fault counts as
an answer. Every model has a breaker of its own, so that one that is broken does not take its
provider's others with it.
"""

from __future__ import annotations

from typing import Final, Literal

from antiphon.domain.errors import ProviderError
from antiphon.ports.clock import Clock

FAILURES_TO_OPEN: Final = 5
FIRST_PAUSE_SECONDS: Final = 10.0
LONGEST_PAUSE_SECONDS: Final = 60.0
MODELS_KEPT: Final = 256

BreakerState = Literal["closed", "open", "half_open"]


class Breaker:
    """The state of one model. Calls run in one thread, so nothing here is locked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.failures = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._open_until: float | None = None
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """Where the breaker stands now."""
        if self._open_until is None:
            return "closed"
        return "open" if self.retry_in_seconds > 0 and not self._probing else "half_open"

    @property
    def retry_in_seconds(self) -> float:
        """How long until a call will be let through; 0 if one would be now."""
        if self._open_until is None:
            return 0.0
        return max(0.0, self._open_until - self._clock.monotonic())

    def admit(self) -> Permit | None:
        """Return a permit for one call, or None if the provider is to be left alone."""
        if self._open_until is None:
            return Permit(self, probe=False)
        if self._probing or self.retry_in_seconds > 0:
            return None
        self._probing = True
        return Permit(self, probe=True)

    def _settle(self, *, probe: bool, answered: bool | None) -> None:
        if probe:
            self._probing = False
            if answered is None:
                return
            if answered:
                self._open_until = None
                self._pause = FIRST_PAUSE_SECONDS
            else:
                self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
                self._open_until = self._clock.monotonic() + self._pause
        if answered is None or (self._open_until is not None and not probe):
            return  # a call begun before it opened proves nothing about now
        self.failures = 0 if answered else self.failures + 1
        if self._open_until is None and self.failures >= FAILURES_TO_OPEN:
            self._open_until = self._clock.monotonic() + self._pause


class Breakers:
    """The breakers of one provider's models; those last asked for are kept."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_model: dict[str, Breaker] = {}

    def of(self, model: str) -> Breaker:
        """Return a model's breaker."""
        found = self._by_model.pop(model, None) or Breaker(self._clock)
        self._by_model[model] = found
        if len(self._by_model) > MODELS_KEPT:
            del self._by_model[next(iter(self._by_model))]
        return found

    def worst(self) -> Breaker:
        """Return the breaker that is in the worst state, a fresh one if none was needed yet."""
        known = self._by_model.values()
        return max(known, key=lambda one: (one.retry_in_seconds, one.failures), default=Breaker(self._clock))


class Permit:
    """One call that was let through; the first of its three ends counts.

    A block under it ends it: by the error that leaves it, or as abandoned if nothing was said of it.
    """

    __slots__ = ("_breaker", "_probe", "_settled")

    def __init__(self, breaker: Breaker, *, probe: bool) -> None:
        self._breaker = breaker
        self._probe = probe
        self._settled = False

    def __enter__(self) -> Permit:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, ProviderError):
            self.abandoned()
        elif error.retryable:
            self.failed()
        else:
            self.answered()

    def answered(self) -> None:
        """The provider gave its first event, or an answer that is not its fault."""
        self._end(True)

    def failed(self) -> None:
        """The provider failed in a way that may pass."""
        self._end(False)

    def abandoned(self) -> None:
        """Nothing was learnt: the caller left first."""
        self._end(None)

    def _end(self, answered: bool | None) -> None:
        if not self._settled:
            self._settled = True
            self._breaker._settle(probe=self._probe, answered=answered)
