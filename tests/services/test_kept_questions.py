"""Where one line of messages is shown, a question stays in it however its answer ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from antiphon.domain import ids
from tests.services.hand import BROKEN, HAND, SILENT
from tests.services.tree_rules import tree_problems
from tests.services.world import World, open_world


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
