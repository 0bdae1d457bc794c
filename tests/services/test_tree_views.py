"""The live feed of a conversation and the table of calls (core_spec §7)."""

from __future__ import annotations

import pytest

from antiphon.domain import ids
from antiphon.domain.errors import InvalidRequest, NotFound
from antiphon.domain.inputs import parse_input
from antiphon.domain.items import text_of
from tests.services.specified import C
from tests.services.world import another_person, say

# --- 9. the live feed


async def test_rule_9_every_write_adds_exactly_one_change_and_the_revision_counts_them(c: C) -> None:
    services, who = c.world.application, c.world.who
    revision = (await services.conversations.get(who, c.id)).revision
    expected = revision

    async def step(writes: int = 1) -> None:
        nonlocal expected
        expected += writes
        assert (await services.conversations.get(who, c.id)).revision == expected

    await services.conversations.add_items(who, c.id, parse_input([say("m")]))
    await step()
    await services.conversations.update(who, c.id, title="t", metadata=None)
    await step()
    _, branch = await services.branches.create(who, c.id, name="b", item_id=None, activate=False)
    await step()
    await services.branches.rename(who, c.id, ids.BRANCH + branch.id, "bb")
    await step()
    await services.branches.activate(who, c.id, ids.BRANCH + branch.id)
    await step()
    await services.branches.delete(who, c.id, (await c.world.branches(c.id))["main"])
    await step()
    await services.conversations.hide_item(who, c.id, c.items[0].wire_id)
    await step()
    await c.world.turn("u3", conversation_id=c.id)
    await step(2)  # began, ended
    changes = await services.conversations.changes(who, c.id, after=revision, limit=100)
    assert [one.revision for one in changes] == list(range(revision + 1, expected + 1))


# --- the table of calls


async def test_call_an_item_beside_the_path_is_found_by_its_id(c: C) -> None:
    beside = await c.world.turn("u5", previous_response_id=c.r1)
    (wire,) = beside.run.request["input_item_ids"]
    assert text_of((await c.world.application.conversations.item(c.world.who, c.id, wire)).body()) == "u5"


async def test_call_a_response_shows_its_own_output_and_its_own_input(c: C) -> None:
    second = await c.world.application.answers.get(c.world.who, c.r2)
    assert [out.payload["content"][0]["text"] for out in second.outputs] == ["re: u2"]
    page = await c.world.application.answers.input_items(
        c.world.who, c.r2, after=None, limit=10, descending=False
    )
    assert [text_of(item.body()) for item in page.data] == ["u2"]


async def test_call_the_tree_shows_segments_with_counts_and_previews_by_page(c: C) -> None:
    await c.world.turn("u5", previous_response_id=c.r1)
    await c.world.ended(await c.world.regenerate(c.items[3].wire_id, conversation_id=c.id))
    tree = c.world.application.branches.tree
    seen: list[int] = []
    after = None
    while True:
        _, page = await tree(c.world.who, c.id, after=after, limit=1)
        seen += [summary.count for summary in page.data]
        if not page.has_more:
            break
        after = ids.SEGMENT + page.data[-1].segment.id
    assert sorted(seen) == [1, 2, 4]


async def test_call_another_persons_conversation_item_branch_and_response_do_not_exist(c: C) -> None:
    stranger = await another_person(c.world)
    services = c.world.application
    main = (await c.world.branches(c.id))["main"]
    for asking in (
        services.conversations.get(stranger, c.id),
        services.conversations.item(stranger, c.id, c.items[0].wire_id),
        services.branches.get(stranger, c.id, main),
        services.branches.fork(stranger, c.id, item_id=None, title=None),
        services.answers.get(stranger, c.r1),
        services.answers.delete(stranger, c.r1),
        services.answers.follow(stranger, c.r1),
        c.world.begin("x", who=stranger, conversation_id=c.id),
    ):
        with pytest.raises(NotFound):
            await asking
    with pytest.raises(InvalidRequest):
        await c.world.begin("x", who=stranger, previous_response_id=c.r1)
