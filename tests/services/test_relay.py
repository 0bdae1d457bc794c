"""From a call to the log: after its first piece an answer is taken by the journal's ticks."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from antiphon.bootstrap import SystemClock
from antiphon.domain.errors import ProviderError
from antiphon.ports.model_provider import Finish, ModelInfo, ModelRequest, ProviderEvent, TextDelta
from antiphon.providers.scripted import Scripted
from antiphon.services.answers import Answer
from antiphon.services.models import Models, Retrying
from antiphon.services.turns import Begun
from tests.services.gates import TickGate
from tests.services.hand import until
from tests.services.world import World, open_world

NAME = "pullable"


class Source:
    """A call that can be pulled from. `say` makes something come, as a socket would."""

    def __init__(self) -> None:
        self.pulls = 0
        self.closed = False
        self.broken: Exception | None = None
        self._come: deque[ProviderEvent] = deque([TextDelta(0, "first")])
        self._fault: ProviderError | None = None
        self._over = False
        self._callback: Callable[[], None] | None = None

    def say(self, *texts: str) -> None:
        self._come += [TextDelta(0, text) for text in texts]
        self._tell()

    def end(self, fault: ProviderError | None = None) -> None:
        self._over, self._fault = True, fault
        if fault is None:
            self._come.append(Finish(0, "stop"))
        self._tell()

    def _tell(self) -> None:
        if self._callback is not None:
            self._callback()

    def __aiter__(self) -> Source:
        return self

    async def __anext__(self) -> Sequence[ProviderEvent]:
        if self._come:
            return self._taken()
        if self._fault is not None:
            raise self._fault
        assert self._over, "whoever pulls does not wait"
        raise StopAsyncIteration

    def _taken(self) -> Sequence[ProviderEvent]:
        batch = list(self._come)
        self._come.clear()
        return batch

    def pull(self) -> Sequence[ProviderEvent]:
        self.pulls += 1
        if self.broken is not None:
            raise self.broken
        return self._taken()

    @property
    def at_end(self) -> bool:
        return self._over

    def on_news(self, callback: Callable[[], None] | None) -> None:
        self._callback = callback

    async def aclose(self) -> None:
        self.closed = True


class Provider:
    """Port `ModelProvider`: every call is a `Source`."""

    name = NAME

    def __init__(self) -> None:
        self.sources: list[Source] = []

    async def models(self) -> Sequence[ModelInfo]:
        return [ModelInfo(id=f"{NAME}/m", provider=NAME)]

    def stream(self, request: ModelRequest) -> AsyncIterator[Sequence[ProviderEvent]]:
        self.sources.append(Source())
        return self.sources[-1]

    async def close(self) -> None:
        pass


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
async def world(tmp_path: Path, provider: Provider) -> AsyncIterator[World]:
    models = Models(
        {NAME: provider, Scripted.name: Scripted()}, clock=SystemClock(), retrying=Retrying(retries=0)
    )
    opened = await open_world(tmp_path / "data", models=models)
    try:
        yield opened
    finally:
        await opened.close()


async def ended(world: World, begun: Begun) -> Answer:
    assert begun.live is not None
    await world.wait(begun)
    return world.application.answers.of_live(begun.live)


async def begun_at(world: World, provider: Provider, *, stored: bool = True) -> tuple[Begun, Source]:
    """Begin an answer whose first piece is shown."""
    begun = await world.begin("u1", model=f"{NAME}/m", store=stored)
    assert begun.live is not None
    live = begun.live
    await until(lambda: "first" in str(live.log.ops[: live.committed]) and live.pull is not None)
    return begun, provider.sources[0]


@pytest.mark.parametrize("stored", [True, False])
async def test_what_comes_later_is_pulled_and_whole(world: World, provider: Provider, stored: bool) -> None:
    begun, source = await begun_at(world, provider, stored=stored)
    live = begun.live
    assert live is not None
    for number in range(20):
        source.say(f" w{number}", "!")
        if number % 4 == 0:
            await until(lambda number=number: f" w{number}" in str(live.log.ops[: live.committed]))
    source.end()
    answer = await ended(world, begun)
    said = answer.outputs[0].payload["content"][0]["text"]
    assert said == "first" + "".join(f" w{number}!" for number in range(20))
    assert answer.run.state == "completed" and source.closed and live.pull is None


async def test_no_more_than_once_is_pulled_while_the_store_takes_nothing(
    world: World, provider: Provider
) -> None:
    begun, source = await begun_at(world, provider)
    gate = TickGate(world)
    source.say(" held")
    await gate.waiting()
    pulls = source.pulls
    for word in (" one", " two", " three"):
        source.say(word)
    assert source.pulls == pulls + 1
    gate.open()
    source.end()
    answer = await ended(world, begun)
    assert answer.outputs[0].payload["content"][0]["text"] == "first held one two three"


async def test_a_fault_keeps_what_came_before_it(world: World, provider: Provider) -> None:
    begun, source = await begun_at(world, provider)
    source.say(" and")
    source.end(ProviderError("cut", code="server_error"))
    answer = await ended(world, begun)
    assert answer.run.state == "failed" and answer.outputs[0].payload["content"][0]["text"] == "first and"


async def test_a_pull_that_breaks_ends_its_own_run_alone(world: World, provider: Provider) -> None:
    broken, source = await begun_at(world, provider)
    source.broken = ValueError("a defect")
    source.say("x")
    assert (await ended(world, broken)).run.state == "failed"
    assert (await world.turn("u2", model="scripted/echo")).run.state == "completed"


async def test_a_cancelled_answer_closes_its_call(world: World, provider: Provider) -> None:
    begun, source = await begun_at(world, provider)
    assert begun.live is not None
    world.application.answers.engine.cancel(begun.live)
    assert (await ended(world, begun)).run.state == "cancelled"
    assert source.closed and begun.live.pull is None
    source.say("late")  # nobody listens any more
