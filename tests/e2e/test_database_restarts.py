"""PostgreSQL goes down without a word, three times under load: nothing acknowledged is lost or stuck."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.e2e.acknowledged import Acknowledged
from tests.e2e.own_postgres import OwnPostgres, own_postgres
from tests.e2e.server_process import NewServer
from tests.e2e.wire import call

WRITERS = 8
RESTARTS = 3


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnPostgres]:
    with own_postgres(tmp_path_factory.mktemp("own")) as running:
        yield running


async def test_every_acknowledged_answer_outlives_three_restarts(
    new_server: NewServer, database: OwnPostgres
) -> None:
    server = new_server(DATABASE_URL=database.url, DATABASE_CONNECTIONS="4")
    await asyncio.to_thread(server.start)
    acknowledged = Acknowledged(server.port)
    async with acknowledged.writing(WRITERS):
        for _ in range(RESTARTS):
            await acknowledged.more(40)
            await asyncio.to_thread(database.restart_immediately)
        await acknowledged.more(100)
    assert set(acknowledged.told) <= {200, 503, 507}, acknowledged.told
    await acknowledged.require_all_there()
    at_once = [call(server.port, "GET", "/v1/conversations") for _ in range(40)]
    assert {one.status for one in await asyncio.gather(*at_once)} == {200}, (
        "no connection is lost to the pool"
    )
