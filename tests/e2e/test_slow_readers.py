"""500 clients that hardly read: memory stays bounded, nobody else notices, and their answers are stored."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.events import events_of, require_terminal, stored_text, text_of
from tests.e2e.raw_upstream import DONE, RawUpstream, finish_chunk, raw_upstream, sse, text_chunk
from tests.e2e.server_process import NewServer, ServerProcess, running, upstream_settings
from tests.e2e.wire import begin, call, get, request_bytes, tiny_reader, until
from tests.harness.tokens import expected_text
from tests.harness.upstream import Upstream

pytestmark = pytest.mark.alone

READERS = 500
ALLOWED_BYTES = READERS * 128 * 1024
"""A transport buffer (16 KiB and a write), one event that may be as large as the answer, a connection."""

ALLOWED_OWN_BYTES = READERS * 256 * 1024
"""Also the answer itself while it is made: its log, and for a moment its item, its record and its chunk."""
PIECES = [f"{index:05d} " + "x" * 1394 for index in range(40)]
LONG = "".join(PIECES)
HUGE_PIECES = 200
HUGE_BYTES = 8000 * HUGE_PIECES
FINE_TOKENS = 4000
"""Hashed tokens that make more than 50 kB."""
FAST = "openai/paced-n100-i10-hash"


@pytest.fixture(scope="module")
def raw() -> Iterator[RawUpstream]:
    """An upstream whose answers are LONG, a piece every 50 ms, and one of more than a megabyte."""
    with raw_upstream() as server:
        server.answers["long"] = [sse(b""), *map(text_chunk, PIECES), finish_chunk() + DONE]
        server.answers["huge"] = sse(text_chunk("y" * 8000) * HUGE_PIECES + finish_chunk() + DONE)
        yield server


@pytest.fixture
def busy(upstream: Upstream, raw: RawUpstream, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that has served something already, so that its memory is that of a used one."""
    settings = upstream_settings(upstream, VLLM_BASE_URL=raw.base_url, DRAIN_SECONDS="1")
    with running(tmp_path, settings) as server:
        yield server


@contextlib.contextmanager
def readers(port: int, requests: list[bytes]) -> Iterator[list[socket.socket]]:
    """Connections that have asked and read nothing."""
    connections = [tiny_reader(port, data) for data in requests]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


def sip(connections: list[socket.socket]) -> None:
    """Every reader takes one byte if there is one."""
    for connection in connections:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            connection.recv(1)


class Watch:
    """Lets all readers take a byte a second and keeps the server's highest memory."""

    def __init__(self, server: ServerProcess, connections: list[socket.socket]) -> None:
        self._server = server
        self._connections = connections
        self._task = asyncio.create_task(self._run())
        self.highest = 0

    async def _run(self) -> None:
        next_sip = time.monotonic()
        while True:
            self.highest = max(self.highest, self._server.rss_bytes())
            if time.monotonic() >= next_sip:
                sip(self._connections)
                next_sip += 1
            await asyncio.sleep(0.05)

    async def stop(self) -> int:
        """Stop; returns the highest memory seen."""
        self.highest = max(self.highest, self._server.rss_bytes())
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        return self.highest


async def warm_up(server: ServerProcess, model: str, prompt: str) -> int:
    """Let the server do once what it is going to do; returns its memory."""
    body = {"model": model, "input": prompt, "stream": True}
    answers = await asyncio.gather(*(call(server.port, "POST", "/v1/responses", body) for _ in range(20)))
    for answer in answers:
        require_terminal(answer.body)
    return server.rss_bytes()


async def until_all_ended(server: ServerProcess, count: int, seconds: float = 60.0) -> None:
    """Wait until that many answers are completed in storage and none runs."""
    async with asyncio.timeout(seconds):
        while True:
            states = dict(server.query("SELECT state,count(*) FROM runs GROUP BY state"))
            if states.get("completed", 0) >= count and not states.keys() & {"queued", "in_progress"}:
                assert states.keys() == {"completed"}, states
                return
            await asyncio.sleep(0.1)


async def fast_stream(server: ServerProcess, name: str) -> float:
    """One well-read stream beside the slow ones: whole and right; returns how long it took."""
    began = time.monotonic()
    body = {"model": FAST, "input": f"stream={name}", "stream": True}
    answer = await call(server.port, "POST", "/v1/responses", body)
    assert text_of(events_of(answer.body)) == expected_text(name, 100)
    return time.monotonic() - began


async def test_slow_clients_of_answers_of_their_own(busy: ServerProcess) -> None:
    baseline = await warm_up(busy, "vllm/any", "raw=long")
    assert len(LONG) >= 50_000
    body = {"model": "vllm/any", "input": "raw=long", "stream": True}
    with readers(busy.port, [request_bytes("POST", "/v1/responses", body)] * READERS) as connections:
        watch = Watch(busy, connections)
        await fast_stream(busy, "beside")
        await until_all_ended(busy, READERS + 21)
        took = await fast_stream(busy, "after")
        highest = await watch.stop()
        print(f"baseline {baseline >> 20} MiB, highest {highest >> 20} MiB, fast stream {took:.2f} s")
        assert took < 10, "a stream of one second beside idle slow readers"
        each = (highest - baseline) // READERS
        assert highest <= baseline + ALLOWED_OWN_BYTES, f"{each} bytes for each reader"
    texts = busy.query(
        "SELECT count(*) FROM items WHERE type='message' AND role='assistant' AND length(payload)>=50000"
    )
    assert texts[0][0] == READERS + 20
    assert await asyncio.to_thread(busy.health) == 200


async def test_slow_followers_of_fine_tokens(busy: ServerProcess) -> None:
    model = f"openai/n{FINE_TOKENS}-hash"
    baseline = await warm_up(busy, model, "stream=warm")
    body = {"model": f"openai/d800-n{FINE_TOKENS}-hash", "background": True}
    made = [
        (await call(busy.port, "POST", "/v1/responses", body | {"input": f"stream=fine{index}"})).json()["id"]
        for index in range(10)
    ]
    paths = [f"/v1/responses/{made[index % 10]}?stream=true" for index in range(READERS)]
    with readers(busy.port, [request_bytes("GET", path) for path in paths]) as connections:
        watch = Watch(busy, connections)
        await fast_stream(busy, "fine-beside")
        await until_all_ended(busy, 31)
        highest = await watch.stop()
        print(f"baseline {baseline >> 20} MiB, highest {highest >> 20} MiB")
        assert highest <= baseline + ALLOWED_BYTES, f"{(highest - baseline) // READERS} bytes for each reader"
    for index, run_id in enumerate(made):
        text = stored_text(await get(busy.port, f"/v1/responses/{run_id}"))
        assert text == expected_text(f"fine{index}", FINE_TOKENS)
        assert len(text) >= 50_000


@pytest.mark.parametrize(("model", "prompt", "count"), [
    (f"openai/n{FINE_TOKENS}-hash", "stream=old", READERS), ("vllm/any", "raw=huge", 100),
])  # fmt: skip
async def test_slow_readers_of_a_finished_answer(
    busy: ServerProcess, model: str, prompt: str, count: int
) -> None:
    baseline = await warm_up(busy, model, prompt)
    run_id = busy.query("SELECT id FROM runs LIMIT 1")[0][0]
    request = request_bytes("GET", f"/v1/responses/resp_{run_id}?stream=true")
    with readers(busy.port, [request] * count) as connections:
        watch = Watch(busy, connections)
        await fast_stream(busy, "old-beside")
        await until(lambda: all(map(_readable, connections)), "every reader is answered", 30)
        highest = await watch.stop()
    print(f"baseline {baseline >> 20} MiB, highest {highest >> 20} MiB")
    allowed = count * 128 * 1024 + 40 * HUGE_BYTES  # reading and expanding one huge log costs copies of it
    assert highest <= baseline + allowed, f"{(highest - baseline) // count} bytes for each reader"


def _readable(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


async def test_readers_that_take_nothing_are_let_go(new_server: NewServer) -> None:
    server = new_server(
        DRAIN_SECONDS="1",
        patch="import antiphon.services.runs.follow as f; f.STALLED_SECONDS = 1.0; f.SWEEP_SECONDS = 0.2",
    )
    await asyncio.to_thread(server.start)
    await fast_stream(server, "first")
    body = {"model": f"openai/n{FINE_TOKENS}-hash", "background": True, "input": "stream=stuck"}
    run_id = (await call(server.port, "POST", "/v1/responses", body)).json()["id"]
    live = request_bytes("GET", f"/v1/responses/{run_id}?stream=true")
    with readers(server.port, [live] * 20) as connections:
        await until_all_ended(server, 2)
        late = [tiny_reader(server.port, live) for _ in range(20)]
        connections += late
        await until(lambda: server.connections() > 10, "they are there")
        await until(lambda: server.connections() <= 4, "their connections are closed", 15)
    resumed = await (
        await begin(server.port, "GET", f"/v1/responses/{run_id}?stream=true&starting_after=3")
    ).end()
    require_terminal(resumed.body)
    assert "Traceback" not in server.log, server.log[server.log.index("Traceback") :][:2000]
