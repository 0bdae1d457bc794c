"""The conversation of the specification (core_spec §7): `u1 a1 u2 a2`, main → a2, R1 made a1, R2 made a2."""

from __future__ import annotations

from dataclasses import dataclass

from antiphon.domain import ids
from antiphon.domain.items import Item, text_of
from tests.services.world import World

PATH = ["u1", "re: u1", "u2", "re: u2"]


@dataclass
class C:
    """The conversation of the specification."""

    world: World
    id: str
    r1: str
    r2: str
    items: list[Item]

    async def item(self, text: str) -> str:
        """The wire id of the item on the path with that text."""
        return next(item.wire_id for item in self.items if text_of(item.body()) == text)

    async def head(self) -> str | None:
        """The item that main points to."""
        main = (await self.world.branches(self.id))["main"]
        _, branch = await self.world.application.branches.get(self.world.who, self.id, main)
        return branch.head.item_id


async def conversation_c(world: World) -> C:
    """Make it."""
    conversation = await world.conversation()
    first = await world.turn("u1", conversation_id=conversation)
    second = await world.turn("u2", conversation_id=conversation)
    path = await world.path(conversation)
    return C(world, conversation, ids.RESPONSE + first.run.id, ids.RESPONSE + second.run.id, path)
