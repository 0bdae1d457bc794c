"""Members: who they are, what is told of them, and what ends a membership."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from antiphon.domain import ids
from antiphon.domain.accounts import USER
from antiphon.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from antiphon.services.idempotency import Key
from antiphon.services.runs.follow import Interrupted
from tests.services.hand import until
from tests.services.sharing import Scene, reference, set_account, shared_scene
from tests.services.world import World, another_person


@pytest.fixture
async def scene(world: World) -> Scene:
    """The shared conversation, nothing running in it."""
    return await shared_scene(world, running=False)


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


async def test_a_disabled_owner_takes_nothing_from_the_members(scene: Scene) -> None:
    await set_account(scene.world, scene.world.who, "state='disabled'")
    seen = await scene.world.application.conversations.get(scene.people["editor"], scene.id)
    assert seen.role == "editor"


# --- the end of a membership


async def end_by_removal(s: Scene) -> None:
    await s.world.application.members.remove(s.world.who, s.id, "editor")


async def end_by_leaving(s: Scene) -> None:
    await s.world.application.members.remove(s.people["editor"], s.id, "me")


async def end_by_deletion(s: Scene) -> None:
    await s.world.application.conversations.delete(s.world.who, s.id)


async def end_by_the_owners_end(s: Scene) -> None:
    await set_account(s.world, s.world.who, "deleted=5")


async def end_by_the_owners_departure(s: Scene) -> None:
    await set_account(s.world, s.world.who, "state='deleting'")


ENDS = [
    end_by_removal, end_by_leaving, end_by_deletion, end_by_the_owners_end, end_by_the_owners_departure,
]  # fmt: skip


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

    async def read() -> None:
        while True:
            follower.cursor = follower.committed
            await follower.more()

    waiting = asyncio.create_task(read())
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
