"""Contract of `Runs.longest_prefix`: which stored history a resent one continues."""

from __future__ import annotations

from antiphon.ports import write_sets as ws
from antiphon.ports.storage import Storage
from tests.contracts.builders import OWNER, SLOT, STRANGER, new_conversation, new_item


async def test_the_longest_known_prefix_is_found_for_its_owner_in_living_conversations(
    storage: Storage,
) -> None:
    hashes = [bytes([n]) * 16 for n in range(5)]
    items = [new_item(f"i{n}", digest=hashes[n]) for n in range(3)]
    conversation, _, commands = new_conversation(*items)
    await storage.unit_of_work.commit(*commands)
    find = storage.runs.longest_prefix
    found = await find(OWNER, hashes)
    assert found is not None and (found[0], found[1].id, found[2]) == (2, items[2].id, conversation.id)
    found = await find(OWNER, hashes[:2])
    assert found is not None and found[0] == 1
    assert await find(OWNER, hashes[3:]) is None
    assert await find(OWNER, []) is None
    assert await find(STRANGER, hashes) is None
    await storage.unit_of_work.commit(ws.DeleteConversation(conversation_id=conversation.id, now_us=5))
    assert await find(OWNER, hashes) is None


async def test_no_prefix_is_found_where_something_of_it_may_be_hidden(storage: Storage) -> None:
    hashes = [bytes([n]) * 16 for n in range(3)]
    made = []
    for _ in range(2):
        items = [new_item(f"i{n}", digest=hashes[n]) for n in range(3)]
        conversation, _, commands = new_conversation(*items)
        await storage.unit_of_work.commit(*commands)
        made.append((conversation, items))
    for (conversation, items), other in zip(reversed(made), (made[0], None), strict=True):
        hide = ws.HideItem(conversation_id=conversation.id, item_id=items[1].id, owner_id=OWNER, slot=SLOT)
        await storage.unit_of_work.commit(hide)
        found = await storage.runs.longest_prefix(OWNER, hashes)
        assert (found and found[2]) == (other and other[0].id)
