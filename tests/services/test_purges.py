"""Purges, retention and sweeps, one rule at a time; `test_purge_machine` has them in any order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.bootstrap import SystemClock
from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.errors import InvalidRequest, NotFound
from antiphon.domain.inputs import parse_input
from antiphon.ports import purge_writes as wp
from antiphon.ports import write_sets as ws
from antiphon.services import trimming
from antiphon.services.purges import DAY_US
from antiphon.services.trimming import GRACE_US
from tests.services.hand import HAND, until
from tests.services.specified import PATH, C
from tests.services.test_blobs import add, data_url, files, picture
from tests.services.world import World, another_person, open_world

BESIDE = {"passages": 0, "files": 0, "vector_stores": 0}
"""What else is counted: none of it belongs to a conversation."""


def count(world: World, what: str) -> int:
    ((found,),) = world.rows(f"SELECT COUNT(*) FROM {what}")
    return int(found)


async def purge(world: World, conversation: str, who: Principal | None = None) -> dict[str, int]:
    _, purged = await world.application.conversations.delete(who or world.who, conversation, purge=True)
    assert purged is not None
    return purged.counts()


async def fork(world: World, conversation: str, item: str | None = None) -> str:
    made = await world.application.branches.fork(world.who, conversation, item_id=item, title=None)
    return ids.CONVERSATION + made.id


async def later(world: World, us: int) -> dict[str, int]:
    purged = await world.application.purges.purge_expired(SystemClock().now_us() + us)
    return purged.counts()


# --- purges


async def test_another_person_cannot_purge_it(c: C) -> None:
    other = await another_person(c.world)
    with pytest.raises(NotFound):
        await purge(c.world, c.id, other)
    with pytest.raises(NotFound):
        await c.world.application.answers.delete(other, c.r2, purge=True)
    assert await c.world.said(c.id) == PATH


async def test_of_two_purges_at_once_one_finds_nothing(c: C) -> None:
    done = await asyncio.gather(*(purge(c.world, c.id) for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in done if isinstance(one, Exception)] == [NotFound] * 4
    assert {"conversations": 1, "items": 4, "responses": 2, "blobs": 0, **BESIDE} in done
    assert count(c.world, "items") == 0


async def test_purging_every_generation_of_forks_leaves_nothing_in_any_order(world: World) -> None:
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)):
        family = [await world.conversation("u1", "u2")]
        for generation in range(2):
            family.append(await fork(world, family[-1]))
            await world.turn(f"g{generation}", conversation_id=family[-1])
        for index in order[:-1]:
            await purge(world, family[index])
        said = ["u1", "u2", "g0", "re: g0", "g1", "re: g1"]
        assert await world.said(family[order[-1]]) == said[: 2 * (order[-1] + 1)]
        assert (await purge(world, family[order[-1]]))["items"] >= 2
        assert [count(world, table) for table in ("items", "segments", "conversations", "sweeps")] == [0] * 4


async def test_a_deleted_fork_that_nothing_reaches_keeps_nothing(c: C) -> None:
    inner = await fork(c.world, c.id)
    innermost = await fork(c.world, inner)
    for one in (innermost, inner):
        await c.world.application.conversations.delete(c.world.who, one)
    assert (await purge(c.world, c.id))["conversations"] == 3
    assert count(c.world, "items") == count(c.world, "conversations") == 0


async def test_a_deleted_fork_with_an_answer_keeps_what_the_answer_followed(c: C) -> None:
    forked = await fork(c.world, c.id, c.items[1].wire_id)
    answer = await c.world.turn("f1", conversation_id=forked)
    await c.world.application.conversations.delete(c.world.who, forked)
    await purge(c.world, c.id)
    begun = await c.world.begin("f2", previous_response_id=ids.RESPONSE + answer.run.id, model=HAND)
    call = await c.world.hand.next()
    assert call.prompts == ["user:u1", "assistant:re: u1", "user:f1", "assistant:re: f1", "user:f2"]
    call.answer("ok")
    await c.world.wait(begun)


@pytest.mark.parametrize("slices", range(9))
async def test_a_fork_committed_amid_a_purge_is_whole_or_not_at_all(
    world: World, monkeypatch: pytest.MonkeyPatch, slices: int
) -> None:
    """It has read its origin before the purge began, and writes after some of its slices."""
    monkeypatch.setattr(trimming, "ITEMS", 4)
    conversation = await world.conversation(*(f"u{n}" for n in range(20)))
    middle = (await world.path(conversation))[10].wire_id
    ready, now_fork, forked = asyncio.Event(), asyncio.Event(), asyncio.Event()
    left = slices

    def before(commands: Any) -> Any:
        nonlocal left
        if isinstance(commands[0], wp.RequireItem):
            ready.set()
            return now_fork.wait()
        left -= isinstance(commands[0], (wp.BeginPurge, wp.EraseItems, wp.EndPurge))
        if left >= 0 or now_fork.is_set():
            return None
        now_fork.set()
        return forked.wait()

    world.storage.unit_of_work.before = before
    forking = asyncio.create_task(fork(world, conversation, middle))
    forking.add_done_callback(lambda _: forked.set())
    await ready.wait()
    purged = await purge(world, conversation)
    now_fork.set()
    (wire,) = await asyncio.gather(forking, return_exceptions=True)
    if isinstance(wire, BaseException):
        assert isinstance(wire, NotFound), wire
        assert count(world, "items") == 0 and purged["items"] == 20
    else:
        assert await world.said(wire) == [f"u{n}" for n in range(11)]
        assert (await purge(world, wire))["items"] == 11
    assert count(world, "items") == count(world, "conversations") == 0
    assert isinstance(wire, BaseException) == (slices > 3), "both outcomes are tested"


async def test_a_turn_that_begins_while_its_conversation_is_purged_leaves_nothing(c: C) -> None:
    """The mark is set between the turn's read and its commit."""
    world = c.world
    seen: list[Any] = []

    def before(commands: Any) -> Any:
        if any(type(one).__name__ == "OpenRun" for one in commands) and not seen:
            seen.append(asyncio.create_task(purge(world, c.id)))
            return seen[0]
        return None

    for fields in ({"conversation_id": c.id}, {"previous_response_id": c.r1}):
        world.storage.unit_of_work.before = before
        with pytest.raises((NotFound, InvalidRequest)):
            await world.begin("late", **fields)
    world.storage.unit_of_work.before = None
    assert [count(world, table) for table in ("items", "runs", "branches", "segments")] == [0] * 4
    assert len(world.application.runs) == 0


async def test_another_answer_can_still_be_made_where_the_purged_origin_answered(c: C) -> None:
    forked = await fork(c.world, c.id)
    await purge(c.world, c.id)
    again = await c.world.ended(await c.world.regenerate(c.items[3].wire_id, conversation_id=forked))
    assert again.run.request["parent_id"] == c.items[2].wire_id
    assert await c.world.said(forked) == PATH


async def test_a_blob_goes_with_the_last_item_that_holds_it(world: World) -> None:
    url = data_url()
    first, second = await world.conversation(), await world.conversation()
    for conversation in (first, second, second):
        await add(world, conversation, picture(url))
    assert (await purge(world, first))["blobs"] == 0
    assert len(files(world)) == 1 and len(await world.path(second)) == 2
    assert (await purge(world, second))["blobs"] == 1
    assert files(world) == {} and count(world, "blobs") == 0


async def test_pictures_that_arrive_while_others_like_them_are_purged_are_kept(world: World) -> None:
    url = data_url()
    kept = await world.conversation()
    for _ in range(10):
        gone = await world.conversation()
        await add(world, gone, picture(url))
        await asyncio.gather(purge(world, gone), add(world, kept, picture(url)))
    assert len(await world.path(kept)) == 10
    assert len(files(world)) == 1


async def test_purging_an_account_leaves_others_alone_and_its_ledger_stays(c: C) -> None:
    other = await another_person(c.world)
    request = {"who": other, "echo": {}}
    begun = [await c.world.begin(f"mine {n}", **request) for n in range(3)]
    await until(lambda: not len(c.world.application.runs))
    theirs = await c.world.application.answers.get(other, ids.RESPONSE + begun[0].run_id)
    await c.world.application.conversations.delete(
        other, ids.CONVERSATION + (theirs.run.conversation_id or "")
    )
    purged = await c.world.application.purges.purge_account(other.account_id)
    assert purged.counts() == {"conversations": 3, "items": 6, "responses": 3, "blobs": 0, **BESIDE}
    assert await c.world.said(c.id) == PATH
    assert c.world.rows("SELECT COUNT(*) FROM ledger WHERE owner_id=?", other.account_id) == [(3,)]
    assert c.world.rows("SELECT COUNT(*) FROM conversations WHERE owner_id=?", other.account_id) == [(0,)]


# --- what time does


async def test_a_deleted_branch_goes_after_an_hour_unless_an_answer_reaches_it(c: C) -> None:
    world = c.world
    create, delete = world.application.branches.create, world.application.branches.delete
    for name in ("by hand", "answered"):
        _, made = await create(world.who, c.id, name=name, item_id=c.items[1].wire_id, activate=False)
        branch = ids.BRANCH + made.id
        await add(world, c.id, [{"role": "user", "content": name}], branch_id=branch)
        if name == "answered":
            await world.turn("kept", conversation_id=c.id, branch_id=branch)
        await delete(world.who, c.id, branch)
    assert (await later(world, GRACE_US // 2))["items"] == 0
    assert count(world, "items") == 8
    assert (await later(world, GRACE_US + 1))["items"] == 1
    assert await world.said(c.id) == PATH
    texts = " ".join(row[0] for row in world.rows("SELECT payload FROM items"))
    assert "by hand" not in texts and "kept" in texts


async def test_a_deleted_answer_goes_after_an_hour_its_conversation_stays(c: C) -> None:
    await c.world.application.answers.delete(c.world.who, c.r2)
    assert (await later(c.world, 0))["responses"] == 0
    assert await later(c.world, GRACE_US + 1) == {
        "conversations": 0,
        "items": 0,
        "responses": 1,
        "blobs": 0,
        **BESIDE,
    }
    assert await c.world.said(c.id) == PATH


async def test_a_deleted_conversation_without_answers_goes_after_an_hour(world: World) -> None:
    conversation = await world.conversation("u1")
    await world.application.conversations.delete(world.who, conversation)
    assert (await later(world, 0))["items"] == 0
    assert (await later(world, GRACE_US + 1))["items"] == 1
    assert count(world, "conversations") == 0


async def test_answers_outlive_their_deleted_conversation_for_a_month(c: C) -> None:
    await c.world.application.conversations.delete(c.world.who, c.id)
    await later(c.world, 29 * DAY_US)
    assert (await c.world.application.answers.get(c.world.who, c.r2)).outputs
    assert await later(c.world, 30 * DAY_US + GRACE_US) == {
        "conversations": 1, "items": 4, "responses": 2, "blobs": 0, **BESIDE,
    }  # fmt: skip
    with pytest.raises(NotFound):
        await c.world.application.answers.get(c.world.who, c.r2)


async def test_the_month_is_a_setting(tmp_path: Any) -> None:
    world = await open_world(tmp_path / "data", response_ttl_days=1)
    answer = await world.turn("u1")
    wire = ids.CONVERSATION + (answer.run.conversation_id or "")
    await world.application.conversations.delete(world.who, wire)
    await later(world, DAY_US + 1)
    assert count(world, "runs") == 0
    await world.close()


async def test_a_conversation_that_has_expired_goes_and_no_other(c: C) -> None:
    expiring = await c.world.conversation("u1")
    digits = expiring.removeprefix(ids.CONVERSATION)
    at = SystemClock().now_us() + GRACE_US
    await c.world.storage.unit_of_work.commit(ws.UpdateConversation(conversation_id=digits, expires_us=at))
    assert (await later(c.world, 0))["conversations"] == 0
    assert (await later(c.world, 2 * GRACE_US))["conversations"] == 1
    with pytest.raises(NotFound):
        await c.world.said(expiring)
    assert await c.world.said(c.id) == PATH


async def test_an_upload_that_was_given_up_goes_after_an_hour(world: World) -> None:
    conversation = await world.conversation()
    items = parse_input(picture(data_url()))

    def before(commands: Any) -> Any:
        if type(commands[-1]).__name__ == "AddChange":
            raise RuntimeError("gone")

    world.storage.unit_of_work.before = before
    with pytest.raises(RuntimeError):
        await world.application.conversations.add_items(world.who, conversation, items)
    world.storage.unit_of_work.before = None
    assert len(files(world)) == 1
    assert (await later(world, 0))["blobs"] == 0
    assert (await later(world, GRACE_US + 1))["blobs"] == 1
    assert files(world) == {}


async def test_no_slice_is_larger_than_it_may_be(world: World) -> None:
    conversation = await world.conversation()
    for number in range(7):
        await add(world, conversation, [{"role": "user", "content": f"{number}.{n}"} for n in range(20)])
    sizes: list[int] = []

    def before(commands: Any) -> None:
        erased = [one for one in commands if isinstance(one, wp.EraseItems)]
        sizes.append(sum(one.last - one.first + 1 for one in erased))

    world.storage.unit_of_work.before = before
    assert (await purge(world, conversation))["items"] == 140
    assert max(sizes) == trimming.ITEMS
