"""Equal questions at once: the first is put to the model, the others wait for its answer.

They wait for all of it: whoever has shown the beginning of an answer that then fails could not
take over. If the first fails or is cancelled, the next one leads; where no answer will be kept
(too long, cut off, a fallback's) or one failed after the other, each asks for itself.
"""

from __future__ import annotations

import asyncio
from typing import Final

from antiphon.ports.model_provider import (
    Finish,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)

Event = TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta | Finish | UsageReport
"""What is kept of an answer."""

FAILURES: Final = 3
"""So many in a row, and nobody waits for the next: a provider that is down is met by all at once."""


class Flight:
    """One question that is being answered; whoever joined it first leads it and must land it."""

    __slots__ = ("_flights", "answer", "failures", "key")

    def __init__(self, flights: Flights, key: bytes, failures: int) -> None:
        self._flights = flights
        self.key = key
        self.failures = failures
        self.answer: asyncio.Future[list[list[Event]] | None] = asyncio.get_running_loop().create_future()

    def land(self, answer: list[list[Event]] | None, *, again: bool = False) -> None:
        """End the flight, once: with the answer, or with none; then the next leads if `again`."""
        if self.answer.done():
            return
        self.failures = self.failures + 1 if again else FAILURES
        self._flights.ended(self)
        self.answer.set_result(answer)


class Flights:
    """The questions being answered now, by key: as many as there are runs, no more."""

    def __init__(self) -> None:
        self._under_way: dict[bytes, Flight] = {}

    async def join(self, key: bytes) -> list[list[Event]] | Flight | None:
        """Return the answer to an equal question, or a flight to lead, or None: ask without one."""
        failures = 0
        while failures < FAILURES:
            flight = self._under_way.get(key)
            if flight is None:
                flight = self._under_way[key] = Flight(self, key, failures)
                return flight
            answer = await asyncio.shield(flight.answer)
            if answer is not None:
                return answer
            failures = flight.failures
        return None

    def ended(self, flight: Flight) -> None:
        """Forget a flight: who comes now begins anew."""
        if self._under_way.get(flight.key) is flight:
            del self._under_way[flight.key]

    def __len__(self) -> int:
        return len(self._under_way)
