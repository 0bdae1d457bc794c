"""The rules of the tree (core_spec §7, 1 to 5), one test each."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.domain import ids
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.inputs import parse_input
from antiphon.domain.items import text_of
from antiphon.ports import write_sets as ws
from antiphon.services.answers import Answer
from tests.services.gates import Gate
from tests.services.hand import BROKEN, HAND, SILENT
from tests.services.specified import PATH, C
from tests.services.tree_rules import tree_problems
from tests.services.world import World, say


def place(answer: Answer) -> dict[str, Any]:
    run = answer.run
    return {
        "parent": run.request["parent_id"],
        "inputs": run.request["input_item_ids"],
        "branch": run.branch_id,
    }


# --- 1. claim


async def test_rule_1_a_linear_list_shows_a_turn_when_it_is_answered(c: C) -> None:
    begun = await c.world.begin("u3", conversation_id=c.id, model=HAND)
    call = await c.world.hand.next()
    call.say("half")
    assert await c.world.said(c.id) == PATH
    call.end()
    await c.world.ended(begun)
    assert await c.world.said(c.id) == [*PATH, "u3", "half"]


async def test_rule_1_the_prompt_is_stored_before_the_model_is_called(c: C) -> None:
    begun = await c.world.begin("u3", conversation_id=c.id, model=HAND)
    (wire,) = begun.live.run.request["input_item_ids"] if begun.live else ()
    item = await c.world.application.conversations.item(c.world.who, c.id, wire)
    assert text_of(item.body()) == "u3"
    (await c.world.hand.next()).answer("a3")
    await c.world.ended(begun)


@pytest.mark.parametrize("model", [BROKEN, SILENT])
async def test_rule_1_a_turn_without_output_gives_the_claim_back_and_leaves_the_head(
    c: C, model: str
) -> None:
    failed = await c.world.turn("u3", conversation_id=c.id, model=model)
    assert await c.world.said(c.id) == PATH
    (wire,) = failed.run.request["input_item_ids"]
    assert text_of((await c.world.application.conversations.item(c.world.who, c.id, wire)).body()) == "u3"
    retried = await c.world.begin("u3", conversation_id=c.id, model=HAND)
    call = await c.world.hand.next()
    assert call.prompts == ["user:u1", "assistant:re: u1", "user:u2", "assistant:re: u2", "user:u3"]
    call.answer("a3")
    await c.world.ended(retried)
    assert await c.world.said(c.id) == [*PATH, "u3", "a3"]
    assert list(await c.world.branches(c.id)) == ["main"]


async def test_rule_1_a_partial_answer_moves_the_head_like_a_whole_one(c: C) -> None:
    begun = await c.world.begin("u3", conversation_id=c.id, model=HAND, background=True)
    call = await c.world.hand.next()
    call.say("half")
    assert begun.live is not None
    while begun.live.committed < 6:
        await begun.live.wait()
    await c.world.application.answers.cancel(c.world.who, ids.RESPONSE + begun.run_id)
    assert await c.world.said(c.id) == [*PATH, "u3", "half"]


# --- 2. two at once


async def test_rule_2_a_second_turn_gets_its_own_branch_from_the_same_head_and_is_told_so(c: C) -> None:
    first = await c.world.begin("u3", conversation_id=c.id, model=HAND)
    second = await c.world.begin("u4", conversation_id=c.id, model=HAND)
    calls = [await c.world.hand.next(), await c.world.hand.next()]
    assert [call.prompts[-1] for call in calls] == ["user:u3", "user:u4"]
    assert [len(call.prompts) for call in calls] == [5, 5]
    told = place(await c.world.answer(second.run_id))
    names = await c.world.branches(c.id)
    assert set(names) == {"main", "main-2"}
    assert told["branch"] == names["main-2"].removeprefix("br_")
    assert told["parent"] == c.items[-1].wire_id
    assert len(told["inputs"]) == 1
    calls[1].answer("a4")
    calls[0].answer("a3")
    await c.world.ended(first)
    await c.world.ended(second)
    assert await c.world.said(c.id) == [*PATH, "u3", "a3"]
    assert await c.world.said(c.id, branch_id=names["main-2"]) == [*PATH, "u4", "a4"]


async def test_rule_2_items_posted_while_a_turn_runs_open_a_branch_the_same_way(c: C) -> None:
    begun = await c.world.begin("u3", conversation_id=c.id, model=HAND)
    call = await c.world.hand.next()
    add = c.world.application.conversations.add_items
    await add(c.world.who, c.id, parse_input([say("posted")]))
    names = await c.world.branches(c.id)
    assert set(names) == {"main", "main-2"}
    assert await c.world.said(c.id, branch_id=names["main-2"]) == [*PATH, "posted"]
    call.answer("a3")
    await c.world.ended(begun)
    assert await c.world.said(c.id) == [*PATH, "u3", "a3"]


# --- 3. previous_response_id


async def test_rule_3_an_earlier_response_is_continued_beside_the_conversation(c: C) -> None:
    beside = await c.world.begin("u5", previous_response_id=c.r1, model=HAND)
    call = await c.world.hand.next()
    assert call.prompts == ["user:u1", "assistant:re: u1", "user:u5"]
    call.answer("a5")
    answer = await c.world.ended(beside)
    assert answer.run.branch_id is None
    assert place(answer)["parent"] == c.items[1].wire_id
    assert list(await c.world.branches(c.id)) == ["main"]
    assert await c.world.said(c.id) == PATH
    following = await c.world.begin("u6", conversation_id=c.id, model=HAND)
    call = await c.world.hand.next()
    assert call.prompts == ["user:u1", "assistant:re: u1", "user:u2", "assistant:re: u2", "user:u6"]
    call.answer("a6")
    await c.world.ended(following)


async def test_rule_3_in_an_implicit_conversation_the_only_branch_follows_its_own_tip(world: World) -> None:
    first = await world.turn("u1")
    conversation = ids.CONVERSATION + (first.run.conversation_id or "")
    second = await world.turn("u2", previous_response_id=ids.RESPONSE + first.run.id)
    assert second.run.conversation_id == first.run.conversation_id
    assert await world.said(conversation) == PATH
    await world.turn("v2", previous_response_id=ids.RESPONSE + first.run.id)
    assert await world.said(conversation) == PATH
    assert list(await world.branches(conversation)) == ["main"]
    await world.turn("u3", previous_response_id=ids.RESPONSE + second.run.id)
    assert await world.said(conversation) == [*PATH, "u3", "re: u3"]


async def test_rule_3_a_chain_goes_on_before_its_last_answer_after_that_was_deleted(world: World) -> None:
    first = await world.turn("u1")
    conversation = ids.CONVERSATION + (first.run.conversation_id or "")
    second = await world.turn("u2", previous_response_id=ids.RESPONSE + first.run.id)
    await world.application.answers.delete(world.who, ids.RESPONSE + second.run.id)
    assert await world.said(conversation) == PATH[:2]
    third = await world.turn("u3", previous_response_id=ids.RESPONSE + first.run.id)
    assert third.run.branch_id is not None
    assert await world.said(conversation) == [*PATH[:2], "u3", "re: u3"]
    assert tree_problems(world.directory, at_rest=True) == []


async def test_rule_3_an_answer_that_is_continued_while_it_is_deleted_stays_in_what_follows(
    world: World,
) -> None:
    first = await world.turn("u1")
    conversation = ids.CONVERSATION + (first.run.conversation_id or "")
    second = await world.turn("u2", previous_response_id=ids.RESPONSE + first.run.id)
    gate = Gate(world, only=ws.DeleteRun)
    deleting = asyncio.create_task(
        world.application.answers.delete(world.who, ids.RESPONSE + second.run.id)
    )  # fmt: skip
    await gate.waiting(1)
    begun = await world.begin("u3", conversation_id=conversation, model=HAND)
    gate.open()
    await deleting
    call = await world.hand.next()
    assert call.prompts == ["user:u1", "assistant:re: u1", "user:u2", "assistant:re: u2", "user:u3"]
    call.answer("a3")
    await world.ended(begun)
    assert await world.said(conversation) == [*PATH, "u3", "a3"]


async def test_rule_3_a_chain_whose_first_turn_failed_still_has_a_branch_that_follows_its_tip(
    world: World,
) -> None:
    first = await world.turn("u1", model=BROKEN)
    conversation = ids.CONVERSATION + (first.run.conversation_id or "")
    await world.turn("u2", previous_response_id=ids.RESPONSE + first.run.id)
    assert await world.said(conversation) == ["u1", "u2", "re: u2"]


async def test_rule_3_a_running_response_cannot_be_continued(c: C) -> None:
    begun = await c.world.begin("u3", conversation_id=c.id, model=HAND)
    call = await c.world.hand.next()
    with pytest.raises(InvalidRequest) as refused:
        await c.world.begin("u4", previous_response_id=ids.RESPONSE + begun.run_id)
    assert refused.value.code == "previous_response_not_finished"
    call.answer("a3")
    await c.world.ended(begun)


async def test_rule_3_a_response_that_this_process_lost_counts_as_running(c: C) -> None:
    begun = await c.world.begin("u3", conversation_id=c.id, model=HAND)
    await c.world.hand.next()
    assert begun.live is not None
    begun.live.lose()
    c.world.application.runs.remove(begun.live)
    with pytest.raises(InvalidRequest) as refused:
        await c.world.begin("u4", previous_response_id=ids.RESPONSE + begun.run_id)
    assert refused.value.code == "previous_response_not_finished"


async def test_rule_3_instructions_are_not_inherited(world: World) -> None:
    first = await world.begin("u1", instructions="be brief", model=HAND)
    call = await world.hand.next()
    assert call.prompts == ["system:be brief", "user:u1"]
    call.answer("a1")
    await world.ended(first)
    second = await world.begin("u2", previous_response_id=ids.RESPONSE + first.run_id, model=HAND)
    call = await world.hand.next()
    assert call.prompts == ["user:u1", "assistant:a1", "user:u2"]
    call.answer("a2")
    await world.ended(second)


# --- 4. alternatives


async def test_rule_4_a_regeneration_is_a_second_child_on_a_new_active_branch_and_copies_no_input(
    c: C,
) -> None:
    before = c.world.rows("SELECT COUNT(*) FROM items")
    begun = await c.world.regenerate(c.items[3].wire_id, conversation_id=c.id, model=HAND)
    call = await c.world.hand.next()
    assert call.prompts == ["user:u1", "assistant:re: u1", "user:u2"]
    call.answer("another")
    answer = await c.world.ended(begun)
    assert place(answer)["parent"] == c.items[2].wire_id
    assert place(answer)["inputs"] == []
    assert c.world.rows("SELECT COUNT(*) FROM items") == [(before[0][0] + 1,)]
    assert await c.world.said(c.id) == ["u1", "re: u1", "u2", "another"]
    names = await c.world.branches(c.id)
    assert len(names) == 2
    assert await c.world.said(c.id, branch_id=names["main"]) == PATH
    siblings = await c.world.application.branches.siblings(c.world.who, c.id, c.items[3].wire_id, 10)
    assert sorted(text_of(item.body()) for item in siblings) == ["another", "re: u2"]


async def test_rule_4_a_regenerated_answer_can_be_regenerated_and_all_are_siblings(c: C) -> None:
    texts = ["re: u2"]
    wire = c.items[3].wire_id
    for number in range(4):
        begun = await c.world.regenerate(wire, conversation_id=c.id, model=HAND)
        (await c.world.hand.next()).answer(f"again {number}")
        texts.append(f"again {number}")
        answer = await c.world.ended(begun)
        wire = ids.MESSAGE + answer.outputs[0].id
    siblings = await c.world.application.branches.siblings(c.world.who, c.id, c.items[3].wire_id, 10)
    assert sorted(text_of(item.body()) for item in siblings) == sorted(texts)
    assert await c.world.said(c.id) == ["u1", "re: u1", "u2", "again 3"]


@pytest.mark.parametrize("index", [0, 2])
async def test_rule_4_an_edit_is_a_sibling_on_a_new_active_branch_and_its_answer_follows(
    c: C, index: int
) -> None:
    answer = await c.world.ended(await c.world.edit(c.items[index].wire_id, "edited", conversation_id=c.id))
    assert await c.world.said(c.id) == [*PATH[:index], "edited", "re: edited"]
    assert place(answer)["parent"] == (c.items[index - 1].wire_id if index else None)
    names = await c.world.branches(c.id)
    assert len(names) == 2
    assert await c.world.said(c.id, branch_id=names["main"]) == PATH
    siblings = await c.world.application.branches.siblings(c.world.who, c.id, c.items[index].wire_id, 10)
    assert sorted(text_of(item.body()) for item in siblings) == sorted([PATH[index], "edited"])
    assert tree_problems(c.world.directory, at_rest=True) == []


async def test_rule_4_a_fan_out_puts_the_question_once_and_the_first_run_claims_main(c: C) -> None:
    before = c.world.rows("SELECT COUNT(*) FROM items")[0][0]
    models = [HAND, "hand/second", "hand/second"]
    begun = await c.world.fan_out("u3", models, conversation_id=c.id)
    for number in range(3):
        call = await c.world.hand.next()
        assert call.prompts[-1] == "user:u3"
        call.answer(f"a3 {number}")
    answers = [await c.world.ended(one) for one in begun]
    assert c.world.rows("SELECT COUNT(*) FROM items") == [(before + 4,)]
    names = await c.world.branches(c.id)
    assert set(names) == {"main", "hand/second", "hand/second-2"}
    branches = [ids.BRANCH + (answer.run.branch_id or "") for answer in answers]
    assert branches == [names[name] for name in ("main", "hand/second", "hand/second-2")]
    assert await c.world.said(c.id) == [*PATH, "u3", "a3 0"]
    for number, name in enumerate(("main", "hand/second", "hand/second-2")):
        assert await c.world.said(c.id, branch_id=names[name]) == [*PATH, "u3", f"a3 {number}"]
    item = ids.MESSAGE + answers[1].outputs[0].id
    siblings = await c.world.application.branches.siblings(c.world.who, c.id, item, 10)
    assert sorted(text_of(one.body()) for one in siblings) == ["a3 0", "a3 1", "a3 2"]


async def test_rule_4_every_line_a_person_saw_keeps_a_name(c: C) -> None:
    """Heads move to descendants only: after edits, regenerations and turns all old lines are still listed."""
    lines = [PATH]
    await c.world.ended(await c.world.edit(c.items[0].wire_id, "x1", conversation_id=c.id))
    lines.append(await c.world.said(c.id))
    await c.world.turn("x2", conversation_id=c.id)
    lines[-1] = await c.world.said(c.id)
    await c.world.ended(await c.world.regenerate(c.items[1].wire_id, conversation_id=c.id))
    lines.append(await c.world.said(c.id))
    found = [await c.world.said(c.id, branch_id=wire) for wire in (await c.world.branches(c.id)).values()]
    assert sorted(found) == sorted(lines)


# --- 5. activate


async def test_rule_5_activating_changes_the_view_and_the_next_turn_but_no_running_one(c: C) -> None:
    begun = await c.world.begin("u3", conversation_id=c.id, model=HAND)
    call = await c.world.hand.next()
    create = c.world.application.branches.create
    _, side = await create(c.world.who, c.id, name="side", item_id=c.items[1].wire_id, activate=False)
    await c.world.application.branches.activate(c.world.who, c.id, ids.BRANCH + side.id)
    assert await c.world.said(c.id) == ["u1", "re: u1"]
    call.answer("a3")
    await c.world.ended(begun)
    assert await c.world.said(c.id) == ["u1", "re: u1"]
    await c.world.turn("s2", conversation_id=c.id)
    assert await c.world.said(c.id) == ["u1", "re: u1", "s2", "re: s2"]
    main = (await c.world.branches(c.id))["main"]
    assert await c.world.said(c.id, branch_id=main) == [*PATH, "u3", "a3"]


async def test_rule_4_the_branch_of_an_edit_that_was_never_answered_still_names_the_item_it_points_to(
    c: C,
) -> None:
    await c.world.ended(await c.world.edit(c.items[2].wire_id, "edited", conversation_id=c.id, model=BROKEN))
    branches = c.world.application.branches
    _, branch = await branches.get(c.world.who, c.id, await c.world.active(c.id))
    assert branch.head.depth == 1
    assert branch.head.item_id == c.items[1].id
