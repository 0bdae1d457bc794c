"""PostgreSQL goes down without a word, three times under load: nothing acknowledged is lost or stuck."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.own_postgres import OwnPostgres, own_postgres
from tests.e2e.server_process import NewServer
from tests.e2e.wire import call, get, until

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
    acknowledged: dict[str, str] = {}
    told: Counter[int] = Counter()
    going = True

    async def write(name: str) -> None:
        for number in itertools.count():
            if not going:
                return
            text = f"{name}.{number}"
            body = {"model": "scripted/echo", "input": text}
            answer = await call(server.port, "POST", "/v1/responses", body, seconds=60)
            told[answer.status] += 1
            if answer.status == 200 and answer.json()["status"] == "completed":
                acknowledged[answer.json()["id"]] = text
            elif answer.status != 200:
                await asyncio.sleep(0.05)

    writers = [asyncio.create_task(write(f"w{index}")) for index in range(WRITERS)]
    for _ in range(RESTARTS):
        before = len(acknowledged)
        await until(lambda before=before: len(acknowledged) > before + 40, "answers", seconds=60)
        await asyncio.to_thread(database.restart_immediately)
    before = len(acknowledged)
    await until(lambda: len(acknowledged) > before + 100, "answers after the last restart", seconds=60)
    going = False
    await asyncio.gather(*writers)
    assert set(told) <= {200, 503, 507}, told
    for identifier, text in acknowledged.items():
        answer = await get(server.port, f"/v1/responses/{identifier}")
        assert answer["status"] == "completed" and text in str(answer["output"])
    at_once = [call(server.port, "GET", "/v1/conversations") for _ in range(40)]
    assert {one.status for one in await asyncio.gather(*at_once)} == {200}, (
        "no connection is lost to the pool"
    )
    print(f"{len(acknowledged)} answers acknowledged, statuses {dict(told)}")
