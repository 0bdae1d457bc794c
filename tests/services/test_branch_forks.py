"""Branches that stand for forks lead their owner to what the fork shows, and nobody else.

A member of the origin has no right to the fork: for them such a branch ends where the fork left, and what
they write there opens a branch of the origin.
"""

from __future__ import annotations

import pytest

from antiphon.domain import ids
from antiphon.domain.conversations import BranchFork
from antiphon.domain.errors import Forbidden, NotFound
from antiphon.domain.inputs import parse_input
from antiphon.domain.items import text_of
from antiphon.services.idempotency import Key
from tests.services.hand import HAND
from tests.services.sharing import Scene, shared_scene
from tests.services.world import World


@pytest.fixture
async def scene(world: World) -> Scene:
    """The shared conversation, nothing running in it; the owner shows a fork of it."""
    made = await shared_scene(world, running=False)
    fork = await forked(made)
    await world.turn("only hers", conversation_id=ids.CONVERSATION + fork.fork.id)
    await world.application.branch_forks.activate(world.who, made.id, ids.CONVERSATION + fork.fork.id)
    return made


async def forked(scene: Scene, **fields: object) -> BranchFork:
    make = scene.world.application.branch_forks.create
    fields = {"name": "aside", **fields}
    return await make(scene.world.who, scene.id, scene.c.items[1].wire_id, **fields)  # type: ignore[arg-type]


async def said(scene: Scene, name: str) -> list[str]:
    page = await scene.world.application.conversations.items(
        scene.people[name], scene.id, branch_id=None, after=None, limit=100, descending=False
    )
    return [text_of(item.body()) for item in page.data]


async def test_the_owner_is_led_to_what_the_fork_shows(scene: Scene) -> None:
    assert (await said(scene, "owner"))[2:] == ["only hers", "re: only hers"]


@pytest.mark.parametrize("name", ["viewer", "editor"])
async def test_a_member_sees_such_a_branch_end_where_the_fork_left(scene: Scene, name: str) -> None:
    shown = await said(scene, name)
    assert len(shown) == 2 and "only hers" not in " ".join(shown)


async def test_what_a_member_writes_there_opens_a_branch_of_the_origin(scene: Scene) -> None:
    world, editor = scene.world, scene.people["editor"]
    await world.wait(await world.begin("from ed", who=editor, conversation_id=scene.id))
    await world.application.conversations.add_items(editor, scene.id, parse_input("added by ed"))
    assert "only hers" not in " ".join(world.hand.calls[-1].prompts)
    assert set(await world.branches(scene.id)) >= {"aside", "aside-2", "aside-3"}
    assert (await said(scene, "owner"))[2:] == ["only hers", "re: only hers"], "the fork is as it was"


@pytest.mark.parametrize("name", ["viewer", "editor"])
async def test_only_the_owner_makes_lists_and_activates_them(scene: Scene, name: str) -> None:
    services, who = scene.world.application.branch_forks, scene.people[name]
    item = scene.c.items[1].wire_id
    for call in (
        services.create(who, scene.id, item, name=None),
        services.listed(who, scene.id),
        services.activate(who, scene.id, None),
    ):
        with pytest.raises(Forbidden):
            await call
    with pytest.raises(NotFound):
        await services.listed(scene.people["stranger"], scene.id)


async def test_without_a_name_a_branch_gets_a_free_one(scene: Scene) -> None:
    made = [await forked(scene, name=name) for name in (None, None, "aside", "aside")]
    names = [one.branch.name for one in made]
    assert len(set(names)) == 4 and [one.fork.title for one in made] == [None, None, "aside", "aside"]


async def test_a_retry_under_the_same_key_makes_one(scene: Scene) -> None:
    services = scene.world.application.branch_forks
    before = len((await services.listed(scene.world.who, scene.id))[0])
    key = Key("k", b"f" * 32, lambda made: b"made")
    await forked(scene, key=key)
    with pytest.raises(Exception, match="PutKey"):
        await forked(scene, key=key)
    assert len((await services.listed(scene.world.who, scene.id))[0]) == before + 1


async def test_a_turn_that_runs_keeps_its_place_while_another_branch_is_shown(scene: Scene) -> None:
    world, services = scene.world, scene.world.application.branch_forks
    begun = await world.begin("held", model=HAND, conversation_id=scene.id)
    await services.activate(world.who, scene.id, None)
    (await world.hand.next()).answer("late")
    await world.wait(begun)
    assert "late" not in " ".join(await said(scene, "owner"))
    (fork,) = (await services.listed(world.who, scene.id))[0]
    assert (await world.said(ids.CONVERSATION + fork.fork.id))[-1] == "late"


async def test_a_purged_fork_takes_nothing_of_the_origin_along(scene: Scene) -> None:
    world = scene.world
    (fork,) = (await world.application.branch_forks.listed(world.who, scene.id))[0]
    await world.application.conversations.delete(world.who, ids.CONVERSATION + fork.fork.id, purge=True)
    shown = await said(scene, "owner")
    assert len(shown) > 2 and "only hers" not in " ".join(shown), "the trunk is shown again"
    await world.turn("on the trunk", conversation_id=scene.id)
    assert (await said(scene, "owner"))[-1] == "re: on the trunk"
