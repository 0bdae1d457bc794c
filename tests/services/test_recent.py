"""The newest messages across conversations: each is told once, though a fork shows what its origin shows."""

from __future__ import annotations

from antiphon.domain import ids
from antiphon.domain.items import text_of
from tests.services.world import World


async def test_a_message_that_two_conversations_share_is_told_once(world: World) -> None:
    talk = await world.conversation()
    for text in ("one", "two"):
        await world.turn(text, conversation_id=talk)
    forked = await world.application.branches.fork(world.who, talk, item_id=None, title=None)
    await world.turn("three", conversation_id=ids.CONVERSATION + forked.id)
    await world.turn("four", conversation_id=talk)
    for limit in (1, 3, 5, 100):
        told = await world.application.recent.messages(world.who, limit=limit)
        texts = [text_of(one.item.body()) for one in told]
        newest = ["re: four", "four", "re: three", "three", "re: two", "two", "re: one", "one"]
        assert texts == newest[:limit]
