"""MongoDB goes down without a word, twice under load, and hangs once: nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import mongo
from tests.e2e.server_process import NewServer
from tests.e2e.wire import call, get, until

pytestmark = pytest.mark.skipif(not mongo.is_there(), reason=mongo.ABSENT)

WRITERS = 4
RESTARTS = 2
HUNG_SECONDS = 3.0


class OwnMongo:
    """A server of the test's own, on one port."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = mongo.free_port()
        self.url = f"mongodb://127.0.0.1:{self._port}/hurt?serverSelectionTimeoutMS=1000"
        self.process: subprocess.Popen[bytes] = mongo.started(self._port, directory)

    def restart(self) -> None:
        """Kill it and start it again on what it had written."""
        self.kill()
        self.process = mongo.started(self._port, self._directory)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[OwnMongo]:
    if mongo.command() is None:
        pytest.skip("a server that is only named cannot be killed")
    own = OwnMongo(tmp_path / "mongo")
    yield own
    own.kill()


async def test_every_acknowledged_answer_outlives_restarts(new_server: NewServer, database: OwnMongo) -> None:
    server = new_server(MONGODB_URL=database.url)
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

    async def more(count: int) -> None:
        before = len(acknowledged)
        await until(lambda: len(acknowledged) > before + count, "answers", seconds=60)

    writers = [asyncio.create_task(write(f"w{index}")) for index in range(WRITERS)]
    for _ in range(RESTARTS):
        await more(20)
        await asyncio.to_thread(database.restart)
    await more(20)
    os.kill(database.process.pid, signal.SIGSTOP)
    await asyncio.sleep(HUNG_SECONDS)
    os.kill(database.process.pid, signal.SIGCONT)
    await more(40)
    going = False
    await asyncio.gather(*writers)
    assert set(told) <= {200, 503}, told
    for identifier, text in acknowledged.items():
        answer = await get(server.port, f"/v1/responses/{identifier}")
        assert answer["status"] == "completed" and text in str(answer["output"])
    assert "unhandled error" not in server.log
    print(f"{len(acknowledged)} answers acknowledged, statuses {dict(told)}")
