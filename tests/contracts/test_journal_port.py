"""Port `Journal`: a record is durable, ordered, whole and a fence; what it held can be read back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.domain import ids
from antiphon.domain.errors import Conflict
from antiphon.domain.run_events import OPENING_OPS, encode_ops
from antiphon.ports import write_sets as ws
from antiphon.ports.storage import Fenced, Storage
from tests.contracts.builders import SLOT, end_of, finish, new_conversation, new_item, new_run, put
from tests.contracts.conftest import Reopen

WORKER = "a" * 32
OTHER = "b" * 32


async def running(storage: Storage, worker: str = WORKER, **fields: Any) -> str:
    """A run that goes on; returns its id."""
    conversation, _, commands = new_conversation()
    run = new_run(conversation, **fields)
    await storage.unit_of_work.commit(*commands, ws.OpenRun(run=run, worker_id=worker))
    return run.id


def record(*parts: tuple[str, int, list[Any]]) -> bytes:
    return encode_ops(list(parts))


async def test_a_record_is_written_once_and_its_number_is_the_fence(storage: Storage) -> None:
    await storage.journal.write_tick(WORKER, 1, record(), [])
    with pytest.raises(Fenced):
        await storage.journal.write_tick(WORKER, 1, record(), [])
    await storage.journal.write_tick(WORKER, 2, record(), [])
    await storage.journal.write_tick(OTHER, 1, record(), [])


async def test_of_two_that_write_the_same_record_exactly_one_is_fenced(storage: Storage) -> None:
    write = storage.journal.write_tick
    done = await asyncio.gather(*(write(WORKER, 1, record(), []) for _ in range(20)), return_exceptions=True)
    assert sum(one is None for one in done) == 1
    assert all(one is None or isinstance(one, Fenced) for one in done)


async def test_a_fenced_record_writes_nothing_of_its_sets(storage: Storage) -> None:
    conversation, head, commands = new_conversation(new_item("a"))
    run = new_run(conversation)
    await storage.unit_of_work.commit(*commands, ws.OpenRun(run=run, worker_id=WORKER))
    await storage.journal.write_tick(WORKER, 1, record(), [])
    late = new_item("late")
    with pytest.raises(Fenced):
        await storage.journal.write_tick(WORKER, 1, record(), [(put(head, late), finish(run))])
    assert await storage.tree.item(run.owner_id, late.id) is None
    found = await storage.runs.get(run.owner_id, run.id)
    assert found is not None and found.state == "in_progress"


async def test_a_record_and_the_ends_in_it_are_one_commit(storage: Storage) -> None:
    conversation, head, commands = new_conversation(new_item("a"))
    run = new_run(conversation)
    await storage.unit_of_work.commit(*commands, ws.OpenRun(run=run, worker_id=WORKER))
    item = new_item("b")
    await storage.journal.write_tick(WORKER, 1, record(), [(put(head, item), finish(run))])
    assert await storage.tree.item(run.owner_id, item.id) is not None
    found = await storage.runs.get(run.owner_id, run.id)
    assert found is not None and found.state == "completed"


async def test_a_lost_guard_in_any_set_rejects_the_whole_record_and_says_which(storage: Storage) -> None:
    conversation, head, commands = new_conversation(new_item("a"))
    runs = [new_run(conversation) for _ in range(3)]
    await storage.unit_of_work.commit(*commands, *(ws.OpenRun(run=run, worker_id=WORKER) for run in runs))
    taken = new_item("taken")
    await storage.unit_of_work.commit(put(head, taken))
    sets: list[Any] = [(finish(runs[0]),), (put(head, new_item("x")), finish(runs[1])), (finish(runs[2]),)]
    with pytest.raises(Conflict) as lost:
        await storage.journal.write_tick(WORKER, 1, record(), sets)
    assert (lost.value.message, lost.value.param) == ("PutItems", "1")
    for run in runs:
        found = await storage.runs.get(run.owner_id, run.id)
        assert found is not None and found.state == "in_progress"
    sets[1] = (put(end_of(head, taken), new_item("x")), finish(runs[1]))
    await storage.journal.write_tick(WORKER, 1, record(), sets)


async def test_unfinished_runs_come_back_with_their_committed_ops_in_order(opening: Reopen) -> None:
    async with opening() as storage:
        one, two = await running(storage), await running(storage, worker=OTHER)
        ended = new_run()
        await storage.unit_of_work.commit(ws.OpenRun(run=ended, worker_id=WORKER))
        await storage.journal.write_tick(WORKER, 1, record((one, 2, ["a", "b"]), (ended.id, 2, ["x"])), [])
        await storage.journal.write_tick(OTHER, 1, record((two, 2, [["A", 0]])), [])
        await storage.journal.write_tick(WORKER, 2, record((one, 4, ["c"])), [(finish(ended),)])
    async with opening() as storage:
        found = {one.run.id: one.ops for one in await storage.journal.unfinished(10)}
    assert found == {one: ["a", "b", "c"], two: [["A", 0]]}


async def test_sealed_ops_and_later_records_come_back_as_one_log(opening: Reopen) -> None:
    async with opening() as storage:
        run = await running(storage)
        await storage.journal.write_tick(WORKER, 1, record((run, 2, ["a", "b"])), [])
        await storage.journal.write_tick(WORKER, 2, record((run, 4, ["c"])), [])
        await storage.journal.seal(WORKER, 1, [(run, 2, 3, encode_ops(["a", "b"]))])
        await storage.journal.write_tick(WORKER, 3, record((run, 5, ["d"])), [])
        await storage.journal.seal(WORKER, 3, [(run, 4, 5, encode_ops(["c", "d"]))])
        await storage.journal.write_tick(WORKER, 4, record((run, 6, ["e"])), [])
    async with opening() as storage:
        (found,) = await storage.journal.unfinished(10)
    assert found.ops == ["a", "b", "c", "d", "e"]


async def test_what_a_chunk_holds_and_a_record_still_holds_comes_back_once(storage: Storage) -> None:
    run = await running(storage)
    await storage.journal.write_tick(WORKER, 1, record((run, 2, ["a", "b"])), [])
    await storage.journal.write_tick(WORKER, 2, record((run, 4, ["c", "d"])), [])
    await storage.journal.seal(WORKER, 0, [(run, 2, 4, encode_ops(["a", "b", "c"]))])
    (found,) = await storage.journal.unfinished(10)
    assert found.ops == ["a", "b", "c", "d"]


async def test_sealing_forgets_only_this_workers_records_up_to_the_given_one(storage: Storage) -> None:
    one, two = await running(storage), await running(storage, worker=OTHER)
    for tick in (1, 2, 3):
        await storage.journal.write_tick(WORKER, tick, record((one, tick + 1, [str(tick)])), [])
        await storage.journal.write_tick(OTHER, tick, record((two, tick + 1, [str(tick)])), [])
    await storage.journal.seal(WORKER, 2, [])
    found = {one.run.id: one.ops for one in await storage.journal.unfinished(10)}
    assert found[two] == ["1", "2", "3"]
    assert found[one] == [], "behind the hole that the test made nothing is trusted"


async def test_a_number_that_was_sealed_away_is_still_a_fence_or_never_asked_for_again(
    storage: Storage,
) -> None:
    """The next record after a seal has the next number; a fence is set there, not below."""
    await storage.journal.write_tick(WORKER, 1, record(), [])
    await storage.journal.seal(WORKER, 1, [])
    await storage.journal.write_tick(WORKER, 2, record(), [])
    with pytest.raises(Fenced):
        await storage.journal.write_tick(WORKER, 2, record(), [])


async def test_unfinished_runs_are_read_in_slices_by_id(storage: Storage) -> None:
    made = sorted([await running(storage) for _ in range(5)])
    seen: list[str] = []
    while found := await storage.journal.unfinished(2, after=seen[-1] if seen else ""):
        seen += [one.run.id for one in found]
    assert seen == made


async def test_forgetting_others_keeps_the_workers_own_records(storage: Storage) -> None:
    one, two = await running(storage), await running(storage, worker=OTHER)
    await storage.journal.write_tick(WORKER, 1, record((one, 2, ["mine"])), [])
    await storage.journal.write_tick(OTHER, 1, record((two, 2, ["theirs"])), [])
    await storage.journal.forget_others(WORKER)
    found = {one.run.id: one.ops for one in await storage.journal.unfinished(10)}
    assert found == {one: ["mine"], two: []}


async def test_a_run_that_starts_again_belongs_to_the_new_worker_with_an_empty_log(storage: Storage) -> None:
    run = await running(storage, background=True, state="queued")
    await storage.journal.write_tick(WORKER, 1, record((run, 2, [["P"]])), [])
    await storage.journal.seal(WORKER, 1, [(run, 2, 2, encode_ops([["P"]]))])
    await storage.unit_of_work.commit(ws.StartRun(run_id=run, worker_id=OTHER, attempt=2))
    await storage.journal.write_tick(OTHER, 1, record((run, 2, [["P"], "x"])), [])
    await storage.journal.seal(OTHER, 1, [(run, 2, 3, encode_ops([["P"], "x"]))])
    (found,) = await storage.journal.unfinished(10)
    assert (found.run.attempt, found.ops) == (2, [["P"], "x"])


async def test_the_end_of_a_run_takes_its_chunks_along(storage: Storage) -> None:
    conversation, _, commands = new_conversation()
    run = new_run(conversation)
    await storage.unit_of_work.commit(*commands, ws.OpenRun(run=run, worker_id=WORKER))
    await storage.journal.seal(WORKER, 0, [(run.id, OPENING_OPS, 2, encode_ops(["a"]))])
    sealed = ws.FinishRun(run=finish(run).run, log=b"\x90", is_script=False, sealed=True)
    await storage.journal.write_tick(WORKER, 1, record(), [(sealed,)])
    assert await storage.journal.unfinished(10) == []
    again = new_run(conversation, id=ids.new_id(SLOT))
    await storage.unit_of_work.commit(ws.OpenRun(run=again, worker_id=WORKER))
    await storage.journal.seal(WORKER, 1, [(again.id, OPENING_OPS, 2, encode_ops(["b"]))])


async def test_a_terminal_state_is_final(storage: Storage) -> None:
    conversation, _, commands = new_conversation()
    run = new_run(conversation)
    await storage.unit_of_work.commit(*commands, ws.OpenRun(run=run, worker_id=WORKER))
    await storage.unit_of_work.commit(finish(run))
    with pytest.raises(Conflict):
        await storage.unit_of_work.commit(finish(run, state="cancelled"))
    found = await storage.runs.get(run.owner_id, run.id)
    assert found is not None and found.state == "completed"
