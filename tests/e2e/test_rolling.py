"""Two servers on one PostgreSQL behind nginx, as they are deployed: what a client sees when one of them goes.

The same once more, with fewer of everything, where conversations are in MongoDB.

nginx runs on the configuration that is delivered, with other addresses.
"""

from __future__ import annotations

import asyncio
import http.client
import itertools
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.project_files import ROOT
from tests import mongo, postgres
from tests.e2e.events import bare, events_of, run_id_of, text_of, whole
from tests.e2e.server_process import NewServer, ServerProcess, eventually
from tests.e2e.test_several_servers import HURRIED
from tests.e2e.wire import Exchange, begin, call, until
from tests.harness.tokens import expected_text
from tests.ports import free_port
from tests.store import store_settings

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")

ENDS = {"response.completed", "response.failed", "response.incomplete"}
CLIENTS = 6


class Front:
    """nginx before two servers, and how much they are asked for."""

    def __init__(self, port: int, servers: list[ServerProcess], streams: int, restarts: int) -> None:
        self.port = port
        self.servers = servers
        self.streams = streams
        self.restarts = restarts


SIZES = {"postgres": (100, 10), "mongo": (40, 2)}


@pytest.fixture(params=SIZES)
def front(request: pytest.FixtureRequest, new_server: NewServer, tmp_path: Path) -> Iterator[Front]:
    more = {"DATABASE_URL": postgres.prepared(tmp_path), "DRAIN_SECONDS": "20", **store_settings(tmp_path)}
    if request.param == "mongo":
        if not mongo.is_there():
            pytest.skip(mongo.ABSENT)
        more["MONGODB_URL"] = mongo.url(tmp_path)
    servers = [new_server(patch=HURRIED, **more) for _ in range(2)]
    for server in servers:
        server.launch()
    for server in servers:
        eventually(lambda server=server: server.health() == 200, "a healthy server", 60)
    port = free_port()
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    for number, server in enumerate(servers, 1):
        text = text.replace(f"antiphon-{number}:8000", f"127.0.0.1:{server.port}")
    text = re.sub(r"listen \d+;", f"listen 127.0.0.1:{port};", text).replace("/tmp/", f"{tmp_path}/")
    path = tmp_path / "nginx.conf"
    path.write_text(text.replace("worker_processes auto;", "worker_processes 1;"))
    nginx = subprocess.Popen(["nginx", "-c", str(path), "-g", "daemon off;"])
    try:
        eventually(lambda: _answers(port), "nginx")
        yield Front(port, servers, *SIZES[request.param])
    finally:
        nginx.terminate()
        nginx.wait(10)


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health/live")
        return connection.getresponse().status == 200
    except OSError:
        return False


def is_over(body: bytes) -> bool:
    events = events_of(body)
    return bool(events) and events[-1].name in ENDS


class Client:
    """Asks for one streamed answer and takes it up again, as often as it is cut off."""

    def __init__(self, port: int, name: str) -> None:
        self.port = port
        self.name = name
        self.run_id: str | None = None
        self.received = b""
        self.seen: Counter[int] = Counter()
        self.resumed_at: float | None = None
        self.ended_at: float | None = None
        self.stream: Exchange | None = None

    async def ask(self, model: str) -> None:
        """Send the request until it is taken; the key has it act once."""
        body = {"model": model, "input": f"stream={self.name}", "stream": True}
        headers = {"idempotency-key": self.name}
        while True:
            self.stream = stream = await begin(self.port, "POST", "/v1/responses", body, headers)
            await until(lambda one=stream: one.over or run_id_of(one.body, one.headers), "an answer", 60)
            if stream.status:
                self.seen[stream.status] += 1
            self.run_id = run_id_of(stream.body, stream.headers)
            if self.run_id is not None:
                return
            await asyncio.sleep(0.05)

    async def read(self) -> None:
        """Read to the end, from wherever the last connection broke off."""
        while True:
            assert self.stream is not None
            await self.stream.end(60)
            self.received += whole(self.stream.body)
            if is_over(self.received):
                self.ended_at = time.monotonic()
                return
            await self._resume()

    async def _resume(self) -> None:
        events = events_of(self.received)
        after = f"&starting_after={events[-1].data['sequence_number']}" if events else ""
        while True:
            path = f"/v1/responses/{self.run_id}?stream=true{after}"
            self.stream = stream = await begin(self.port, "GET", path)
            await until(lambda stream=stream: stream.over or stream.status, "an answer", 60)
            self.seen[stream.status] += 1
            if stream.status == 200:
                self.resumed_at = self.resumed_at or time.monotonic()
                return
            await asyncio.sleep(0.05)


async def test_of_many_streams_those_of_a_killed_server_are_read_on_at_the_other(front: Front) -> None:
    clients = [Client(front.port, f"k{number}") for number in range(front.streams)]
    await asyncio.gather(*(one.ask("openai/paced-n100-i40-hash") for one in clients))
    reading = [asyncio.create_task(one.read()) for one in clients]
    streams = [one.stream for one in clients if one.stream is not None]
    await until(lambda: all(text_of(events_of(bytes(one.body))) for one in streams), "some text of each", 60)
    killed = time.monotonic()
    front.servers[0].kill()
    await asyncio.gather(*reading)
    cut = [one for one in clients if one.resumed_at is not None]
    assert front.streams / 5 <= len(cut) <= front.streams * 4 / 5, "both servers had streams"
    assert max(one.resumed_at - killed for one in cut if one.resumed_at) < 5
    assert max(one.ended_at - killed for one in clients if one.ended_at) < 30
    for one in clients:
        replay = await call(front.port, "GET", f"/v1/responses/{one.run_id}?stream=true")
        assert bare(bytes(replay.body)) == one.received, "a byte was lost, doubled or changed"
        ended = events_of(one.received)[-1].name
        assert ended == ("response.failed" if one in cut else "response.completed")
    slowest = max(one.resumed_at - killed for one in cut if one.resumed_at)
    print(f"{len(cut)} of {front.streams} read on after at most {slowest:.2f} s")


async def test_restarts_in_turn_fail_nobody(front: Front) -> None:
    going = True
    done: list[Client] = []

    async def work(name: str) -> None:
        for number in itertools.count():
            if not going:
                return
            client = Client(front.port, f"{name}n{number}")
            await client.ask("openai/paced-n20-i20-hash")
            await client.read()
            done.append(client)

    clients = [asyncio.create_task(work(f"c{index}")) for index in range(CLIENTS)]
    for number in range(front.restarts):
        server = front.servers[number % 2]
        before = len(done)
        await until(lambda before=before: len(done) > before + CLIENTS, "answers", 60)
        server.terminate()
        assert await asyncio.to_thread(server.wait, 60) == 0
        await asyncio.to_thread(server.start)
    going = False
    await asyncio.gather(*clients)
    seen: Counter[int] = sum((one.seen for one in done), Counter())
    for one in done:
        assert events_of(one.received)[-1].name == "response.completed"
        assert text_of(events_of(one.received)) == expected_text(one.name, 20)
    assert set(seen) <= {200, 502, 503}, seen
    print(f"{len(done)} answers over {front.restarts} restarts, statuses {dict(seen)}")
