"""The table of races (core_spec §9), one test a row, each forced and never left to luck."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from antiphon.domain import ids
from antiphon.domain.errors import NotFound, PreconditionFailed
from antiphon.domain.inputs import parse_input
from antiphon.domain.run_events import encode_ops
from antiphon.ports import write_sets as ws
from antiphon.services.idempotency import Key
from antiphon.services.turns import Begun
from tests.services.gates import Gate, TickGate
from tests.services.hand import HAND, until
from tests.services.tree_rules import tree_problems
from tests.services.world import World, open_world, say


async def test_two_turns_one_branch_the_first_claim_keeps_it_and_the_second_gets_a_branch_from_the_same_head(
    world: World,
) -> None:
    conversation = await world.conversation()
    await world.turn("u1", conversation_id=conversation)
    gate = Gate(world)
    both = [
        asyncio.create_task(world.begin(f"u{n}", conversation_id=conversation, model=HAND)) for n in (3, 4)
    ]
    await gate.waiting(2)  # both have read a free branch
    gate.open()
    begun = await asyncio.gather(*both)
    for call in [await world.hand.next() for _ in both]:
        call.answer("re: " + call.prompts[-1].removeprefix("user:"))
    for one in begun:
        await world.ended(one)
    names = await world.branches(conversation)
    assert len(names) == 2 and "main" in names
    lines = [(await world.said(conversation, branch_id=branch)) for branch in names.values()]
    assert sorted(lines) == [["u1", "re: u1", "u3", "re: u3"], ["u1", "re: u1", "u4", "re: u4"]]
    claimed = [one for one in begun if one.live and f"br_{one.live.run.branch_id}" == names["main"]]
    assert len(claimed) == 1, "exactly one of the two kept the branch"
    assert tree_problems(world.directory, at_rest=True) == []


@pytest.mark.parametrize("writers", [3, 8, 20])
async def test_any_number_of_turns_on_one_branch_all_begin(world: World, writers: int) -> None:
    conversation = await world.conversation("u0")
    gate = Gate(world)
    turns = [
        asyncio.create_task(world.begin(f"u{n}", conversation_id=conversation, model=HAND))
        for n in range(writers)
    ]
    await gate.waiting(writers)
    gate.open()
    begun = await asyncio.gather(*turns, return_exceptions=True)
    refused = [one for one in begun if isinstance(one, BaseException)]
    assert refused == [], f"{len(refused)} of {writers} turns were refused"
    for _ in begun:
        (await world.hand.next()).answer("done")
    for one in begun:
        assert not isinstance(one, BaseException)
        assert (await world.ended(one)).run.state == "completed"
    assert len(await world.branches(conversation)) == writers


@pytest.mark.parametrize("writers", [3, 8, 20])
async def test_any_number_of_appends_to_one_branch_all_succeed(world: World, writers: int) -> None:
    conversation = await world.conversation("u0")
    add = world.application.conversations.add_items
    done = await asyncio.gather(
        *(add(world.who, conversation, parse_input([say(f"m{n}")])) for n in range(writers)),
        return_exceptions=True,
    )
    refused = [one for one in done if isinstance(one, BaseException)]
    assert refused == [], f"{len(refused)} of {writers} appends were refused"
    said = await world.said(conversation)
    assert said[0] == "u0" and sorted(said[1:]) == sorted(f"m{n}" for n in range(writers))


@pytest.mark.parametrize("writers", [3, 8, 20])
async def test_any_number_of_edits_and_forks_and_unnamed_branches_all_succeed(
    world: World, writers: int
) -> None:
    conversation = await world.conversation("u0")
    (item,) = await world.path(conversation)
    services = world.application
    calls = []
    for n in range(writers):
        text = parse_input([say(f"e{n}")])
        calls.append(services.alternatives.edit_only(world.who, conversation, item.wire_id, text))
        calls.append(
            services.branches.create(world.who, conversation, name=None, item_id=None, activate=False)
        )
        calls.append(services.branches.fork(world.who, conversation, item_id=None, title=None))
    done = await asyncio.gather(*calls, return_exceptions=True)
    refused = [one for one in done if isinstance(one, BaseException)]
    assert refused == [], f"{len(refused)} of {3 * writers} writes were refused"


async def test_finish_x_cancel_the_finish_that_is_on_its_way_wins(world: World) -> None:
    begun = await world.begin("u1", model=HAND, background=True)
    call = await world.hand.next()
    call.say("whole")
    gate = TickGate(world)
    call.end()
    await call.closed.wait()
    await gate.waiting()
    cancelling = asyncio.create_task(world.application.answers.cancel(world.who, ids.RESPONSE + begun.run_id))
    await asyncio.sleep(0)
    gate.open()
    answer = await cancelling
    assert answer.run.state == "completed"
    assert (await world.answer(begun.run_id)).run.state == "completed"


async def test_finish_x_cancel_the_cancel_that_came_first_wins(world: World) -> None:
    begun = await world.begin("u1", model=HAND, background=True)
    call = await world.hand.next()
    call.say("half")
    await until(lambda: call.read)
    cancelling = asyncio.create_task(world.application.answers.cancel(world.who, ids.RESPONSE + begun.run_id))
    await call.closed.wait()
    call.end()
    answer = await cancelling
    assert answer.run.state == "cancelled"
    assert [out.status for out in answer.outputs] == ["incomplete"]


async def test_old_owner_x_new_owner_the_loser_of_the_next_tick_delivers_nothing(tmp_path: Path) -> None:
    world = await open_world(tmp_path / "data")
    try:
        begun = await world.begin("u1", model=HAND)
        call = await world.hand.next()
        call.say("kept")
        live = begun.live
        assert live is not None
        while live.committed <= 2:
            await live.wait()
        shown = live.committed
        journal = world.application.journal
        await world.storage.inner.journal.write_tick(journal.worker_id, journal._tick + 1, encode_ops([]), [])
        call.say(" lost")
        while not live.lost:
            await live.wait()
        assert live.committed == shown
        assert world.rows("SELECT state FROM runs") == [("in_progress",)]
    finally:
        await world.close()


async def test_append_x_append_in_a_segment_the_loser_opens_a_segment(world: World) -> None:
    conversation = await world.conversation()
    first = await world.turn("u1", conversation_id=conversation)
    gate = Gate(world)
    previous = ids.RESPONSE + first.run.id
    both = [asyncio.create_task(world.begin(f"v{n}", previous_response_id=previous)) for n in (1, 2)]
    await gate.waiting(2)
    gate.open()
    answers = [await world.ended(one) for one in await asyncio.gather(*both)]
    segments = {answer.run.input_end.segment_id for answer in answers if answer.run.input_end}
    assert len(segments) == 2
    parents = world.rows("SELECT COUNT(*) FROM items WHERE depth=2")
    assert parents == [(2,)]
    assert await world.said(conversation) == ["u1", "re: u1"]
    assert tree_problems(world.directory, at_rest=True) == []


async def test_turn_x_delete_conversation_the_terminal_commit_stores_items_and_moves_nothing(
    world: World,
) -> None:
    conversation = await world.conversation("u0")
    begun = await world.begin("u1", conversation_id=conversation, model=HAND)
    call = await world.hand.next()
    before = world.rows("SELECT head_segment_id,head_depth,head_item_id FROM branches")
    await world.application.conversations.delete(world.who, conversation)
    call.answer("a1")
    answer = await world.ended(begun)
    assert answer.run.state == "completed"
    assert [out.payload["content"][0]["text"] for out in answer.outputs] == ["a1"]
    with pytest.raises(NotFound):
        await world.application.conversations.get(world.who, conversation)
    assert world.rows("SELECT head_segment_id,head_depth,head_item_id FROM branches") == before
    assert tree_problems(world.directory, at_rest=True) == []


async def test_begin_x_delete_conversation_the_turn_is_refused_or_ends_unseen(world: World) -> None:
    """Either order is right; what may not happen is a claim that stays or a conversation that comes back."""
    conversation = await world.conversation("u0")
    gate = Gate(world, only=ws.OpenRun)
    beginning = asyncio.create_task(world.begin("u1", conversation_id=conversation))
    await gate.waiting(1)
    await world.application.conversations.delete(world.who, conversation)
    gate.open()
    try:
        await world.ended(await beginning)
    except NotFound:
        assert world.rows("SELECT COUNT(*) FROM runs") == [(0,)]
    with pytest.raises(NotFound):
        await world.said(conversation)
    assert tree_problems(world.directory, at_rest=True) == []


async def test_turn_x_branch_deleted_the_output_stays_reachable_by_the_response(world: World) -> None:
    conversation = await world.conversation("u0")
    _, branch = await world.application.branches.create(
        world.who, conversation, name="side", item_id=None, activate=False
    )
    wire = ids.BRANCH + branch.id
    begun = await world.begin("u1", conversation_id=conversation, branch_id=wire, model=HAND)
    call = await world.hand.next()
    await world.application.branches.delete(world.who, conversation, wire)
    call.answer("a1")
    answer = await world.ended(begun)
    assert answer.run.state == "completed"
    assert [out.payload["content"][0]["text"] for out in answer.outputs] == ["a1"]
    assert list(await world.branches(conversation)) == ["main"]
    assert await world.said(conversation) == ["u0"]
    following = await world.turn("u2", previous_response_id=ids.RESPONSE + begun.run_id)
    assert following.run.state == "completed"
    assert tree_problems(world.directory, at_rest=True) == []


async def test_50_equal_requests_one_guard_wins_and_49_join(world: World) -> None:
    key = Key("same", b"f" * 32)
    gate = Gate(world)
    turns = [asyncio.create_task(world.begin("u1", model=HAND, key=key)) for _ in range(50)]
    await gate.waiting(50)
    gate.open()
    call = await world.hand.next()
    begun = await asyncio.gather(*turns)
    assert len({one.run_id for one in begun}) == 1
    assert sum(one.live is not None for one in begun) == 1
    call.answer("once")
    for one in begun:
        assert (await world.ended(one)).run.state == "completed"
    assert world.rows("SELECT COUNT(*) FROM runs") == [(1,)]
    assert world.rows("SELECT COUNT(*) FROM items") == [(2,)]
    assert len(world.hand.calls) == 1


async def test_begin_x_own_fence_a_run_that_belongs_to_no_living_worker_is_ended(world: World) -> None:
    """The sweep that runs every 5 s is called by hand."""
    conversation = await world.conversation("u0")
    begun = await world.begin("u1", conversation_id=conversation, model=HAND)
    call = await world.hand.next()
    journal = world.application.journal
    await world.storage.inner.journal.write_tick(journal.worker_id, journal._tick + 1, encode_ops([]), [])
    call.say("meets the fence")
    await world.wait(begun)
    await world.sweep()
    assert world.rows("SELECT state FROM runs") == [("failed",)]
    assert tree_problems(world.directory, at_rest=True) == []


async def test_begin_x_sweep_a_turn_that_begins_while_the_sweep_reads_is_left_alone(world: World) -> None:
    world.application.journal.orphans = True
    begun: list[Begun] = []

    async def begin_before_the_read() -> None:
        begun.append(await world.begin("u1", model=HAND))

    world.storage.journal.before_unfinished = begin_before_the_read
    await world.sweep()
    assert world.rows("SELECT state FROM runs") == [("in_progress",)]
    (await world.hand.next()).answer("mine")
    assert (await world.ended(begun[0])).run.state == "completed"


async def test_follower_joins_x_tick_there_is_no_gap_and_no_double(world: World) -> None:
    """Followers that join before, between and after records all see the same numbered events."""
    begun = await world.begin("u1", model=HAND)
    call = await world.hand.next()
    live = begun.live
    assert live is not None
    seen: list[tuple[int, list[int]]] = []

    async def follow(after: int) -> None:
        follower = await world.application.answers.follow(world.who, ids.RESPONSE + begun.run_id, after)
        numbers: list[int] = []
        seen.append((after, numbers))
        while not follower.finished:
            numbers.extend(range(follower.cursor, follower.committed))
            follower.cursor = follower.committed
            if not follower.finished:
                await follower.more()

    tasks = []
    for number in range(40):
        tasks.append(asyncio.create_task(follow(live.committed - 1 if number % 2 else -1)))
        call.say(f"w{number} ")
        if number % 3 == 0:
            await asyncio.sleep(0)
        if number % 7 == 0:
            await live.wait()
    call.end()
    await asyncio.gather(*tasks)
    await follow(-1)
    last = len(live.log.ops)
    for after, numbers in seen:
        assert numbers == list(range(after + 1, last))


async def test_two_edits_of_one_item_both_get_a_branch(world: World) -> None:
    conversation = await world.conversation("u0")
    (item,) = await world.path(conversation)
    gate = Gate(world)
    edit = world.application.alternatives.edit_only
    edits = [
        asyncio.create_task(edit(world.who, conversation, item.wire_id, parse_input([say(f"e{n}")])))
        for n in range(2)
    ]
    await gate.waiting(2)
    gate.open()
    done = await asyncio.gather(*edits, return_exceptions=True)
    assert [one for one in done if isinstance(one, BaseException)] == []
    assert len(await world.branches(conversation)) == 3


async def test_two_branches_without_a_name_both_get_one(world: World) -> None:
    conversation = await world.conversation("u0")
    gate = Gate(world)
    create = world.application.branches.create
    both = [
        asyncio.create_task(create(world.who, conversation, name=None, item_id=None, activate=False))
        for _ in range(2)
    ]
    await gate.waiting(2)
    gate.open()
    done = await asyncio.gather(*both, return_exceptions=True)
    assert [one for one in done if isinstance(one, BaseException)] == []
    assert sorted(await world.branches(conversation)) == ["main", "main-2", "main-3"]


async def test_a_begin_whose_caller_is_cancelled_leaves_no_claim_behind(world: World) -> None:
    conversation = await world.conversation("u0")
    gate = Gate(world, only=ws.OpenRun)
    beginning = asyncio.create_task(world.begin("u1", conversation_id=conversation))
    await gate.waiting(1)
    gate.open()
    await asyncio.sleep(0)  # the write set is with the writer, the caller still waits
    beginning.cancel()
    await asyncio.gather(beginning, return_exceptions=True)
    await world.conversation()  # a later write: the one before is committed or was never sent
    while len(world.application.runs):
        for live in world.application.runs:
            await live.wait()
    assert tree_problems(world.directory, at_rest=True) == []


async def test_a_stale_change_of_a_conversation_is_refused(world: World) -> None:
    conversation = await world.conversation()
    read = await world.application.conversations.get(world.who, conversation)
    update = world.application.conversations.update
    await update(world.who, conversation, title="one", metadata=None, revision=read.revision)
    with pytest.raises(PreconditionFailed):
        await update(world.who, conversation, title="two", metadata=None, revision=read.revision)


async def switch_between_the_reads(world: World, conversation: str) -> None:
    """Another writer activates a second branch and deletes the first while a reader is half-way."""
    services = world.application
    first = await world.active(conversation)
    _, other = await services.branches.create(
        world.who, conversation, name="other", item_id=None, activate=False
    )
    reading = world.storage.conversations.branch

    async def branch(conversation_id: str, branch_id: str) -> object:
        world.storage.conversations.branch = reading
        await services.branches.activate(world.who, conversation, ids.BRANCH + other.id)
        await services.branches.delete(world.who, conversation, first)
        return await reading(conversation_id, branch_id)

    world.storage.conversations.branch = branch


async def test_list_x_branch_deleted_a_conversation_that_exists_is_never_not_found(world: World) -> None:
    conversation = await world.conversation("u0")
    await switch_between_the_reads(world, conversation)
    assert await world.said(conversation) == ["u0"]


async def test_fork_x_branch_deleted_a_conversation_that_exists_is_never_not_found(world: World) -> None:
    conversation = await world.conversation("u0")
    await switch_between_the_reads(world, conversation)
    await world.application.branches.fork(world.who, conversation, item_id=None, title=None)
