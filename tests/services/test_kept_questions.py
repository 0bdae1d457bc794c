"""Where one line of messages is shown, a question stays in it however its answer ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from antiphon.domain import ids
from antiphon.services.idempotency import Key
from tests.services.hand import BROKEN, HAND, SILENT
from tests.services.tree_rules import tree_problems
from tests.services.world import World, open_world

KEY = Key("k", b"f" * 32)


@pytest.mark.parametrize("model", [BROKEN, SILENT])
async def test_a_question_without_an_answer_stays_in_line_and_is_told_to_the_model(
    world: World, model: str
) -> None:
    conversation = await world.conversation("u0")
    await world.turn("u1", conversation_id=conversation, model=model, keeps_question=True)
    assert await world.said(conversation) == ["u0", "u1"]
    await world.turn("u2", conversation_id=conversation, keeps_question=True)
    assert world.hand.calls[-1].prompts == ["user:u0", "user:u1", "user:u2"]
    assert await world.said(conversation) == ["u0", "u1", "u2", "re: u2"]
    assert list(await world.branches(conversation)) == ["main"]
    assert tree_problems(world.directory, at_rest=True) == []


async def test_one_that_is_stopped_before_its_first_word_leaves_its_question(world: World) -> None:
    conversation = await world.conversation()
    begun = await world.begin("u1", conversation_id=conversation, model=HAND, keeps_question=True)
    await world.hand.next()
    stopped = await world.application.answers.stop(world.who, ids.RESPONSE + begun.run_id)
    assert stopped.run.state == "cancelled"
    assert await world.said(conversation) == ["u1"]


async def test_what_was_said_otherwise_stays_too(world: World) -> None:
    conversation = await world.conversation()
    await world.turn("u1", conversation_id=conversation)
    first, _ = await world.path(conversation)
    begun = await world.edit(
        first.wire_id, "u1, said otherwise", conversation_id=conversation, model=BROKEN, keeps_question=True
    )
    await world.wait(begun)
    assert await world.said(conversation) == ["u1, said otherwise"]


async def test_one_killed_before_its_first_word_leaves_its_question(tmp_path: Path) -> None:
    world = await open_world(tmp_path / "data")
    conversation = await world.conversation("u0")
    begun = await world.begin("u1", conversation_id=conversation, model=HAND, keeps_question=True)
    await world.hand.next()
    await world.kill()
    world = await open_world(world.directory)
    try:
        assert (await world.answer(begun.run_id)).run.state == "failed"
        assert await world.said(conversation) == ["u0", "u1"]
        await world.turn("u2", conversation_id=conversation, keeps_question=True)
        assert await world.said(conversation) == ["u0", "u1", "u2", "re: u2"]
        assert tree_problems(world.directory, at_rest=True) == []
    finally:
        await world.close()


async def test_without_words_to_keep_the_branch_stays_where_it_was(world: World) -> None:
    """An answer to what is there already brings no question of its own."""
    conversation = await world.conversation("u0")
    heads = "SELECT head_segment_id,head_depth FROM branches"
    before = world.rows(heads)
    await world.turn(conversation_id=conversation, model=BROKEN, keeps_question=True)
    assert world.rows(heads) == before


async def test_one_sent_again_under_its_key_is_answered_where_it_stands(world: World) -> None:
    conversation = await world.conversation("u0")
    again = {"conversation_id": conversation, "keeps_question": True, "key": KEY}
    first = await world.turn("u1", model=BROKEN, **again)
    for _ in range(2):
        failed = await world.turn("u1", model=BROKEN, **again)
        assert failed.run.error is not None and failed.run.id != first.run.id
    answered = await world.turn("u1", **again)
    assert world.hand.calls[-1].prompts == ["user:u0", "user:u1"]
    assert await world.said(conversation) == ["u0", "u1", "re: u1"]
    assert (await world.begin("u1", **again)).run_id == answered.run.id
    assert list(await world.branches(conversation)) == ["main"]
    assert tree_problems(world.directory, at_rest=True) == []


async def test_sent_again_many_times_at_once_it_is_answered_once(world: World) -> None:
    conversation = await world.conversation()
    again = {"conversation_id": conversation, "keeps_question": True, "key": KEY}
    await world.turn("u1", model=BROKEN, **again)
    begun = await asyncio.gather(*(world.begin("u1", **again) for _ in range(20)))
    assert len({one.run_id for one in begun}) == 1
    await world.wait(begun[0])
    assert await world.said(conversation) == ["u1", "re: u1"]


async def test_after_a_kill_too(tmp_path: Path) -> None:
    world = await open_world(tmp_path / "data")
    conversation = await world.conversation()
    again = {"conversation_id": conversation, "keeps_question": True, "key": KEY}
    await world.begin("u1", model=HAND, **again)
    await world.hand.next()
    await world.kill()
    world = await open_world(world.directory)
    try:
        await world.turn("u1", **again)
        assert await world.said(conversation) == ["u1", "re: u1"]
    finally:
        await world.close()


@pytest.mark.parametrize("key", [Key("other", KEY.fingerprint), Key(KEY.name, b"g" * 32), None])
async def test_what_is_sent_under_another_key_is_another_question(world: World, key: Key | None) -> None:
    conversation = await world.conversation()
    again = {"conversation_id": conversation, "keeps_question": True}
    await world.turn("u1", model=BROKEN, key=KEY, **again)
    await world.turn("u1", key=key, **again)
    assert await world.said(conversation) == ["u1", "u1", "re: u1"]


async def test_sent_again_after_more_was_said_it_is_asked_at_the_end(world: World) -> None:
    conversation = await world.conversation()
    again = {"conversation_id": conversation, "keeps_question": True}
    await world.turn("u1", model=BROKEN, key=KEY, **again)
    await world.turn("u2", **again)
    await world.turn("u1", key=KEY, **again)
    assert await world.said(conversation) == ["u1", "u2", "re: u2", "u1", "re: u1"]


async def test_sent_again_after_it_was_taken_back_it_is_asked_anew(world: World) -> None:
    conversation = await world.conversation("u0")
    again = {"conversation_id": conversation, "keeps_question": True, "key": KEY}
    await world.turn("u1", model=BROKEN, **again)
    *_, asked = await world.path(conversation)
    await world.application.conversations.hide_item(world.who, conversation, asked.wire_id)
    await world.turn("u1", **again)
    assert await world.said(conversation) == ["u0", "u1", "re: u1"]
