"""Port `ChatSessions`: a name is its owner's and unique, and what is held is counted and found in order."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.domain.conversations import EPHEMERAL, Conversation
from antiphon.domain.errors import Conflict
from antiphon.ports import write_sets as ws
from antiphon.ports.purge_writes import BeginPurge
from antiphon.ports.storage import Storage
from tests.contracts.builders import OWNER, STRANGER, new_conversation, new_item

NOW = 50


async def named(storage: Storage, key: str | None, texts: int = 0, **fields: object) -> Conversation:
    """A stored conversation of a name, with so many items."""
    items = [new_item(f"text {number}") for number in range(texts)]
    made, _, commands = new_conversation(*items, external_key=key, **fields)
    await storage.unit_of_work.commit(*commands)
    return made


async def test_a_key_leads_to_its_owners_conversation_only(storage: Storage) -> None:
    mine = await named(storage, "chat123")
    theirs = await named(storage, "chat123", owner_id=STRANGER)
    assert await storage.chat_sessions.by_key(OWNER, "chat123") == mine
    found = await storage.chat_sessions.by_key(STRANGER, "chat123")
    assert found is not None and found.id == theirs.id
    assert await storage.chat_sessions.by_key(OWNER, "chat124") is None
    assert (await storage.conversations.get(OWNER, mine.id)) == mine, "the key is read with it"


async def test_of_two_who_take_a_key_at_once_one_gets_it(storage: Storage) -> None:
    taking = [named(storage, "wanted", 1) for _ in range(8)]
    done = await asyncio.gather(*taking, return_exceptions=True)
    won = [one for one in done if isinstance(one, Conversation)]
    lost = [one for one in done if isinstance(one, Conflict)]
    assert len(won) == 1 and len(lost) == 7 and {one.message for one in lost} == {"NewConversation"}
    assert await storage.chat_sessions.by_key(OWNER, "wanted") == won[0]
    _, total = await storage.chat_sessions.held(NOW)
    assert total == 0, "nothing of the losers is there"


@pytest.mark.parametrize("how", ["deleted", "expired", "purged"])
async def test_a_key_is_free_again_when_its_conversation_is_gone(storage: Storage, how: str) -> None:
    made = await named(storage, "chat123")
    ending: dict[str, ws.Command] = {
        "deleted": ws.DeleteConversation(conversation_id=made.id, now_us=9),
        "expired": ws.ExpireConversation(conversation_id=made.id, now_us=9, updated_us=made.updated_us),
        "purged": BeginPurge(conversation_id=made.id, now_us=9),
    }
    await storage.unit_of_work.commit(ending[how])
    assert await storage.chat_sessions.by_key(OWNER, "chat123") is None
    again = await named(storage, "chat123")
    assert await storage.chat_sessions.by_key(OWNER, "chat123") == again


async def test_an_id_is_taken_whosever_it_is_until_its_conversation_is_gone(storage: Storage) -> None:
    for owner in (OWNER, STRANGER):
        made = await named(storage, None, owner_id=owner)
        assert await storage.chat_sessions.is_taken(made.id)
        await storage.unit_of_work.commit(ws.DeleteConversation(conversation_id=made.id, now_us=9))
        assert not await storage.chat_sessions.is_taken(made.id)
    assert not await storage.chat_sessions.is_taken("0" * 32)


async def test_what_is_held_are_the_ephemeral_ones_whose_time_has_not_passed(storage: Storage) -> None:
    assert await storage.chat_sessions.held(NOW) == (0, 0)
    await named(storage, "one", 3, kind=EPHEMERAL, expires_us=NOW + 1)
    await named(storage, "two", 2, kind=EPHEMERAL, expires_us=NOW + 2, owner_id=STRANGER)
    await named(storage, "empty", 0, kind=EPHEMERAL, expires_us=NOW + 3)
    await named(storage, "passed", 7, kind=EPHEMERAL, expires_us=NOW)
    await named(storage, "kept", 7)
    await named(storage, "other", 7, expires_us=NOW + 9)
    assert await storage.chat_sessions.held(NOW) == (3, 5)


async def test_the_longest_unused_come_first(storage: Storage) -> None:
    for key, expires_us in (("b", 20), ("c", 30), ("a", 10)):
        await named(storage, key, kind=EPHEMERAL, expires_us=expires_us)
    await named(storage, "d", expires_us=1)
    found = await storage.chat_sessions.longest_unused(2)
    ids = [(await storage.chat_sessions.by_key(OWNER, key)).id for key in ("a", "b")]  # type: ignore[union-attr]
    assert [one.conversation_id for one in found] == ids
    assert {one.kind for one in found} == {EPHEMERAL}


async def test_an_end_can_be_put_off_until_it_has_come(storage: Storage) -> None:
    made = await named(storage, "one", kind=EPHEMERAL, expires_us=20)
    renew = ws.RenewConversation(conversation_id=made.id, now_us=19, expires_us=40)
    await storage.unit_of_work.commit(renew)
    found = await storage.conversations.get(OWNER, made.id)
    assert found is not None and (found.expires_us, found.updated_us) == (40, 19)
    stale = ws.ExpireConversation(conversation_id=made.id, now_us=21, updated_us=made.updated_us)
    late = ws.RenewConversation(conversation_id=made.id, now_us=40, expires_us=60)
    for lost in (stale, late):
        with pytest.raises(Conflict):
            await storage.unit_of_work.commit(lost)
