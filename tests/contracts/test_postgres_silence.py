"""A connection to PostgreSQL that stays and says nothing: 503 in time, and it is lost to nobody."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from antiphon.domain.errors import Unavailable
from antiphon.storage.sql import postgres_pool
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.postgres import PostgresStorage, open_postgres
from antiphon.storage.sql.postgres_knowledge_store import PostgresKnowledgeStore
from tests import postgres
from tests.contracts.builders import OWNER, change, new_conversation, new_item

pytestmark = pytest.mark.alone  # whoever else is busy would be as silent

COMMAND_SECONDS = 0.5
RELEASE_SECONDS = 0.3
LONGEST_SECONDS = 3.0
"""Far more than one statement and one release take here, and less than a second look would."""


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PostgresStorage]:
    """A store of one connection, impatient with its database."""
    monkeypatch.setattr(postgres_pool, "COMMAND_SECONDS", COMMAND_SECONDS)
    monkeypatch.setattr(postgres_pool, "RELEASE_SECONDS", RELEASE_SECONDS)
    opened = await open_postgres(postgres.prepared(tmp_path), connections=1)
    yield opened
    await opened.close()


@pytest.fixture
async def silent(store: PostgresStorage) -> AsyncIterator[int]:
    """The process behind the store's connection, which stands still."""
    async with store._pool.connection() as connection:
        pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    os.kill(pid, signal.SIGSTOP)
    yield pid
    with contextlib.suppress(ProcessLookupError):  # the test woke it, and it found nobody
        os.kill(pid, signal.SIGCONT)


async def test_a_read_of_a_silent_database_is_unavailable_and_the_next_one_is_served(
    store: PostgresStorage, silent: int
) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer"):
        await store.conversations.get(OWNER, "x")
    assert time.monotonic() - began < LONGEST_SECONDS
    assert await store.conversations.get(OWNER, "x") is None, f"{silent} is nobody's any more"


async def test_a_write_to_a_silent_database_is_unavailable_and_the_next_one_is_served(
    store: PostgresStorage, silent: int
) -> None:
    conversation, _, commands = new_conversation(new_item("u"))
    began = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer"):
        await store.unit_of_work.commit(*commands)
    assert time.monotonic() - began < LONGEST_SECONDS
    os.kill(silent, signal.SIGCONT)
    await store.unit_of_work.commit(*commands)
    await store.unit_of_work.commit(change(conversation))
    assert await store.conversations.get(OWNER, conversation.id) is not None


async def test_a_snapshot_of_a_silent_database_is_unavailable_and_the_next_one_is_served(
    store: PostgresStorage, silent: int
) -> None:
    knowledge = PostgresKnowledgeStore(store._pool)

    def look(db: Db) -> int:
        return len(db.execute("SELECT 1 AS one").fetchall())

    with pytest.raises(Unavailable, match="does not answer"):
        await knowledge.snapshot(look)
    assert await knowledge.snapshot(look) == 1, f"{silent} is nobody's any more"
    await knowledge.close()


async def test_what_was_done_before_the_connection_fell_silent_stays_done(
    store: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_back = asyncpg.pool.Pool.release

    async def never_ready(pool: Any, connection: Any, **_: Any) -> None:
        connection.terminate()  # as the driver does, in the end
        await give_back(pool, connection)
        raise TimeoutError

    with monkeypatch.context() as at_the_end:
        at_the_end.setattr(asyncpg.pool.Pool, "release", never_ready)
        async with store._pool.connection() as connection:
            assert await connection.fetchval("SELECT 1") == 1
