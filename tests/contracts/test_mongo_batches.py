"""Commits of one owner that wait for their turn go together, and each is told its own fate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import ReplaceOne

from antiphon.domain.errors import Conflict, TooLarge, Unavailable
from antiphon.domain.items import Position
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.store import MongoStorage
from tests import mongo
from tests.contracts.adapters import mongo_and_sqlite
from tests.contracts.builders import OWNER, change, new_conversation, new_item, put

pytestmark = pytest.mark.skipif(not mongo.is_there(), reason=mongo.ABSENT)

SECONDS = 20.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[MongoStorage]:
    async with mongo_and_sqlite(tmp_path) as storage:
        assert isinstance(storage, MongoStorage)
        yield storage


async def test_commits_that_wait_for_their_turn_go_together(store: MongoStorage) -> None:
    """Sixty of one owner at once are a few records, and all of them are there."""
    made = [new_conversation(new_item(str(number))) for number in range(60)]
    await asyncio.gather(*(store.unit_of_work.commit(*commands) for _, _, commands in made))
    for conversation, head, _ in made:
        base = await store.tree.turn_base(OWNER, conversation.id, None, 1000)
        assert base is not None and base.position == head
    assert await store._log.catch_up(OWNER) <= 4


async def test_who_is_refused_in_a_batch_harms_nobody_else(store: MongoStorage) -> None:
    """Of those who want one place the first has it, each other hears it; what is too large goes alone."""
    conversation, head, commands = new_conversation(new_item("a"))
    await store.unit_of_work.commit(*commands)
    same = [put(head, new_item(f"same {number}")) for number in range(5)]
    large = [put(Position("f" * 32, -1, 0), new_item("x" * 16 * 2**20))]
    others = [change(conversation) for _ in range(10)]
    fates = await asyncio.gather(
        *(store.unit_of_work.commit(one) for one in [*same, *large, *others]), return_exceptions=True
    )
    assert [type(one) for one in fates] == [type(None)] + [Conflict] * 4 + [TooLarge] + [type(None)] * 10
    assert {one.message for one in fates[1:5] if isinstance(one, Conflict)} == {"PutItems"}
    found = await store.conversations.changes(conversation.id, after=0, limit=100)
    assert [one.revision for one in found] == list(range(2, 12))


async def test_who_leaves_while_he_waits_takes_nobody_along(store: MongoStorage) -> None:
    conversation, _, commands = new_conversation(new_item("a"))
    await store.unit_of_work.commit(*commands)
    tasks = [asyncio.create_task(store.unit_of_work.commit(change(conversation))) for _ in range(30)]
    for turn, task in enumerate(tasks):
        await asyncio.sleep(0)
        if turn % 3 == 0:
            task.cancel()
    fates = await asyncio.gather(*tasks, return_exceptions=True)
    stayed = [one for turn, one in enumerate(fates) if turn % 3]
    assert stayed == [None] * 20
    found = await store.conversations.changes(conversation.id, after=0, limit=100)
    assert 20 <= len(found) <= 30 and [one.revision for one in found] == list(range(2, len(found) + 2))
    await store.unit_of_work.commit(change(conversation))


async def test_what_a_batch_cannot_write_is_told_to_all_of_it(store: MongoStorage) -> None:
    made = [new_conversation(new_item(str(number))) for number in range(5)]
    real = store._database.insert

    async def failing(where: str, document: dict[str, Any]) -> bool:
        if where == db.LOG:
            raise Unavailable("cut")
        return await real(where, document)

    store._database.insert = failing  # type: ignore[method-assign]
    fates = await asyncio.gather(
        *(store.unit_of_work.commit(*commands) for _, _, commands in made), return_exceptions=True
    )
    assert all(isinstance(one, Unavailable) for one in fates)


async def test_a_commit_that_changes_more_than_a_hundred_documents_is_written(store: MongoStorage) -> None:
    """A look-alike that keeps a connection for each change of a command gets few in one."""
    made = [new_conversation(new_item("a")) for _ in range(110)]
    await store.unit_of_work.commit(*(command for _, _, commands in made for command in commands))
    async with asyncio.timeout(SECONDS):
        await store.unit_of_work.commit(*(change(conversation) for conversation, _, _ in made))
    assert await store._database.count(db.CONVERSATIONS, {"revision": 2}) == len(made)


async def test_changes_that_come_at_once_do_not_wait_for_each_other_without_end(store: MongoStorage) -> None:
    """Six times eighty of them, which none of the six may end without a connection more."""
    async with asyncio.timeout(SECONDS):
        await store._database.insert_new(db.SWEEPS, [{"_id": str(number)} for number in range(480)])
        await asyncio.gather(*(
            store._database.write(
                db.SWEEPS,
                [ReplaceOne({"_id": str(number)}, {"due": 1}) for number in range(first, 480, 6)],
            )
            for first in range(6)
        ))  # fmt: skip
    assert await store._database.count(db.SWEEPS, {"due": 1}) == 480
