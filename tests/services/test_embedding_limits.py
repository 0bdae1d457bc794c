"""What indexing embeds is held to its owner's limits; nobody else's documents wait for that."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from antiphon.domain.limits import new_limit
from antiphon.domain.usage import estimate_tokens
from antiphon.ports.quota_writes import DeleteLimit, SetLimit
from antiphon.services import embeddings as module
from tests.services.embedding_stage import Stage, texts
from tests.services.quota_looks import counted, ledger
from tests.services.world import World

TEN = texts(10)
EACH = estimate_tokens(TEN[0])
USED = 3
"""Tokens of each text as the tests' model counts them: its words."""

OTHER = "0" * 32


@pytest.fixture
async def stage(world: World) -> AsyncIterator[Stage]:
    made = Stage(world)
    yield made
    await made.close()


async def limit(stage: Stage, metric: str, amount: int) -> str:
    made = new_limit(f"user:{stage.owner}", metric, "day", amount, "")  # type: ignore[arg-type]
    await stage.world.storage.unit_of_work.commit(SetLimit(limit=made, created_us=1))
    stage.world.application.quotas.forget()
    return made.id


async def test_indexing_stops_where_the_owners_limit_leaves_too_little_and_goes_on_with_a_new_one(
    stage: Stage,
) -> None:
    # Two batches of four fit; beside what they used, the last two texts do not.
    limit_id = await limit(stage, "tokens", 2 * 4 * USED + 2 * EACH - 1)
    service = await stage.start(batch=4)
    stage.store.add("s", stage.owner, TEN)
    assert await service.embed_source(stage.owner, "s") is False
    assert len(stage.store.kept) == 8
    assert counted(stage.world) == {"|tokens|day": (8 * USED, 0)} and ledger(stage.world)[:2] == (2, 8 * USED)
    state = await service.state()
    assert (state.status, state.limited_owners, state.waiting_sources) == ("ready", 1, 0)

    await service.catch_up()  # it has nothing to do, and does not go round for ever
    assert len(stage.provider.calls) == 2
    await stage.world.storage.unit_of_work.commit(DeleteLimit(limit_id=limit_id))
    stage.world.application.quotas.forget()
    await stage.time.sleep(module.LOOK_SECONDS + 1)
    await service.catch_up()
    assert stage.store.whole("p/one") and (await service.state()).limited_owners == 0


async def test_one_owners_limit_is_not_anothers(stage: Stage) -> None:
    await limit(stage, "tokens", 4 * EACH)
    service = await stage.start(batch=4)
    stage.store.add("mine", stage.owner, TEN)
    stage.store.add("theirs", OTHER, texts(10, "other"))
    await service.catch_up()
    owners = [owner for owner, _, _ in stage.store.kept]
    assert owners.count(stage.owner) == 4 and owners.count(OTHER) == 10
    assert (await service.state()).status == "ready"


async def test_requests_are_for_what_somebody_asks_for(stage: Stage) -> None:
    await limit(stage, "requests", 1)
    service = await stage.start(batch=4)
    stage.store.add("s", stage.owner, TEN)
    assert await service.embed_source(stage.owner, "s") is True
    assert counted(stage.world) == {}


async def test_a_change_of_the_model_is_nobodys_use(stage: Stage) -> None:
    service = await stage.start(batch=4)
    stage.store.add("s", stage.owner, TEN)
    await service.embed_source(stage.owner, "s")
    await limit(stage, "tokens", 1)
    changed = await stage.start("p/two", batch=4)
    await changed.catch_up()
    assert stage.store.whole("p/two") and ledger(stage.world)[0] == 3
