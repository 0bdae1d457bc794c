"""Forks (core_spec §7 rules 6 and 7) and what deleting does."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.domain import ids
from antiphon.domain.errors import InvalidRequest, NotFound
from antiphon.domain.inputs import parse_input
from antiphon.domain.items import text_of
from tests.services.hand import HAND
from tests.services.specified import PATH, C
from tests.services.tree_rules import tree_problems
from tests.services.world import World, say


async def fork_of(c: C, item_id: str | None = None) -> str:
    made = await c.world.application.branches.fork(c.world.who, c.id, item_id=item_id, title=None)
    return ids.CONVERSATION + made.id


# --- 6. forks


async def test_rule_6_a_fork_shares_its_base_path_and_copies_nothing(c: C) -> None:
    before = c.world.rows("SELECT COUNT(*) FROM items")
    fork = await fork_of(c, c.items[1].wire_id)
    assert c.world.rows("SELECT COUNT(*) FROM items") == before
    assert await c.world.said(fork) == ["u1", "re: u1"]
    assert [item.id for item in await c.world.path(fork)] == [item.id for item in c.items[:2]]


@pytest.mark.parametrize("index", range(4))
async def test_rule_6_a_fork_goes_on_by_itself_and_never_grows_its_origin(c: C, index: int) -> None:
    fork = await fork_of(c, c.items[index].wire_id)
    await c.world.turn("f1", conversation_id=fork)
    await c.world.application.conversations.add_items(c.world.who, fork, parse_input([say("f2")]))
    await c.world.turn("u3", conversation_id=c.id)
    assert await c.world.said(fork) == [*PATH[: index + 1], "f1", "re: f1", "f2"]
    assert await c.world.said(c.id) == [*PATH, "u3", "re: u3"]
    (owners,) = c.world.rows(
        "SELECT COUNT(DISTINCT s.conversation_id) FROM segments s JOIN items i ON i.segment_id=s.id"
    )
    assert owners == (2,)
    assert tree_problems(c.world.directory, at_rest=True) == []


async def test_rule_6_a_fork_of_a_fork_shares_both_paths(c: C) -> None:
    fork = await fork_of(c, c.items[1].wire_id)
    await c.world.turn("f1", conversation_id=fork)
    made = await c.world.application.branches.fork(c.world.who, fork, item_id=None, title=None)
    again = ids.CONVERSATION + made.id
    await c.world.turn("g1", conversation_id=again)
    assert await c.world.said(again) == ["u1", "re: u1", "f1", "re: f1", "g1", "re: g1"]
    assert tree_problems(c.world.directory, at_rest=True) == []


async def test_rule_6_a_fork_of_an_empty_conversation_is_empty_and_goes_on(world: World) -> None:
    empty = await world.conversation()
    made = await world.application.branches.fork(world.who, empty, item_id=None, title=None)
    fork = ids.CONVERSATION + made.id
    await world.turn("f1", conversation_id=fork)
    assert await world.said(fork) == ["f1", "re: f1"]
    assert await world.said(empty) == []


async def test_rule_6_deleting_the_origin_harms_no_fork(c: C) -> None:
    fork = await fork_of(c)
    await c.world.application.conversations.delete(c.world.who, c.id)
    assert await c.world.said(fork) == PATH
    await c.world.turn("f1", conversation_id=fork)
    assert await c.world.said(fork) == [*PATH, "f1", "re: f1"]
    await c.world.ended(await c.world.regenerate(c.items[1].wire_id, conversation_id=fork))
    assert await c.world.said(fork) == ["u1", "re: u1"]


async def test_rule_6_deleting_a_fork_harms_no_origin(c: C) -> None:
    fork = await fork_of(c)
    await c.world.turn("f1", conversation_id=fork)
    await c.world.application.conversations.delete(c.world.who, fork)
    assert await c.world.said(c.id) == PATH


async def test_rule_6_alternatives_of_the_first_item_of_a_fork_are_found_together(c: C) -> None:
    fork = await fork_of(c, c.items[1].wire_id)
    await c.world.turn("f1", conversation_id=fork)
    item = (await c.world.path(fork))[2]
    await c.world.ended(await c.world.edit(item.wire_id, "f1 edited", conversation_id=fork))
    siblings = await c.world.application.branches.siblings(c.world.who, fork, item.wire_id, 10)
    assert [text_of(one.body()) for one in siblings] == ["f1", "f1 edited"]


async def test_rule_6_two_that_append_to_a_fresh_fork_become_siblings(c: C) -> None:
    fork = await fork_of(c, c.items[1].wire_id)
    begun = [await c.world.begin(f"f{n}", conversation_id=fork, model=HAND) for n in range(2)]
    for _ in begun:
        (await c.world.hand.next()).answer("ok")
    for one in begun:
        await c.world.ended(one)
    item = (await c.world.path(fork))[2]
    siblings = await c.world.application.branches.siblings(c.world.who, fork, item.wire_id, 10)
    assert sorted(text_of(one.body()) for one in siblings) == ["f0", "f1"]


async def test_rule_6_a_turn_and_a_post_on_a_fresh_fork_are_siblings_too(c: C) -> None:
    fork = await fork_of(c, c.items[1].wire_id)
    begun = await c.world.begin("asked", conversation_id=fork, model=HAND)
    (posted,) = await c.world.application.conversations.add_items(
        c.world.who, fork, parse_input([say("posted")])
    )
    (await c.world.hand.next()).answer("ok")
    await c.world.ended(begun)
    siblings = await c.world.application.branches.siblings(c.world.who, fork, posted.wire_id, 10)
    assert sorted(text_of(one.body()) for one in siblings) == ["asked", "posted"]


async def test_rule_6_what_is_posted_to_a_fork_of_a_question_can_be_edited(c: C) -> None:
    """The base is a run's input, so the post opens a segment behind the fork's own empty one."""
    fork = await fork_of(c, c.items[2].wire_id)
    add = c.world.application.conversations.add_items
    (posted,) = await add(c.world.who, fork, parse_input([say("posted", role="assistant")]))
    made = await c.world.application.alternatives.edit_only(
        c.world.who, fork, posted.wire_id, parse_input([say("other", role="assistant")])
    )
    siblings = await c.world.application.branches.siblings(c.world.who, fork, posted.wire_id, 10)
    assert sorted(one.id for one in siblings) == sorted([posted.id, made[0].id])
    answer = await c.world.ended(await c.world.regenerate(posted.wire_id, conversation_id=fork))
    assert answer.run.request["parent_id"] == c.items[2].wire_id, (
        "it takes the place of what was written by hand"
    )
    assert tree_problems(c.world.directory, at_rest=True) == []


# --- 7. what belongs to a conversation


async def test_rule_7_a_path_belongs_by_its_own_segments_or_its_base_path_and_by_nothing_else(c: C) -> None:
    item = c.world.application.conversations.item
    beside = await c.world.turn("u5", previous_response_id=c.r1)
    (u5,) = beside.run.request["input_item_ids"]
    fork = await fork_of(c, c.items[1].wire_id)
    await c.world.turn("f1", conversation_id=fork)
    f1 = (await c.world.path(fork))[2].wire_id
    for wire in (c.items[0].wire_id, c.items[1].wire_id, f1):
        assert await item(c.world.who, fork, wire)
    for conversation, wire in ((fork, c.items[2].wire_id), (fork, u5), (c.id, f1)):
        with pytest.raises(NotFound):
            await item(c.world.who, conversation, wire)


async def test_rule_7_neither_edits_nor_branches_nor_forks_reach_into_another_conversation(c: C) -> None:
    other = await c.world.conversation("elsewhere")
    (item,) = await c.world.path(other)
    services = c.world.application
    main = (await c.world.branches(other))["main"]
    for asking in (
        services.branches.create(c.world.who, c.id, name=None, item_id=item.wire_id, activate=False),
        services.branches.fork(c.world.who, c.id, item_id=item.wire_id, title=None),
        services.branches.activate(c.world.who, c.id, main),
        services.branches.rename(c.world.who, c.id, main, "stolen"),
        services.branches.delete(c.world.who, c.id, main),
        services.branches.compare(c.world.who, c.id, main, main, limit=5),
        services.conversations.hide_item(c.world.who, c.id, item.wire_id),
        c.world.edit(item.wire_id, "x", conversation_id=c.id),
        c.world.regenerate(item.wire_id, conversation_id=c.id),
        c.world.begin("x", conversation_id=c.id, branch_id=main),
        c.world.begin("x", conversation_id=c.id, parent_item_id=item.wire_id),
    ):
        with pytest.raises(NotFound):
            await asking


# --- deleting an item


async def test_deleting_an_item_hides_it_here_its_children_stay_and_skip_it(c: C) -> None:
    fork = await fork_of(c)
    await c.world.application.conversations.hide_item(c.world.who, c.id, c.items[1].wire_id)
    assert await c.world.said(c.id) == ["u1", "u2", "re: u2"]
    assert await c.world.said(fork) == PATH
    first = await c.world.application.answers.get(c.world.who, c.r1)
    assert first.outputs[0].payload["content"][0]["text"] == "re: u1"
    with pytest.raises(NotFound):
        await c.world.application.conversations.item(c.world.who, c.id, c.items[1].wire_id)
    begun = await c.world.begin("u3", conversation_id=c.id, model=HAND)
    call = await c.world.hand.next()
    assert call.prompts == ["user:u1", "user:u2", "assistant:re: u2", "user:u3"]
    call.answer("a3")
    await c.world.ended(begun)


async def test_a_fork_leaves_out_what_was_deleted_before(c: C) -> None:
    await c.world.application.conversations.hide_item(c.world.who, c.id, c.items[1].wire_id)
    fork = await fork_of(c)
    again = await c.world.application.branches.fork(c.world.who, fork, item_id=None, title=None)
    made = await c.world.application.branch_forks.create(
        c.world.who, c.id, c.items[3].wire_id, name="beside"
    )  # fmt: skip
    for one in (fork, ids.CONVERSATION + again.id, ids.CONVERSATION + made.fork.id):
        assert await c.world.said(one) == ["u1", "u2", "re: u2"]
        with pytest.raises(NotFound):
            await c.world.application.conversations.item(c.world.who, one, c.items[1].wire_id)


async def test_a_deleted_item_is_shown_by_no_view_of_its_conversation(c: C) -> None:
    """Neither in the tree's previews, nor among alternatives, nor in a comparison."""
    await c.world.ended(await c.world.regenerate(c.items[3].wire_id, conversation_id=c.id))
    services, who = c.world.application, c.world.who
    await services.conversations.hide_item(who, c.id, c.items[3].wire_id)
    names = list((await c.world.branches(c.id)).values())
    comparison = await services.branches.compare(who, c.id, names[0], names[1], limit=10)
    shown = [item.id for item in (*comparison.left, *comparison.right)]
    siblings = await services.branches.siblings(who, c.id, c.items[2].wire_id, 10)
    shown += [item.id for item in siblings]
    (other,) = [item for item in await c.world.path(c.id) if item.depth == 3]
    shown += [item.id for item in await services.branches.siblings(who, c.id, other.wire_id, 10)]
    _, page = await services.branches.tree(who, c.id, after=None, limit=10)
    for summary in page.data:
        shown += [item.id for item in (summary.first_item, summary.last_item) if item is not None]
    assert c.items[3].id not in shown


# --- deleting a branch


async def test_deleting_a_branch_removes_the_pointer_and_the_active_or_last_one_is_refused(c: C) -> None:
    services, who = c.world.application, c.world.who
    main = (await c.world.branches(c.id))["main"]
    with pytest.raises(InvalidRequest):
        await services.branches.delete(who, c.id, main)
    await c.world.ended(await c.world.regenerate(c.items[3].wire_id, conversation_id=c.id))
    await services.branches.delete(who, c.id, main)
    assert len(await c.world.branches(c.id)) == 1
    assert await services.conversations.item(who, c.id, c.items[3].wire_id)
    last = await c.world.active(c.id)
    with pytest.raises(InvalidRequest):
        await services.branches.delete(who, c.id, last)


# --- deleting a response


async def test_deleting_a_response_cancels_it_and_then_it_is_gone(c: C) -> None:
    begun = await c.world.begin("u3", conversation_id=c.id, model=HAND)
    call = await c.world.hand.next()
    await c.world.application.answers.delete(c.world.who, ids.RESPONSE + begun.run_id)
    assert call.closed.is_set()
    with pytest.raises(NotFound):
        await c.world.answer(begun.run_id)
    with pytest.raises(NotFound):
        await c.world.application.answers.delete(c.world.who, ids.RESPONSE + begun.run_id)
    assert tree_problems(c.world.directory, at_rest=True) == []


async def test_deleting_a_response_of_an_implicit_conversation_takes_its_items_unless_continued(
    world: World,
) -> None:
    lonely = await world.turn("alone")
    continued = await world.turn("first")
    await world.turn("second", previous_response_id=ids.RESPONSE + continued.run.id)
    for answer in (lonely, continued):
        await world.application.answers.delete(world.who, ids.RESPONSE + answer.run.id)
    assert await world.said(ids.CONVERSATION + (continued.run.conversation_id or "")) == [
        "first", "re: first", "second", "re: second",
    ]  # fmt: skip
    with pytest.raises(NotFound):
        await world.said(ids.CONVERSATION + (lonely.run.conversation_id or ""))


async def test_deleting_a_response_of_an_explicit_conversation_leaves_its_items(c: C) -> None:
    await c.world.application.answers.delete(c.world.who, c.r2)
    assert await c.world.said(c.id) == PATH
    begun = await c.world.begin("u3", conversation_id=c.id)
    await c.world.ended(begun)
    answer = await c.world.ended(await c.world.regenerate(c.items[3].wire_id, conversation_id=c.id))
    assert answer.run.request["parent_id"] == c.items[2].wire_id


# --- deleting a conversation


async def test_deleting_a_conversation_is_seen_at_once_and_its_items_stay_reachable_by_responses(
    c: C,
) -> None:
    await c.world.application.conversations.delete(c.world.who, c.id)
    for asking in (
        c.world.said(c.id),
        c.world.branches(c.id),
        c.world.begin("u3", conversation_id=c.id),
        c.world.application.conversations.delete(c.world.who, c.id),
    ):
        with pytest.raises(NotFound):
            await asking
    second = await c.world.application.answers.get(c.world.who, c.r2)
    assert second.outputs[0].payload["content"][0]["text"] == "re: u2"
    begun = await c.world.begin("u3", previous_response_id=c.r2, model=HAND)
    call = await c.world.hand.next()
    assert len(call.prompts) == 5
    call.answer("a3")
    assert (await c.world.ended(begun)).run.state == "completed"


async def test_deleting_a_conversation_lets_a_running_turn_end_and_its_response_be_read(c: C) -> None:
    begun = await c.world.begin("u3", conversation_id=c.id, model=HAND)
    call = await c.world.hand.next()
    deleting = asyncio.create_task(c.world.application.conversations.delete(c.world.who, c.id))
    await deleting
    call.answer("a3")
    assert (await c.world.ended(begun)).run.state == "completed"


async def test_purging_a_conversation_cancels_its_turns_and_erases_what_no_fork_shares(c: C) -> None:
    fork = await fork_of(c, c.items[1].wire_id)
    begun = await c.world.begin("u3", conversation_id=c.id, model=HAND)
    await c.world.hand.next()
    await c.world.application.conversations.delete(c.world.who, c.id, purge=True)
    await c.world.wait(begun)
    assert await c.world.said(fork) == ["u1", "re: u1"]
    assert c.world.rows("SELECT COUNT(*) FROM items") == [(2,)]
