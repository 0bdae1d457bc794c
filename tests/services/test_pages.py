"""Pages of a path: stable, without gap or double, refilled, and honest about their end."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.domain import ids
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.inputs import parse_input
from antiphon.domain.items import Item, text_of
from antiphon.services.paging import Page
from tests.services.world import World, say


async def long(world: World, count: int) -> str:
    """A conversation of so many items."""
    conversation = await world.conversation()
    add = world.application.conversations.add_items
    for first in range(0, count, 20):
        texts = [say(f"i{n}") for n in range(first, min(first + 20, count))]
        await add(world.who, conversation, parse_input(texts))
    return conversation


async def page(world: World, conversation: str, **fields: Any) -> Page[Item]:
    asked = {"branch_id": None, "after": None, "limit": 10, "descending": True, **fields}
    return await world.application.conversations.items(world.who, conversation, **asked)


def texts(found: Page[Item]) -> list[str]:
    return [text_of(item.body()) for item in found.data]


async def walk(world: World, conversation: str, **fields: Any) -> list[str]:
    seen: list[str] = []
    after = None
    while True:
        found = await page(world, conversation, after=after, **fields)
        assert found.data or not found.has_more, "an empty page that says there is more cannot be left"
        seen += texts(found)
        if not found.has_more:
            return seen
        after = found.data[-1].wire_id


async def hide(world: World, conversation: str, *numbers: int) -> None:
    path = {text_of(item.body()): item for item in await world.path(conversation)}
    for number in numbers:
        await world.application.conversations.hide_item(world.who, conversation, path[f"i{number}"].wire_id)


@pytest.mark.parametrize("limit", [1, 7, 10, 100])
@pytest.mark.parametrize("descending", [True, False])
async def test_pages_join_without_gap_or_double(world: World, limit: int, descending: bool) -> None:
    conversation = await long(world, 30)
    wanted = [f"i{n}" for n in range(30)]
    assert (
        await walk(world, conversation, limit=limit, descending=descending)
        == wanted[:: -1 if descending else 1]
    )


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11])
@pytest.mark.parametrize("descending", [True, False])
async def test_a_page_says_whether_more_follows(world: World, count: int, descending: bool) -> None:
    conversation = await long(world, count)
    found = await page(world, conversation, descending=descending)
    assert len(found.data) == min(count, 10)
    assert found.has_more == (count > 10)


@pytest.mark.parametrize("descending", [True, False])
async def test_hidden_items_are_skipped_and_the_page_is_filled_up(world: World, descending: bool) -> None:
    conversation = await long(world, 40)
    hidden = {*range(3, 9), *range(15, 36), 39}
    await hide(world, conversation, *hidden)
    wanted = [f"i{n}" for n in range(40) if n not in hidden]
    found = await page(world, conversation, limit=8, descending=descending)
    assert len(found.data) == 8 and found.has_more
    for limit in (1, 3, 8, 50):
        seen = await walk(world, conversation, limit=limit, descending=descending)
        assert seen == wanted[:: -1 if descending else 1]


@pytest.mark.parametrize("descending", [True, False])
async def test_if_everything_behind_a_page_is_hidden_nothing_more_is_promised(
    world: World, descending: bool
) -> None:
    conversation = await long(world, 20)
    await hide(world, conversation, *(range(10) if descending else range(10, 20)))
    found = await page(world, conversation, descending=descending)
    assert len(found.data) == 10 and not found.has_more


@pytest.mark.parametrize("descending", [True, False])
async def test_a_desert_of_hidden_items_is_crossed(world: World, descending: bool) -> None:
    conversation = await long(world, 160)
    await hide(world, conversation, *range(1, 159))
    wanted = ["i0", "i159"]
    assert (
        await walk(world, conversation, limit=1, descending=descending) == wanted[:: -1 if descending else 1]
    )


async def test_descending_pages_are_stable_while_branches_are_switched(world: World) -> None:
    conversation = await long(world, 30)
    first = await page(world, conversation)
    path = await world.path(conversation)
    await world.ended(await world.edit(path[5].wire_id, "other", conversation_id=conversation))
    assert len(await world.said(conversation)) == 7, "another branch is active now"
    second = await page(world, conversation, after=first.data[-1].wire_id)
    assert texts(second) == [f"i{n}" for n in range(19, 9, -1)]


async def test_descending_from_any_item_lists_its_own_ancestors(world: World) -> None:
    conversation = await long(world, 10)
    path = await world.path(conversation)
    answer = await world.ended(await world.edit(path[4].wire_id, "other", conversation_id=conversation))
    found = await page(world, conversation, after=ids.MESSAGE + answer.outputs[0].id)
    assert texts(found) == ["other", "i3", "i2", "i1", "i0"]
    found = await page(world, conversation, after=path[7].wire_id)
    assert texts(found) == [f"i{n}" for n in range(6, -1, -1)]


async def test_ascending_from_an_item_beside_the_listed_path_is_an_invalid_cursor(world: World) -> None:
    conversation = await long(world, 10)
    path = await world.path(conversation)
    main = await world.active(conversation)
    await world.ended(await world.edit(path[4].wire_id, "other", conversation_id=conversation))
    with pytest.raises(InvalidRequest) as refused:
        await page(world, conversation, after=path[7].wire_id, descending=False)
    assert (refused.value.code, refused.value.param) == ("invalid_cursor", "after")
    found = await page(world, conversation, after=path[7].wire_id, descending=False, branch_id=main)
    assert texts(found) == ["i8", "i9"]
    found = await page(world, conversation, after=path[2].wire_id, descending=False)
    assert texts(found) == ["i3", "other", "re: other"]


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("after", ["msg_" + "0" * 32, "nonsense", "", "conv_" + "1" * 32])
async def test_a_cursor_that_is_no_item_of_the_conversation_is_invalid(
    world: World, after: str, descending: bool
) -> None:
    conversation = await long(world, 3)
    other = await long(world, 3)
    foreign = (await world.path(other))[0].wire_id
    for cursor in (after, foreign):
        with pytest.raises(InvalidRequest) as refused:
            await page(world, conversation, after=cursor, descending=descending)
        assert refused.value.code == "invalid_cursor"


async def test_a_hidden_item_is_still_a_cursor(world: World) -> None:
    conversation = await long(world, 10)
    path = await world.path(conversation)
    await hide(world, conversation, 5)
    for descending, wanted in (
        (True, [f"i{n}" for n in range(4, -1, -1)]),
        (False, [f"i{n}" for n in range(6, 10)]),
    ):
        found = await page(world, conversation, after=path[5].wire_id, descending=descending)
        assert texts(found) == wanted


@pytest.mark.parametrize("descending", [True, False])
async def test_an_edited_root_is_a_path_of_its_own(world: World, descending: bool) -> None:
    conversation = await long(world, 5)
    path = await world.path(conversation)
    await world.ended(await world.edit(path[0].wire_id, "root", conversation_id=conversation))
    wanted = ["root", "re: root"]
    assert (
        await walk(world, conversation, limit=1, descending=descending) == wanted[:: -1 if descending else 1]
    )
    with pytest.raises(InvalidRequest):
        await page(world, conversation, after=path[3].wire_id, descending=False)
    first, *_ = await world.path(conversation)
    assert texts(await page(world, conversation, after=first.wire_id)) == []


@pytest.mark.parametrize("limit", [1, 4, 100])
async def test_pages_cross_a_comb_of_regenerated_turns(world: World, limit: int) -> None:
    conversation = await world.conversation()
    wanted = []
    for number in range(8):
        answer = await world.turn(f"u{number}", conversation_id=conversation)
        item = ids.MESSAGE + answer.outputs[0].id
        await world.ended(await world.regenerate(item, conversation_id=conversation))
        wanted += [f"u{number}", f"re: u{number}"]
    for descending in (True, False):
        seen = await walk(world, conversation, limit=limit, descending=descending)
        assert seen == wanted[:: -1 if descending else 1]


async def test_pages_of_conversations_go_on_after_their_cursor_was_deleted(world: World) -> None:
    """A program that deletes what it lists must reach the end."""
    made = [await world.conversation() for _ in range(5)]
    seen = []
    after = None
    while True:
        found = await world.application.conversations.page(world.who, after=after, limit=2, descending=True)
        for one in found.data:
            seen.append(ids.CONVERSATION + one.id)
            await world.application.conversations.delete(world.who, seen[-1])
        if not found.has_more:
            break
        after = seen[-1]
    assert sorted(seen) == sorted(made)


async def test_pages_of_branches_go_on_after_their_cursor_was_deleted(world: World) -> None:
    conversation = await world.conversation("u0")
    services = world.application.branches
    for number in range(5):
        await services.create(world.who, conversation, name=f"b{number}", item_id=None, activate=False)
    active = await world.active(conversation)
    seen: list[str] = []
    after = None
    while True:
        _, found = await services.page(world.who, conversation, after=after, limit=2)
        for one in found.data:
            seen.append(ids.BRANCH + one.id)
            if seen[-1] != active:
                await services.delete(world.who, conversation, seen[-1])
        if not found.has_more:
            break
        after = seen[-1]
    assert len(set(seen)) == 6
