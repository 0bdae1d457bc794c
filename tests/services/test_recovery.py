"""After a kill nothing that was shown is lost, and nothing keeps the server from starting."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from antiphon.bootstrap import SystemClock
from antiphon.domain import ids
from antiphon.domain.errors import StorageFull
from antiphon.domain.run_events import OPENING_OPS, RunLog, encode_ops
from antiphon.ports.model_provider import ReasoningDelta, TextDelta, ToolCallDelta
from antiphon.services.model_routes import OpenTerms
from antiphon.services.models import Models
from antiphon.services.runs.emitter import Emitter
from antiphon.services.runs.live import LiveRun
from antiphon.services.runs.recover import close_open_outputs
from tests.services.hand import HAND, PATIENCE_SECONDS, Call, Hand
from tests.services.tree_rules import tree_problems
from tests.services.world import World, open_world


async def shown(world: World, call: Call, live: LiveRun, *texts: str) -> None:
    """Let texts arrive and wait until clients have them."""
    for text in texts:
        call.say(text)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not "".join(texts) or texts[-1] not in str(live.log.ops[: live.committed]):
            await live.wait()


async def restarted(world: World) -> World:
    """Kill a core and start another on the same store."""
    await world.kill()
    return await open_world(world.directory)


async def text_of_run(world: World, run_id: str) -> tuple[str, str]:
    answer = await world.answer(run_id)
    return answer.run.state, "".join(
        part["text"] for out in answer.outputs for part in out.payload["content"]
    )


async def test_a_killed_run_keeps_what_was_shown_and_fails_with_server_error(tmp_path: Path) -> None:
    world = await open_world(tmp_path / "data")
    conversation = await world.conversation("u0")
    begun = await world.begin("u1", conversation_id=conversation, model=HAND)
    assert begun.live
    await shown(world, await world.hand.next(), begun.live, "one ", "two ")
    ops = begun.live.log.ops[: begun.live.committed]
    world = await restarted(world)
    try:
        answer = await world.answer(begun.run_id)
        assert await text_of_run(world, begun.run_id) == ("failed", "one two ")
        assert answer.run.error is not None and answer.run.error.code == "server_error"
        assert answer.run.usage is not None and answer.run.usage.output_tokens > 0
        assert [out.status for out in answer.outputs] == ["incomplete"]
        follower = await world.application.answers.follow(world.who, ids.RESPONSE + begun.run_id)
        assert encode_ops(follower.log.ops[: len(ops)]) == encode_ops(ops)
        assert await world.said(conversation) == ["u0", "u1", "one two "]
        assert (await world.turn("u2", conversation_id=conversation)).run.state == "completed"
        assert tree_problems(world.directory, at_rest=True) == []
    finally:
        await world.close()


async def test_recovery_reads_across_chunks_and_records(tmp_path: Path) -> None:
    world = await open_world(tmp_path / "data")
    begun = await world.begin("u1", model=HAND)
    call, live = await world.hand.next(), begun.live
    assert live
    await shown(world, call, live, "a1 ", "a2 ")
    await world.application.journal.seal()
    assert world.rows("SELECT COUNT(*) FROM journal") == [(0,)]
    await shown(world, call, live, "b1 ", "b2 ")
    await world.application.journal.seal()
    await world.application.journal.seal()
    await shown(world, call, live, "c1 ", "c2 ")
    assert world.rows("SELECT COUNT(*) FROM run_chunks") == [(2,)]
    ops = live.log.ops[: live.committed]
    world = await restarted(world)
    try:
        assert await text_of_run(world, begun.run_id) == ("failed", "a1 a2 b1 b2 c1 c2 ")
        follower = await world.application.answers.follow(world.who, ids.RESPONSE + begun.run_id)
        assert encode_ops(follower.log.ops[: len(ops)]) == encode_ops(ops)
        assert world.rows("SELECT COUNT(*) FROM run_chunks") == [(0,)]
        assert world.rows(
            "SELECT COUNT(*) FROM journal WHERE worker_id<>?", world.application.journal.worker_id
        ) == [(0,)]
    finally:
        await world.close()


async def test_a_seal_that_failed_once_loses_nothing(tmp_path: Path) -> None:
    world = await open_world(tmp_path / "data")
    begun = await world.begin("u1", model=HAND)
    call, live = await world.hand.next(), begun.live
    assert live
    await shown(world, call, live, "one ")

    def full() -> None:
        world.storage.journal.before_seal = None
        raise StorageFull("disk full")

    world.storage.journal.before_seal = full
    with pytest.raises(StorageFull):
        await world.application.journal.seal()
    await shown(world, call, live, "two ")
    await world.application.journal.seal()
    await shown(world, call, live, "three ")
    world = await restarted(world)
    try:
        assert await text_of_run(world, begun.run_id) == ("failed", "one two three ")
    finally:
        await world.close()


async def test_a_finished_run_leaves_no_chunks(tmp_path: Path) -> None:
    world = await open_world(tmp_path / "data")
    try:
        begun = await world.begin("u1", model=HAND)
        call = await world.hand.next()
        assert begun.live
        await shown(world, call, begun.live, "one ")
        await world.application.journal.seal()
        call.end()
        await world.ended(begun)
        assert world.rows("SELECT COUNT(*) FROM run_chunks") == [(0,)]
    finally:
        await world.close()


async def test_a_background_run_that_said_nothing_is_queued_once_more_and_only_once(tmp_path: Path) -> None:
    world = await open_world(tmp_path / "data")
    begun = await world.begin("u1", model=HAND, background=True)
    await world.hand.next()
    world = await restarted(world)
    again = await world.hand.next()
    assert again.prompts == ["user:u1"]
    world = await restarted(world)
    try:
        answer = await world.answer(begun.run_id)
        assert (answer.run.state, answer.run.attempt) == ("failed", 2)
        assert world.hand.calls == []
        assert tree_problems(world.directory, at_rest=True) == []
    finally:
        await world.close()


async def test_a_run_begun_again_after_a_seal_can_be_sealed_again(tmp_path: Path) -> None:
    world = await open_world(tmp_path / "data")
    begun = await world.begin("u1", model=HAND, background=True)
    await world.hand.next()
    assert begun.live
    while begun.live.committed <= OPENING_OPS:
        await begun.live.wait()
    await world.application.journal.seal()  # holds `in_progress`, all it has said
    world = await restarted(world)
    call = await world.hand.next()
    live = world.application.runs.get(world.who.account_id, begun.run_id)
    assert live is not None
    await shown(world, call, live, "second try ")
    await world.application.journal.seal()
    await shown(world, call, live, "goes on ")
    world = await restarted(world)
    try:
        assert await text_of_run(world, begun.run_id) == ("failed", "second try goes on ")
    finally:
        await world.close()


async def test_a_run_whose_model_is_configured_no_more_does_not_keep_the_server_from_starting(
    tmp_path: Path,
) -> None:
    world = await open_world(tmp_path / "data")
    begun = await world.begin("u1", model=HAND, background=True)
    await world.hand.next()
    await world.kill()
    terms = {"other": OpenTerms(models=("x",))}
    nothing = Models({"other": Hand()}, clock=SystemClock(), terms=terms, default_model="other/x")
    world = await open_world(tmp_path / "data", models=nothing)
    try:
        assert (await world.answer(begun.run_id)).run.state == "failed"
        assert tree_problems(world.directory, at_rest=True) == []
    finally:
        await world.close()


@pytest.mark.parametrize(
    "ops",
    [
        [["D", 0, "t", 0, "an output nobody opened"]],
        [["E", 3, "t", 0]],
        ["text without a channel"],
        [["?"]],
    ],
)
async def test_a_log_with_a_hole_does_not_keep_the_server_from_starting(
    tmp_path: Path, ops: list[Any]
) -> None:
    world = await open_world(tmp_path / "data")
    begun = await world.begin("u1", model=HAND)
    await world.hand.next()
    journal = world.application.journal
    record = encode_ops([(begun.run_id, OPENING_OPS + 7, ops)])
    await world.storage.inner.journal.write_tick(journal.worker_id, journal._tick + 1, record, [])
    world = await restarted(world)
    try:
        assert (await world.answer(begun.run_id)).run.state == "failed"
        assert (await world.turn("u2")).run.state == "completed"
    finally:
        await world.close()


async def test_a_killed_regeneration_and_a_killed_second_choice_leave_a_whole_tree(tmp_path: Path) -> None:
    world = await open_world(tmp_path / "data")
    conversation = await world.conversation()
    first = await world.turn("u1", conversation_id=conversation)
    item = first.outputs[0]
    request = {"conversation_id": conversation, "model": HAND}
    again = await world.regenerate(f"msg_{item.id}", **request)
    chat = await world.begin("u9", surface="chat", model=HAND, params={"n": 2})
    for begun in (again, chat):
        call = await world.hand.next()
        live = world.application.runs.get(world.who.account_id, begun.run_id)
        assert live is not None
        call.say("zero ", choice=0)
        call.say("one ", choice=1)
        await shown(world, call, live, "more ")
    world = await restarted(world)
    try:
        assert (await world.answer(again.run_id)).run.state == "failed"
        assert tree_problems(world.directory, at_rest=True) == []
        assert await world.said(conversation) == ["u1", "zero more "]
    finally:
        await world.close()


async def test_a_killed_run_that_had_said_nothing_gives_its_claim_and_its_key_back(tmp_path: Path) -> None:
    world = await open_world(tmp_path / "data")
    conversation = await world.conversation("u0")
    begun = await world.begin("u1", conversation_id=conversation, model=HAND)
    await world.hand.next()
    world = await restarted(world)
    try:
        assert (await world.answer(begun.run_id)).run.state == "failed"
        assert await world.said(conversation) == ["u0"]
        assert tree_problems(world.directory, at_rest=True) == []
        following = await world.turn("u1", conversation_id=conversation)
        assert following.run.state == "completed"
        assert await world.said(conversation) == ["u0", "u1", "re: u1"]
        assert list(await world.branches(conversation)) == ["main"]
    finally:
        await world.close()


def test_the_log_of_a_recovered_run_is_the_log_the_engine_would_have_written() -> None:
    """Open parts and items are closed in the same order and with the same ops."""
    events = [
        ReasoningDelta(0, "hm"),
        TextDelta(0, "text"),
        ToolCallDelta(0, 0, "c", "f", "{}"),
        TextDelta(1, "x"),
    ]
    for count in range(len(events) + 1):
        live = RunLog([("C",), ("P",)])
        emitter = Emitter(live, 1)
        emitter.take(events[:count])
        cut = RunLog(list(live.ops))
        emitter.close("incomplete")
        close_open_outputs(cut)
        assert sorted(map(str, cut.ops)) == sorted(map(str, live.ops))
        assert [out.payload() for out in cut.outputs] == [out.payload() for out in live.outputs]
