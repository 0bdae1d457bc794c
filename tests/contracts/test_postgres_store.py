"""What is PostgreSQL's own: writers side by side, lost connections, a bounded pool, text with NUL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from antiphon.domain.errors import Conflict, Unavailable
from antiphon.domain.items import Position
from antiphon.domain.run_events import encode_ops
from antiphon.ports import blob_writes as wb
from antiphon.ports import purge_writes as wp
from antiphon.ports import write_sets as ws
from antiphon.ports.storage import Fenced, StorageBusy
from antiphon.storage.sql import postgres_pool
from antiphon.storage.sql.nul import escaped, unescaped
from antiphon.storage.sql.postgres import PostgresStorage, open_postgres
from tests import postgres
from tests.contracts.builders import (
    OWNER,
    SLOT,
    change,
    finish,
    new_branch,
    new_conversation,
    new_item,
    new_run,
    put,
    segment,
)

WORKER = "a" * 32
ROUNDS = 25


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[tuple[PostgresStorage, PostgresStorage]]:
    """One database, open in two processes' ways."""
    url = postgres.prepared(tmp_path)
    one, two = await open_postgres(url, connections=4), await open_postgres(url, connections=4)
    yield one, two
    await one.close()
    await two.close()


async def both(*writes: Any) -> list[Any]:
    """Write side by side; what comes back is None or Conflict."""
    done = await asyncio.gather(*writes, return_exceptions=True)
    assert all(one is None or isinstance(one, Conflict) for one in done), done
    return done


Stores = tuple[PostgresStorage, PostgresStorage]


async def test_a_branch_is_not_deleted_while_it_is_made_active(stores: Stores, tmp_path: Path) -> None:
    one, two = stores
    for _ in range(ROUNDS):
        conversation, head, commands = new_conversation(new_item("u"))
        other = new_branch(conversation, "other", head)
        await one.unit_of_work.commit(*commands, other)
        place = {"conversation_id": conversation.id, "branch_id": other.branch.id}
        done = await both(
            one.unit_of_work.commit(ws.ActivateBranch(**place), change(conversation)),
            two.unit_of_work.commit(ws.DeleteBranch(**place), change(conversation)),
        )
        assert done.count(None) == 1
    dangling = (
        "SELECT 1 FROM conversations c WHERE NOT EXISTS"
        " (SELECT 1 FROM branches b WHERE b.conversation_id=c.id AND b.id=c.active_branch_id)"
    )
    assert postgres.look(tmp_path, lambda db: db.execute(dangling).fetchall()) == []


async def test_what_somebody_stands_on_is_not_erased(stores: Stores, tmp_path: Path) -> None:
    """A fork of an item against the erasing of that item, and a picture held again as its last item goes."""
    one, two = stores
    for number in range(ROUNDS):
        conversation, head, commands = new_conversation(new_item("a"), new_item("b"), new_item("c"))
        digest = f"{number:064d}"
        blob = {"owner_id": OWNER, "digest": digest, "slot": SLOT}
        await one.unit_of_work.commit(
            *commands, wb.AnnounceBlob(**blob, size=1, now_us=1),
            wb.HoldBlob(**blob, segment_id=head.segment_id, depth=2, item_id=head.item_id or ""),
        )  # fmt: skip
        await one.unit_of_work.commit(wp.BeginPurge(conversation_id=conversation.id, now_us=2))
        await one.unit_of_work.commit(wp.EraseViews(conversation_id=conversation.id, limit=10))
        base = Position(head.segment_id, 2, head.tokens, head.item_id)
        fork, _, forking = new_conversation(base=base)
        _, opening, start = segment(fork, base)
        item = new_item("d")
        forking = [wp.RequireItem(position=base), forking[0], opening, put(start, item)]
        forking.append(wb.HoldBlob(**blob, segment_id=start.segment_id, depth=3, item_id=item.id))
        done = await both(
            one.unit_of_work.commit(*forking),
            two.unit_of_work.commit(
                wp.EraseItems(
                    conversation_id=conversation.id, owner_id=OWNER, segment_id=head.segment_id, first=2,
                    last=2, now_us=3,
                )
            ),
        )  # fmt: skip
        assert done.count(None) == 1
    for broken in (
        "SELECT 1 FROM conversations c WHERE base_segment_id IS NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM items i WHERE i.segment_id=c.base_segment_id AND i.depth=c.base_depth)",
        "SELECT 1 FROM blobs b WHERE state<>'held' AND EXISTS"
        " (SELECT 1 FROM blob_refs r WHERE r.owner_id=b.owner_id AND r.digest=b.digest)",
    ):
        assert postgres.look(tmp_path, lambda db, broken=broken: db.execute(broken).fetchall()) == []


async def cut(store: PostgresStorage, role: str) -> None:
    """Have the server end all connections of a role, as a restart does."""
    async with store._pool.connection() as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname=current_database()"
            " AND pid<>pg_backend_pid() AND application_name=$1",
            f"antiphon {role}",
        )


async def test_a_lost_connection_costs_a_read_and_a_write_nothing(stores: Stores) -> None:
    one, two = stores
    conversation, _, commands = new_conversation(new_item("u"))
    await one.unit_of_work.commit(*commands)
    for _ in range(3):
        await cut(two, "store")
        assert await one.conversations.get(OWNER, conversation.id) is not None
        await cut(two, "store")
        await one.unit_of_work.commit(change(conversation))
    assert len(await one.conversations.changes(conversation.id, after=0, limit=10)) == 3


async def test_a_record_that_was_cut_off_is_written_again_and_once(stores: Stores) -> None:
    one, two = stores
    run = new_run()
    await one.unit_of_work.commit(ws.OpenRun(run=run, worker_id=WORKER))
    record = encode_ops([(run.id, 2, ["x"])])
    await one.journal.write_tick(WORKER, 1, record, [])
    await cut(two, "journal")
    try:
        await one.journal.write_tick(WORKER, 2, record, [])
    except StorageBusy:  # unless the cut was noticed before
        await one.journal.write_tick(WORKER, 2, record, [])
    with pytest.raises(Fenced):
        await one.journal.write_tick(WORKER, 2, record, [])


class Mute:
    """A connection whose answer to a statement is lost after it was done."""

    def __init__(self, inner: Any, last_words: str) -> None:
        self._inner = inner
        self._last_words = last_words

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def execute(self, statement: str, *values: Any) -> Any:
        """Do it, and break if it was the one."""
        return await self._cut(statement, await self._inner.execute(statement, *values))

    async def fetch(self, statement: str, *values: Any) -> Any:
        """The same of statements that go together."""
        return await self._cut(statement, await self._inner.fetch(statement, *values))

    async def _cut(self, statement: str, done: Any) -> Any:
        if self._last_words in statement:
            await self._inner.close()
            raise asyncpg.ConnectionDoesNotExistError("cut")
        return done


@pytest.mark.parametrize(
    ("ends", "last_words"), [(False, "INSERT INTO journal"), (True, "COMMIT"), (True, "UPDATE runs")]
)
async def test_a_record_whose_answer_was_lost_is_found_by_its_number(
    stores: Stores, ends: bool, last_words: str
) -> None:
    one, _ = stores
    run = new_run()
    await one.unit_of_work.commit(ws.OpenRun(run=run, worker_id=WORKER))
    record, sets = encode_ops([(run.id, 2, ["x"])]), [[finish(run)]] if ends else []
    one.journal._own = Mute(await one.journal._connection(), last_words)  # type: ignore[assignment]
    with pytest.raises(StorageBusy):
        await one.journal.write_tick(WORKER, 1, record, sets)
    await one.journal.write_tick(WORKER, 1, record, sets)
    stored = await one.runs.get(OWNER, run.id)
    assert stored is not None and stored.state == ("completed" if ends else "in_progress")
    assert [tick.number for tick in await one.workers.ticks(WORKER, 0, 10)] == [1]


async def test_a_full_pool_is_told_in_time_and_forgotten(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = stores
    monkeypatch.setattr(postgres_pool, "ACQUIRE_SECONDS", 0.1)
    held = [one._pool.connection() for _ in range(4)]
    for connection in held:
        await connection.__aenter__()
    with pytest.raises(Unavailable, match="busy"):
        await one.conversations.get(OWNER, "x")
    with pytest.raises(Unavailable, match="busy"):
        await one.unit_of_work.commit(ws.DeleteRun(run_id="x", now_us=1))
    for connection in held:
        await connection.__aexit__(None, None, None)
    monkeypatch.undo()  # a machine that stands still for a moment is no full pool
    await one.check()


async def test_a_database_that_is_not_there_is_named_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        await open_postgres(f"postgresql://nobody@/none?host={tmp_path}")


async def test_a_database_that_cannot_keep_everybodys_text_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = postgres.database_of(tmp_path / "latin")
    made = f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
    await postgres._execute(made)
    with pytest.raises(Unavailable, match="encoding is LATIN1"):
        await open_postgres(postgres.url(name))
    monkeypatch.setattr(postgres_pool, "OLDEST_SERVER", 990_000)
    with pytest.raises(Unavailable, match="too old: 99 or newer"):
        await open_postgres(postgres.prepared(tmp_path))


async def test_a_certificate_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    absent = f"sslmode=verify-full&sslrootcert={tmp_path / 'absent.pem'}"
    with pytest.raises(Unavailable, match=r"cannot be read: sslrootcert=.*absent\.pem"):
        await open_postgres(f"postgresql://nobody@127.0.0.1:1/none?{absent}")


async def test_a_caller_that_leaves_does_not_cut_its_write_off(stores: Stores) -> None:
    """And an empty set waits for those before it, by which services learn what became of theirs."""
    one, _ = stores
    for _ in range(10):
        conversation, _, commands = new_conversation(*(new_item(str(number)) for number in range(20)))
        writing = asyncio.create_task(one.unit_of_work.commit(*commands))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        writing.cancel()
        await one.unit_of_work.commit()
        assert await one.conversations.get(OWNER, conversation.id) is not None


@pytest.mark.parametrize("text", ["a\0b", "\0", "\uffff", "a\uffff0\0\uffff1", "plain"])
async def test_text_with_nul_comes_back_as_it_was(stores: Stores, text: str) -> None:
    one, _ = stores
    assert unescaped(escaped(text)) == text and "\0" not in escaped(text)
    conversation, head, commands = new_conversation(new_item(text), title=text)
    run = new_run(
        conversation, surface="chat", metadata=msgspec.json.encode({"k": text, "\\u0000": "x"}).decode()
    )
    await one.unit_of_work.commit(
        *commands, new_branch(conversation, text, head), ws.OpenRun(run=run, worker_id=WORKER)
    )
    await one.unit_of_work.commit(finish(run))
    found = await one.conversations.get(OWNER, conversation.id)
    assert found is not None and found.title == text
    assert text in await one.conversations.branch_names(conversation.id, text)
    item = await one.tree.at(head)
    assert item is not None and item.body()["content"][0]["text"] == text
    for value, count in ((text, 1), (text + "x", 0)):
        listed = await one.runs.page(
            OWNER, surface="chat", after=None, limit=5, descending=True, model=None, metadata={"k": value}
        )
        assert len(listed) == (0 if "\0" in text else count)
