"""An export of MongoDB while servers write: each owner's documents as of one moment, however it is cut."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from antiphon.domain.conversations import Conversation
from antiphon.domain.errors import Unavailable
from antiphon.domain.items import Position
from antiphon.ports import sharing_writes as sw
from antiphon.ports import write_sets as ws
from antiphon.ports.archives import Snapshot, Transfer
from antiphon.ports.storage import Storage, StorageBusy
from antiphon.storage.mongo import copying
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.store import MongoStorage, open_mongo
from antiphon.storage.mongo.transfer import MongoTransfer
from antiphon.storage.pairing import FOREIGN, LEFT_BEHIND, WholeTransfer
from antiphon.storage.sql.migrate import CONVERSATIONS
from antiphon.storage.sql.sqlite import FILE_NAME
from antiphon.storage.sql.transfer_postgres import PostgresTransfer
from antiphon.storage.sql.transfer_sqlite import SqliteTransfer
from tests import mongo
from tests import postgres as database
from tests.contracts.adapters import postgres, sqlite
from tests.contracts.builders import (
    OWNER,
    SLOT,
    STRANGER,
    change,
    end_of,
    finish,
    new_conversation,
    new_item,
    new_run,
    put,
)

pytestmark = pytest.mark.skipif(not mongo.is_there(), reason=mongo.ABSENT)

WORKER = "a" * 32


class Cut(Unavailable):
    """The server dies here."""


@pytest.fixture(params=["sqlite", "postgres"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Storage, Transfer]]:
    """A store of two as its server has it, and as an export sees it from beside."""
    async with AsyncExitStack() as stack:
        accounts: Storage
        inner: Transfer
        if request.param == "sqlite":
            accounts = await stack.enter_async_context(sqlite(tmp_path))
            inner = SqliteTransfer(tmp_path / FILE_NAME, CONVERSATIONS)
        else:
            accounts = await stack.enter_async_context(postgres(tmp_path))
            inner = PostgresTransfer(database.prepared(tmp_path), CONVERSATIONS)
        store = await open_mongo(mongo.url(tmp_path), accounts)
        stack.push_async_callback(store.close)
        yield store, MongoTransfer(mongo.url(tmp_path), inner)


async def rows_of(snapshot: Snapshot, name: str) -> list[dict[str, Any]]:
    (table,) = [one for one in await snapshot.tables() if one.name == name]
    return [dict(zip(table.columns, row, strict=True)) async for row in snapshot.rows(table)]


class Talk:
    """A conversation that is written without end: in each commit one item, one change, and a guest who comes
    or goes."""

    def __init__(self, store: Storage) -> None:
        self._store = store
        self.steps = 0

    async def begin(self) -> None:
        self.conversation, self.head, commands = new_conversation(new_item("0"))
        await self._store.unit_of_work.commit(*commands)

    async def go_on(self, enough: asyncio.Event) -> None:
        while not enough.is_set():
            await self.step()

    async def step(self) -> None:
        item = new_item(str(self.steps))
        after = end_of(self.head, item)
        await self._store.unit_of_work.commit(
            put(self.head, item), moved(self.conversation, self.head, after), change(self.conversation),
            guest(self.conversation, comes=self.steps % 2 == 0),
        )  # fmt: skip
        self.head, self.steps = after, self.steps + 1


def moved(conversation: Conversation, head: Position, after: Position) -> ws.AdvanceHead:
    return ws.AdvanceHead(
        conversation_id=conversation.id, branch_id=conversation.active_branch_id, expected=head, head=after
    )


def guest(conversation: Conversation, *, comes: bool) -> ws.Command:
    if not comes:
        return sw.RemoveMember(conversation_id=conversation.id, account_id=STRANGER)
    return sw.PutMember(
        conversation_id=conversation.id, account_id=STRANGER, owner_id=OWNER, slot=SLOT, role="viewer",
        created_us=1,
    )  # fmt: skip


async def require_one_moment(snapshot: Snapshot) -> int:
    """All that one commit wrote is there, or none of it; returns how many commits are."""
    (conversation,), (branch,) = [await rows_of(snapshot, name) for name in ("conversations", "branches")]
    depths = sorted(one["depth"] for one in await rows_of(snapshot, "items"))
    revision = conversation["revision"]
    assert depths == list(range(revision)), "an item for each revision"
    assert branch["head_depth"] == revision - 1
    changes = sorted(one["revision"] for one in await rows_of(snapshot, "conversation_changes"))
    assert changes == list(range(2, revision + 1))
    assert len(await rows_of(snapshot, "conversation_members")) == (revision - 1) % 2
    return int(revision)


@pytest.mark.parametrize("free_tries", [0, 3])
async def test_what_is_written_all_the_time_is_exported_as_of_one_moment(
    world: tuple[MongoStorage, Transfer], monkeypatch: pytest.MonkeyPatch, free_tries: int
) -> None:
    """Whoever never pauses is held for a moment; nothing of what he does is refused for that."""
    monkeypatch.setattr(copying, "FREE_TRIES", free_tries)
    store, transfer = world
    talk, enough = Talk(store), asyncio.Event()
    await talk.begin()
    talking = asyncio.create_task(talk.go_on(enough))
    seen = []
    for _ in range(3):
        async with transfer.snapshot() as snapshot:
            seen.append(await require_one_moment(snapshot))
        await asyncio.sleep(0)
    enough.set()
    await talking
    assert seen == sorted(seen) and seen[-1] > seen[0], "it was written meanwhile"
    async with transfer.snapshot() as snapshot:
        assert await require_one_moment(snapshot) == talk.steps + 1


@pytest.mark.parametrize("collection", [db.ITEMS, db.CONVERSATIONS, db.MEMBERS])
async def test_a_commit_that_was_decided_and_half_done_is_exported_whole(
    world: tuple[MongoStorage, Transfer], collection: str
) -> None:
    """A server died while it did what it had written, and nobody came after it yet."""
    store, transfer = world
    talk = Talk(store)
    await talk.begin()
    await talk.step()
    real: Callable[..., Any] = store._database.write

    async def failing(where: str, *rest: Any) -> None:
        if where == collection:
            raise Cut("cut")
        await real(where, *rest)

    store._database.write = failing  # type: ignore[method-assign]
    with pytest.raises(Cut):
        await talk.step()
    async with transfer.snapshot() as snapshot:
        assert await require_one_moment(snapshot) == 3


async def test_an_end_that_was_not_decided_is_not_exported(world: tuple[MongoStorage, Transfer]) -> None:
    """It is proposed in the owner's log, but the record of the journal that decides it was never written."""
    store, transfer = world
    conversation, head, commands = new_conversation(new_item("a"))
    run = new_run(conversation)
    await store.unit_of_work.commit(*commands, ws.OpenRun(run=run, worker_id=WORKER))
    real: Callable[..., Any] = store._database.insert

    async def failing(where: str, *rest: Any) -> Any:
        if where == db.TICKS:
            raise Cut("cut")
        return await real(where, *rest)

    store._database.insert = failing  # type: ignore[method-assign]
    with pytest.raises(StorageBusy):
        await store.journal.write_tick(WORKER, 1, b"\x90", [(put(head, new_item("end")), finish(run))])
    store._database.insert = real  # type: ignore[method-assign]
    if store.workers.is_shared:
        await store.workers.fence_dead()
    await store.journal.unfinished(1)
    async with transfer.snapshot() as snapshot:
        assert [one["state"] for one in await rows_of(snapshot, "runs")] == ["in_progress"]
        assert len(await rows_of(snapshot, "items")) == 1


async def test_what_a_running_answer_has_said_is_exported(world: tuple[MongoStorage, Transfer]) -> None:
    store, transfer = world
    conversation, _, commands = new_conversation(new_item("a"))
    run = new_run(conversation)
    await store.unit_of_work.commit(*commands, ws.OpenRun(run=run, worker_id=WORKER))
    await store.journal.write_tick(WORKER, 1, b"\x90", [])
    await store.journal.write_tick(WORKER, 2, b"\x91\x93", [])
    await store.journal.seal(WORKER, 1, [(run.id, 2, 5, b"\x91\x01")])
    async with transfer.snapshot() as snapshot:
        (chunk,) = await rows_of(snapshot, "run_chunks")
        assert (chunk["run_id"], chunk["first_seq"], chunk["ops"]) == (run.id, 2, b"\x91\x01")
        assert b"\x91\x93" in [one["ops"] for one in await rows_of(snapshot, "journal")]


async def test_only_stores_that_belong_together_are_exported(
    world: tuple[MongoStorage, Transfer], tmp_path: Path
) -> None:
    """The accounts alone are half a store, and another store's accounts are not these."""
    _, transfer = world
    assert isinstance(transfer, MongoTransfer)
    with pytest.raises(Unavailable, match=LEFT_BEHIND[:40]):
        async with WholeTransfer(transfer._accounts).snapshot():
            pass
    (tmp_path / "other").mkdir()
    async with sqlite(tmp_path / "other"):
        other = SqliteTransfer(tmp_path / "other" / FILE_NAME, CONVERSATIONS)
        with pytest.raises(Unavailable, match=FOREIGN[:40]):
            async with MongoTransfer(mongo.url(tmp_path), other).snapshot():
                pass
        async with WholeTransfer(other).snapshot() as whole:
            assert await rows_of(whole, "runs") == []


async def test_a_large_owner_is_exported_in_bounded_memory(world: tuple[MongoStorage, Transfer]) -> None:
    """Of 24 MiB of items less than half is in memory at once."""
    store, transfer = world
    _, head, commands = new_conversation(new_item("a"))
    await store.unit_of_work.commit(*commands)
    text = "x" * 2**17
    for _ in range(12):
        items = [new_item(text) for _ in range(16)]
        await store.unit_of_work.commit(put(head, *items))
        head = end_of(head, *items)
    tracemalloc.start()
    async with transfer.snapshot() as snapshot:
        (table,) = [one for one in await snapshot.tables() if one.name == "items"]
        count = 0
        async for _ in snapshot.rows(table):
            count += 1
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 1 + 12 * 16
    assert most < 12 * 2**20, f"{most / 2**20:.1f} MiB were in memory"
