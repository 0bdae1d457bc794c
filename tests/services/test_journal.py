"""The journal: append, commit, then deliver; and what it does when the store or another worker says no."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from antiphon.domain import ids
from antiphon.domain.errors import StorageFull
from antiphon.domain.run_events import OPENING_OPS, decode_ops, encode_ops
from antiphon.ports.storage import StorageBusy
from antiphon.ports.write_sets import FinishRun
from antiphon.services.runs.follow import Follower, Interrupted
from antiphon.services.runs.live import BACKLOG_BYTES, LiveRun
from antiphon.services.turns import Begun
from tests.services.gates import TickGate
from tests.services.hand import HAND, PATIENCE_SECONDS, until
from tests.services.tree_rules import tree_problems
from tests.services.world import World


def live_of(begun: Begun) -> LiveRun:
    assert begun.live is not None
    return begun.live


async def committed(condition: Callable[[], bool], live: LiveRun) -> None:
    """Wait, woken by the run, until a condition holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await live.wait()


async def fence(world: World) -> None:
    """Another worker writes this worker's next record."""
    journal = world.application.journal
    await world.storage.inner.journal.write_tick(journal.worker_id, journal._tick + 1, encode_ops([]), [])


def refuse(
    world: World, times: int, error: Callable[[], Exception] = lambda: StorageBusy("full")
) -> list[int]:
    """Let the store refuse the next records; returns a list that grows by one for each refusal."""
    refused: list[int] = []

    def before(worker_id: str, tick: int, ops: bytes, sets: Any) -> Awaitable[None] | None:
        if len(refused) >= times:
            return None
        refused.append(tick)
        raise error()

    world.storage.journal.before_tick = before
    return refused


# --- order: commit, then deliver


async def test_nothing_is_shown_before_it_is_committed(world: World) -> None:
    begun = await world.begin("u1", model=HAND)
    call, live = await world.hand.next(), live_of(begun)
    gate = TickGate(world)
    call.say("first")
    await gate.waiting()
    call.say(" second")
    await until(lambda: call.read >= 2)
    assert live.committed == OPENING_OPS
    assert "first" in str(live.log.ops)
    assert (await world.answer(begun.run_id)).outputs == []
    gate.open()
    call.end()
    await world.ended(begun)


async def test_records_are_numbered_without_gaps_and_there_are_none_while_nothing_happens(
    world: World,
) -> None:
    for number in range(5):
        await world.turn(f"u{number}")
    idle = world.application.journal.ticks
    await world.conversation()
    assert world.application.journal.ticks == idle
    numbers = [row[0] for row in world.rows("SELECT tick FROM journal ORDER BY tick")]
    assert numbers == list(range(1, idle + 1))


async def test_every_op_of_a_run_is_in_exactly_one_record(world: World) -> None:
    begun = await world.begin("u1", model=HAND)
    call, live = await world.hand.next(), live_of(begun)
    for number in range(50):
        call.say(f"w{number} ")
        if number % 5 == 0:
            await committed(
                lambda wanted=number: str(f"w{wanted} ") in str(live.log.ops[: live.committed]), live
            )
    call.end()
    await world.ended(begun)
    ops: list[Any] = []
    for (record,) in world.rows("SELECT ops FROM journal ORDER BY tick"):
        for run_id, first, part in decode_ops(record):
            assert (run_id, first) == (begun.run_id, OPENING_OPS + len(ops))
            ops += part
    assert encode_ops(ops) == encode_ops(live.log.ops[OPENING_OPS:])


async def test_a_provider_is_not_read_while_256_kib_of_its_run_are_not_committed(world: World) -> None:
    begun = await world.begin("u1", model=HAND)
    call = await world.hand.next()
    gate = TickGate(world)
    pieces = 40
    for _ in range(pieces):
        call.say("x" * (BACKLOG_BYTES // 8))
    await gate.waiting()
    for _ in range(1000):
        await asyncio.sleep(0)
    assert call.read <= 10
    gate.open()
    call.end()
    assert (await world.ended(begun)).run.state == "completed"
    assert call.read == pieces + 1


# --- the fence


async def test_after_a_fence_not_even_a_finished_answer_is_shown(world: World) -> None:
    begun = await world.begin("u1", model=HAND)
    call, live = await world.hand.next(), live_of(begun)
    follower = world.application.followers.follow_live(live)
    await fence(world)
    call.answer("whole")  # text and end meet the fence in one record
    await world.wait(begun)
    assert live.committed == OPENING_OPS
    shown = world.application.answers.of_live(live)
    assert (shown.run.state, shown.outputs) == ("in_progress", [])
    with pytest.raises(Interrupted):
        await drain(follower)


async def drain(follower: Follower) -> None:
    while not follower.finished:
        follower.cursor = follower.committed
        await follower.more()


async def test_after_a_fence_an_end_that_was_waiting_is_not_written_under_the_new_worker(
    world: World,
) -> None:
    begun = await world.begin("u1", model=HAND)
    call, live = await world.hand.next(), live_of(begun)
    await fence(world)
    gate = TickGate(world)
    call.say("first")
    await gate.waiting()  # a record is on its way to the fence …
    call.end()
    await until(lambda: live.finish is not None)  # … when the run comes to its end
    gate.open()
    await world.wait(begun)
    other = await world.turn("u2")  # further records under the new worker
    assert other.run.state == "completed"
    assert world.rows("SELECT state FROM runs WHERE id=?", begun.run_id) == [("in_progress",)]


async def test_after_a_fence_new_turns_go_on_under_another_worker(world: World) -> None:
    old = world.application.journal.worker_id
    await fence(world)
    await world.begin("u1")
    for _ in range(3):
        answer = await world.turn("u2")
    assert answer.run.state == "completed"
    assert world.application.journal.worker_id != old


# --- a store that refuses


async def test_a_busy_store_is_tried_again_and_nothing_is_shown_or_lost_meanwhile(world: World) -> None:
    begun = await world.begin("u1", model=HAND)
    call, live = await world.hand.next(), live_of(begun)
    refused = refuse(world, 3)
    call.say("one ")
    await until(lambda: refused)
    assert live.committed == OPENING_OPS
    assert not world.application.journal.healthy
    call.say("two")
    call.end()
    answer = await world.ended(begun)
    assert len(refused) == 3 and len(set(refused)) == 1, "the same record is tried again"
    assert answer.outputs[0].payload["content"][0]["text"] == "one two"
    assert world.application.journal.healthy


async def test_a_store_that_refuses_for_too_long_ends_the_run_in_memory_and_the_sweep_ends_it_in_the_store(
    world: World, impatient: None
) -> None:
    conversation = await world.conversation("u0")
    begun = await world.begin("u1", conversation_id=conversation, model=HAND)
    call, live = await world.hand.next(), live_of(begun)
    call.say("shown")
    await committed(lambda: live.committed > OPENING_OPS, live)
    refuse(world, 10_000)
    call.say(" never shown")
    await world.wait(begun)
    assert live.lost
    world.storage.journal.before_tick = None
    await world.application.journal.seal()  # the store takes writes again
    await world.sweep()
    answer = await world.answer(begun.run_id)
    assert answer.run.state == "failed"
    assert answer.outputs[0].payload["content"][0]["text"] == "shown", (
        "what a client has received is never lost"
    )
    assert tree_problems(world.directory, at_rest=True) == []


async def test_a_given_up_run_that_comes_to_its_end_is_ended_once(world: World, impatient: None) -> None:
    begun = await world.begin("u1", model=HAND)
    call, live = await world.hand.next(), live_of(begun)
    refused = refuse(world, 10_000)
    call.say("one")
    await until(lambda: refused)
    call.end()
    await until(lambda: live.finish is not None)
    await world.wait(begun)
    ends: list[FinishRun] = []

    def note(worker_id: str, tick: int, ops: bytes, sets: Any) -> None:
        ends.extend(command for one in sets for command in one if isinstance(command, FinishRun))

    world.storage.journal.before_tick = note
    assert (await world.turn("u2")).run.state == "completed"
    await world.sweep()
    assert (await world.answer(begun.run_id)).run.is_terminal
    assert [one.run.id for one in ends if one.run.id == begun.run_id] == [], (
        "a lost run is not written by a record"
    )
    assert tree_problems(world.directory, at_rest=True) == []


async def test_what_was_given_up_is_no_gap_that_a_later_recovery_stumbles_over(
    world: World, impatient: None
) -> None:
    """The ops of the refused record are gone; those behind them must not be read back without them."""
    begun = await world.begin("u1", model=HAND)
    call, live = await world.hand.next(), live_of(begun)
    refused = refuse(world, 10_000)
    call.say("lost with the record")
    await until(lambda: refused)
    call.say(" and this comes behind")
    await until(lambda: call.read >= 2)
    await world.wait(begun)
    world.storage.journal.before_tick = None
    assert (await world.turn("u2")).run.state == "completed"
    found = [one for one in await world.storage.journal.unfinished(10) if one.run.id == begun.run_id]
    assert [one.ops for one in found] == [[]]
    assert live.lost


async def test_a_full_store_refuses_new_turns_by_name_and_reads_go_on(world: World) -> None:
    first = await world.turn("u1")

    def full(commands: Any) -> None:
        raise StorageFull("disk full")

    world.storage.unit_of_work.before = full
    with pytest.raises(StorageFull):
        await world.begin("u2")
    assert len(world.application.runs) == 0
    assert (await world.answer(first.run.id)).run.state == "completed"
    world.storage.unit_of_work.before = None
    assert (await world.turn("u3")).run.state == "completed"


async def test_the_journal_gets_well_without_a_turn(world: World, impatient: None) -> None:
    begun = await world.begin("u1", model=HAND)
    call = await world.hand.next()
    refuse(world, 10_000)
    call.say("lost")
    await world.wait(begun)
    assert not world.application.journal.healthy
    world.storage.journal.before_tick = None
    await world.application.journal.seal()
    assert world.application.journal.healthy


async def test_one_run_that_cannot_be_written_does_not_stop_the_others(world: World, impatient: None) -> None:
    """Half a surrogate pair: the providers replace it, and the journal must survive one that does not."""
    poisoned = await world.begin("u1", model=HAND)
    call = await world.hand.next()
    call.answer("half \ud83d")
    await asyncio.wait([asyncio.ensure_future(world.wait(poisoned))], timeout=2)
    async with asyncio.timeout(5):
        answer = await world.turn("u2")
    assert answer.run.state == "completed"


# --- cancelling


async def test_a_cancel_before_the_first_step_of_the_run_still_ends_it(world: World) -> None:
    begun = await world.begin("u1", model=HAND, background=True)
    live = live_of(begun)
    assert not live.generating, "the task has not begun"
    answer = await world.application.answers.cancel(world.who, ids.RESPONSE + begun.run_id)
    assert answer.run.state == "cancelled"
    assert world.hand.calls == []
    assert live.log.ops == [("C",), ("Q",), ("Z", [])]


async def test_cancelling_twice_is_harmless_and_says_the_same(world: World) -> None:
    begun = await world.begin("u1", model=HAND, background=True)
    call = await world.hand.next()
    call.say("half")
    cancel = world.application.answers.cancel
    wire = ids.RESPONSE + begun.run_id
    answers = await asyncio.gather(cancel(world.who, wire), cancel(world.who, wire))
    answers.append(await cancel(world.who, wire))
    assert {answer.run.state for answer in answers} == {"cancelled"}
    assert world.rows("SELECT COUNT(*) FROM ledger") == [(1,)]


async def test_a_cancel_closes_the_call_to_the_model(world: World) -> None:
    begun = await world.begin("u1", model=HAND, background=True)
    call = await world.hand.next()
    await world.application.answers.cancel(world.who, ids.RESPONSE + begun.run_id)
    assert call.closed.is_set()


async def test_a_given_up_run_that_was_swept_leaves_no_chunks_to_a_later_seal(
    world: World, impatient: None
) -> None:
    begun = await world.begin("u1", model=HAND)
    call, live = await world.hand.next(), live_of(begun)
    call.say("shown")
    await committed(lambda: live.committed > OPENING_OPS, live)
    refuse(world, 10_000)
    call.say(" never shown")
    await world.wait(begun)
    world.storage.journal.before_tick = None
    assert (await world.turn("u2")).run.state == "completed"
    await world.sweep()
    await world.application.journal.seal()
    assert world.rows("SELECT COUNT(*) FROM run_chunks") == [(0,)]
