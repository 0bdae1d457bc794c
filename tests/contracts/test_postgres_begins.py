"""Turns that begin at once on PostgreSQL share a transaction, and nobody notices but the processor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

import asyncpg
import pytest

from antiphon.domain.conversations import Conversation
from antiphon.domain.errors import Conflict, Unavailable
from antiphon.domain.items import Position
from antiphon.ports import write_sets as ws
from antiphon.storage.sql import postgres_locks, postgres_writer
from antiphon.storage.sql.postgres import PostgresStorage, open_postgres
from antiphon.storage.sql.postgres_pool import Session
from antiphon.storage.sql.postgres_writer import MOST_BEGINS, SHARING
from tests import postgres
from tests.contracts.builders import OWNER, change, new_conversation, new_item, new_run, put

WORKER = "a" * 32
Work = Callable[[], Awaitable[None]]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[PostgresStorage]:
    """An empty store."""
    opened = await open_postgres(postgres.prepared(tmp_path))
    yield opened
    await opened.close()


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many keys each transaction held, in the order in which they began."""
    seen: list[int] = []
    real = postgres_writer.transaction

    async def counted(connection: Session, keys: Iterable[str], work: Work, *patience: int) -> None:
        keys = list(keys)
        seen.append(len(keys))
        await real(connection, keys, work, *patience)

    monkeypatch.setattr(postgres_writer, "transaction", counted)
    return seen


Begin = tuple[Conversation, Position, list[ws.Command]]


def begin() -> Begin:
    """The begin of a turn in a conversation of its own."""
    conversation, head, commands = new_conversation(new_item("u"))
    return conversation, head, [*commands, ws.OpenRun(run=new_run(conversation), worker_id=WORKER)]


async def commit_all(store: PostgresStorage, sets: Iterable[list[ws.Command]]) -> list[BaseException | None]:
    """Commit write sets at once."""
    return await asyncio.gather(*(store.unit_of_work.commit(*one) for one in sets), return_exceptions=True)


async def is_there(store: PostgresStorage, conversation: Conversation) -> bool:
    return await store.conversations.get(OWNER, conversation.id) is not None


async def test_begins_gather_while_others_are_written(
    store: PostgresStorage, transactions: list[int]
) -> None:
    begins = [begin() for _ in range(SHARING + 3 * MOST_BEGINS)]
    assert await commit_all(store, [one[2] for one in begins]) == [None] * len(begins)
    assert all([await is_there(store, one[0]) for one in begins])
    # The first goes at once and takes whoever has come with it.
    assert len(transactions) <= SHARING + 3
    assert sum(transactions) == len(begins)


async def test_one_that_is_refused_costs_the_others_nothing(
    store: PostgresStorage, transactions: list[int]
) -> None:
    begins = [begin() for _ in range(6)]
    taken, head, _ = begins[2]
    refused = [*begins[2][2], put(Position(head.segment_id, 0, 0, None), new_item("taken"))]
    sets = [refused if one[0] is taken else one[2] for one in begins]
    # Beside them one that the database itself refuses.
    sets.append([ws.OpenRun(run=new_run(begins[0][0]), worker_id=WORKER), change(begins[0][0]), sets[0][0]])
    done = await commit_all(store, sets)
    assert [type(one) for one in done] == [type(None)] * 2 + [Conflict] + [type(None)] * 3 + [Conflict]
    assert [await is_there(store, one[0]) for one in begins] == [True, True, False, True, True, True]
    assert max(transactions) > 1


async def test_of_two_begins_on_one_branch_one_is_taken(store: PostgresStorage) -> None:
    """Both claim it in the same transaction, among others."""
    for _ in range(10):
        conversation, head, commands = new_conversation(new_item("u"))
        await store.unit_of_work.commit(*commands)
        runs = [new_run(conversation, branch_id=conversation.active_branch_id) for _ in range(2)]
        claims = [
            [
                ws.OpenRun(run=run, worker_id=WORKER),
                ws.ClaimBranch(
                    conversation_id=conversation.id, branch_id=conversation.active_branch_id, run_id=run.id,
                    head=head,
                ),
                change(conversation),
            ]
            for run in runs
        ]  # fmt: skip
        done = await commit_all(store, [begin()[2], begin()[2], *claims, begin()[2]])
        assert sorted(map(repr, done[2:4])) == sorted(map(repr, [None, Conflict("ClaimBranch")]))
        assert done[:2] + done[4:] == [None] * 3
        taken = runs[done[2:4].index(None)]
        branch = await store.conversations.branch(conversation.id, conversation.active_branch_id)
        assert branch is not None
        assert branch.run_id == taken.id
        assert len(await store.conversations.changes(conversation.id, after=0, limit=10)) == 1


async def test_who_waits_for_a_lock_does_not_hold_up_the_others(
    store: PostgresStorage, tmp_path: Path
) -> None:
    """As many begins as share wait for conversations that somebody else has locked."""
    locked = [begin() for _ in range(SHARING)]
    keys = [f"conversation {one[0].id}" for one in locked]
    other = await asyncpg.connect(postgres.prepared(tmp_path))
    try:
        await other.execute(postgres_locks.begin(keys))
        stuck = [asyncio.create_task(store.unit_of_work.commit(*one[2])) for one in locked]
        async with asyncio.timeout(5):
            for _ in range(3):  # the first come together with the locked ones
                await asyncio.gather(*(store.unit_of_work.commit(*begin()[2]) for _ in range(4)))
        assert not any(task.done() for task in stuck)
        await other.execute("COMMIT")
        async with asyncio.timeout(5):
            await asyncio.gather(*stuck)
    finally:
        await other.close()


async def test_begins_that_nobody_can_write_are_told_so(
    store: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is away: all of them hear it, and the next are written when it is back."""
    begins = [begin() for _ in range(5)]
    with monkeypatch.context() as away:
        away.setattr(store._pool, "_pool", _Away())
        done = await commit_all(store, [one[2] for one in begins])
    assert [type(one) for one in done] == [Unavailable] * 5
    assert await commit_all(store, [one[2] for one in begins]) == [None] * 5


class _Away:
    """A pool of a database that refuses connections."""

    async def acquire(self, **_: float) -> None:
        raise ConnectionRefusedError
