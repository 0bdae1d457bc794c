"""MongoDB goes down without a word, twice under load, and hangs once: nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import mongo
from tests.e2e.acknowledged import Acknowledged
from tests.e2e.server_process import NewServer
from tests.ports import free_port

pytestmark = pytest.mark.skipif(not mongo.is_there(), reason=mongo.ABSENT)

WRITERS = 4
RESTARTS = 2
HUNG_SECONDS = 3.0


class OwnMongo:
    """A server of the test's own, on one port."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = free_port()
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
    acknowledged = Acknowledged(server.port)
    async with acknowledged.writing(WRITERS):
        for _ in range(RESTARTS):
            await acknowledged.more(20)
            await asyncio.to_thread(database.restart)
        await acknowledged.more(20)
        os.kill(database.process.pid, signal.SIGSTOP)
        await asyncio.sleep(HUNG_SECONDS)
        os.kill(database.process.pid, signal.SIGCONT)
        await acknowledged.more(40)
    assert set(acknowledged.told) <= {200, 503}, acknowledged.told
    await acknowledged.require_all_there()
    assert "unhandled error" not in server.log
