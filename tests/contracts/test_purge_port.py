"""Ports `Garbage` and `Remains` and what erases: nothing goes on which anything stands."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.domain import ids
from antiphon.domain.conversations import Conversation
from antiphon.domain.errors import Conflict
from antiphon.domain.items import NewItem, Position
from antiphon.ports import purge_writes as wp
from antiphon.ports import write_sets as ws
from antiphon.ports.aliases import PutAlias
from antiphon.ports.purging import Owned, Trim
from antiphon.ports.storage import Storage
from tests.contracts.builders import (
    OWNER,
    SLOT,
    STRANGER,
    change,
    end_of,
    finish,
    new_branch,
    new_conversation,
    new_item,
    new_run,
    put,
    segment,
)

HOUR = 3_600_000_000


async def made(storage: Storage, *texts: str, **fields: Any) -> tuple[Conversation, Position, list[NewItem]]:
    items = [new_item(text) for text in texts]
    conversation, head, commands = new_conversation(*items, **fields)
    await storage.unit_of_work.commit(*commands)
    return conversation, head, items


def owned(conversation: Conversation) -> Owned:
    return Owned(conversation.id, OWNER, SLOT)


def at(head: Position, depth: int) -> Position:
    return Position(head.segment_id, depth, (depth + 1) * 10)


def erase(conversation: Conversation, head: Position, first: int, last: int) -> wp.EraseItems:
    return wp.EraseItems(
        conversation_id=conversation.id, owner_id=OWNER, segment_id=head.segment_id, first=first, last=last,
        now_us=5,
    )  # fmt: skip


def erase_segment(conversation: Conversation, segment_id: str) -> wp.EraseSegment:
    return wp.EraseSegment(conversation_id=conversation.id, segment_id=segment_id, now_us=5, grace_us=HOUR)


async def begin(storage: Storage, conversation: Conversation, now_us: int = 5) -> None:
    await storage.unit_of_work.commit(wp.BeginPurge(conversation_id=conversation.id, now_us=now_us))


async def without_views(storage: Storage, conversation: Conversation) -> None:
    await begin(storage, conversation)
    await storage.unit_of_work.commit(wp.EraseViews(conversation_id=conversation.id, limit=100))


async def trims(storage: Storage, conversation: Conversation) -> list[Trim]:
    return (await storage.remains.trims(conversation.id, before=None, limit=100)).trims


async def items_left(storage: Storage, head: Position) -> int:
    return len(await storage.tree.items(await storage.tree.path(head, floor_depth=0), "none"))


# --- beginning and ending


async def test_a_purge_begins_once_hides_the_conversation_and_takes_nothing_more(storage: Storage) -> None:
    conversation, head, _ = await made(storage, "a", title="T", metadata='{"a":"b"}')
    await begin(storage, conversation)
    assert await storage.conversations.get(OWNER, conversation.id) is None
    assert await storage.tree.position_base(OWNER, conversation.id, head, 100) is None
    assert await storage.garbage.purging(10) == [owned(conversation)]
    assert await storage.garbage.purging(10, after=conversation.id) == []
    for lost in (wp.BeginPurge(conversation_id=conversation.id, now_us=9), change(conversation)):
        with pytest.raises(Conflict):
            await storage.unit_of_work.commit(lost)


async def test_the_end_of_a_turn_is_no_conflict_in_a_conversation_that_is_gone(storage: Storage) -> None:
    conversation, _, _ = await made(storage, "a")
    await begin(storage, conversation)
    for gone in (conversation.id, ids.new_id(SLOT)):
        await storage.unit_of_work.commit(
            ws.AddLastChange(
                conversation_id=gone, owner_id=OWNER, slot=SLOT, kind="turn.ended", body="{}", now_us=6
            )
        )
    changes = await storage.conversations.changes(conversation.id, after=0, limit=10)
    assert "turn.ended" not in [one.kind for one in changes]


async def test_a_purged_conversation_goes_with_its_last_segment(storage: Storage) -> None:
    conversation, head, _ = await made(storage, "a")
    await without_views(storage, conversation)
    await storage.unit_of_work.commit(
        erase(conversation, head, 0, 0), erase_segment(conversation, head.segment_id),
        wp.EndPurge(conversation_id=conversation.id),
    )  # fmt: skip
    assert await storage.garbage.conversations(OWNER, 10) == []
    assert await storage.garbage.purging(10) == []
    with pytest.raises(Conflict):
        await begin(storage, conversation)


async def test_what_forks_stand_on_keeps_the_row_until_a_sweep_finds_nothing(storage: Storage) -> None:
    origin, head, _ = await made(storage, "a", "b")
    fork, fork_head = await fork_at(storage, origin, at(head, 0))
    await without_views(storage, origin)
    assert await trims(storage, origin) == [Trim(head.segment_id, 1, 1, False)]
    await storage.unit_of_work.commit(erase(origin, head, 1, 1), wp.EndPurge(conversation_id=origin.id))
    assert await storage.garbage.purging(10) == []
    assert await items_left(storage, fork_head) == 1
    await without_views(storage, fork)
    await storage.unit_of_work.commit(erase_segment(fork, fork_head.segment_id))
    await storage.unit_of_work.commit(wp.EndPurge(conversation_id=fork.id))
    assert await storage.garbage.leftovers(OWNER, 5, 10) == [owned(origin)]
    assert await storage.garbage.leftovers(STRANGER, 5, 10) == []
    assert await trims(storage, origin) == [Trim(head.segment_id, 0, 0, True)]
    await storage.unit_of_work.commit(
        erase(origin, head, 0, 0), erase_segment(origin, head.segment_id),
        wp.EndSweep(conversation_id=origin.id, now_us=5),
    )  # fmt: skip
    assert await storage.garbage.leftovers(OWNER, 5, 10) == []
    with pytest.raises(Conflict):
        await begin(storage, origin)


async def fork_at(storage: Storage, origin: Conversation, base: Position) -> tuple[Conversation, Position]:
    fork, _, _ = new_conversation(base=base)
    _, opening, start = segment(fork, base)
    main = new_branch(fork, "main", start, branch_id=fork.active_branch_id)
    await storage.unit_of_work.commit(
        wp.RequireItem(position=base), ws.NewConversation(conversation=fork), main, opening
    )
    return fork, start


# --- what stands on a segment


async def test_nothing_of_a_living_line_may_be_trimmed(storage: Storage) -> None:
    conversation, head, _ = await made(storage, "a", "b", "c")
    assert await trims(storage, conversation) == []
    for range_ in ((2, 2), (0, 2), (0, 0)):
        with pytest.raises(Conflict):
            await storage.unit_of_work.commit(erase(conversation, head, *range_))
    with pytest.raises(Conflict):
        await storage.unit_of_work.commit(erase_segment(conversation, head.segment_id))
    assert await items_left(storage, head) == 3


@pytest.mark.parametrize("standing", ["branch", "segment", "fork", "run's input", "run's output", "choice"])
async def test_each_that_stands_on_an_item_keeps_it_and_what_is_before(
    storage: Storage, standing: str
) -> None:
    conversation, head, _ = await made(storage, "a", "b", "c", "d")
    place = at(head, 1)
    commands: dict[str, list[ws.Command]] = {
        "branch": [new_branch(conversation, "side", place)],
        "segment": [],
        "fork": [],
        "run's input": [ws.OpenRun(run=new_run(conversation, input_end=place), worker_id=OWNER)],
        "run's output": [],
        "choice": [],
    }
    if standing == "segment":
        _, opening, start = segment(conversation, place)
        item = new_item("x")
        commands["segment"] = [opening, put(start, item), new_branch(conversation, "s", end_of(start, item))]
    elif standing == "run's output":
        run = new_run(conversation, input_end=at(head, 0))
        commands[standing] = [ws.OpenRun(run=run, worker_id=OWNER), finish(run, output_end=place)]
    elif standing == "choice":
        conversation, head, _ = await with_choice(storage)
        place = at(head, 1)
    await storage.unit_of_work.commit(*commands[standing])
    main = conversation.active_branch_id
    if standing == "fork":
        await fork_at(storage, conversation, place)
    if standing != "choice":
        await storage.unit_of_work.commit(
            ws.AdvanceHead(
                conversation_id=conversation.id,
                branch_id=main,
                expected=head,
                head=Position(head.segment_id, -1, 0),
            )
        )
    assert await trims(storage, conversation) == [Trim(head.segment_id, 2, 3, False)]
    await storage.unit_of_work.commit(erase(conversation, head, 2, 3))
    assert await trims(storage, conversation) == []
    assert await items_left(storage, place) == 2


async def with_choice(storage: Storage) -> tuple[Conversation, Position, str]:
    """Items 0 and 1 belong to an answer that names no place there, as its further choices do."""
    conversation, start, _ = await made(storage)
    run = new_run(conversation)
    items = [new_item("a"), new_item("b")]
    rest = [new_item("c"), new_item("d")]
    await storage.unit_of_work.commit(
        ws.OpenRun(run=run, worker_id=OWNER),
        put(start, *items, run_id=run.id),
        put(end_of(start, *items), *rest),
    )
    return conversation, end_of(start, *items, *rest), run.id


async def test_a_deleted_answer_keeps_nothing(storage: Storage) -> None:
    conversation, head, run_id = await with_choice(storage)
    await storage.unit_of_work.commit(ws.DeleteRun(run_id=run_id, now_us=9))
    assert await trims(storage, conversation) == [Trim(head.segment_id, 0, 3, False)], (
        "main stands at its root"
    )
    assert await storage.remains.runs(conversation.id, 10) == [run_id]
    assert await storage.remains.runs(conversation.id, 10, deleted_before_us=9) == []
    assert await storage.remains.runs(conversation.id, 10, deleted_before_us=10) == [run_id]
    await storage.unit_of_work.commit(wp.EraseRuns(run_ids=(run_id,)))
    assert await storage.remains.runs(conversation.id, 10) == []


async def test_only_the_end_of_a_segment_can_be_erased(storage: Storage) -> None:
    conversation, head, _ = await made(storage, "a", "b", "c")
    await without_views(storage, conversation)
    for first, last in ((0, 1), (1, 3), (3, 3)):
        with pytest.raises(Conflict):
            await storage.unit_of_work.commit(erase(conversation, head, first, last))
    await storage.unit_of_work.commit(erase(conversation, head, 1, 2))
    assert await trims(storage, conversation) == [Trim(head.segment_id, 0, 0, True)]


async def test_names_of_items_go_with_them(storage: Storage) -> None:
    conversation, head, items = await made(storage, "a", "b", "c")
    names = [
        PutAlias(owner_id=OWNER, slot=SLOT, alias=f"n{number}", target_id=item.id)
        for number, item in enumerate(items)
    ]
    await storage.unit_of_work.commit(*names)
    await without_views(storage, conversation)
    await storage.unit_of_work.commit(erase(conversation, head, 1, 2))
    left = [await storage.aliases.target(OWNER, f"n{number}") for number in range(3)]
    assert left == [items[0].id, None, None]


async def test_children_are_trimmed_before_their_parents_page_by_page(storage: Storage) -> None:
    conversation, head, _ = await made(storage, "a")
    chain = [head.segment_id]
    for number in range(5):
        _, opening, start = segment(conversation, Position(chain[-1], number, (number + 1) * 10))
        await storage.unit_of_work.commit(opening, put(start, new_item(f"{number}")))
        chain.append(start.segment_id)
    await without_views(storage, conversation)
    page = await storage.remains.trims(conversation.id, before=None, limit=4)
    assert [trim.segment_id for trim in page.trims] == chain[:1:-1] and page.before == chain[2]
    assert all(trim.whole for trim in page.trims)
    rest = await storage.remains.trims(conversation.id, before=page.before, limit=4)
    assert rest.trims == [] and rest.before is None, "their child is still there"


async def test_a_place_that_is_gone_cannot_be_required(storage: Storage) -> None:
    conversation, head, _ = await made(storage, "a", "b")
    for place in (head, at(head, 0), Position(head.segment_id, -1, 0)):
        await storage.unit_of_work.commit(wp.RequireItem(position=place))
    for gone in (at(head, 2), Position(ids.new_id(SLOT), 0, 10), Position(ids.new_id(SLOT), -1, 0)):
        with pytest.raises(Conflict):
            await storage.unit_of_work.commit(wp.RequireItem(position=gone), change(conversation))


# --- what is due


async def test_a_deleted_fork_without_answers_is_abandoned(storage: Storage) -> None:
    origin, head, _ = await made(storage, "a")
    living, _ = await fork_at(storage, origin, head)
    answered, _ = await fork_at(storage, origin, head)
    abandoned, _ = await fork_at(storage, origin, head)
    run = new_run(answered)
    await storage.unit_of_work.commit(ws.OpenRun(run=run, worker_id=OWNER))
    for one in (answered, abandoned):
        await storage.unit_of_work.commit(ws.DeleteConversation(conversation_id=one.id, now_us=5))
    assert await storage.remains.abandoned_forks(origin.id, 10) == [owned(abandoned)]
    flags = [await storage.remains.is_abandoned(one.id) for one in (origin, living, answered, abandoned)]
    assert flags == [False, False, False, True]
    await storage.unit_of_work.commit(ws.DeleteRun(run_id=run.id, now_us=6))
    assert await storage.remains.is_abandoned(answered.id)


async def test_what_has_expired_or_was_deleted_long_ago_is_due(storage: Storage) -> None:
    conversations = [await made(storage) for _ in range(3)]
    (old, _, _), (young, _, _), (kept, _, _) = conversations
    expiring, _, commands = new_conversation(expires_us=100)
    await storage.unit_of_work.commit(*commands)
    await storage.unit_of_work.commit(ws.DeleteConversation(conversation_id=old.id, now_us=10))
    await storage.unit_of_work.commit(ws.DeleteConversation(conversation_id=young.id, now_us=50))
    assert await storage.garbage.expired(99, 11, 10) == [owned(old)]
    assert set(await storage.garbage.expired(100, 51, 10)) == {owned(one) for one in (old, young, expiring)}
    assert len(await storage.garbage.expired(100, 51, 1)) == 1
    for one in (old, young, expiring):
        await begin(storage, one)
    assert await storage.garbage.expired(10**9, 10**9, 10) == []
    assert owned(kept) in await storage.garbage.conversations(OWNER, 10)
    assert await storage.garbage.conversations(STRANGER, 10) == []


async def test_a_sweep_is_due_at_its_time_and_a_later_wish_replaces_an_earlier(storage: Storage) -> None:
    conversation, _, _ = await made(storage, "a")
    wish = {"conversation_id": conversation.id, "owner_id": OWNER, "slot": SLOT}
    await storage.unit_of_work.commit(wp.Sweep(**wish, due_us=50))
    assert await storage.garbage.sweeps(49, 10) == []
    assert await storage.garbage.sweeps(50, 10) == [owned(conversation)]
    await storage.unit_of_work.commit(wp.Sweep(**wish, due_us=70))
    await storage.unit_of_work.commit(wp.EndSweep(conversation_id=conversation.id, now_us=60))
    assert await storage.garbage.sweeps(70, 10) == [owned(conversation)]
    await storage.unit_of_work.commit(wp.EndSweep(conversation_id=conversation.id, now_us=70))
    assert await storage.garbage.sweeps(10**9, 10) == []
    assert await storage.conversations.get(OWNER, conversation.id) == conversation


async def test_views_go_in_slices(storage: Storage) -> None:
    conversation, head, items = await made(storage, "a")
    hide = ws.HideItem(conversation_id=conversation.id, item_id=items[0].id, owner_id=OWNER, slot=SLOT)
    branches = [new_branch(conversation, f"b{number}", head) for number in range(5)]
    await storage.unit_of_work.commit(hide, *branches, *(change(conversation) for _ in range(7)))
    slices = 0
    while await storage.remains.has_views(conversation.id):
        await storage.unit_of_work.commit(wp.EraseViews(conversation_id=conversation.id, limit=3))
        slices += 1
    assert slices == 3
    assert await storage.conversations.branches(conversation.id, after=None, limit=10) == []
    assert await storage.conversations.changes(conversation.id, after=0, limit=10) == []
    assert not await storage.tree.is_hidden(conversation.id, items[0].id)


async def test_keys_are_found_by_run_by_conversation_and_by_account(storage: Storage) -> None:
    conversation, _, _ = await made(storage, "a")
    run, other = new_run(conversation), ids.new_id(SLOT)

    def key(name: str, **fields: Any) -> ws.PutKey:
        return ws.PutKey(
            **{"owner_id": OWNER, "slot": SLOT, "key": name, "fingerprint": b"f", "run_id": None,
               "status": 200, "body": b"{}", "created_us": 1, "expires_us": 100, **fields}
        )  # fmt: skip

    await storage.unit_of_work.commit(
        ws.OpenRun(run=run, worker_id=OWNER), key("of the run", run_id=run.id, body=None),
        key("of the conversation", conversation_id=conversation.id), key("another", conversation_id=other),
        key("of the run", owner_id=STRANGER, conversation_id=conversation.id),
    )  # fmt: skip
    all_of_it = await storage.remains.keys(conversation.id, 10)
    assert sorted(all_of_it) == sorted(
        [(OWNER, "of the conversation"), (OWNER, "of the run"), (STRANGER, "of the run")]
    )
    assert len(await storage.remains.keys(conversation.id, 2)) == 2
    assert await storage.remains.run_keys(run.id, 10) == [(OWNER, "of the run")]
    assert len(await storage.remains.account_keys(OWNER, 10)) == 3
    await storage.unit_of_work.commit(wp.EraseKeys(keys=tuple(all_of_it)))
    assert await storage.remains.account_keys(OWNER, 10) == ["another"]
    assert await storage.remains.account_keys(STRANGER, 10) == []


async def test_the_items_of_a_slice_are_named_hidden_ones_too(storage: Storage) -> None:
    conversation, head, items = await made(storage, "a", "b", "c")
    await storage.unit_of_work.commit(
        ws.HideItem(conversation_id=conversation.id, item_id=items[1].id, owner_id=OWNER, slot=SLOT)
    )
    found = await storage.remains.items(head.segment_id, 1, 5)
    assert sorted(found) == sorted([items[1].id, items[2].id])
    assert await storage.remains.items(ids.new_id(SLOT), 0, 5) == []
