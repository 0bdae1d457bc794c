"""Port `BranchForks`: branches that stand for forks are found from both ends while the fork lives."""

from __future__ import annotations

import msgspec

from antiphon.domain import ids
from antiphon.domain.conversations import Branch, Conversation
from antiphon.domain.items import Item
from antiphon.ports import write_sets as ws
from antiphon.ports.storage import Storage
from tests.contracts.builders import OWNER, SLOT, STRANGER, end_of, new_branch, new_item, put, segment


def conversation(**fields: object) -> Conversation:
    made = Conversation(
        id=ids.new_id(SLOT), owner_id=OWNER, slot=SLOT, kind="explicit", title=None, metadata="{}",
        active_branch_id=ids.new_id(SLOT), base=None, revision=1, created_us=1, updated_us=1,
    )  # fmt: skip
    return msgspec.structs.replace(made, **fields)


async def origin_with_items(storage: Storage) -> tuple[Conversation, list[Item]]:
    """A conversation of two items on its trunk."""
    origin = conversation()
    _, opening, start = segment(origin)
    items = [new_item("one"), new_item("two", role="assistant")]
    trunk = new_branch(origin, "main", end_of(start, *items), branch_id=origin.active_branch_id)
    await storage.unit_of_work.commit(
        ws.NewConversation(conversation=origin), trunk, opening, put(start, *items)
    )
    found = [await storage.tree.item(OWNER, item.id) for item in items]
    return origin, [one[0] for one in found if one is not None]


async def fork_of(storage: Storage, origin: Conversation, item: Item, name: str) -> Conversation:
    """A fork after an item that a branch of the origin stands for."""
    fork = conversation(base=item.position)
    _, opening, start = segment(fork, item.position)
    main = new_branch(fork, "main", start, branch_id=fork.active_branch_id)
    alias = new_branch(origin, name, item.position)
    branch = msgspec.structs.replace(alias.branch, alias_of=fork.id)
    alias = msgspec.structs.replace(alias, branch=branch)
    await storage.unit_of_work.commit(ws.NewConversation(conversation=fork), main, opening, alias)
    return fork


def forks(found: object) -> list[str]:
    return [one.fork.id for one in found]  # type: ignore[attr-defined]


async def test_a_branch_comes_back_with_what_it_stands_for(storage: Storage) -> None:
    origin, items = await origin_with_items(storage)
    fork = await fork_of(storage, origin, items[1], "aside")
    found = await storage.branch_forks.named(origin.id, fork.id)
    assert found is not None and (found.branch.name, found.branch.alias_of) == ("aside", fork.id)
    assert found.fork == await storage.conversations.get(OWNER, fork.id)
    read = await storage.conversations.branch(origin.id, found.branch.id)
    assert isinstance(read, Branch) and read == found.branch


async def test_a_conversations_are_listed_by_pages(storage: Storage) -> None:
    origin, items = await origin_with_items(storage)
    made = [(await fork_of(storage, origin, items[1], f"b{n}")).id for n in range(5)]
    first = await storage.branch_forks.of(origin.id, after=None, limit=3)
    rest = await storage.branch_forks.of(origin.id, after=first[-1].branch.id, limit=3)
    assert forks(first) + forks(rest) == made


async def test_the_origin_is_found_for_its_owner_only(storage: Storage) -> None:
    origin, items = await origin_with_items(storage)
    fork = await fork_of(storage, origin, items[0], "aside")
    assert await storage.branch_forks.origin(OWNER, fork.id) == origin.id
    assert await storage.branch_forks.origin(STRANGER, fork.id) is None
    assert await storage.branch_forks.origin(OWNER, origin.id) is None
    await storage.unit_of_work.commit(ws.DeleteConversation(conversation_id=origin.id, now_us=2))
    assert await storage.branch_forks.origin(OWNER, fork.id) is None


async def test_forks_are_told_by_the_item_they_begin_after(storage: Storage) -> None:
    origin, items = await origin_with_items(storage)
    after_one = await fork_of(storage, origin, items[0], "a")
    after_two = [(await fork_of(storage, origin, items[1], name)).id for name in ("b", "c")]
    found = await storage.branch_forks.after_items(OWNER, items)
    assert found == {items[0].id: [after_one.id], items[1].id: after_two}
    assert await storage.branch_forks.after_items(OWNER, items[:1]) == {items[0].id: [after_one.id]}
    assert await storage.branch_forks.after_items(STRANGER, items) == {}


async def test_a_fork_that_no_branch_stands_for_is_none_of_them(storage: Storage) -> None:
    origin, items = await origin_with_items(storage)
    fork = conversation(base=items[1].position)
    _, opening, start = segment(fork, items[1].position)
    main = new_branch(fork, "main", start, branch_id=fork.active_branch_id)
    await storage.unit_of_work.commit(ws.NewConversation(conversation=fork), main, opening)
    assert await storage.branch_forks.after_items(OWNER, items) == {}
    assert await storage.branch_forks.of(origin.id, after=None, limit=9) == []


async def test_a_deleted_fork_is_left_out_everywhere(storage: Storage) -> None:
    origin, items = await origin_with_items(storage)
    fork = await fork_of(storage, origin, items[1], "aside")
    await storage.unit_of_work.commit(ws.DeleteConversation(conversation_id=fork.id, now_us=2))
    assert await storage.branch_forks.named(origin.id, fork.id) is None
    assert await storage.branch_forks.of(origin.id, after=None, limit=9) == []
    assert await storage.branch_forks.after_items(OWNER, items) == {}


async def test_the_trunk_is_the_oldest_branch_that_stands_for_no_fork(storage: Storage) -> None:
    origin, items = await origin_with_items(storage)
    await fork_of(storage, origin, items[0], "a")
    await storage.unit_of_work.commit(new_branch(origin, "z", items[0].position))
    trunk = await storage.branch_forks.trunk(origin.id)
    assert trunk is not None and trunk.id == origin.active_branch_id
    assert await storage.branch_forks.trunk(ids.new_id(SLOT)) is None


async def test_a_branch_for_a_fork_is_not_the_branch_at_an_item(storage: Storage) -> None:
    """Who resends a history goes on at a branch of the conversation's own."""
    origin, items = await origin_with_items(storage)
    await fork_of(storage, origin, items[0], "a")
    assert await storage.conversations.branch_at(origin.id, items[0].id) is None
