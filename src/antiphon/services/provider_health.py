"""How a provider does: what its calls have shown, and asking it now."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, runtime_checkable

import msgspec

from antiphon.domain.errors import ProviderError
from antiphon.ports.clock import Clock
from antiphon.ports.model_provider import ModelProvider
from antiphon.services.model_breaker import BreakerState

PROBE_SECONDS: Final = 10.0
"""How long the result of a live question to a provider is kept, so that asking costs little."""


class Counts(msgspec.Struct):
    """What happened at one provider since the start."""

    calls: int = 0
    failures: int = 0
    retries: int = 0
    refused: int = 0
    fallbacks: int = 0


class ProviderHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider does, from the calls made to it; nothing is called to find out.

    State, pause and failures are those of its model that does worst.
    """

    provider: str
    state: BreakerState
    retry_in_seconds: float
    failures_in_a_row: int
    last_error: str | None
    counts: Counts


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """The result of asking a provider for its models just now (at most 10 s ago)."""

    healthy: bool
    latency_seconds: float
    detail: str


@runtime_checkable
class Checkable(Protocol):
    """A provider that can be asked whether it answers at all, past any cache."""

    async def check(self) -> None:
        """Raise ProviderError if it does not."""
        ...


class Probes:
    """Live questions to one provider, one at a time and at most one in ten seconds."""

    def __init__(self, provider: ModelProvider, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._last: tuple[float, Probe] | None = None
        self._forgotten = 0
        self._asking: asyncio.Task[Probe] | None = None

    async def ask(self) -> Probe:
        """Ask for the provider's models now, unless that was done in the last 10 s.

        Who comes while it is being asked waits for the same answer, which goes on if one of them leaves.
        """
        if self._last is not None and self._clock.monotonic() - self._last[0] < PROBE_SECONDS:
            return self._last[1]
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask())
            self._asking.add_done_callback(self._asked)
        return await asyncio.shield(self._asking)

    def _asked(self, task: asyncio.Task[Probe]) -> None:
        if self._asking is task:
            self._asking = None

    async def _ask(self) -> Probe:
        began, forgotten = self._clock.monotonic(), self._forgotten
        detail = "ok"
        try:
            if isinstance(self._provider, Checkable):
                await self._provider.check()
            else:
                await self._provider.models()
        except ProviderError as error:
            detail = error.message
        latency = self._clock.monotonic() - began
        result = Probe(healthy=detail == "ok", latency_seconds=latency, detail=detail)
        if forgotten == self._forgotten:
            self._last = (began, result)
        return result

    def forget(self) -> None:
        """Let the next question be asked anew, also if one is under way."""
        self._last = self._asking = None
        self._forgotten += 1
