"""A fork by somebody else is a copy (core_spec §7.6): equal to see, and nothing hangs on the origin."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.errors import Conflict, InvalidRequest, NotFound, StorageFull
from antiphon.domain.inputs import parse_input
from antiphon.domain.items import Item, text_of
from antiphon.ports import sharing_writes as sw
from antiphon.ports import write_sets as ws
from antiphon.services.copies import PAGE
from antiphon.services.idempotency import Key
from antiphon.services.turn_plans import TurnRequest
from tests.services.hand import ECHO, HAND
from tests.services.tree_rules import tree_problems
from tests.services.world import World, another_person, say

STEPS = 12


def seen(items: Sequence[Item]) -> list[tuple[Any, ...]]:
    """What a reader sees of items, ids left out."""
    return [(i.type, i.role, i.status, i.payload, i.token_count, i.author_id, i.created_us) for i in items]


async def path(world: World, who: Principal, conversation_id: str, **fields: Any) -> list[Item]:
    found: list[Item] = []
    after = None
    while True:
        page = await world.application.conversations.items(
            who, conversation_id,
            **{"branch_id": None, "after": after, "limit": 100, "descending": False, **fields},
        )  # fmt: skip
        found += page.data
        if not page.has_more:
            return found
        after = page.data[-1].wire_id


async def fork(world: World, who: Principal, conversation_id: str, item_id: str | None = None) -> str:
    made = await world.application.branches.fork(who, conversation_id, item_id=item_id, title=None)
    return ids.CONVERSATION + made.id


async def member(world: World, conversation_id: str, name: str = "reader") -> Principal:
    person = await another_person(world, name)
    await world.application.members.add(world.who, conversation_id, name, "viewer")
    return person


async def grow(world: World, dice: random.Random, conversation: str) -> None:
    """One step of somebody who talks, edits, asks again, deletes and moves about."""
    services, who = world.application, world.who
    shown = await world.path(conversation)
    match dice.choice(("turn", "turn", "items", "edit", "again", "hide", "branch")) if shown else "turn":
        case "turn":
            await world.turn(f"q{dice.random()}", conversation_id=conversation)
        case "items":
            texts = [say(f"m{dice.random()}") for _ in range(dice.randint(1, 4))]
            await services.conversations.add_items(who, conversation, parse_input(texts))
        case "edit":
            questions = [item for item in shown if item.role == "user"]
            if questions:
                item = dice.choice(questions).wire_id
                await world.ended(await world.edit(item, f"e{dice.random()}", conversation_id=conversation))
        case "again":
            item = dice.choice(shown).wire_id
            with suppress(InvalidRequest):  # with its question deleted nothing may be left to answer
                await world.ended(await world.regenerate(item, conversation_id=conversation))
        case "hide":
            await services.conversations.hide_item(who, conversation, dice.choice(shown).wire_id)
        case "branch":
            item = dice.choice(shown).wire_id
            await services.branches.create(who, conversation, name=None, item_id=item, activate=True)


@pytest.mark.parametrize("seed", range(12))
async def test_a_copy_shows_what_its_origin_shows_and_goes_on_without_it(world: World, seed: int) -> None:
    dice = random.Random(seed)
    origin = await world.conversation("u0")
    if seed % 3 == 0:  # an origin that is itself a fork and lies on another's base
        origin = await fork(world, world.who, origin)
    for _ in range(STEPS):
        await grow(world, dice, origin)
    reader = await member(world, origin)
    shown = await path(world, reader, origin)
    at = dice.choice([None, *(item.wire_id for item in shown)])
    expected = shown if at is None else shown[: [item.wire_id for item in shown].index(at) + 1]
    before = await path(world, world.who, origin)

    copy = await fork(world, reader, origin, at)
    copied = await path(world, reader, copy)
    assert seen(copied) == seen(expected)
    assert not {item.id for item in copied} & {item.id for item in expected}
    assert seen(await path(world, world.who, origin)) == seen(before)
    assert world.rows(
        "SELECT DISTINCT i.owner_id,i.slot,i.run_id FROM items i JOIN segments s ON s.id=i.segment_id"
        " WHERE s.conversation_id=?", copy.removeprefix(ids.CONVERSATION),
    ) in ([], [(reader.account_id, reader.slot, None)])  # fmt: skip
    assert all(ids.slot_of(item.id) == reader.slot for item in copied)

    await world.application.conversations.delete(world.who, origin)
    assert seen(await path(world, reader, copy)) == seen(expected)
    begun = await world.begin("on", who=reader, conversation_id=copy)
    await world.wait(begun)
    assert [text_of(item.body()) for item in await path(world, reader, copy)][-2:] == ["on", "re: on"]
    assert tree_problems(world.directory, at_rest=True) == []


async def test_deleting_the_copy_harms_no_origin(world: World) -> None:
    origin = await world.conversation("u1", "u2")
    reader = await member(world, origin)
    copy = await fork(world, reader, origin)
    await world.application.conversations.delete(reader, copy)
    assert await world.said(origin) == ["u1", "u2"]


async def test_a_copy_keeps_its_images_when_the_origin_is_purged(world: World) -> None:
    url = "data:image/png;base64," + "QUJD" * 40_000
    image = {"role": "user", "content": [{"type": "input_image", "image_url": url, "detail": "auto"}]}
    origin = await world.conversation()
    await world.application.conversations.add_items(world.who, origin, parse_input([image]))
    reader = await member(world, origin)
    copy = await fork(world, reader, origin)
    _, purged = await world.application.conversations.delete(world.who, origin, purge=True)
    assert purged is not None and (purged.items, purged.blobs) == (1, 1)
    (item,) = await path(world, reader, copy)
    assert item.body()["content"][0]["image_url"] == url


async def test_an_answer_of_several_items_is_asked_for_again_in_a_copy(world: World) -> None:
    origin = await world.conversation()
    begun = await world.begin("u1", conversation_id=origin, model=HAND)
    call = await world.hand.next()
    call.say("one moment")
    call.call("two", "{}", "c2")
    call.end("tool_calls")
    await world.wait(begun)
    reader = await member(world, origin)
    copy = await fork(world, reader, origin)
    items = await path(world, reader, copy)
    assert [item.type for item in items] == ["message", "message", "function_call"]
    request = TurnRequest(surface="responses", items=(), model=ECHO, conversation_id=copy)
    again = await world.application.alternatives.regenerate(reader, items[2].wire_id, request)
    await world.wait(again)
    assert [text_of(item.body()) for item in await path(world, reader, copy)] == ["u1", "re: u1"]


async def test_a_copy_of_nothing_is_empty_and_goes_on(world: World) -> None:
    origin = await world.conversation()
    reader = await member(world, origin)
    copy = await fork(world, reader, origin)
    assert await path(world, reader, copy) == []
    await world.wait(await world.begin("u1", who=reader, conversation_id=copy))
    assert len(await path(world, reader, copy)) == 2


async def test_a_copy_is_its_makers_own_and_nobody_elses(world: World) -> None:
    origin = await world.conversation("u1")
    reader = await member(world, origin)
    copy = await fork(world, reader, origin)
    with pytest.raises(NotFound):
        await world.application.conversations.get(world.who, copy)
    found = await world.application.conversations.get(reader, copy)
    assert (found.owner_id, found.role, found.base) == (reader.account_id, None, None)
    page = await world.application.conversations.page(reader, after=None, limit=10, descending=True)
    assert [ids.CONVERSATION + one.id for one in page.data] == [copy]


async def test_the_owners_fork_still_shares(world: World) -> None:
    origin = await world.conversation("u1")
    before = world.rows("SELECT COUNT(*) FROM items")
    await fork(world, world.who, origin)
    assert world.rows("SELECT COUNT(*) FROM items") == before


async def long_origin(world: World, count: int) -> tuple[str, Principal]:
    origin = await world.conversation()
    for first in range(0, count, 20):
        items = parse_input([say(f"m{n}") for n in range(first, min(first + 20, count))])
        await world.application.conversations.add_items(world.who, origin, items)
    return origin, await member(world, origin)


async def test_a_long_path_is_copied_in_pages_and_shown_when_it_is_whole(world: World) -> None:
    origin, reader = await long_origin(world, 3 * PAGE + 7)
    sizes: list[int] = []
    shown: list[list[Any]] = []

    async def look(commands: Sequence[ws.Command]) -> None:
        items = [len(one.items) for one in commands if isinstance(one, ws.PutItems)]
        if items or any(isinstance(one, sw.RevealConversation) for one in commands):
            sizes.append(sum(items))
            page = await world.application.conversations.page(reader, after=None, limit=5, descending=True)
            shown.append(page.data)

    world.storage.unit_of_work.before = look
    copy = await fork(world, reader, origin)
    world.storage.unit_of_work.before = None
    assert sizes == [PAGE, PAGE, PAGE, 7, 0]
    assert shown == [[]] * 5
    texts = [text_of(item.body()) for item in await path(world, reader, copy)]
    assert texts == [f"m{n}" for n in range(3 * PAGE + 7)]


@pytest.mark.parametrize("fails_at", range(1, 5))
async def test_a_copy_that_breaks_off_is_never_seen(world: World, fails_at: int) -> None:
    origin, reader = await long_origin(world, 2 * PAGE)
    commits = 0

    def full(commands: Sequence[ws.Command]) -> None:
        nonlocal commits
        commits += 1
        if commits >= fails_at:
            raise StorageFull("The store cannot be written now.")

    world.storage.unit_of_work.before = full
    with pytest.raises(StorageFull):
        await fork(world, reader, origin)
    world.storage.unit_of_work.before = None
    page = await world.application.conversations.page(reader, after=None, limit=5, descending=True)
    assert page.data == []
    made = world.rows("SELECT id FROM conversations WHERE owner_id=?", reader.account_id)
    for (conversation,) in made:
        with pytest.raises(NotFound):
            await world.application.conversations.get(reader, ids.CONVERSATION + conversation)
    assert len(await path(world, reader, await fork(world, reader, origin))) == 2 * PAGE


async def test_who_is_removed_while_copying_gets_no_copy(world: World) -> None:
    origin, reader = await long_origin(world, 2 * PAGE)

    async def removed(commands: Sequence[ws.Command]) -> None:
        if any(isinstance(one, ws.PutItems) for one in commands):
            world.storage.unit_of_work.before = None
            await world.application.members.remove(world.who, origin, "reader")

    world.storage.unit_of_work.before = removed
    with pytest.raises(NotFound):
        await fork(world, reader, origin)
    page = await world.application.conversations.page(reader, after=None, limit=5, descending=True)
    assert page.data == []


async def test_two_copies_under_one_key_make_one(world: World) -> None:
    origin, reader = await long_origin(world, PAGE + 5)
    key = Key("k", b"f" * 32, lambda made: made.id.encode())
    copying = world.application.branches.fork
    done = await asyncio.gather(
        *(copying(reader, origin, item_id=None, title="mine", key=key) for _ in range(2)),
        return_exceptions=True,
    )
    (lost,) = (one for one in done if isinstance(one, Conflict))
    (made,) = (one for one in done if not isinstance(one, BaseException))
    assert (lost.message, made.title) == ("PutKey", "mine")
    assert await world.application.idempotency.finished(reader, key) == made.id.encode()
    page = await world.application.conversations.page(reader, after=None, limit=5, descending=True)
    assert [one.id for one in page.data] == [made.id]
