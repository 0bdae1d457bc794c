"""A seal hurts no tick beside it, and leaves no answer's words behind."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.domain.run_events import OPENING_OPS
from antiphon.ports.storage import StorageBusy
from tests.services.hand import HAND, Call, until
from tests.services.test_journal import committed, live_of, refuse
from tests.services.world import World


async def said(world: World, text: str) -> tuple[Call, str]:
    """Begin an answer whose first words are committed; returns its call and its run's id."""
    begun = await world.begin(text, model=HAND)
    call, live = await world.hand.next(), live_of(begun)
    call.say("one")
    await committed(lambda: live.committed > OPENING_OPS, live)
    return call, begun.run_id


def chunks(world: World) -> list[str]:
    return [row[0] for row in world.rows("SELECT run_id FROM run_chunks ORDER BY first_seq")]


def ticks(world: World) -> int:
    count: int = world.rows("SELECT COUNT(*) FROM journal")[0][0]
    return count


async def test_a_seal_that_cannot_be_written_hurts_no_tick(world: World) -> None:
    call, _ = await said(world, "u1")

    def full() -> None:
        raise StorageBusy("full")

    world.storage.journal.before_seal = full
    sealing = asyncio.create_task(world.application.journal.seal(within=0.05))
    call.say(" two")
    with pytest.raises(StorageBusy):
        await sealing
    world.storage.journal.before_seal = None
    call.end()
    await until(lambda: len(world.application.runs) == 0)
    assert world.application.journal.healthy
    await world.application.journal.seal()
    assert chunks(world) == []


async def test_a_run_that_ends_beside_a_seal_leaves_no_chunk(world: World) -> None:
    call, run_id = await said(world, "u1")
    sealing = asyncio.create_task(world.application.journal.seal(within=0.05))
    await until(lambda: world.application.journal._sealing.locked())
    call.end()
    await until(lambda: len(world.application.runs) == 0)
    await sealing
    assert chunks(world) == [] and (await world.answer(run_id)).run.state == "completed"


async def test_a_run_whose_end_is_refused_beside_a_seal_loses_no_word(world: World, impatient: None) -> None:
    """Its ticks are forgotten by a seal, so that its ops must be in a chunk before."""
    call, run_id = await said(world, "u1")
    sealing = asyncio.create_task(world.application.journal.seal(within=0.05))
    await until(lambda: world.application.journal._sealing.locked())
    refuse(world, 10_000)
    call.end()
    await until(lambda: len(world.application.runs) == 0)
    world.storage.journal.before_tick = None
    await sealing
    await world.application.journal.seal()  # the store takes writes again
    assert ticks(world) == 0 and chunks(world) == [run_id]
    await world.sweep()
    answer = await world.answer(run_id)
    assert answer.run.state == "failed"
    assert answer.outputs[0].payload["content"][0]["text"] == "one"
