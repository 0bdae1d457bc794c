"""A conversation with an owner, an editor, a viewer and a stranger around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from antiphon.domain import ids
from antiphon.domain.accounts import USER, Principal
from antiphon.domain.inputs import InputItem
from antiphon.domain.items import text_of
from antiphon.domain.members import Role
from antiphon.domain.shares import SHARE
from antiphon.services.turn_plans import TurnRequest
from antiphon.services.turns import Begun
from tests.services.hand import ECHO, HAND, until
from tests.services.specified import C, conversation_c
from tests.services.world import World, another_person

NEVER = "0" * 32
"""Digits of an id that was never issued."""

ROLES = ("stranger", "viewer", "editor", "owner")


@dataclass
class Scene:
    """The conversation of the specification, shared; one answer in it is still being made."""

    world: World
    c: C
    people: dict[str, Principal]
    running: Begun
    branch: str
    share: str
    token: str
    other: str
    other_item: str
    other_response: str

    @property
    def id(self) -> str:
        """The shared conversation."""
        return self.c.id

    @property
    def item(self) -> str:
        """The question `u2` of the shared conversation."""
        return self.c.items[2].wire_id

    @property
    def live_id(self) -> str:
        """The answer that is being made."""
        return ids.RESPONSE + self.running.run_id

    def user(self, name: str) -> str:
        """Somebody's wire id."""
        return USER + self.people[name].account_id

    def state(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything stored that a caller could change."""
        tables = (
            "conversations", "branches", "segments", "items", "hidden_items", "conversation_changes", "runs",
            "idempotency", "conversation_members", "share_links", "audit", "ledger",
        )  # fmt: skip
        return {table: self.world.rows(f"SELECT * FROM {table} ORDER BY 1,2") for table in tables}


async def join(world: World, conversation_id: str, person: Principal, role: Role) -> None:
    """Make somebody a member."""
    await world.application.members.add(world.who, conversation_id, person.name, role)


async def shared_scene(world: World, *, running: bool = True) -> Scene:
    """Make it; the owner has another conversation, which nobody else is a member of."""
    c = await conversation_c(world)
    people = {"owner": world.who}
    for name in ("stranger", "viewer", "editor", "guest", "newcomer"):
        people[name] = await another_person(world, name)
    await join(world, c.id, people["viewer"], "viewer")
    await join(world, c.id, people["editor"], "editor")
    await join(world, c.id, people["guest"], "viewer")
    services = world.application
    _, branch = await services.branches.create(
        world.who, c.id, name="beside", item_id=c.items[1].wire_id, activate=False
    )
    made = await services.shares.create(world.who, c.id, branch_id=None, expires_in=None, expires_at=None)
    other = await world.conversation("secret")
    answered = await world.turn("more secret", conversation_id=other)
    begun = await world.begin("u3", conversation_id=c.id, model=HAND, background=True)
    if not running:
        (await world.hand.next()).answer("a3")
        await world.wait(begun)
    return Scene(
        world, c, people, begun, ids.BRANCH + branch.id, SHARE + made.link.id, made.token, other,
        (await world.path(other))[0].wire_id, ids.RESPONSE + answered.run.id,
    )  # fmt: skip


async def texts(s: Scene, who: Principal, conversation_id: str | None = None) -> list[str]:
    """What somebody is shown of a conversation (the shared one)."""
    page = await s.world.application.conversations.items(
        who, conversation_id or s.id, branch_id=None, after=None, limit=100, descending=False
    )
    return [text_of(item.body()) for item in page.data]


async def reference(scene: Scene, who: Principal, item_id: str, **fields: Any) -> Any:
    """Begin a turn whose input names an item that exists already."""
    named = InputItem(type="item_reference", reference=ids.parse_item(item_id))
    request = TurnRequest(surface="responses", items=(named,), model=ECHO, **fields)
    begun = await scene.world.application.turns.begin(who, request)
    if begun.live is not None:
        await until(lambda: begun.live.closed)
        return begun.live.run
    return None


async def set_account(world: World, person: Principal, what: str) -> None:
    """Change an account's row, as administration does."""
    statement = f"UPDATE accounts SET {what} WHERE id=?"
    writer = world.storage.inner._writer  # type: ignore[attr-defined]
    await writer.submit(lambda db: db.execute(statement, (person.account_id,)))
