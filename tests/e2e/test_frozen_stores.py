"""A store keeps its connections and answers nothing: the server says so in time, and can be stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from antiphon.bootstrap.ending import CLOSING_SECONDS as STORES_SECONDS
from antiphon.process import CLOSING_SECONDS
from antiphon.services.store_health import ANSWER_SECONDS
from tests import mongo
from tests.e2e.own_postgres import own_postgres
from tests.e2e.server_process import NewServer, ServerProcess
from tests.e2e.wire import Exchange, begin, call, get
from tests.ports import free_port
from tests.redis_server import running_redis

pytestmark = pytest.mark.alone  # it is times that are promised

DRAIN = 1
LONGEST_SECONDS = DRAIN + CLOSING_SECONDS + STORES_SECONDS
MARGIN_SECONDS = 3.0
"""A tick of the server's, and a busy machine."""
LEFT = "left as it is"


class Frozen(Protocol):
    """A server of a test's own that can stand still."""

    def freeze(self) -> None:
        """Stand still."""
        ...

    def thaw(self) -> None:
        """Go on."""
        ...


class OwnMongo:
    """A server of MongoDB's protocol."""

    def __init__(self, directory: Path) -> None:
        port = free_port()
        self.url = f"mongodb://127.0.0.1:{port}/frozen"
        self.process = mongo.started(port, directory)

    def freeze(self) -> None:
        """Stand still."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        os.kill(self.process.pid, signal.SIGCONT)


@pytest.fixture
def own_mongo(tmp_path: Path) -> Iterator[OwnMongo]:
    if mongo.command() is None:
        pytest.skip(mongo.ABSENT)
    own = OwnMongo(tmp_path / "mongo")
    yield own
    own.process.kill()
    own.process.wait(10)


async def answered(server: ServerProcess, text: str) -> str:
    """The id of a stored answer."""
    asked = {"model": "openai/plain", "input": text}
    told = await call(server.port, "POST", "/v1/responses", asked)
    assert told.status == 200, told.body
    identifier: str = told.json()["id"]
    return identifier


async def left_alone(server: ServerProcess) -> list[Exchange]:
    """Requests that wait for the store."""
    return [
        await begin(server.port, "POST", "/v1/responses", {"model": "openai/plain", "input": "waits"}),
        await begin(server.port, "GET", "/v1/conversations"),
    ]


async def require_stops(server: ServerProcess, store: Frozen) -> None:
    """Freeze the store, ask, and stop the server; it is gone in time."""
    store.freeze()
    try:
        await left_alone(server)
        server.terminate()
        began = time.monotonic()
        await asyncio.to_thread(server.wait, LONGEST_SECONDS + MARGIN_SECONDS)
        took = time.monotonic() - began
    finally:
        store.thaw()
    assert took < LONGEST_SECONDS + MARGIN_SECONDS


async def test_a_server_on_a_frozen_postgresql_is_unready_and_ends_in_time(
    new_server: NewServer, tmp_path: Path
) -> None:
    with own_postgres(tmp_path) as database:
        server = new_server(DATABASE_URL=database.url, DRAIN_SECONDS=str(DRAIN))
        await asyncio.to_thread(server.start)
        kept = await answered(server, "kept")
        database.freeze()
        began = time.monotonic()
        try:
            told = await call(server.port, "GET", "/health/ready")
            assert (told.status, told.json()["error"]["code"]) == (503, "service_unavailable")
            assert time.monotonic() - began < ANSWER_SECONDS + 1
        finally:
            database.thaw()
        await require_stops(server, database)
        assert server.log.count(LEFT) == 1
        await asyncio.to_thread(server.start)
        assert (await get(server.port, f"/v1/responses/{kept}"))["status"] == "completed"
        server.stop()


async def test_a_server_on_a_frozen_mongodb_ends_in_time(new_server: NewServer, own_mongo: OwnMongo) -> None:
    server = new_server(MONGODB_URL=own_mongo.url, DRAIN_SECONDS=str(DRAIN))
    await asyncio.to_thread(server.start)
    kept = await answered(server, "kept")
    await require_stops(server, own_mongo)
    await asyncio.to_thread(server.start)
    assert (await get(server.port, f"/v1/responses/{kept}"))["status"] == "completed"
    server.stop()


async def test_a_server_beside_a_frozen_redis_ends_in_time(new_server: NewServer, tmp_path: Path) -> None:
    with running_redis(tmp_path / "redis") as redis:
        server = new_server(REDIS_URL=redis.url, DRAIN_SECONDS=str(DRAIN))
        await asyncio.to_thread(server.start)
        await answered(server, "kept")
        redis.pause()
        await left_alone(server)
        server.terminate()
        await asyncio.to_thread(server.wait, LONGEST_SECONDS + MARGIN_SECONDS)


async def test_a_server_whose_store_answers_leaves_by_itself(new_server: NewServer) -> None:
    server = new_server(DRAIN_SECONDS=str(DRAIN))
    await asyncio.to_thread(server.start)
    await answered(server, "kept")
    server.terminate()
    assert await asyncio.to_thread(server.wait, LONGEST_SECONDS) == 0
    assert LEFT not in server.log
