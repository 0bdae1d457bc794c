"""Members: who acts, who is named, who pays; what ends a membership; doors that lead nowhere else."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from antiphon.domain import ids
from antiphon.domain.accounts import USER, Principal
from antiphon.domain.chat_messages import items_of, path_hashes
from antiphon.domain.errors import AntiphonError, Conflict, Forbidden, InvalidRequest, NotFound
from antiphon.domain.inputs import InputItem, parse_input
from antiphon.domain.items import text_of
from antiphon.services.idempotency import Key
from antiphon.services.runs.follow import Interrupted
from antiphon.services.turn_plans import TurnRequest
from tests.services.hand import ECHO, HAND, until
from tests.services.sharing import Scene, shared_scene
from tests.services.specified import PATH
from tests.services.tree_rules import tree_problems
from tests.services.world import World, another_person, say


@pytest.fixture
async def scene(world: World) -> Scene:
    """The shared conversation, nothing running in it."""
    return await shared_scene(world, running=False)


async def texts(s: Scene, who: Principal, conversation_id: str | None = None) -> list[str]:
    page = await s.world.application.conversations.items(
        who, conversation_id or s.id, branch_id=None, after=None, limit=100, descending=False
    )
    return [text_of(item.body()) for item in page.data]


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


async def reference(scene: Scene, who: Principal, item_id: str, **fields: Any) -> Any:
    """Begin a turn whose input names an item that exists already."""
    named = InputItem(type="item_reference", reference=ids.parse_item(item_id))
    request = TurnRequest(surface="responses", items=(named,), model=ECHO, **fields)
    begun = await scene.world.application.turns.begin(who, request)
    if begun.live is not None:
        await until(lambda: begun.live.closed)
        return begun.live.run
    return None


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


# --- members


async def test_the_owner_and_the_members_are_listed(scene: Scene) -> None:
    page = await scene.world.application.members.page(scene.people["viewer"], scene.id, after=None, limit=10)
    assert sorted((one.name, one.role) for one in page.data) == [
        ("editor", "editor"), ("guest", "viewer"), ("local", "owner"), ("viewer", "viewer"),
    ]  # fmt: skip
    first = await scene.world.application.members.page(scene.people["viewer"], scene.id, after=None, limit=2)
    rest = await scene.world.application.members.page(
        scene.people["viewer"], scene.id, after=USER + first.data[-1].account_id, limit=2
    )
    assert first.has_more and not rest.has_more
    assert first.data + rest.data == page.data


@pytest.mark.parametrize("form", ["name", "upper", "id"])
async def test_a_member_is_named_by_name_or_id(scene: Scene, form: str) -> None:
    named = {"name": "newcomer", "upper": "Newcomer", "id": scene.user("newcomer")}[form]
    services = scene.world.application.members
    made = await services.add(scene.world.who, scene.id, named, "editor")
    assert (made.name, made.role) == ("newcomer", "editor")
    assert await services.get(scene.world.who, scene.id, named) == made
    assert (await services.set_role(scene.world.who, scene.id, named, "viewer")).role == "viewer"
    await services.remove(scene.world.who, scene.id, named)
    with pytest.raises(NotFound):
        await services.get(scene.world.who, scene.id, named)


async def test_who_is_no_user_is_told_in_one_way(scene: Scene) -> None:
    writer = scene.world.storage.inner
    disabled = await another_person(scene.world, "disabled")
    await set_account(scene.world, disabled, "state='disabled'")
    deleted = await another_person(scene.world, "deleted")
    await set_account(scene.world, deleted, "deleted=5")
    assert writer is not None
    told = set()
    for named in ("nobody", "disabled", "deleted", USER + disabled.account_id, USER + "0" * 32):
        with pytest.raises(NotFound) as refused:
            await scene.world.application.members.add(scene.world.who, scene.id, named, "viewer")
        told.add((refused.value.message.replace(named, "…"), refused.value.param, refused.value.code))
    assert len(told) == 1


async def set_account(world: World, person: Principal, what: str) -> None:
    """Change an account's row, as administration does."""
    statement = f"UPDATE accounts SET {what} WHERE id=?"
    writer = world.storage.inner._writer  # type: ignore[attr-defined]
    await writer.submit(lambda db: db.execute(statement, (person.account_id,)))


async def test_there_is_exactly_one_owner(scene: Scene) -> None:
    services, who = scene.world.application.members, scene.world.who
    before = scene.state()
    for asking in (
        services.add(who, scene.id, "local", "viewer"),
        services.add(who, scene.id, "newcomer", "owner"),
        services.add(who, scene.id, "viewer", "editor"),
        services.set_role(who, scene.id, "editor", "owner"),
        services.set_role(who, scene.id, "local", "viewer"),
        services.remove(who, scene.id, "local"),
        services.remove(who, scene.id, "me"),
    ):
        with pytest.raises(InvalidRequest):
            await asking
    assert scene.state() == before


async def test_a_name_that_looks_like_an_id_removes_nobody_else(scene: Scene) -> None:
    sly = await another_person(scene.world, scene.user("editor"))
    await scene.world.application.members.add(scene.world.who, scene.id, USER + sly.account_id, "viewer")
    with pytest.raises(Forbidden):
        await scene.world.application.members.remove(sly, scene.id, sly.name)
    await scene.world.application.conversations.get(scene.people["editor"], scene.id)


async def test_every_change_of_members_and_links_is_told_and_audited(scene: Scene) -> None:
    services, who = scene.world.application, scene.world.who
    await services.members.set_role(who, scene.id, "viewer", "editor")
    await services.members.remove(scene.people["guest"], scene.id, "me")
    await services.shares.revoke(who, scene.id, scene.share)
    audited = scene.world.rows("SELECT action,actor_id,target,detail FROM audit ORDER BY created,id")
    guest = scene.people["guest"].account_id
    assert [(action, actor == guest) for action, actor, _, _ in audited] == [
        ("member.added", False), ("member.added", False), ("member.added", False), ("share.created", False),
        ("member.changed", False), ("member.removed", True), ("share.revoked", False),
    ]  # fmt: skip
    assert {target for _, _, target, _ in audited} == {scene.id}
    assert not any(scene.token in detail for *_, detail in audited)
    changes = await services.conversations.changes(who, scene.id, after=0, limit=100)
    kinds = [one.kind for one in changes if one.kind.startswith(("member", "share"))]
    assert kinds == [action for action, *_ in audited]


async def test_what_is_shared_is_listed_with_its_owner_and_role(scene: Scene) -> None:
    services = scene.world.application
    for name, role in (("viewer", "viewer"), ("editor", "editor")):
        who = scene.people[name]
        page = await services.members.shared(who, after=None, limit=10, descending=True)
        assert [(ids.CONVERSATION + one.id, one.role, one.owner_name) for one in page.data] == [
            (scene.id, role, "local")
        ]
        own = await services.conversations.page(who, after=None, limit=10, descending=True)
        assert own.data == []
    for name in ("stranger", "owner"):
        page = await services.members.shared(scene.people[name], after=None, limit=10, descending=True)
        assert page.data == []
    seen = await services.conversations.get(scene.people["viewer"], scene.id)
    assert (seen.role, seen.owner_name) == ("viewer", "local")
    assert (await services.conversations.get(scene.world.who, scene.id)).role is None


# --- the end of a membership


async def end_by_removal(s: Scene) -> None:
    await s.world.application.members.remove(s.world.who, s.id, "editor")


async def end_by_leaving(s: Scene) -> None:
    await s.world.application.members.remove(s.people["editor"], s.id, "me")


async def end_by_deletion(s: Scene) -> None:
    await s.world.application.conversations.delete(s.world.who, s.id)


async def end_by_the_owners_end(s: Scene) -> None:
    await set_account(s.world, s.world.who, "deleted=5")


ENDS = [end_by_removal, end_by_leaving, end_by_deletion, end_by_the_owners_end]


@pytest.mark.parametrize("end", ENDS)
async def test_a_membership_that_ended_opens_nothing(world: World, end: Any) -> None:
    scene = await shared_scene(world, running=False)
    editor, services = scene.people["editor"], world.application
    mine = await world.begin("mine", who=editor, conversation_id=scene.id, key=Key("k", b"f" * 32))
    await world.wait(mine)
    await end(scene)
    for asking in (
        services.conversations.get(editor, scene.id),
        services.conversations.items(editor, scene.id, branch_id=None, after=None, limit=5, descending=False),
        services.answers.get(editor, ids.RESPONSE + mine.run_id),
        services.answers.follow(editor, ids.RESPONSE + mine.run_id),
        services.members.page(editor, scene.id, after=None, limit=5),
        world.begin("x", who=editor, conversation_id=scene.id),
        reference(scene, editor, scene.item),
    ):
        with pytest.raises(NotFound):
            await asking
    with pytest.raises(NotFound):
        await world.begin("mine", who=editor, conversation_id=scene.id, key=Key("k", b"f" * 32))
    page = await services.members.shared(editor, after=None, limit=5, descending=True)
    assert page.data == []


@pytest.mark.parametrize("end", ENDS)
async def test_open_streams_end_with_the_membership(world: World, end: Any) -> None:
    scene = await shared_scene(world)
    call = await world.hand.next()
    services = world.application
    followers = {
        name: await services.answers.follow(scene.people[name], scene.live_id)
        for name in ("owner", "editor", "viewer")
    }
    await services.members.end_removed()
    assert not any(follower.revoked for follower in followers.values())
    await end(scene)
    await services.members.end_removed()
    stays = end in (end_by_removal, end_by_leaving)
    assert [followers[name].revoked for name in followers] == [False, True, not stays]
    gone = followers["editor"]
    shown = gone.cursor
    call.say("not for you")
    with pytest.raises(Interrupted):
        await gone.more()
    assert (gone.cursor, gone.committed, gone.finished) == (shown, shown, False)
    call.end()
    await world.wait(scene.running)
    assert followers["owner"].committed > shown
    for follower in followers.values():
        follower.release()


async def test_a_waiting_reader_is_woken_when_its_membership_ends(world: World) -> None:
    scene = await shared_scene(world)
    follower = await world.application.answers.follow(scene.people["viewer"], scene.live_id)
    follower.cursor = follower.committed
    waiting = asyncio.create_task(follower.more())
    await until(lambda: follower.waiting)
    await world.application.members.remove(world.who, scene.id, "viewer")
    await world.application.members.end_removed()
    with pytest.raises(Interrupted):
        await asyncio.wait_for(waiting, 5)
    follower.release()


async def test_followers_that_were_released_are_not_kept(world: World) -> None:
    scene = await shared_scene(world, running=False)
    follower = await world.application.answers.follow(scene.people["viewer"], scene.c.r1)
    assert world.application.followers.guests == [follower]
    follower.release()
    del follower
    gc.collect()
    assert world.application.followers.guests == []


async def test_an_editor_deletes_answers_but_not_a_whole_chain(world: World) -> None:
    scene = await shared_scene(world, running=False)
    chain = await world.turn("first")
    assert chain.run.conversation_id is not None
    conversation = ids.CONVERSATION + chain.run.conversation_id
    await world.application.members.add(world.who, conversation, "editor", "editor")
    with pytest.raises(Forbidden):
        await world.application.answers.delete(scene.people["editor"], ids.RESPONSE + chain.run.id)
    assert await world.said(conversation) == ["first", "re: first"]


async def test_a_race_of_two_invitations_makes_one_member(world: World) -> None:
    scene = await shared_scene(world, running=False)
    add = world.application.members.add
    done = await asyncio.gather(
        *(add(world.who, scene.id, "newcomer", role) for role in ("viewer", "editor")),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in done) == ["InvalidRequest", "Member"]
    assert not any(isinstance(one, Conflict) for one in done)
