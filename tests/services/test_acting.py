"""In somebody else's conversation: who acts, who is named, who pays; doors that lead nowhere else."""

from __future__ import annotations

import pytest

from antiphon.domain import ids
from antiphon.domain.chat_messages import items_of, path_hashes
from antiphon.domain.errors import AntiphonError, Forbidden, NotFound
from antiphon.domain.inputs import parse_input
from antiphon.services.access import Access
from antiphon.services.idempotency import Key
from antiphon.services.turn_plans import TurnRequest
from tests.services.hand import ECHO, HAND, until
from tests.services.sharing import Scene, reference, shared_scene, texts
from tests.services.specified import PATH
from tests.services.tree_rules import tree_problems
from tests.services.world import World, say


@pytest.fixture
async def scene(world: World) -> Scene:
    """The shared conversation, nothing running in it."""
    return await shared_scene(world, running=False)


# --- who acts in whose partition


async def test_a_members_turn_lies_with_the_owner_and_names_the_member(scene: Scene) -> None:
    editor, owner = scene.people["editor"], scene.people["owner"]
    key = Key("k", b"f" * 32)
    begun = await scene.world.begin("hello", who=editor, conversation_id=scene.id, key=key)
    await scene.world.wait(begun)
    row = scene.world.rows(
        "SELECT owner_id,slot,author_id,credential_id,state FROM runs WHERE id=?", begun.run_id
    )
    assert row == [(owner.account_id, owner.slot, editor.account_id, None, "completed")]
    items = scene.world.rows(
        "SELECT owner_id,slot,author_id FROM items WHERE run_id=? ORDER BY depth", begun.run_id
    )
    assert items == [(owner.account_id, owner.slot, editor.account_id), (owner.account_id, owner.slot, None)]
    assert all(ids.slot_of(one) == owner.slot for (one,) in scene.world.rows("SELECT id FROM items"))
    assert scene.world.rows("SELECT author_id FROM ledger WHERE run_id=?", begun.run_id) == [
        (editor.account_id,)
    ]
    assert scene.world.rows("SELECT owner_id,slot FROM idempotency WHERE key='k'") == [
        (editor.account_id, editor.slot)
    ]
    assert await texts(scene, owner) == [*PATH, "u3", "a3", "hello", "re: hello"]


async def test_two_people_who_use_one_key_do_not_meet(scene: Scene) -> None:
    made = []
    for name in ("editor", "owner"):
        key = Key("same", b"f" * 32)
        made.append(await scene.world.begin("x", who=scene.people[name], conversation_id=scene.id, key=key))
    for begun in made:
        await scene.world.wait(begun)
    assert made[0].run_id != made[1].run_id
    again = await scene.world.begin(
        "x", who=scene.people["editor"], conversation_id=scene.id, key=Key("same", b"f" * 32)
    )
    assert (again.run_id, again.live) == (made[0].run_id, None)


async def test_a_failed_turn_of_a_member_frees_its_own_key(scene: Scene) -> None:
    editor = scene.people["editor"]
    for _ in range(2):
        begun = await scene.world.begin(
            "x", who=editor, conversation_id=scene.id, key=Key("k", b"f" * 32), model="hand/broken"
        )
        assert begun.live is not None
        await scene.world.wait(begun)
    assert scene.world.rows("SELECT 1 FROM idempotency WHERE key='k'") == []


async def test_items_put_in_by_hand_and_edits_name_the_member(scene: Scene) -> None:
    editor = scene.people["editor"]
    services = scene.world.application
    (added,) = await services.conversations.add_items(editor, scene.id, parse_input([say("m")]))
    (edited,) = await services.alternatives.edit_only(editor, scene.id, scene.item, parse_input("e"))
    for item in (added, edited):
        rows = scene.world.rows("SELECT owner_id,author_id FROM items WHERE id=?", item.id)
        assert item.author_id == editor.account_id
        assert rows == [(scene.people["owner"].account_id, editor.account_id)]


async def test_two_members_at_once_each_get_a_branch(scene: Scene) -> None:
    begun = [
        await scene.world.begin(f"from {name}", who=scene.people[name], conversation_id=scene.id, model=HAND)
        for name in ("owner", "editor")
    ]
    for _ in begun:
        (await scene.world.hand.next()).answer("ok")
    for one in begun:
        await scene.world.wait(one)
    branches = await scene.world.branches(scene.id)
    assert "main-2" in branches
    shown = [await scene.world.said(scene.id, branch_id=branches[name]) for name in ("main", "main-2")]
    assert [line[-2] for line in shown] == ["from owner", "from editor"]
    assert tree_problems(scene.world.directory, at_rest=True) == []


async def test_a_viewer_may_ask_for_himself_without_leaving_a_trace(scene: Scene) -> None:
    viewer = scene.people["viewer"]
    before = scene.state()
    begun = await scene.world.begin(
        "privately", who=viewer, previous_response_id=scene.c.r2, store=False, model=HAND
    )
    call = await scene.world.hand.next()
    assert call.prompts == ["user:u1", "assistant:re: u1", "user:u2", "assistant:re: u2", "user:privately"]
    assert begun.live is not None and begun.live.run.owner_id == viewer.account_id
    call.answer("ok")
    await scene.world.wait(begun)
    await until(lambda: len(scene.state()["ledger"]) > len(before["ledger"]))
    after = scene.state()
    (line,) = set(after.pop("ledger")) - set(before.pop("ledger"))
    assert line[:2] == (viewer.account_id, begun.run_id)
    assert after == before


# --- doors that lead nowhere else


async def test_a_member_of_one_conversation_has_no_more_right_to_another(scene: Scene) -> None:
    """Every id of the owner's other conversation, and of the shared one in the wrong place."""
    services, editor = scene.world.application, scene.people["editor"]
    own = await services.conversations.create(editor, [], metadata="{}", title=None, key=None)
    mine = ids.CONVERSATION + own.id
    (my_item,) = await services.conversations.add_items(editor, mine, parse_input([say("mine")]))
    other_branch = await scene.world.active(scene.other)
    before = scene.state()
    item = parse_input([say("x")])
    for asking in (
        services.conversations.get(editor, scene.other),
        services.conversations.item(editor, scene.id, scene.other_item),
        services.conversations.item(editor, mine, scene.item),
        services.conversations.item(editor, scene.id, my_item.wire_id),
        services.conversations.hide_item(editor, scene.id, scene.other_item),
        services.conversations.add_items(editor, scene.id, item, branch_id=other_branch),
        services.branches.get(editor, scene.id, other_branch),
        services.branches.create(editor, scene.id, name=None, item_id=scene.other_item, activate=False),
        services.branches.compare(editor, scene.id, scene.branch, other_branch, limit=5),
        services.branches.fork(editor, scene.id, item_id=scene.other_item, title=None),
        services.branches.fork(editor, mine, item_id=scene.item, title=None),
        services.answers.get(editor, scene.other_response),
        services.answers.follow(editor, scene.other_response),
        services.answers.cancel(editor, scene.other_response),
        scene.world.begin("x", who=editor, conversation_id=scene.other),
        scene.world.begin("x", who=editor, conversation_id=scene.id, parent_item_id=scene.other_item),
        scene.world.begin("x", who=editor, conversation_id=mine, parent_item_id=scene.item),
        scene.world.begin("x", who=editor, conversation_id=scene.id, parent_item_id=my_item.wire_id),
        scene.world.begin("x", who=editor, conversation_id=scene.id, branch_id=other_branch),
        scene.world.begin("x", who=editor, previous_response_id=scene.other_response),
        reference(scene, editor, scene.other_item, conversation_id=scene.id),
        reference(scene, editor, scene.other_item, conversation_id=mine),
        reference(scene, editor, scene.other_item, store=False),
        reference(scene, scene.people["stranger"], scene.item),
    ):
        with pytest.raises(AntiphonError) as refused:
            await asking
        assert isinstance(refused.value, NotFound) or refused.value.code == "previous_response_not_found"
    assert scene.state() == before


async def test_who_is_within_a_conversation_is_still_asked_for_as_who_acts(scene: Scene) -> None:
    """A caller that came through a door has the owner's partition, and no right of the owner's."""
    world = scene.world
    access = Access(
        world.storage.conversations, world.storage.tree, world.storage.runs, world.storage.members,
        world.application.runs,
    )  # fmt: skip
    within, _ = await access.enter(scene.people["editor"], scene.id)
    assert (within.account_id, within.is_guest) == (world.who.account_id, True)
    for asking in (
        access.enter(within, scene.other),
        access.enter(within, scene.id, "owner"),
        access.run(within, scene.other_response),
        access.branch(within, scene.other, await world.active(scene.other)),
        reference(scene, within, scene.other_item, store=False),
    ):
        with pytest.raises((NotFound, Forbidden)):
            await asking
    assert within.home() == scene.people["editor"]
    own = await world.application.conversations.page(within, after=None, limit=5, descending=True)
    assert own.data == []


async def test_a_reference_reads_what_the_caller_may_read(scene: Scene) -> None:
    viewer = scene.people["viewer"]
    services = scene.world.application
    own = await services.conversations.create(viewer, [], metadata="{}", title=None, key=None)
    await reference(scene, viewer, scene.item, conversation_id=ids.CONVERSATION + own.id)
    assert await texts(scene, viewer, ids.CONVERSATION + own.id) == ["u2", "re: u2"]


async def test_a_reference_reads_the_base_of_a_shared_fork_and_nothing_beside_it(scene: Scene) -> None:
    services, world = scene.world.application, scene.world
    forked = await services.branches.fork(world.who, scene.id, item_id=scene.c.items[1].wire_id, title=None)
    fork = ids.CONVERSATION + forked.id
    await services.members.add(world.who, fork, "newcomer", "editor")
    newcomer = scene.people["newcomer"]
    await reference(scene, newcomer, scene.c.items[0].wire_id, conversation_id=fork)
    assert await texts(scene, newcomer, fork) == ["u1", "re: u1", "u1", "re: u1"]
    with pytest.raises(NotFound):
        await reference(scene, newcomer, scene.item, conversation_id=fork)
    with pytest.raises(NotFound):
        await services.conversations.get(newcomer, scene.id)


async def test_a_resent_history_is_found_among_ones_own_only(scene: Scene) -> None:
    messages = [{"role": "user", "content": "said before"}]
    made = []
    for name in ("owner", "editor"):
        who = scene.people[name]
        items = tuple(items_of(messages))
        request = TurnRequest(
            surface="chat", items=items, messages=messages, model=ECHO,
            path_hashes=path_hashes(who.actor_id, items),
        )  # fmt: skip
        begun = await scene.world.application.turns.begin(who, request)
        assert begun.live is not None
        await scene.world.wait(begun)
        made.append(begun.live.run)
        if name == "owner":
            assert begun.live.run.conversation_id is not None
            conversation = ids.CONVERSATION + begun.live.run.conversation_id
            await scene.world.application.members.add(scene.world.who, conversation, "editor", "editor")
    assert made[0].conversation_id != made[1].conversation_id
    assert made[1].owner_id == scene.people["editor"].account_id
