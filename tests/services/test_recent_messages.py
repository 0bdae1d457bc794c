"""The newest messages over all conversations, as they stand on their active branches; one's own only."""

from __future__ import annotations

import random
from pathlib import Path

from antiphon.domain.inputs import parse_input
from antiphon.domain.items import text_of
from tests.services.world import World, another_person, running_world, say


async def texts(world: World, limit: int) -> list[str]:
    found = await world.application.recent.messages(world.who, limit=limit)
    return [text_of(one.item.body()) for one in found]


async def test_they_are_the_newest_of_all_whatever_the_conversation(tmp_path: Path) -> None:
    async with running_world(tmp_path / "data") as world:
        conversations = [await world.conversation() for _ in range(50)]
        order = random.Random(7)
        for number in range(120):
            await world.application.conversations.add_items(
                world.who, order.choice(conversations), parse_input([say(str(number))])
            )
        for limit in (1, 10, 100, 200):
            assert await texts(world, limit) == [str(number) for number in range(119, -1, -1)][:limit]
        bob = await another_person(world)
        assert await world.application.recent.messages(bob, limit=10) == []


async def test_what_is_deleted_hidden_or_on_another_branch_is_left_out(tmp_path: Path) -> None:
    async with running_world(tmp_path / "data") as world:
        gone, kept = await world.conversation("gone"), await world.conversation("first", "hidden")
        hidden = (await world.path(kept))[-1]
        await world.application.conversations.hide_item(world.who, kept, hidden.wire_id)
        await world.application.conversations.delete(world.who, gone)
        first = (await world.path(kept))[0]
        await world.edit(first.wire_id, "edited", conversation_id=kept)
        await world.turn("last", conversation_id=kept)
        found = await texts(world, 10)
        assert "gone" not in found and "hidden" not in found and "first" not in found
        assert found[0] == "re: last"
