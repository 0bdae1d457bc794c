"""Who may do what: every verb of every service, for a stranger, a viewer, an editor and the owner.

A stranger is told, byte for byte, what is told of an id that was never issued, a member of a lesser
role is refused, and neither changes anything. A new verb that is not decided here fails the first test.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.errors import AntiphonError, Forbidden, InvalidRequest, NotFound
from antiphon.domain.inputs import parse_input, parse_item
from antiphon.services.alternatives import Alternatives
from antiphon.services.answers import Answers
from antiphon.services.branches import Branches
from antiphon.services.conversations import Conversations
from antiphon.services.idempotency import Idempotency
from antiphon.services.members import Members
from antiphon.services.ratings import AnswerRatings
from antiphon.services.runs.follow import Followers
from antiphon.services.shares import Shares
from antiphon.services.turn_plans import TurnRequest
from antiphon.services.turns import Begun, Turns
from tests.services.hand import ECHO
from tests.services.sharing import NEVER, ROLES, Scene, shared_scene
from tests.services.specified import C
from tests.services.world import World, say

SERVICES: Final[dict[str, type]] = {
    "conversations": Conversations, "branches": Branches, "alternatives": Alternatives,
    "answers": Answers, "turns": Turns, "members": Members, "shares": Shares,
    "idempotency": Idempotency, "followers": Followers, "ratings": AnswerRatings,
}  # fmt: skip

Call = Callable[[Any, Principal, Scene], Awaitable[Any]]
X = parse_input("x")
PAGE: Final[dict[str, Any]] = {"after": None, "limit": 10}
LIST: Final[dict[str, Any]] = {**PAGE, "descending": False}


def reference(s: Scene) -> dict[str, Any]:
    return {"type": "item_reference", "id": s.item}


def turn(s: Scene, **fields: Any) -> TurnRequest:
    return TurnRequest(surface="responses", items=tuple(X), model=ECHO, conversation_id=s.id, **fields)


CONVERSATIONS: dict[str, tuple[str, Call]] = {
    "conversations.get": ("viewer", lambda a, w, s: a.get(w, s.id)),
    "conversations.update": ("editor", lambda a, w, s: a.update(w, s.id, title="t", metadata=None)),
    "conversations.delete": ("owner", lambda a, w, s: a.delete(w, s.id)),
    "conversations.add_items": ("editor", lambda a, w, s: a.add_items(w, s.id, parse_input([say("m")]))),
    "conversations.items": ("viewer", lambda a, w, s: a.items(w, s.id, branch_id=None, **LIST)),
    "conversations.item": ("viewer", lambda a, w, s: a.item(w, s.id, s.item)),
    "conversations.find_item": ("viewer", lambda a, w, s: a.find_item(w, s.item)),
    "conversations.hide_item": ("editor", lambda a, w, s: a.hide_item(w, s.id, s.item)),
    "conversations.changes": ("viewer", lambda a, w, s: a.changes(w, s.id, after=0, limit=10)),
    "answers.of_items": ("viewer", lambda a, w, s: a.of_items(w, s.id, [])),
    "answers.records_of": ("viewer", lambda a, w, s: a.records_of(w, s.id, [])),
    "branches.page": ("viewer", lambda a, w, s: a.page(w, s.id, **PAGE)),
    "branches.get": ("viewer", lambda a, w, s: a.get(w, s.id, s.branch)),
    "branches.create": ("editor", lambda a, w, s: a.create(w, s.id, name="n", item_id=None, activate=True)),
    "branches.rename": ("editor", lambda a, w, s: a.rename(w, s.id, s.branch, "n")),
    "branches.activate": ("editor", lambda a, w, s: a.activate(w, s.id, s.branch)),
    "branches.delete": ("editor", lambda a, w, s: a.delete(w, s.id, s.branch)),
    "branches.fork": ("viewer", lambda a, w, s: a.fork(w, s.id, item_id=None, title=None)),
    "branches.tree": ("viewer", lambda a, w, s: a.tree(w, s.id, **PAGE)),
    "branches.siblings": ("viewer", lambda a, w, s: a.siblings(w, s.id, s.item, 10)),
    "branches.compare": ("viewer", lambda a, w, s: a.compare(w, s.id, s.branch, s.branch, limit=10)),
    "alternatives.edit": ("editor", lambda a, w, s: a.edit(w, s.item, turn(s))),
    "alternatives.edit_only": ("editor", lambda a, w, s: a.edit_only(w, s.id, s.item, X)),
    "alternatives.regenerate": ("editor", lambda a, w, s: a.regenerate(w, s.item, turn(s))),
    "alternatives.fan_out": ("editor", lambda a, w, s: a.fan_out(w, [ECHO, ECHO], turn(s))),
    "turns.begin": ("editor", lambda a, w, s: a.begin(w, turn(s))),
    "turns.begin_beside": ("editor", lambda a, w, s: a.begin_beside(w, turn(s), [ECHO])),
    "turns.count": ("viewer", lambda a, w, s: a.count(w, turn(s))),
    "turns.resolved": ("viewer", lambda a, w, s: a.resolved(w, [parse_item(reference(s), "input")])),
    "members.page": ("viewer", lambda a, w, s: a.page(w, s.id, **PAGE)),
    "members.get": ("viewer", lambda a, w, s: a.get(w, s.id, "editor")),
    "members.add": ("owner", lambda a, w, s: a.add(w, s.id, "newcomer", "viewer")),
    "members.set_role": ("owner", lambda a, w, s: a.set_role(w, s.id, "viewer", "editor")),
    "members.remove": ("owner", lambda a, w, s: a.remove(w, s.id, "guest")),
    "shares.create": (
        "owner",
        lambda a, w, s: a.create(w, s.id, branch_id=s.branch, expires_in=60, expires_at=None),
    ),
    "shares.page": ("owner", lambda a, w, s: a.page(w, s.id, **PAGE)),
    "shares.get": ("owner", lambda a, w, s: a.get(w, s.id, s.share)),
    "shares.revoke": ("owner", lambda a, w, s: a.revoke(w, s.id, s.share)),
}
"""By what a conversation's id leads to: the role it takes, and the call."""

RESPONSES: dict[str, tuple[str, Call]] = {
    "answers.follow": ("viewer", lambda a, w, s: a.follow(w, s.c.r2)),
    "answers.get": ("viewer", lambda a, w, s: a.get(w, s.c.r2)),
    "answers.cancel": ("editor", lambda a, w, s: a.cancel(w, s.live_id)),
    "answers.stop": ("editor", lambda a, w, s: a.stop(w, s.live_id)),
    "answers.delete": ("editor", lambda a, w, s: a.delete(w, s.c.r2)),
    "answers.input_items": ("viewer", lambda a, w, s: a.input_items(w, s.c.r2, **LIST)),
    "answers.set_metadata": ("editor", lambda a, w, s: a.set_metadata(w, s.c.r2, "{}")),
    "ratings.rate": ("editor", lambda a, w, s: a.rate(w, s.c.r2, 1)),
    "answers.retrieval": ("viewer", lambda a, w, s: a.retrieval(w, s.c.r2)),
    "answers.gave": ("viewer", lambda a, w, s: a.gave(w, s.c.r2)),
    "answers.asked": ("viewer", lambda a, w, s: a.asked(w, s.c.r2)),
}
"""By what a response's id leads to."""

FURTHER: dict[str, tuple[str, Call]] = {
    "conversations.items of a branch": (
        "viewer",
        lambda a, w, s: a.items(w, s.id, branch_id=s.branch, **LIST),
    ),
    "conversations.items after an item": (
        "viewer",
        lambda a, w, s: a.items(w, s.id, branch_id=None, **LIST | {"after": s.item}),
    ),
    "conversations.add_items to a branch": (
        "editor",
        lambda a, w, s: a.add_items(w, s.id, parse_input([say("m")]), branch_id=s.branch),
    ),
    "branches.create at an item": (
        "editor",
        lambda a, w, s: a.create(w, s.id, name=None, item_id=s.item, activate=False),
    ),
    "branches.fork at an item": ("viewer", lambda a, w, s: a.fork(w, s.id, item_id=s.item, title=None)),
    "turns.begin on a branch": ("editor", lambda a, w, s: a.begin(w, turn(s, branch_id=s.branch))),
    "turns.begin after an item": ("editor", lambda a, w, s: a.begin(w, turn(s, parent_item_id=s.item))),
    "answers.get of a running answer": ("viewer", lambda a, w, s: a.get(w, s.live_id)),
    "answers.follow of a running answer": ("viewer", lambda a, w, s: a.follow(w, s.live_id)),
    "answers.input_items of a running answer": (
        "viewer",
        lambda a, w, s: a.input_items(w, s.live_id, **LIST),
    ),
    "conversations.update of its place": (
        "owner",
        lambda a, w, s: a.update(w, s.id, title=None, metadata=None, archived=True),
    ),
    "conversations.delete and purge": ("owner", lambda a, w, s: a.delete(w, s.id, purge=True)),
    "answers.delete and purge": ("owner", lambda a, w, s: a.delete(w, s.c.r2, purge=True)),
    "answers.delete of a running answer": ("editor", lambda a, w, s: a.delete(w, s.live_id)),
}
"""Other ways in by the same verbs."""

OWN = {
    "conversations.create", "conversations.page", "conversations.latest", "conversations.folders",
    "answers.page", "members.shared",
    "members.latest", "idempotency.taken", "idempotency.finished",
}  # fmt: skip
"""Speak of what the acting account itself owns, or is a member of, and of nothing else."""

NOBODYS = {
    "ratings.by_model": "counts for administrators, whom the route lets in",
    "answers.stored": "of a run that was found already",
    "followers.follow": "of a run that was found already",
    "followers.stored_log": "of a run that was found already",
    "followers.close": "the process's own",
    "turns.resume": "the process's own",
    "members.end_removed": "the process's own",
    "shares.open": "by a link's token",
    "shares.items": "by a link's token",
    "shares.item": "by a link's token",
}
"""Take no caller, and why."""

ALL = CONVERSATIONS | RESPONSES | FURTHER


def verbs() -> dict[str, Any]:
    """Every public coroutine of the services."""
    return {
        f"{name}.{verb}": method
        for name, service in SERVICES.items()
        for verb, method in inspect.getmembers(service, inspect.iscoroutinefunction)
        if not verb.startswith("_")
    }


def test_every_verb_is_decided() -> None:
    decided = {name.partition(" ")[0] for name in ALL} | OWN | NOBODYS.keys()
    assert verbs().keys() == decided
    for name, method in verbs().items():
        assert ("who" in inspect.signature(method).parameters) == (name not in NOBODYS), name


async def call(scene: Scene, name: str, role: str) -> Any:
    service = getattr(scene.world.application, name.partition(".")[0])
    return await ALL[name][1](service, scene.people[role], scene)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", ALL)
async def test_a_role_opens_what_it_opens_and_nothing_else(world: World, name: str, role: str) -> None:
    scene = await shared_scene(world)
    need = ALL[name][0]
    before = scene.state()
    if ROLES.index(role) >= ROLES.index(need):
        await call(scene, name, role)
    else:
        with pytest.raises(NotFound if role == "stranger" else Forbidden):
            await call(scene, name, role)
        assert scene.state() == before
        assert len(world.application.runs) == 1 and scene.running.live is not None
        assert not scene.running.live.cancel_requested


@pytest.mark.parametrize("name", ALL)
async def test_what_is_foreign_is_told_like_what_never_was(world: World, name: str) -> None:
    scene = await shared_scene(world)
    never = replace(
        scene,
        c=C(world, "conv_" + NEVER, "resp_" + NEVER, "resp_" + NEVER, scene.c.items),
        running=Begun(NEVER, None),
    )
    told = []
    for seen in (scene, never):
        with pytest.raises(AntiphonError) as refused:
            await call(seen, name, "stranger")
        error = refused.value
        digits = "|".join((seen.id[5:], seen.c.r2[5:], seen.running.run_id))
        told.append((type(error), re.sub(digits, "…", error.message), error.param, error.code))
    assert told[0] == told[1]


async def test_the_previous_response_is_a_door_too(world: World) -> None:
    scene = await shared_scene(world, running=False)
    for name in ("viewer", "editor", "stranger"):
        who = scene.people[name]
        if name == "editor":
            begun = await world.begin("u", who=who, previous_response_id=scene.c.r1)
            await world.wait(begun)
            continue
        with pytest.raises(Forbidden if name == "viewer" else InvalidRequest) as refused:
            await world.begin("u", who=who, previous_response_id=scene.c.r1)
        if name == "stranger":
            with pytest.raises(InvalidRequest) as never:
                await world.begin("u", who=who, previous_response_id="resp_" + NEVER)
            told = refused.value.message.replace(scene.c.r1, ids.RESPONSE + NEVER)
            assert (told, refused.value.code) == (never.value.message, never.value.code)
