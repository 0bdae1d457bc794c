"""Port `Tree`: reads along paths, whatever the shape of the tree."""

from __future__ import annotations

import random

import pytest

from antiphon.domain.conversations import Conversation, PathRange
from antiphon.domain.items import Item, Position, text_of
from antiphon.ports import write_sets as ws
from antiphon.ports.storage import Storage, TurnBase
from antiphon.storage.mongo.store import MongoStorage
from tests import mongo
from tests.contracts.builders import (
    OWNER,
    SLOT,
    STRANGER,
    end_of,
    new_branch,
    new_conversation,
    new_item,
    put,
    segment,
)


@pytest.fixture
def seed(request: pytest.FixtureRequest, storage: Storage) -> int:
    """The tree that is grown; of a server that reads whole collections the first one is enough."""
    number: int = request.param
    if number and isinstance(storage, MongoStorage) and mongo.is_ferretdb():
        pytest.skip("FerretDB reads whole collections, and one tree takes seconds")
    return number


def texts(items: list[Item]) -> list[str]:
    return [text_of(item.body()) for item in items]


def known(base: TurnBase | None) -> TurnBase:
    assert base is not None
    return base


class Shape:
    """A tree that grows at random, and what every path of it must read like."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.count = 0

    async def grow(
        self, storage: Storage, steps: int
    ) -> tuple[Conversation, list[tuple[Position, list[str], list[int]]]]:
        conversation, start, commands = new_conversation()
        await storage.unit_of_work.commit(*commands)
        ends: list[tuple[Position, list[str], list[int]]] = [(start, [], [])]
        for _ in range(steps):
            after, said, tokens = self.dice.choice(ends[-6:])
            commands = []
            if self.dice.random() < 0.5 or any(
                end.segment_id == after.segment_id and end.depth > after.depth for end, *_ in ends
            ):
                anchor = after if after.depth >= 0 else None
                _, command, start = segment(conversation, anchor)
                commands.append(command)
                after = start
            items = []
            for _ in range(self.dice.randrange(1, 4)):
                self.count += 1
                items.append(new_item(f"i{self.count}", tokens=self.dice.randrange(1, 50)))
            await storage.unit_of_work.commit(*commands, put(after, *items))
            said, tokens = list(said), list(tokens)
            for index, item in enumerate(items):
                said.append(f"i{self.count - len(items) + index + 1}")
                tokens.append(item.token_count)
            ends.append((end_of(after, *items), said, tokens))
        return conversation, ends


@pytest.mark.parametrize("seed", range(5), indirect=True)
async def test_a_path_reads_from_the_root_to_its_end_in_any_tree(storage: Storage, seed: int) -> None:
    conversation, ends = await Shape(seed).grow(storage, 40)
    for end, said, _ in ends:
        ranges = await storage.tree.path(end, floor_depth=0)
        items = await storage.tree.items(list(reversed(ranges)), conversation.id)
        assert texts(items) == said
        assert [item.depth for item in items] == list(range(len(said)))


@pytest.mark.parametrize("seed", range(5), indirect=True)
async def test_a_context_reaches_back_until_the_budget_is_used_up(storage: Storage, seed: int) -> None:
    """An item is in as long as what follows it leaves some of the budget (core_spec §3)."""
    conversation, ends = await Shape(seed).grow(storage, 40)
    for end, said, tokens in ends:
        for budget in (0, 1, 30, 100, sum(tokens) - 1, sum(tokens), 10_000):
            base = known(await storage.tree.position_base(OWNER, conversation.id, end, budget))
            behind = [sum(tokens[index + 1 :]) for index in range(len(tokens))]
            assert texts(base.context) == [
                text for text, after in zip(said, behind, strict=True) if after < budget
            ]
            assert (texts([base.parent]) if base.parent else []) == said[-1:]
            assert base.position == end


@pytest.mark.parametrize("seed", range(3), indirect=True)
async def test_a_path_is_read_only_as_far_down_as_asked(storage: Storage, seed: int) -> None:
    _, ends = await Shape(seed).grow(storage, 30)
    for end, said, _ in ends:
        for floor in range(len(said)):
            ranges = await storage.tree.path(end, floor_depth=floor)
            depths = sorted(depth for part in ranges for depth in range(part.first, part.last + 1))
            assert depths == list(range(depths[0], len(said)))
            assert depths[0] <= floor
            assert all(part.last >= floor for part in ranges), "no segment below the floor is visited"


@pytest.mark.parametrize("seed", range(3), indirect=True)
async def test_the_place_before_an_item_is_the_end_of_the_path_it_follows(
    storage: Storage, seed: int
) -> None:
    conversation, ends = await Shape(seed).grow(storage, 30)
    for end, said, tokens in ends[1:]:
        items = await storage.tree.items(
            list(reversed(await storage.tree.path(end, floor_depth=0))), conversation.id
        )
        for index, item in enumerate(items):
            before = await storage.tree.before(item)
            assert (before.depth, before.tokens) == (index - 1, sum(tokens[:index]))
            base = known(await storage.tree.position_base(OWNER, conversation.id, before, 100_000))
            assert texts(base.context) == said[:index]
            assert before.item_id in (None, items[index - 1].id if index else None)


async def test_the_base_of_a_turn_is_the_active_branch_unless_one_is_named(storage: Storage) -> None:
    one, two = new_item("one"), new_item("two")
    conversation, head, commands = new_conversation(one)
    side = new_branch(conversation, "side", end_of(head, two))
    await storage.unit_of_work.commit(*commands, put(head, two), side)
    base = known(await storage.tree.turn_base(OWNER, conversation.id, None, 1000))
    assert (base.branch and base.branch.name, texts(base.context)) == ("main", ["one"])
    assert base.conversation == conversation
    assert base.segment_conversation_id == conversation.id
    base = known(await storage.tree.turn_base(OWNER, conversation.id, side.branch.id, 1000))
    assert (base.branch and base.branch.name, texts(base.context)) == ("side", ["one", "two"])


async def test_the_base_of_an_empty_conversation_has_neither_parent_nor_context(storage: Storage) -> None:
    conversation, head, commands = new_conversation()
    await storage.unit_of_work.commit(*commands)
    base = known(await storage.tree.turn_base(OWNER, conversation.id, None, 1000))
    assert (base.parent, base.context, base.position) == (None, [], head)


async def test_a_stranger_finds_nothing(storage: Storage) -> None:
    item = new_item("one")
    conversation, head, commands = new_conversation(item)
    await storage.unit_of_work.commit(*commands)
    tree = storage.tree
    assert await tree.turn_base(STRANGER, conversation.id, None, 10) is None
    assert await tree.position_base(STRANGER, conversation.id, head, 10) is None
    assert await tree.item(STRANGER, item.id) is None
    found = await tree.item(OWNER, item.id)
    assert found is not None and found[1] == conversation.id
    assert await tree.siblings(STRANGER, conversation.id, found[0], 10) in ([], [found[0]])


async def test_a_deleted_conversation_has_no_branches_to_speak_to_but_its_places_stay(
    storage: Storage,
) -> None:
    conversation, head, commands = new_conversation(new_item("one"))
    await storage.unit_of_work.commit(*commands)
    await storage.unit_of_work.commit(ws.DeleteConversation(conversation_id=conversation.id, now_us=5))
    assert await storage.tree.turn_base(OWNER, conversation.id, None, 10) is None
    assert texts(known(await storage.tree.position_base(OWNER, conversation.id, head, 100)).context) == [
        "one"
    ]


async def test_hidden_items_are_left_out_of_contexts_and_lists_of_their_conversation_only(
    storage: Storage,
) -> None:
    items = [new_item(f"i{n}") for n in range(5)]
    conversation, head, commands = new_conversation(*items)
    fork, _, forking = new_conversation(base=head)
    hide = ws.HideItem(conversation_id=conversation.id, item_id=items[2].id, owner_id=OWNER, slot=SLOT)
    await storage.unit_of_work.commit(*commands, *forking, hide)
    await storage.unit_of_work.commit(hide)  # a second time does nothing
    base = known(await storage.tree.turn_base(OWNER, conversation.id, None, 1000))
    assert texts(base.context) == ["i0", "i1", "i3", "i4"]
    whole = [PathRange(head.segment_id, 0, 4)]
    assert texts(await storage.tree.items(whole, conversation.id)) == ["i0", "i1", "i3", "i4"]
    assert texts(await storage.tree.items(whole, fork.id)) == ["i0", "i1", "i2", "i3", "i4"]
    assert await storage.tree.is_hidden(conversation.id, items[2].id)
    assert not await storage.tree.is_hidden(fork.id, items[2].id)


async def test_what_is_hidden_in_the_origin_can_be_hidden_in_a_fork(storage: Storage) -> None:
    items = [new_item(f"i{n}") for n in range(4)]
    conversation, head, commands = new_conversation(*items)
    hide = [
        ws.HideItem(conversation_id=conversation.id, item_id=items[n].id, owner_id=OWNER, slot=SLOT)
        for n in (0, 2)
    ]
    await storage.unit_of_work.commit(*commands, *hide)
    fork, _, forking = new_conversation(base=head)
    plain, _, other = new_conversation(base=head)
    alike = ws.HideAsIn(conversation_id=fork.id, origin_id=conversation.id, owner_id=OWNER, slot=SLOT)
    none = ws.HideAsIn(conversation_id=plain.id, origin_id=fork.id, owner_id=OWNER, slot=SLOT)
    await storage.unit_of_work.commit(*other, none)  # nothing is hidden there yet
    await storage.unit_of_work.commit(*forking, alike)
    whole = [PathRange(head.segment_id, 0, 3)]
    assert texts(await storage.tree.items(whole, fork.id)) == ["i1", "i3"]
    assert texts(await storage.tree.items(whole, plain.id)) == ["i0", "i1", "i2", "i3"]


async def test_siblings_are_what_follows_the_same_place(storage: Storage) -> None:
    root, first = new_item("root"), new_item("first")
    conversation, head, commands = new_conversation(root, first)
    at_root = Position(head.segment_id, 0, root.token_count, root.id)
    await storage.unit_of_work.commit(*commands)
    others = []
    for number in range(3):
        _, opening, start = segment(conversation, at_root)
        others.append(new_item(f"other {number}"))
        await storage.unit_of_work.commit(opening, put(start, others[-1], new_item("behind")))
    _, opening, start = segment(conversation, Position(head.segment_id, -1, 0))
    another_root = new_item("another root")
    await storage.unit_of_work.commit(opening, put(start, another_root))

    async def siblings(item_id: str, limit: int = 10) -> list[str]:
        found = await storage.tree.item(OWNER, item_id)
        assert found is not None
        return texts(await storage.tree.siblings(OWNER, conversation.id, found[0], limit))

    for item in (first, *others):
        assert sorted(await siblings(item.id)) == ["first", "other 0", "other 1", "other 2"]
    for item in (root, another_root):
        assert sorted(await siblings(item.id)) == ["another root", "root"]
    assert len(await siblings(first.id, limit=2)) == 2


async def test_segments_are_listed_by_pages_with_their_counts_and_ends(storage: Storage) -> None:
    conversation, head, commands = new_conversation(new_item("a"), new_item("b"))
    _, opening, start = segment(conversation, head)
    _, empty, _ = segment(conversation, head)
    await storage.unit_of_work.commit(*commands, opening, empty, put(start, new_item("c")))
    seen = []
    after = None
    while page := await storage.tree.segments(conversation.id, after=after, limit=1):
        seen += page
        after = page[-1].segment.id
    ends = {
        (
            one.count,
            one.first_item and texts([one.first_item])[0],
            one.last_item and texts([one.last_item])[0],
        )
        for one in seen
    }
    assert ends == {(2, "a", "b"), (1, "c", "c"), (0, None, None)}


async def test_a_place_is_continued_by_an_item_a_segment_or_a_fork(storage: Storage) -> None:
    conversation, head, commands = new_conversation(new_item("a"), new_item("b"))
    await storage.unit_of_work.commit(*commands)
    continued = storage.tree.is_continued
    assert await continued(Position(head.segment_id, 0, 10))
    assert not await continued(head)
    _, opening, _ = segment(conversation, head)
    await storage.unit_of_work.commit(opening)
    assert await continued(head)
