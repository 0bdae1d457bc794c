"""Share links: what they show, to whom, and when they show nothing any more."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from antiphon.domain import ids
from antiphon.domain.errors import InvalidRequest, NotFound
from antiphon.domain.inputs import parse_input
from antiphon.domain.items import text_of
from antiphon.services.shares import DEFAULT_SECONDS, SECOND_US
from tests.services.sharing import Scene, set_account, shared_scene
from tests.services.specified import PATH
from tests.services.world import World, say
from tests.store import set_columns


@pytest.fixture
async def scene(world: World) -> Scene:
    return await shared_scene(world, running=False)


async def shown(scene: Scene, token: str, **fields: Any) -> list[str]:
    page = await scene.world.application.shares.items(
        token, **{"after": None, "limit": 100, "descending": False, **fields}
    )
    return [text_of(item.body()) for item in page.data]


async def made(scene: Scene, **fields: Any) -> Any:
    fields = {"branch_id": None, "expires_in": None, "expires_at": None, **fields}
    return await scene.world.application.shares.create(scene.world.who, scene.id, **fields)


async def test_a_link_shows_the_active_branch_as_it_is_then(scene: Scene) -> None:
    services, who = scene.world.application, scene.world.who
    assert await shown(scene, scene.token) == [*PATH, "u3", "a3"]
    await services.conversations.add_items(who, scene.id, parse_input([say("later")]))
    await services.conversations.hide_item(who, scene.id, scene.item)
    assert await shown(scene, scene.token) == ["u1", "re: u1", "re: u2", "u3", "a3", "later"]
    await services.branches.activate(who, scene.id, scene.branch)
    assert await shown(scene, scene.token) == ["u1", "re: u1"]


async def test_a_link_to_a_branch_shows_that_branch_and_ends_with_it(scene: Scene) -> None:
    link = await made(scene, branch_id=scene.branch)
    assert await shown(scene, link.token) == ["u1", "re: u1"]
    await scene.world.application.branches.delete(scene.world.who, scene.id, scene.branch)
    with pytest.raises(NotFound):
        await shown(scene, link.token)


async def test_no_page_leads_off_the_shared_branch(scene: Scene) -> None:
    link = await made(scene, branch_id=scene.branch)
    for foreign in (scene.item, scene.other_item, "msg_" + "0" * 32, "nonsense"):
        for descending in (True, False):
            with pytest.raises(InvalidRequest) as refused:
                await shown(scene, link.token, after=foreign, descending=descending)
            assert refused.value.code == "invalid_cursor"
    first = scene.c.items[0].wire_id
    assert await shown(scene, link.token, after=first) == ["re: u1"]
    assert await shown(scene, link.token, after=scene.c.items[1].wire_id, descending=True) == ["u1"]


async def test_the_secret_is_stored_as_its_digest_only(scene: Scene) -> None:
    assert scene.token.startswith("ants_") and len(scene.token) >= 5 + 43
    rows = scene.world.rows("SELECT digest FROM share_links")
    assert rows == [(hashlib.sha256(scene.token.encode()).digest(),)]
    for table, found in scene.state().items():
        assert scene.token not in repr(found), table
    assert (await made(scene)).token != scene.token


async def revoked(scene: Scene, token: str) -> None:
    await scene.world.application.shares.revoke(scene.world.who, scene.id, scene.share)


async def expired(scene: Scene, token: str) -> None:
    await set_columns(scene.world.storage.inner, scene.world.directory, "share_links", expires=1)


async def deleted(scene: Scene, token: str) -> None:
    await scene.world.application.conversations.delete(scene.world.who, scene.id)


async def owner_deleted(scene: Scene, token: str) -> None:
    await set_account(scene.world, scene.world.who, "deleted=5")


async def owner_disabled(scene: Scene, token: str) -> None:
    await set_account(scene.world, scene.world.who, "state='disabled'")


@pytest.mark.parametrize("end", [revoked, expired, deleted, owner_deleted, owner_disabled])
async def test_a_link_that_ended_is_told_like_one_that_never_was(scene: Scene, end: Any) -> None:
    await end(scene, scene.token)
    told = set()
    for token in (scene.token, "ants_" + "A" * 43, "", "x" * 5000, scene.share, "\ud800"):
        for asking in (scene.world.application.shares.open(token), shown(scene, token)):
            with pytest.raises(NotFound) as refused:
                await asking
            told.add((refused.value.message, refused.value.param, refused.value.code))
    assert len(told) == 1


async def test_revoking_one_link_leaves_the_others(scene: Scene) -> None:
    services, who = scene.world.application.shares, scene.world.who
    second = await made(scene)
    await services.revoke(who, scene.id, scene.share)
    with pytest.raises(NotFound):
        await services.revoke(who, scene.id, scene.share)
    assert await shown(scene, second.token)
    page = await services.page(who, scene.id, after=None, limit=10)
    assert [one.id for one in page.data] == [second.link.id]


async def test_a_links_end_is_as_asked_and_30_days_by_default(scene: Scene) -> None:
    usual = (await made(scene)).link
    assert usual.expires_us - usual.created_us == DEFAULT_SECONDS * SECOND_US
    soon = (await made(scene, expires_in=60)).link
    assert soon.expires_us - soon.created_us == 60 * SECOND_US
    at = usual.created_us // SECOND_US + 1000
    assert (await made(scene, expires_at=at)).link.expires_us == at * SECOND_US
    for wrong in (
        {"expires_in": 0}, {"expires_in": -5}, {"expires_in": 10**10}, {"expires_at": 1},
        {"expires_in": 5, "expires_at": at},
    ):  # fmt: skip
        with pytest.raises(InvalidRequest):
            await made(scene, **wrong)


async def test_a_link_is_to_a_branch_of_this_conversation(scene: Scene) -> None:
    foreign = await scene.world.active(scene.other)
    for branch in (foreign, ids.BRANCH + "0" * 32, "x"):
        with pytest.raises(NotFound):
            await made(scene, branch_id=branch)
    with pytest.raises(NotFound):
        await scene.world.application.shares.get(scene.world.who, scene.other, scene.share)
    with pytest.raises(NotFound):
        await scene.world.application.shares.revoke(scene.world.who, scene.other, scene.share)
