"""What only a store of two has to keep: commits cut off at any step, and races decided by an insert.

A server that dies is played by a store whose next write to a collection fails, and by another one that is
opened on the same data.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from antiphon.domain.errors import Conflict, TooLarge, Unavailable
from antiphon.domain.usage import Usage
from antiphon.ports import quota_writes as qw
from antiphon.ports import write_sets as ws
from antiphon.ports.storage import Fenced, Storage, StorageBusy
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo import log as logs
from antiphon.storage.mongo.commands import HANDLERS, OF_BOTH
from antiphon.storage.mongo.store import FOREIGN, NOT_EMPTY, MongoStorage, open_mongo
from antiphon.storage.pairing import is_elsewhere
from tests import mongo
from tests.contracts.adapters import postgres, sqlite
from tests.contracts.builders import (
    OWNER,
    SLOT,
    STRANGER,
    change,
    finish,
    new_branch,
    new_conversation,
    new_item,
    new_run,
    put,
)
from tests.ports import free_port

pytestmark = pytest.mark.skipif(not mongo.is_there(), reason=mongo.ABSENT)

WORKER, OTHER = "a" * 32, "b" * 32


class Cut(Unavailable):
    """The server dies here."""


@asynccontextmanager
async def opened(accounts: Storage, directory: Path) -> AsyncIterator[MongoStorage]:
    """The store, as another server or a later process has it."""
    storage = await open_mongo(mongo.url(directory), accounts)
    try:
        yield storage
    finally:
        await storage.close()


@pytest.fixture
async def accounts(tmp_path: Path) -> AsyncIterator[Storage]:
    async with sqlite(tmp_path / "data") as storage:
        yield storage


@pytest.fixture
async def store(accounts: Storage, tmp_path: Path) -> AsyncIterator[MongoStorage]:
    async with opened(accounts, tmp_path) as storage:
        yield storage


@asynccontextmanager
async def two_servers(directory: Path) -> AsyncIterator[tuple[MongoStorage, MongoStorage]]:
    """One store as two servers have it at the same time."""
    async with AsyncExitStack() as stack:
        accounts = await stack.enter_async_context(postgres(directory / "data"))
        one = await stack.enter_async_context(opened(accounts, directory))
        yield one, await stack.enter_async_context(opened(accounts, directory))


def cut_before(storage: MongoStorage, method: str, collection: str) -> None:
    """Let the next use of a method of the database on a collection, and all after it, fail."""
    real = getattr(storage._database, method)

    async def failing(where: str, *rest: Any, **named: Any) -> Any:
        if where == collection:
            raise Cut("cut")
        return await real(where, *rest, **named)

    setattr(storage._database, method, failing)


def ledger(run_id: str) -> ws.PutLedger:
    return ws.PutLedger(
        run_id=run_id, owner_id=OWNER, slot=SLOT, author_id=OWNER, credential_id=None, provider="p",
        model="m", state="settled", usage=Usage(3, 4), cost=5, created_us=1_000, latency_us=1,
    )  # fmt: skip


async def spent(storage: Storage) -> int:
    return sum(one.cost for one in await storage.ledger.by_model(OWNER, 0, 10**15))


def reserve(run_id: str, amount: int = 10) -> qw.Reserve:
    return qw.Reserve(
        run_id=run_id, counter="k", window_start=0, metric="tokens", model="", amount=amount, limit=100,
        now_us=1_000, forget_before=0,
    )  # fmt: skip


async def reserved(storage: Storage) -> int:
    return (await storage.quotas.counters([("k", 0)]))[0].reserved


@pytest.mark.parametrize("collection", [db.ITEMS, db.RUNS, db.CONVERSATIONS, db.BRANCHES])
async def test_a_commit_that_was_decided_is_done_by_whoever_comes_next(
    store: MongoStorage, accounts: Storage, tmp_path: Path, collection: str
) -> None:
    """Wherever the server died while it did what it had written; the ledger in SQL comes along, once."""
    conversation, head, commands = new_conversation(new_item("a"), new_item("b"))
    run = new_run(conversation)
    cut_before(store, "write", collection)
    with pytest.raises(Cut):
        await store.unit_of_work.commit(
            *commands, ws.OpenRun(run=run, worker_id=WORKER), change(conversation), ledger(run.id)
        )
    async with opened(accounts, tmp_path) as later:
        assert [one.run.id for one in await later.journal.unfinished(10)] == [run.id]
        base = await later.tree.turn_base(OWNER, conversation.id, None, 1000)
        assert base is not None and base.position == head and len(base.context) == 2
        assert base.conversation.revision == 2
        assert await spent(later) == 5
        await later.unit_of_work.commit(change(conversation))
        assert len(await later.conversations.changes(conversation.id, after=0, limit=10)) == 2
    async with opened(accounts, tmp_path) as again:
        await again.journal.unfinished(10)
        assert await spent(again) == 5


async def test_a_commit_that_was_not_decided_leaves_nothing(
    store: MongoStorage, accounts: Storage, tmp_path: Path
) -> None:
    conversation, _, commands = new_conversation(new_item("a"))
    run_id = new_run().id
    cut_before(store, "insert", db.LOG)
    with pytest.raises(Unavailable):
        await store.unit_of_work.commit(reserve(run_id), *commands)
    async with opened(accounts, tmp_path) as later:
        await later.journal.unfinished(10)
        assert await later.conversations.get(OWNER, conversation.id) is None
        assert not await later.history.has_items(conversation.id)
        assert await later.quotas.abandoned(2_000, after="", limit=10) == [run_id], "the sweeper finds it"


async def test_an_end_whose_record_was_not_written_never_was(
    store: MongoStorage, accounts: Storage, tmp_path: Path
) -> None:
    """Killed between proposing the end in the owner's log and the record of the journal."""
    conversation, head, commands = new_conversation(new_item("a"))
    run = new_run(conversation)
    await store.unit_of_work.commit(*commands, ws.OpenRun(run=run, worker_id=WORKER))
    cut_before(store, "insert", db.TICKS)
    answer = new_item("answer")
    with pytest.raises(StorageBusy):
        await store.journal.write_tick(WORKER, 1, b"\x90", [(put(head, answer), finish(run), ledger(run.id))])
    async with opened(accounts, tmp_path) as later:
        assert [one.run.id for one in await later.journal.unfinished(10)] == [run.id]
        assert await later.tree.item(OWNER, answer.id) is None
        await later.unit_of_work.commit(put(head, new_item("other")), finish(run, state="failed"))
        assert await spent(later) == 0
        with pytest.raises(Fenced):
            await later.journal.write_tick(WORKER, 1, b"\x90", [])


@pytest.mark.parametrize("collection", [db.ITEMS, db.RUNS])
async def test_an_end_whose_record_was_written_is_one_whoever_does_it(
    store: MongoStorage, accounts: Storage, tmp_path: Path, collection: str
) -> None:
    conversation, head, commands = new_conversation(new_item("a"))
    run = new_run(conversation)
    await store.unit_of_work.commit(*commands, ws.OpenRun(run=run, worker_id=WORKER))
    cut_before(store, "write", collection)
    answer = new_item("answer")
    ends = [(put(head, answer, run_id=run.id), finish(run), ledger(run.id))]
    with pytest.raises(StorageBusy):
        await store.journal.write_tick(WORKER, 1, b"\x90", ends)
    async with opened(accounts, tmp_path) as later:
        assert list(await later.journal.unfinished(10)) == []
        found = await later.runs.get(OWNER, run.id)
        assert found is not None and found.state == "completed"
        assert await later.tree.item(OWNER, answer.id) is not None
        assert await spent(later) == 5


async def test_a_record_that_is_tried_again_is_written_once(store: MongoStorage) -> None:
    conversation, head, commands = new_conversation(new_item("a"))
    run = new_run(conversation)
    await store.unit_of_work.commit(*commands, ws.OpenRun(run=run, worker_id=WORKER))
    real = store._database.write
    cut_before(store, "write", db.RUNS)
    ends = [(put(head, new_item("x")), finish(run), ledger(run.id))]
    with pytest.raises(StorageBusy):
        await store.journal.write_tick(WORKER, 1, b"\x90", ends)
    store._database.write = real  # type: ignore[method-assign]
    await store.journal.write_tick(WORKER, 1, b"\x90", ends)
    assert await spent(store) == 5
    await store.journal.write_tick(WORKER, 2, b"\x90", [])


async def test_a_commit_of_two_owners_is_whole_or_not_at_all(
    store: MongoStorage, accounts: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member's key lies with the member, what it stands for with the owner; nobody waits for the dead."""
    monkeypatch.setattr(logs, "ABORT_SECONDS", 0.05)
    conversation, _, commands = new_conversation(new_item("a"))
    key = ws.PutKey(
        owner_id=STRANGER, slot=SLOT, key="k", fingerprint=b"f", run_id=None, status=200, body=b"{}",
        created_us=1, expires_us=10**9,
    )  # fmt: skip
    cut_before(store, "insert", db.DECISIONS)
    with pytest.raises(Cut):
        await store.unit_of_work.commit(key, *commands)
    async with opened(accounts, tmp_path) as later:
        await later.journal.unfinished(10)
        assert await later.runs.key(STRANGER, "k", 5) is None
        assert await later.conversations.get(OWNER, conversation.id) is None
        await later.unit_of_work.commit(key, *commands)
        assert await later.runs.key(STRANGER, "k", 5) is not None
        assert await later.conversations.get(OWNER, conversation.id) is not None


async def test_what_sql_granted_to_a_commit_that_is_lost_is_given_back(
    store: MongoStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the guard is lost only after the reservation was made: somebody else came in between."""
    conversation, head, commands = new_conversation(new_item("a"))
    await store.unit_of_work.commit(*commands)
    run = new_run(conversation)
    log = store._log
    real = log.commit
    rival = new_item("rival")

    async def late(*args: Any, **named: Any) -> None:
        monkeypatch.setattr(log, "commit", real)
        assert await reserved(store) == 10
        operations = {OWNER: [["new", db.ITEMS, {**item_at_head(head, rival), "p": OWNER}]]}
        await real(operations, (), {OWNER: await log.catch_up(OWNER)})
        await real(*args, **named)

    monkeypatch.setattr(log, "commit", late)
    with pytest.raises(Conflict, match="PutItems"):
        await store.unit_of_work.commit(reserve(run.id), put(head, new_item("mine")))
    assert await reserved(store) == 0


def item_at_head(head: Any, item: Any) -> dict[str, Any]:
    """A document that takes the place behind a head."""
    from antiphon.domain.items import Position
    from antiphon.storage.mongo.documents import item_document

    place = Position(head.segment_id, head.depth + 1, head.tokens + item.token_count)
    return item_document(item, place, owner_id=OWNER, slot=SLOT, author_id=OWNER, run_id=None, created_us=1)


async def test_a_server_that_slept_past_the_log_starts_from_what_is_there(
    store: MongoStorage, accounts: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next number was used and erased meanwhile: an insert there would be nobody's."""
    conversation, head, commands = new_conversation(new_item("a"))
    await store.unit_of_work.commit(*commands)
    async with opened(accounts, tmp_path) as other:
        for n in range(5):
            await other.unit_of_work.commit(new_branch(conversation, f"b{n}", head), change(conversation))
    await store._database.delete(db.LOG, {"p": OWNER, "n": {"$lt": 6}})
    monkeypatch.setattr(logs, "FRESH_SECONDS", -1.0)
    await store.unit_of_work.commit(change(conversation))
    found = await store.conversations.get(OWNER, conversation.id)
    assert found is not None and found.revision == 7
    newest = await store._database.first(db.LOG, {"p": OWNER}, sort=[("n", -1)])
    assert newest is not None and newest["n"] == 7


async def test_a_commit_larger_than_a_document_is_stored_in_parts(
    store: MongoStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_RECORD_BYTES", 1_000)
    conversation, head, commands = new_conversation(*(new_item("x" * 900) for _ in range(20)))
    await store.unit_of_work.commit(*commands)
    base = await store.tree.turn_base(OWNER, conversation.id, None, 10**6)
    assert base is not None and base.position == head and len(base.context) == 20
    await store._log.close_done()
    assert await store._database.find(db.PARTS, {}) == []


async def test_an_item_that_no_document_can_hold_is_refused(store: MongoStorage) -> None:
    _, head, commands = new_conversation(new_item("a"))
    await store.unit_of_work.commit(*commands)
    with pytest.raises(TooLarge):
        await store.unit_of_work.commit(put(head, new_item("x" * 15_800_000)))


async def test_what_is_erased_stands_in_no_log(store: MongoStorage) -> None:
    """Content stays in the log of commits only until it is stored, and not a moment after it is erased."""
    from antiphon.ports.purge_writes import EraseRuns

    conversation, _, commands = new_conversation(new_item("canary"))
    run = new_run(conversation)
    await store.unit_of_work.commit(*commands, ws.OpenRun(run=run, worker_id=WORKER))
    await store.unit_of_work.commit(EraseRuns(run_ids=(run.id,)))
    assert await store._database.find(db.LOG, {"open": True}) == []
    assert all("content" not in one for one in await store._database.find(db.LOG, {}))


async def test_stores_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    async with sqlite(tmp_path / "one") as one, sqlite(tmp_path / "two") as two:
        assert not await is_elsewhere(one)
        async with opened(one, tmp_path):
            pass
        assert await is_elsewhere(one)
        async with opened(one, tmp_path):
            pass
        with pytest.raises(Unavailable, match=FOREIGN[:40]):
            await open_mongo(mongo.url(tmp_path), two)
        assert not await is_elsewhere(two), "a refused one can go on without"
        _, _, commands = new_conversation(new_item("a"))
        await two.unit_of_work.commit(*commands)
        with pytest.raises(Unavailable, match=NOT_EMPTY[:40]):
            await open_mongo(mongo.url(tmp_path / "empty"), two)


async def test_a_mongodb_that_is_not_there_is_named(accounts: Storage) -> None:
    with pytest.raises(Unavailable, match="MongoDB"):
        await open_mongo(f"mongodb://127.0.0.1:{free_port()}/x?serverSelectionTimeoutMS=200", accounts)
    with pytest.raises(Unavailable, match="MONGODB_URL"):
        await open_mongo("mongodb://", accounts)


def test_every_command_is_done_by_one_of_the_two_stores_on_purpose() -> None:
    """A new command is either told what it does to documents, or is one of people, limits and operating."""
    of_sql = {"account_writes", "group_writes", "quota_writes", "operation_writes"}
    named = {ws.PutAccount, ws.PutLedger, ws.Forget}
    waiting, forgotten = list(ws.Command.__subclasses__()), []
    while waiting:
        command = waiting.pop()
        waiting += command.__subclasses__()
        in_sql = command in named or command.__module__.rpartition(".")[2] in of_sql
        if (command in HANDLERS) is in_sql and command not in OF_BOTH:
            forgotten.append(command.__name__)
    assert forgotten == []
