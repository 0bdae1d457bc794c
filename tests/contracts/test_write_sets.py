"""Port `UnitOfWork`: a set happens whole or not at all, and every guard is a compare-and-set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Conversation
from antiphon.domain.errors import Conflict
from antiphon.domain.items import Position
from antiphon.domain.usage import Usage
from antiphon.ports import blob_writes as wb
from antiphon.ports import purge_writes as wp
from antiphon.ports import write_sets as ws
from antiphon.ports.storage import Storage
from antiphon.services.conversation_updates import quiet
from tests.contracts.builders import (
    OWNER,
    SLOT,
    change,
    end_of,
    finish,
    new_branch,
    new_conversation,
    new_item,
    new_run,
    put,
)
from tests.contracts.conftest import Reopen

Made = tuple[Conversation, Position]


async def made(storage: Storage, *texts: str) -> Made:
    conversation, head, commands = new_conversation(*(new_item(text) for text in texts))
    await storage.unit_of_work.commit(*commands)
    return conversation, head


def key(name: str = "k", *, run_id: str | None = None, created: int = 10, expires: int = 100) -> ws.PutKey:
    return ws.PutKey(
        owner_id=OWNER, slot=SLOT, key=name, fingerprint=b"f", run_id=run_id, status=None, body=None,
        created_us=created, expires_us=expires,
    )  # fmt: skip


async def test_what_was_committed_is_there_after_the_store_was_closed_and_opened_again(
    opening: Reopen,
) -> None:
    async with opening() as storage:
        conversation, head = await made(storage, "a", "b")
    async with opening() as storage:
        assert await storage.conversations.get(OWNER, conversation.id) == conversation
        base = await storage.tree.turn_base(OWNER, conversation.id, None, 1000)
        assert base is not None and base.position == head and len(base.context) == 2


async def test_a_set_that_was_never_committed_writes_nothing(storage: Storage) -> None:
    conversation, _, _ = new_conversation(new_item("a"))
    assert await storage.conversations.get(OWNER, conversation.id) is None


def lost_guards(conversation: Conversation, head: Position) -> dict[str, list[Any]]:
    """Guards that do not hold against a conversation with the line a b."""
    elsewhere = Position(head.segment_id, 0, 10)
    missing = ids.new_id(SLOT)
    by = {"conversation_id": conversation.id}
    return {
        "NewBranch: the name is taken": [new_branch(conversation, "main", head)],
        "RenameBranch: gone": [ws.RenameBranch(**by, branch_id=missing, name="x")],
        "DeleteBranch: active": [ws.DeleteBranch(**by, branch_id=conversation.active_branch_id)],
        "DeleteBranch: gone": [ws.DeleteBranch(**by, branch_id=missing)],
        "ActivateBranch: gone": [ws.ActivateBranch(**by, branch_id=missing)],
        "ClaimBranch: the head has moved": [
            ws.ClaimBranch(**by, branch_id=conversation.active_branch_id, run_id=missing, head=elsewhere)
        ],
        "AdvanceHead: the head has moved": [
            ws.AdvanceHead(**by, branch_id=conversation.active_branch_id, expected=elsewhere, head=head)
        ],
        "PutItems: the place is taken": [put(elsewhere, new_item("x"))],
        "UpdateConversation: stale": [ws.UpdateConversation(**by, title="x", revision=99)],
        "UpdateConversation: gone": [ws.UpdateConversation(conversation_id=missing, title="x")],
        "TitleConversation: gone": [ws.TitleConversation(conversation_id=missing, title="x")],
        "AddQuietChange: gone": [
            quiet(msgspec.structs.replace(change(conversation), conversation_id=missing))
        ],
        "DeleteConversation: gone": [ws.DeleteConversation(conversation_id=missing, now_us=1)],
        "StartRun: gone": [ws.StartRun(run_id=missing, worker_id=missing, attempt=2)],
        "FinishRun: gone": [finish(new_run(conversation))],
        "PutKey: taken": [key()],
        "AddChange: gone": [msgspec.structs.replace(change(conversation), conversation_id=missing)],
        "BeginPurge: gone": [wp.BeginPurge(conversation_id=missing, now_us=1)],
        "EraseItems: a branch stands there": [
            wp.EraseItems(**by, owner_id=OWNER, segment_id=head.segment_id, first=1, last=1, now_us=1)
        ],
        "EraseSegment: items are there": [
            wp.EraseSegment(**by, segment_id=head.segment_id, now_us=1, grace_us=1)
        ],
        "RequireItem: gone": [wp.RequireItem(position=Position(head.segment_id, 9, 100))],
        "HoldBlob: not announced": [
            wb.HoldBlob(
                owner_id=OWNER, slot=SLOT, digest="0" * 64, segment_id=head.segment_id, depth=0,
                item_id=missing,
            )
        ],
        "DoomBlob: gone": [wb.DoomBlob(owner_id=OWNER, digest="0" * 64)],
    }  # fmt: skip


GUARDS = sorted(lost_guards(new_conversation()[0], Position("s", 1, 20)))


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("place", ["first", "last", "alone"])
async def test_a_lost_guard_rejects_the_whole_set_wherever_it_stands(
    storage: Storage, guard: str, place: str
) -> None:
    conversation, head = await made(storage, "a", "b")
    await storage.unit_of_work.commit(key())
    lost = lost_guards(conversation, head)[guard]
    other = new_item("c")
    harmless: list[Any] = [put(head, other), new_branch(conversation, "side", head), change(conversation)]
    commands = {"first": [*lost, *harmless], "last": [*harmless, *lost], "alone": lost}[place]
    with pytest.raises(Conflict) as conflict:
        await storage.unit_of_work.commit(*commands)
    assert conflict.value.message == guard.partition(":")[0]
    assert await storage.tree.item(OWNER, other.id) is None
    assert await storage.conversations.branch_names(conversation.id, "") == {"main"}
    assert await storage.conversations.get(OWNER, conversation.id) == conversation
    assert (await storage.tree.at(Position(head.segment_id, 1, 0))) is not None
    texts = await storage.tree.items(await storage.tree.path(head, floor_depth=0), conversation.id)
    assert len(texts) == 2


async def test_a_lost_set_hurts_no_set_beside_it(storage: Storage) -> None:
    conversation, head = await made(storage, "a")
    good = [new_branch(conversation, f"b{n}", head) for n in range(20)]
    bad = [new_branch(conversation, "main", head) for _ in range(20)]
    commit = storage.unit_of_work.commit
    done = await asyncio.gather(
        *(commit(change(conversation), one) for pair in zip(good, bad, strict=True) for one in pair),
        return_exceptions=True,
    )
    assert [isinstance(one, Conflict) for one in done] == [False, True] * 20
    assert len(await storage.conversations.branch_names(conversation.id, "b")) == 20
    found = await storage.conversations.get(OWNER, conversation.id)
    assert found is not None and found.revision == 21


@pytest.mark.parametrize(
    "command",
    [
        lambda c, head, n: put(head, new_item(f"n{n}")),
        lambda c, head, n: new_branch(c, "same", head),
        lambda c, head, n: key("same"),
        lambda c, head, n: ws.ClaimBranch(
            conversation_id=c.id, branch_id=c.active_branch_id, run_id=ids.new_id(1), head=head
        ),
        lambda c, head, n: ws.UpdateConversation(conversation_id=c.id, title=f"{n}", revision=1),
        lambda c, head, n: ws.TitleConversation(conversation_id=c.id, title=f"{n}"),
    ],
    ids=["place", "name", "key", "claim", "revision", "title"],
)
async def test_of_fifty_equal_compare_and_sets_exactly_one_wins(
    storage: Storage, command: Callable[[Conversation, Position, int], Any]
) -> None:
    conversation, head = await made(storage, "a")
    done = await asyncio.gather(
        *(
            storage.unit_of_work.commit(command(conversation, head, n), change(conversation))
            for n in range(50)
        ),
        return_exceptions=True,
    )
    assert sum(one is None for one in done) == 1
    assert all(one is None or isinstance(one, Conflict) for one in done)
    found = await storage.conversations.get(OWNER, conversation.id)
    assert found is not None and found.revision == 2


async def test_fifty_changes_at_once_are_numbered_without_gap_or_double(storage: Storage) -> None:
    conversation, _ = await made(storage)
    await asyncio.gather(*(storage.unit_of_work.commit(change(conversation, f"k{n}")) for n in range(50)))
    changes = await storage.conversations.changes(conversation.id, after=1, limit=100)
    assert [one.revision for one in changes] == list(range(2, 52))
    assert len({one.kind for one in changes}) == 50


async def test_a_claim_is_given_back_by_its_own_run_only(storage: Storage) -> None:
    conversation, head = await made(storage, "a")
    run, other = ids.new_id(SLOT), ids.new_id(SLOT)
    by = {"conversation_id": conversation.id, "branch_id": conversation.active_branch_id}
    commit = storage.unit_of_work.commit
    await commit(ws.ClaimBranch(**by, run_id=run, head=head))
    item = new_item("b")
    await commit(put(head, item), ws.EndClaim(**by, run_id=other, head=end_of(head, item)))
    branch = await storage.conversations.branch(conversation.id, conversation.active_branch_id)
    assert branch is not None and (branch.run_id, branch.head) == (run, head)
    with pytest.raises(Conflict):
        await commit(ws.AdvanceHead(**by, expected=head, head=end_of(head, item)))
    await commit(ws.EndClaim(**by, run_id=run, head=end_of(head, item)))
    branch = await storage.conversations.branch(conversation.id, conversation.active_branch_id)
    assert branch is not None and (branch.run_id, branch.head) == (None, end_of(head, item))


async def test_a_claim_without_output_is_given_back_and_the_head_stays(storage: Storage) -> None:
    conversation, head = await made(storage, "a")
    by = {"conversation_id": conversation.id, "branch_id": conversation.active_branch_id}
    run = ids.new_id(SLOT)
    await storage.unit_of_work.commit(ws.ClaimBranch(**by, run_id=run, head=head))
    await storage.unit_of_work.commit(ws.EndClaim(**by, run_id=run, head=None))
    branch = await storage.conversations.branch(conversation.id, conversation.active_branch_id)
    assert branch is not None and (branch.run_id, branch.head) == (None, head)


async def test_a_key_is_taken_until_it_expires_and_free_again_when_freed(storage: Storage) -> None:
    commit, read = storage.unit_of_work.commit, storage.runs.key
    run = ids.new_id(SLOT)
    await commit(key(run_id=run, created=10, expires=100))
    found = await read(OWNER, "k", 99)
    assert found is not None and (found.run_id, found.fingerprint, found.status) == (run, b"f", None)
    assert await read(OWNER, "k", 100) is None
    with pytest.raises(Conflict):
        await commit(key(created=99, expires=200))
    await commit(key(created=100, expires=200))
    await commit(ws.FreeKey(owner_id=OWNER, run_id=run))
    assert await read(OWNER, "k", 150) is not None, "only the run's own key is freed"
    await commit(key("other", run_id=run))
    await commit(ws.FreeKey(owner_id=OWNER, run_id=run))
    assert await read(OWNER, "other", 50) is None


async def test_two_owners_may_use_the_same_key(storage: Storage) -> None:
    await storage.unit_of_work.commit(key())
    stranger = ids.new_id(SLOT)
    other = ws.PutKey(
        owner_id=stranger, slot=SLOT, key="k", fingerprint=b"g", run_id=None, status=200, body=b"{}",
        created_us=10, expires_us=100,
    )  # fmt: skip
    await storage.unit_of_work.commit(other)
    found = await storage.runs.key(stranger, "k", 50)
    assert found is not None and (found.fingerprint, found.body) == (b"g", b"{}")


async def test_a_rename_to_its_own_name_holds_and_to_anothers_does_not(storage: Storage) -> None:
    conversation, head = await made(storage, "a")
    await storage.unit_of_work.commit(new_branch(conversation, "side", head))
    rename = ws.RenameBranch(
        conversation_id=conversation.id, branch_id=conversation.active_branch_id, name="main"
    )
    await storage.unit_of_work.commit(rename)
    with pytest.raises(Conflict):
        await storage.unit_of_work.commit(
            ws.RenameBranch(
                conversation_id=conversation.id, branch_id=conversation.active_branch_id, name="side"
            )
        )


async def test_an_account_is_stored_once_by_name(storage: Storage) -> None:
    accounts = [Principal(ids.new_id(SLOT), SLOT, "ada") for _ in range(10)]
    await asyncio.gather(
        *(storage.unit_of_work.commit(ws.PutAccount(account=a, created_us=1)) for a in accounts)
    )
    found = await storage.accounts.by_name("ada")
    assert found is not None and found.id in {account.account_id for account in accounts}
    assert await storage.accounts.by_name("Ada") is None


async def test_a_ledger_line_is_written_once_a_run(storage: Storage) -> None:
    line = ws.PutLedger(
        run_id=ids.new_id(SLOT), owner_id=OWNER, slot=SLOT, author_id=OWNER, credential_id=None, provider="p",
        model="m", state="settled", usage=Usage(1, 2), cost=3, created_us=1, latency_us=2,
    )  # fmt: skip
    await storage.unit_of_work.commit(line)
    await storage.unit_of_work.commit(line)


async def test_forgetting_takes_what_has_expired_and_nothing_else(storage: Storage) -> None:
    conversation, _ = await made(storage)
    await storage.unit_of_work.commit(key("old", expires=50), key("new", expires=500), change(conversation))
    await storage.unit_of_work.commit(
        ws.Forget(
            now_us=50, changes_before_us=1_000, first_conversation_id=conversation.id,
            last_conversation_id=conversation.id, limit=10,
        )
    )  # fmt: skip
    assert await storage.runs.key(OWNER, "old", 1) is None
    assert await storage.runs.key(OWNER, "new", 1) is not None
    assert len(await storage.conversations.changes(conversation.id, after=0, limit=10)) == 1


async def test_a_full_slice_of_keys_is_forgotten_or_there_are_fewer(storage: Storage) -> None:
    await storage.unit_of_work.commit(*(key(f"k{n}", expires=50) for n in range(5)))
    slices = ws.Forget(
        now_us=50, changes_before_us=0, first_conversation_id="", last_conversation_id="", limit=2, full=True
    )
    await storage.unit_of_work.commit(slices)
    await storage.unit_of_work.commit(slices)
    with pytest.raises(Conflict, match="Forget"):
        await storage.unit_of_work.commit(slices)


@pytest.mark.parametrize(
    "text",
    ["", "\0", "a\0b", "\u2028\x85", "𝔘𝔫𝔦", '{"a": 1.10}', "' OR 1=1 --", "x" * 300_000],
    ids=["empty", "nul", "nul inside", "line ends", "astral", "json", "sql", "long"],
)
async def test_any_text_comes_back_as_it_went(storage: Storage, text: str) -> None:
    item = new_item(text)
    conversation, _, commands = new_conversation(item, title=text[:400], metadata='{"b":"2","a":"1"}')
    await storage.unit_of_work.commit(*commands)
    await storage.unit_of_work.commit(new_branch(conversation, f"b{text[:100]}", Position("s", -1, 0)))
    found = await storage.tree.item(OWNER, item.id)
    assert found is not None and found[0].payload == item.payload
    stored = await storage.conversations.get(OWNER, conversation.id)
    assert stored is not None and (stored.title, stored.metadata) == (text[:400], '{"b":"2","a":"1"}')
    assert f"b{text[:100]}" in await storage.conversations.branch_names(conversation.id, "b")
