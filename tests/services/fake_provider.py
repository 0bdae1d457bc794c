"""A provider that plays what a test gives it, and a clock that moves only when somebody sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

from antiphon.domain.errors import ProviderError
from antiphon.ports.model_provider import (
    Finish,
    ModelInfo,
    ModelRequest,
    ProviderEvent,
    TextDelta,
)
from antiphon.services.model_routes import ModelRoute
from antiphon.services.models import Models

OK: list[ProviderEvent] = [TextDelta(0, "ok"), Finish(0, "stop")]


DOWN = ProviderError("down", retryable=True, status=503)


REQUEST = ModelRequest(model="", messages=[{"role": "user", "content": "hi"}])


Act = list[ProviderEvent] | ProviderError


class Time:
    """A clock that goes on only when somebody sleeps, and notes how long."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def now_us(self) -> int:
        return int(self.now * 1e6)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Fake:
    """Plays one list of acts per call, the last one for ever; an act is a batch or an error."""

    def __init__(self, name: str, *calls: Sequence[Act], listed: Sequence[str] | ProviderError = ()) -> None:
        self.name = name
        self.calls: list[str] = []
        self.closed = 0
        self.open = 0
        self.listed = listed
        self._plays = calls or ([OK],)

    async def models(self) -> Sequence[ModelInfo]:
        if isinstance(self.listed, ProviderError):
            raise self.listed
        return [ModelInfo(id=f"{self.name}/{m}", provider=self.name, context_tokens=99) for m in self.listed]

    async def stream(self, request: ModelRequest) -> AsyncIterator[Sequence[ProviderEvent]]:
        acts = self._plays[min(len(self.calls), len(self._plays) - 1)]
        self.calls.append(request.model)
        self.open += 1
        try:
            for act in acts:
                await asyncio.sleep(0)
                if isinstance(act, ProviderError):
                    raise act
                yield act
        finally:
            self.open -= 1

    async def close(self) -> None:
        self.closed += 1


def models_of(*fakes: Fake, time: Time | None = None, **rest: Any) -> Models:
    time = time or Time()
    return Models({f.name: f for f in fakes}, clock=time, sleep=time.sleep, random=lambda: 0.5, **rest)


async def batches_of(
    models: Models, route: ModelRoute, request: ModelRequest
) -> AsyncGenerator[Sequence[ProviderEvent], None]:
    """All batches of a call, as the engine reads them."""
    call = await models.open(route, request)
    try:
        yield call.first
        async for batch in call.rest:
            yield batch
    except ProviderError as error:
        models.failed(call, error)
        raise
    finally:
        await call.aclose()


async def read(models: Models, name: str) -> tuple[list[ProviderEvent], ProviderError | None]:
    events: list[ProviderEvent] = []
    try:
        async for batch in batches_of(models, models.resolve(name), REQUEST):
            events += batch
    except ProviderError as error:
        return events, error
    return events, None
