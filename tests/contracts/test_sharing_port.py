"""Ports `Members` and `Shares`, and the commands of sharing: what is written is read, by whom it may be."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Conversation
from antiphon.domain.errors import Conflict
from antiphon.domain.shares import ShareLink
from antiphon.ports import sharing_writes as sw
from antiphon.ports import write_sets as ws
from antiphon.ports.purge_writes import BeginPurge
from antiphon.ports.storage import Storage
from tests.contracts.builders import OWNER, SLOT, STRANGER, new_conversation, new_item, new_run

MEMBER = ids.new_id(SLOT)
NOW = 1_000_000


def account(account_id: str, name: str) -> ws.PutAccount:
    return ws.PutAccount(account=Principal(account_id, SLOT, name), created_us=1)


def put_member(conversation: Conversation, **fields: Any) -> sw.PutMember:
    return sw.PutMember(
        **{
            "conversation_id": conversation.id,
            "account_id": MEMBER,
            "owner_id": OWNER,
            "slot": SLOT,
            "role": "viewer",
            "created_us": 5,
            **fields,
        }
    )


def put_share(conversation: Conversation, digest: bytes = b"d" * 32, **fields: Any) -> sw.PutShare:
    link = ShareLink(
        **{
            "id": ids.new_id(SLOT),
            "owner_id": OWNER,
            "slot": SLOT,
            "conversation_id": conversation.id,
            "branch_id": None,
            "created_us": 5,
            "expires_us": NOW + 1,
            **fields,
        }
    )
    return sw.PutShare(link=link, digest=digest)


async def a_conversation(storage: Storage, *extra: ws.Command) -> tuple[Conversation, str]:
    """A stored conversation and its first item's id; its people have accounts."""
    item = new_item("hello")
    conversation, _, commands = new_conversation(item)
    people = (account(OWNER, "owner"), account(MEMBER, "member"), account(STRANGER, "stranger"))
    await storage.unit_of_work.commit(*people, *commands, *extra)
    return conversation, item.id


async def test_the_last_used_of_others_come_first_by_pages(storage: Storage) -> None:
    made = []
    await a_conversation(storage)
    for at in (30, 10, 50, 30):
        conversation, _, commands = new_conversation(updated_us=at)
        await storage.unit_of_work.commit(*commands, put_member(conversation))
        made.append((at, conversation.id))
    seen: list[tuple[int, str]] = []
    while page := await storage.members.latest(MEMBER, after=seen[-1] if seen else None, limit=3):
        assert {one.role for one in page} == {"viewer"}
        seen += [(one.updated_us, one.id) for one in page]
    assert seen == sorted(made, reverse=True)


async def test_a_member_finds_the_conversation_by_every_id_and_a_stranger_by_none(storage: Storage) -> None:
    conversation, item_id = await a_conversation(storage)
    run = new_run(conversation)
    await storage.unit_of_work.commit(ws.OpenRun(run=run, worker_id="w"), put_member(conversation))
    members = storage.members
    for account_id in (MEMBER, STRANGER, OWNER):
        found = [
            await members.role(account_id, conversation.id),
            await members.of_run(account_id, run.id),
            await members.of_item(account_id, item_id),
            *await members.shared_with(account_id, after=None, limit=5, descending=False),
        ]
        if account_id == MEMBER:
            assert {(one.id, one.role, one.owner_name) for one in found if one} == {
                (conversation.id, "viewer", "owner")
            }
            assert len(found) == 4
        else:
            assert found == [None, None, None]
    assert await members.of_run(MEMBER, ids.new_id(SLOT)) is None
    assert await members.of_item(MEMBER, ids.new_id(SLOT)) is None


async def test_a_run_that_is_deleted_leads_nowhere(storage: Storage) -> None:
    conversation, _ = await a_conversation(storage)
    run = new_run(conversation)
    await storage.unit_of_work.commit(
        ws.OpenRun(run=run, worker_id="w"),
        put_member(conversation),
        ws.DeleteRun(run_id=run.id, now_us=9),
    )
    assert await storage.members.of_run(MEMBER, run.id) is None


async def test_a_deleted_conversation_has_neither_members_nor_links(storage: Storage) -> None:
    conversation, item_id = await a_conversation(storage)
    await storage.unit_of_work.commit(put_member(conversation), put_share(conversation))
    await storage.unit_of_work.commit(ws.DeleteConversation(conversation_id=conversation.id, now_us=9))
    assert await storage.members.role(MEMBER, conversation.id) is None
    assert await storage.members.of_item(MEMBER, item_id) is None
    assert await storage.members.shared_with(MEMBER, after=None, limit=5, descending=False) == []
    pair = (MEMBER, conversation.id)
    assert await storage.members.left([pair]) == {pair}
    assert await storage.shares.by_digest(b"d" * 32, NOW) is None
    for late in (put_member(conversation, account_id=STRANGER), put_share(conversation, b"e" * 32)):
        with pytest.raises(Conflict, match=type(late).__name__):
            await storage.unit_of_work.commit(late)


async def test_members_are_listed_with_the_owner_by_pages(storage: Storage) -> None:
    conversation, _ = await a_conversation(storage)
    await storage.unit_of_work.commit(put_member(conversation), put_member(conversation, account_id=STRANGER))
    everybody = await storage.members.page(conversation.id, after=None, limit=10)
    assert [one.account_id for one in everybody] == sorted((OWNER, MEMBER, STRANGER))
    assert {one.name: one.role for one in everybody} == {
        "owner": "owner", "member": "viewer", "stranger": "viewer",
    }  # fmt: skip
    first = await storage.members.page(conversation.id, after=None, limit=1)
    rest = await storage.members.page(conversation.id, after=first[0].account_id, limit=5)
    assert first + rest == everybody
    assert [await storage.members.get(conversation.id, one.account_id) for one in everybody] == everybody
    assert await storage.members.get(conversation.id, ids.new_id(SLOT)) is None


async def test_a_member_is_added_once_changed_and_removed_once(storage: Storage) -> None:
    conversation, _ = await a_conversation(storage)
    change = sw.SetMemberRole(conversation_id=conversation.id, account_id=MEMBER, role="editor")
    remove = sw.RemoveMember(conversation_id=conversation.id, account_id=MEMBER)
    for lost in (change, remove):
        with pytest.raises(Conflict, match=type(lost).__name__):
            await storage.unit_of_work.commit(lost)
    await storage.unit_of_work.commit(put_member(conversation))
    with pytest.raises(Conflict, match="PutMember"):
        await storage.unit_of_work.commit(put_member(conversation, role="editor"))
    await storage.unit_of_work.commit(change)
    found = await storage.members.role(MEMBER, conversation.id)
    assert found is not None and found.role == "editor"
    pairs = {(MEMBER, conversation.id), (STRANGER, conversation.id)}
    assert await storage.members.left(pairs) == {(STRANGER, conversation.id)}
    await storage.unit_of_work.commit(remove)
    assert await storage.members.left(pairs) == pairs


async def test_shared_conversations_are_listed_by_pages_in_both_orders(storage: Storage) -> None:
    made = [(await a_conversation(storage))[0] for _ in range(5)]
    for one in made[1:]:
        await storage.unit_of_work.commit(put_member(one))
    wanted = [one.id for one in made[1:]]
    for descending in (False, True):
        seen: list[str] = []
        while True:
            page = await storage.members.shared_with(
                MEMBER, after=seen[-1] if seen else None, limit=2, descending=descending
            )
            if not page:
                break
            seen += [one.id for one in page]
        assert seen == (wanted[::-1] if descending else wanted)


async def test_a_link_is_found_by_its_digest_until_it_ends(storage: Storage) -> None:
    conversation, _ = await a_conversation(storage)
    made = put_share(conversation)
    await storage.unit_of_work.commit(made)
    found = await storage.shares.by_digest(b"d" * 32, NOW)
    assert found is not None and found[0] == made.link and found[1].id == conversation.id
    assert await storage.shares.by_digest(b"e" * 32, NOW) is None
    assert await storage.shares.by_digest(b"d" * 32, NOW + 1) is None
    revoke = sw.RevokeShare(conversation_id=conversation.id, share_id=made.link.id, now_us=7)
    elsewhere = sw.RevokeShare(conversation_id=ids.new_id(SLOT), share_id=made.link.id, now_us=7)
    with pytest.raises(Conflict, match="RevokeShare"):
        await storage.unit_of_work.commit(elsewhere)
    assert await storage.shares.get(conversation.id, made.link.id) == made.link
    assert await storage.shares.get(ids.new_id(SLOT), made.link.id) is None
    await storage.unit_of_work.commit(revoke)
    assert await storage.shares.by_digest(b"d" * 32, NOW) is None
    assert await storage.shares.get(conversation.id, made.link.id) is None
    with pytest.raises(Conflict, match="RevokeShare"):
        await storage.unit_of_work.commit(revoke)


async def test_links_are_listed_by_pages(storage: Storage) -> None:
    conversation, _ = await a_conversation(storage)
    made = [put_share(conversation, bytes([n]) * 32) for n in range(4)]
    await storage.unit_of_work.commit(*made)
    first = await storage.shares.page(conversation.id, after=None, limit=3)
    rest = await storage.shares.page(conversation.id, after=first[-1].id, limit=3)
    assert first + rest == [one.link for one in made]


async def test_a_conversation_is_hidden_until_it_is_revealed(storage: Storage) -> None:
    conversation, _, commands = new_conversation(new_item("a"))
    await storage.unit_of_work.commit(*commands, sw.HideConversation(conversation_id=conversation.id))
    assert await storage.conversations.get(OWNER, conversation.id) is None
    reveal = sw.RevealConversation(conversation_id=conversation.id, now_us=77)
    await storage.unit_of_work.commit(reveal)
    found = await storage.conversations.get(OWNER, conversation.id)
    assert found is not None and (found.created_us, found.updated_us) == (77, 77)
    with pytest.raises(Conflict, match="RevealConversation"):
        await storage.unit_of_work.commit(reveal)


async def test_a_hidden_conversation_that_is_being_purged_is_never_revealed(storage: Storage) -> None:
    conversation, _, commands = new_conversation(new_item("a"))
    await storage.unit_of_work.commit(*commands, sw.HideConversation(conversation_id=conversation.id))
    await storage.unit_of_work.commit(BeginPurge(conversation_id=conversation.id, now_us=5))
    with pytest.raises(Conflict, match="RevealConversation"):
        await storage.unit_of_work.commit(sw.RevealConversation(conversation_id=conversation.id, now_us=77))
    assert await storage.conversations.get(OWNER, conversation.id) is None
