"""20,000 requests of two people over shared connections, a third of them broken off: no answer crosses.

Every question holds its asker's canary, and whatever comes back may hold no other. The two take turns on
the same connections, use the same idempotency keys and ask the same questions of a caching server.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httptools
import pytest

from tests.e2e.server_process import ServerProcess, running, upstream_settings
from tests.e2e.two_people import PROTECTED, Asker, two_people
from tests.e2e.wire import get, request_bytes, until
from tests.harness.upstream import Upstream

REQUESTS = 20_000
LINES = 48
ABORTED = 0.3
KEYS = 400
QUESTIONS = 40
CANARY = re.compile(rb"(?:ann|bob)-\d+-[a-z]+")
SECONDS = 30.0


class Line(asyncio.Protocol):
    """A connection on which requests follow each other. What arrives after a request belongs to it."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.headers: dict[str, str] = {}
        self.status = 0
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[bool] | None = None

    @classmethod
    async def open(cls, port: int) -> Line:
        _, line = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._finish(whole=False)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self._finish(whole=True)

    def _finish(self, *, whole: bool) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(whole)

    def begin(self, data: bytes) -> asyncio.Future[bool]:
        """Send a request; the result is done at the end of its answer, True if that is whole."""
        assert self._transport is not None
        self.body, self.headers, self.status = bytearray(), {}, 0
        self._parser = httptools.HttpResponseParser(self)
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return self._done

    def abort(self) -> None:
        """Break the connection off."""
        if self._transport is not None:
            self._transport.abort()


class Crowd:
    """What is asked, what came back, and what may not be in it."""

    def __init__(self, port: int, people: dict[str, Asker]) -> None:
        self.port = port
        self.people = people
        self.chance = random.Random(20_000)
        self.left = REQUESTS
        self.counts: Counter[str] = Counter()
        self.answers: dict[str, list[str]] = {name: [] for name in people}
        self.from_cache: dict[str, set[str]] = {name: set() for name in people}

    def next(self, name: str, number: int) -> tuple[str, bytes | None, bytes]:
        """(kind, the canary that the answer must hold, the request)."""
        kind = self.chance.choice(KINDS)
        canary = f"{name}-{number}-x"
        headers = dict(self.people[name].headers)
        stream = self.chance.random() < 0.6
        if kind == "read" and self.answers[name]:
            path, canary = self.chance.choice(self.answers[name]).split(" ")
            path += "?stream=true" if stream else ""
            return kind, canary.encode(), request_bytes("GET", path, None, headers)
        if kind == "same":
            question = f"question {self.chance.randrange(QUESTIONS)}"
            body: dict[str, Any] = {"model": "openai/n3-hash", "input": question, "store": False}
            return kind, None, request_bytes("POST", "/v1/responses", body, headers)
        if kind == "keyed":
            key = self.chance.randrange(KEYS)
            canary, stream = f"{name}-{key}-keyed", key % 2 == 0
            headers["idempotency-key"] = f"key {key}"
        body = {"model": "scripted/echo", "stream": stream}
        if kind == "chat":
            body |= {"messages": [{"role": "user", "content": canary}], "store": self.chance.random() < 0.5}
            return kind, canary.encode(), request_bytes("POST", "/v1/chat/completions", body, headers)
        body |= {"input": canary, "metadata": {"whose": canary}, "store": kind != "ephemeral"}
        return kind, canary.encode(), request_bytes("POST", "/v1/responses", body, headers)

    async def work(self) -> None:
        """Ask on one connection after another, the two people taking turns on each."""
        line = await Line.open(self.port)
        while self.left > 0:
            self.left -= 1
            name = ("ann", "bob")[self.left % 2]
            kind, canary, data = self.next(name, self.left)
            ends = line.begin(data)
            aborts = self.chance.random() < ABORTED
            patience = self.chance.random() ** 3 * 0.05 if aborts else SECONDS
            done, _ = await asyncio.wait({ends}, timeout=patience)
            whole = bool(done) and ends.result()
            self.look(line, name, kind, canary, whole=whole)
            assert whole or aborts, f"{kind} of {name}: {line.status} {bytes(line.body[-300:])!r}"
            if aborts:
                self.counts["whole, then broken off" if whole else "broken off"] += 1
                line.abort()
                line = await Line.open(self.port)
        line.abort()

    def look(self, line: Line, name: str, kind: str, canary: bytes | None, *, whole: bool) -> None:
        """Whatever came, also of an answer that was broken off, is the asker's own."""
        found = set(CANARY.findall(line.body))
        assert found <= ({canary} if canary else set()), f"{name} asked {canary!r} and was told {found}"
        if not whole:
            return
        if kind == "keyed" and line.status == 409:
            self.counts["in flight"] += 1
            return
        assert line.status == 200, (kind, line.status, bytes(line.body[:300]))
        self.counts[kind] += 1
        if canary is not None:
            assert found == {canary}
        if kind == "same":
            text = json.loads(line.body)["output"][0]["content"][0]["text"]
            self.from_cache[name].add(text)
            self.counts[f"cache {line.headers['x-antiphon-cache']}"] += 1
        elif kind == "stored" and len(self.answers[name]) < 2000 and canary is not None:
            run_id = line.headers["x-request-id"].removeprefix("req_")
            self.answers[name].append(f"/v1/responses/resp_{run_id} {canary.decode()}")


KINDS = ("stored", "stored", "ephemeral", "chat", "chat", "keyed", "same", "read")


@pytest.fixture
def node(upstream: Upstream, tmp_path: Path) -> Iterator[ServerProcess]:
    settings = upstream_settings(upstream, **PROTECTED, RESPONSE_CACHE="user")
    with running(tmp_path, settings) as server:
        yield server
        assert "Traceback" not in server.log, server.log[server.log.index("Traceback") :][:4000]


@pytest.mark.slow
async def test_no_answer_crosses(node: ServerProcess) -> None:
    ann, bob = await two_people(node.port)
    crowd = Crowd(node.port, {"ann": ann, "bob": bob})
    async with asyncio.TaskGroup() as group:
        for _ in range(LINES):
            group.create_task(crowd.work())
    counts = crowd.counts
    assert counts["broken off"] > REQUESTS * ABORTED * 0.4, counts
    assert all(counts[kind] > REQUESTS / 30 for kind in KINDS), counts
    assert counts["cache hit"] > counts["cache miss"] > 0, counts
    assert crowd.from_cache["ann"] and crowd.from_cache["bob"]
    assert not crowd.from_cache["ann"] & crowd.from_cache["bob"], "an answer of the cache crossed"

    async def idle() -> bool:
        return bool((await get(node.port, "/health"))["running"] == 0)

    await until(idle, "every run has ended")
    for name, other in (("ann", "bob"), ("bob", "ann")):
        found = node.query(
            "SELECT count(*) FROM items JOIN accounts ON accounts.id=items.owner_id"
            " WHERE accounts.name=? AND items.payload LIKE ?",
            name, f"%{other}-%",
        )  # fmt: skip
        assert found == [(0,)]
        path = crowd.answers[other][0].split(" ")[0]
        assert (await crowd.people[name].call("GET", path)).status == 404
    node.require_integrity()
