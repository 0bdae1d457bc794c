"""Embedding calls under limits: held before, settled after, given back when nothing came of them."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.domain.accounts import Principal
from antiphon.domain.errors import ProviderError, RateLimited
from antiphon.services.embedding_use import EmbeddingUse
from antiphon.services.model_routes import ModelRoute
from tests.services.quota_looks import counted, day, ledger, limited
from tests.services.world import World

ROUTE = ModelRoute(id="p/words", provider="p", model="words", context_tokens=512)
LATER_US = 3_600_000_000


@pytest.fixture
def who(world: World) -> Principal:
    return limited(world.who, day("tokens", 100), day("requests", 5))


@pytest.fixture
def use(world: World) -> EmbeddingUse:
    from antiphon.bootstrap import SystemClock

    return EmbeddingUse(world.storage.unit_of_work, world.application.quotas, SystemClock())


async def test_what_a_call_may_use_is_held_and_what_it_used_is_settled(
    world: World, who: Principal, use: EmbeddingUse
) -> None:
    async with use.metered(who, ROUTE, 60) as meter:
        assert counted(world) == {"|tokens|day": (0, 60), "|requests|day": (0, 1)}
        assert [one.remaining for one in meter.standings] == [40, 4]
        meter.tokens = 7
    assert counted(world) == {"|tokens|day": (7, 0), "|requests|day": (1, 0)}
    assert ledger(world)[:2] == (1, 7)


async def test_two_at_once_do_not_overshoot(world: World, who: Principal, use: EmbeddingUse) -> None:
    async def call() -> str:
        try:
            async with use.metered(who, ROUTE, 60) as meter:
                await asyncio.sleep(0.01)
                meter.tokens = 60
                return "answered"
        except RateLimited:
            return "refused"

    assert sorted(await asyncio.gather(call(), call(), call())) == ["answered", "refused", "refused"]
    assert counted(world)["|tokens|day"] == (60, 0)


async def test_a_failed_call_gives_everything_back_and_leaves_no_line(
    world: World, who: Principal, use: EmbeddingUse
) -> None:
    with pytest.raises(ProviderError):
        async with use.metered(who, ROUTE, 60):
            raise ProviderError("down")
    assert counted(world) == {"|tokens|day": (0, 0), "|requests|day": (0, 0)}
    assert ledger(world)[0] == 0


async def test_a_call_that_failed_half_way_is_settled_with_what_it_used(
    world: World, who: Principal, use: EmbeddingUse
) -> None:
    with pytest.raises(ProviderError):
        async with use.metered(who, ROUTE, 60) as meter:
            meter.tokens = 12
            raise ProviderError("down")
    assert counted(world)["|tokens|day"] == (12, 0) and ledger(world)[:2] == (1, 12)


async def test_a_caller_who_leaves_holds_nothing(world: World, who: Principal, use: EmbeddingUse) -> None:
    begun = asyncio.Event()

    async def call() -> None:
        async with use.metered(who, ROUTE, 60):
            begun.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(call())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert counted(world)["|tokens|day"] == (0, 0)
    assert world.application.quotas.holding == set()


async def test_the_sweep_leaves_a_long_call_alone_and_takes_what_a_dead_process_held(
    world: World, who: Principal, use: EmbeddingUse
) -> None:
    quotas = world.application.quotas
    async with use.metered(who, ROUTE, 60) as meter:
        assert await quotas.sweep(older_than_us=-LATER_US) == 0
        assert counted(world)["|tokens|day"] == (0, 60)
        quotas.holding.clear()  # another process knows nothing of it
        assert await quotas.sweep(older_than_us=-LATER_US) == 1
        meter.tokens = 5
    assert counted(world)["|tokens|day"] == (0, 0) and ledger(world)[:2] == (1, 5)
