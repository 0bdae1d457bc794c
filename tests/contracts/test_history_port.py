"""Port `History`: messages by id and by time, what a reader sees of them now, which answers go on."""

from __future__ import annotations

import pytest

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Conversation
from antiphon.domain.items import NewItem, Position
from antiphon.ports import sharing_writes as sw
from antiphon.ports import write_sets as ws
from antiphon.ports.storage import Storage
from tests.contracts.builders import (
    OWNER,
    SLOT,
    STRANGER,
    end_of,
    finish,
    new_branch,
    new_conversation,
    new_item,
    new_run,
    put,
    segment,
)

MUCH = 1 << 20


async def made(storage: Storage, *texts: str) -> tuple[Conversation, Position, list[NewItem]]:
    items = [new_item(text) for text in texts]
    conversation, head, commands = new_conversation(*items)
    await storage.unit_of_work.commit(*commands)
    return conversation, head, items


async def people(storage: Storage) -> None:
    """Accounts of the owner and of a stranger."""
    for account_id, name in ((OWNER, "olga"), (STRANGER, "sam")):
        account = Principal(account_id, SLOT, name)
        await storage.unit_of_work.commit(ws.PutAccount(account=account, created_us=1))


async def fork_of(storage: Storage, origin: Conversation, base: Position) -> Conversation:
    fork, _, commands = new_conversation(base=base)
    main = new_branch(fork, "main", base, branch_id=fork.active_branch_id)
    commands = [one for one in commands if not isinstance(one, ws.NewBranch)]
    await storage.unit_of_work.commit(*commands, main)
    return fork


async def shown(
    storage: Storage, who: str, *items: NewItem, within: Conversation | None = None
) -> dict[str, str]:
    """Which items are shown, and in which conversation."""
    found = await storage.history.shown(
        who, [item.id for item in items], within=within.id if within else None
    )
    return {one.item_id: one.conversation.id for one in found}


async def test_a_message_comes_with_whose_it_is_and_who_said_it(storage: Storage) -> None:
    conversation, head, items = await made(storage, "asked")
    run = new_run(conversation)
    answer, call = new_item("answered", role="assistant"), new_item("x")
    call = NewItem(
        id=call.id, type="function_call", role=None, status="completed", payload="{}", token_count=1
    )
    await storage.unit_of_work.commit(
        ws.OpenRun(run=run, worker_id="w"), put(head, answer, call, run_id=run.id, author=None)
    )
    found = await storage.history.messages([items[0].id, answer.id, call.id, ids.new_id(SLOT)])
    by_id = {one.item_id: one for one in found}
    assert by_id.keys() == {items[0].id, answer.id}
    asked, answered = by_id[items[0].id], by_id[answer.id]
    assert (asked.role, asked.model, asked.author_id) == ("user", None, OWNER)
    assert (answered.role, answered.model, answered.author_id) == ("assistant", run.model, None)
    assert {one.conversation_id for one in found} == {conversation.id}
    assert "answered" in answered.payload and asked.created_us == 1_000


async def test_messages_are_read_newest_first_page_by_page(storage: Storage) -> None:
    _, _, items = await made(storage, *"abcdefg")
    wanted = [item.id for item in items[1:6]][::-1]
    seen: list[str] = []
    before: str | None = items[6].id
    while before is not None:
        page = await storage.history.between(items[1].id, before, 2, MUCH)
        assert len(page.data) <= 2
        seen += [one.item_id for one in page.data]
        before = page.before
    assert seen == wanted
    small = await storage.history.between("", "g", 100, 1)
    assert [one.item_id for one in small.data] == [items[6].id] and small.before == items[6].id
    assert (await storage.history.between("g", "h", 5, MUCH)).data == []


async def test_only_its_owner_and_its_members_see_a_message(storage: Storage) -> None:
    await people(storage)
    conversation, _, items = await made(storage, "a", "b")
    assert await shown(storage, OWNER, *items) == dict.fromkeys((one.id for one in items), conversation.id)
    assert await shown(storage, STRANGER, *items) == {}
    await storage.unit_of_work.commit(
        sw.PutMember(
            conversation_id=conversation.id, account_id=STRANGER, owner_id=OWNER, slot=SLOT, role="viewer",
            created_us=1,
        )
    )  # fmt: skip
    (first, _) = await storage.history.shown(STRANGER, [one.id for one in items])
    assert (first.conversation.role, first.conversation.owner_name) == ("viewer", "olga")
    await storage.unit_of_work.commit(sw.RemoveMember(conversation_id=conversation.id, account_id=STRANGER))
    assert await shown(storage, STRANGER, *items) == {}


async def test_what_is_hidden_or_deleted_is_shown_by_living_forks_alone(storage: Storage) -> None:
    origin, head, items = await made(storage, "a", "b", "c")
    fork = await fork_of(storage, origin, Position(head.segment_id, 1, 20, items[1].id))
    assert await shown(storage, OWNER, *items, within=fork) == {items[0].id: fork.id, items[1].id: fork.id}
    hide = ws.HideItem(conversation_id=origin.id, item_id=items[0].id, owner_id=OWNER, slot=SLOT)
    await storage.unit_of_work.commit(hide)
    assert await shown(storage, OWNER, *items) == {
        items[0].id: fork.id, items[1].id: origin.id, items[2].id: origin.id,
    }  # fmt: skip
    assert await shown(storage, OWNER, *items, within=origin) == dict.fromkeys(
        (one.id for one in items[1:]), origin.id
    )
    await storage.unit_of_work.commit(ws.DeleteConversation(conversation_id=origin.id, now_us=2))
    assert await shown(storage, OWNER, *items) == {items[0].id: fork.id, items[1].id: fork.id}
    hide = ws.HideItem(conversation_id=fork.id, item_id=items[0].id, owner_id=OWNER, slot=SLOT)
    await storage.unit_of_work.commit(hide)
    assert await shown(storage, OWNER, *items) == {items[1].id: fork.id}
    await storage.unit_of_work.commit(ws.DeleteConversation(conversation_id=fork.id, now_us=2))
    assert await shown(storage, OWNER, *items) == {}


async def test_a_branch_whose_path_holds_a_message_is_named_the_active_one_first(storage: Storage) -> None:
    conversation, head, items = await made(storage, "a", "b")
    _, opening, start = segment(conversation, Position(head.segment_id, 0, 10, items[0].id))
    other, lone = new_item("beside"), new_item("on no branch")
    named = new_branch(conversation, "other", end_of(start, other))
    _, loose, at = segment(conversation, head)
    await storage.unit_of_work.commit(opening, put(start, other), named, loose, put(at, lone))
    found = await storage.history.shown(OWNER, [items[0].id, items[1].id, other.id, lone.id])
    assert [one.branch_id for one in found] == [
        conversation.active_branch_id, conversation.active_branch_id, named.branch.id, None,
    ]  # fmt: skip


async def test_the_origins_of_forks_are_named_through_every_generation(storage: Storage) -> None:
    origin, head, _ = await made(storage, "a", "b")
    fork = await fork_of(storage, origin, head)
    _, opening, start = segment(fork, head)
    item = new_item("c")
    await storage.unit_of_work.commit(opening, put(start, item))
    inner = await fork_of(storage, fork, end_of(start, item))
    assert set(await storage.history.origins([inner.id], 10)) == {origin.id, fork.id}
    assert await storage.history.origins([inner.id, fork.id], 10) == [origin.id]
    assert await storage.history.origins([origin.id], 10) == []
    assert len(await storage.history.origins([inner.id], 1)) == 1


async def test_the_oldest_answer_that_goes_on_is_known(storage: Storage) -> None:
    assert await storage.history.oldest_open_run_us() is None
    conversation, _, _ = await made(storage, "a")
    runs = [new_run(conversation, created_us=at) for at in (30, 10, 20)]
    await storage.unit_of_work.commit(*(ws.OpenRun(run=run, worker_id="w") for run in runs))
    assert await storage.history.oldest_open_run_us() == 10
    await storage.unit_of_work.commit(finish(runs[1]))
    assert await storage.history.oldest_open_run_us() == 20


@pytest.mark.parametrize("deleted", [False, True])
async def test_a_conversation_has_items_until_they_are_erased(storage: Storage, deleted: bool) -> None:
    conversation, _, _ = await made(storage, "a")
    if deleted:
        await storage.unit_of_work.commit(ws.DeleteConversation(conversation_id=conversation.id, now_us=2))
    assert await storage.history.has_items(conversation.id)
    assert not await storage.history.has_items(ids.new_id(SLOT))


async def test_conversations_come_by_their_last_use_page_by_page(storage: Storage) -> None:
    made_at = [await made(storage, f"text {number}") for number in range(5)]
    for at_us, number in ((5_000, 2), (6_000, 0), (6_000, 4)):
        change = ws.AddChange(
            conversation_id=made_at[number][0].id,
            owner_id=OWNER,
            slot=SLOT,
            kind="x",
            body="{}",
            now_us=at_us,
        )
        await storage.unit_of_work.commit(change)
    await storage.unit_of_work.commit(ws.DeleteConversation(conversation_id=made_at[1][0].id, now_us=9_000))
    found: list[str] = []
    after: tuple[int, str] | None = None
    while page := await storage.history.used(OWNER, after=after, limit=2):
        for conversation, head in page:
            assert head == next(place for one, place, _ in made_at if one.id == conversation.id)
        found += [one.id for one, _ in page]
        after = (page[-1][0].updated_us, page[-1][0].id)
    assert found == [made_at[number][0].id for number in (4, 0, 2, 3)]
    assert await storage.history.used(STRANGER, after=None, limit=2) == []
