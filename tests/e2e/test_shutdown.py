"""SIGTERM: what can end in time does, the rest is ended and kept, and the process leaves cleanly."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from tests.e2e.events import (
    bare,
    events_of,
    require_gapless,
    require_terminal,
    run_id_of,
    stored_text,
    text_of,
)
from tests.e2e.library import client_of, folder
from tests.e2e.server_process import NewServer, ServerProcess, eventually, files_of
from tests.e2e.wire import Exchange, begin, call, gather_limited, get, request_bytes, send, tiny_reader, until
from tests.harness.tokens import check_prefix, expected_text
from tests.parsers.watch import children

SHORT = "openai/paced-n40-i15-hash"
ENDLESS = "openai/paced-n4000-i15-hash"
DRAIN = 1.5


def deltas(exchange: Exchange, count: int = 3) -> Any:
    """Whether that many deltas have arrived."""
    return lambda: exchange.body.count(b"output_text.delta") >= count


async def stream(server: ServerProcess, model: str, name: str, **more: Any) -> Exchange:
    """Begin a stream and wait for its first words."""
    body = {"model": model, "input": f"stream={name}", "stream": True} | more
    exchange = await begin(server.port, "POST", "/v1/responses", body)
    await exchange.until(deltas(exchange))
    return exchange


async def started(new_server: NewServer, **settings: str) -> ServerProcess:
    """A running server with a short drain."""
    server = new_server(**({"DRAIN_SECONDS": str(DRAIN)} | settings))
    await asyncio.to_thread(server.start)
    return server


async def require_stored(server: ServerProcess, name: str, exchange: Exchange, status: str) -> None:
    """After the restart the answer stands as its client saw it end."""
    run_id = run_id_of(exchange.body, exchange.headers)
    response = await get(server.port, f"/v1/responses/{run_id}")
    assert response["status"] == status, (name, response["status"])
    text = stored_text(response)
    assert check_prefix(name, text) is None, check_prefix(name, text)
    replay = await call(server.port, "GET", f"/v1/responses/{run_id}?stream=true")
    assert bare(replay.body) == bare(exchange.body), name
    if status == "failed":
        assert response["error"]["code"] == "server_error"


async def test_a_hundred_streams_end_one_way_or_the_other(new_server: NewServer) -> None:
    server = await started(new_server)
    names = {f"short{i}": SHORT for i in range(50)} | {f"endless{i}": ENDLESS for i in range(50)}
    streams = dict(
        zip(
            names,
            await asyncio.gather(*(stream(server, model, name) for name, model in names.items())),
            strict=True,
        )
    )
    began = time.monotonic()
    server.terminate()
    refused = await ready_until_refused(server)
    assert refused < 1.5, f"ready for {refused:.1f} s of the drain"
    for exchange in streams.values():
        await exchange.end(DRAIN + 5)
    code = await asyncio.to_thread(server.wait, DRAIN + 5)
    took = time.monotonic() - began
    assert took < DRAIN + 5
    for name, exchange in streams.items():
        assert exchange.complete, f"{name} was cut off instead of ended"
        require_gapless(events_of(exchange.body))
        end = require_terminal(exchange.body)
        if names[name] == SHORT:
            assert end.name == "response.completed", name
            assert text_of(events_of(exchange.body)) == expected_text(name, 40)
        else:
            assert end.name == "response.failed", name
            assert end.data["response"]["error"]["code"] == "server_error"
    await asyncio.to_thread(server.start)
    assert server.query("SELECT count(*) FROM runs WHERE state IN ('queued','in_progress')") == [(0,)]
    assert server.query("SELECT count(*) FROM branches WHERE run_id IS NOT NULL") == [(0,)]
    await gather_limited([
        require_stored(server, name, exchange, "completed" if names[name] == SHORT else "failed")
        for name, exchange in streams.items()
    ])  # fmt: skip
    server.require_integrity()
    assert code == 0, f"exit code {code}"


async def ready_until_refused(server: ServerProcess) -> float:
    """Seconds until `/health/ready` stops saying 200, by 503 or by nobody listening."""
    began = time.monotonic()
    while await asyncio.to_thread(server.health, "/health/ready") == 200:
        assert time.monotonic() - began < 10
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def test_an_open_connection_learns_of_the_drain(new_server: NewServer) -> None:
    server = await started(new_server)
    kept = await stream(server, ENDLESS, "kept")
    late = await send(server.port, b"GET /health/ready HTTP/1.1\r\nhost: 127.0.0.1\r\n")
    await asyncio.to_thread(server.health)
    server.terminate()
    await ready_until_refused(server)
    late.write(b"\r\n")
    await late.end(5)
    assert late.status in (0, 503), "a draining server does not say that it is ready"
    await kept.end(DRAIN + 5)
    await asyncio.to_thread(server.wait, DRAIN + 5)


async def test_without_runs_it_leaves_at_once(new_server: NewServer) -> None:
    server = await started(new_server, DRAIN_SECONDS="30")
    finished = await stream(server, "openai/n5-hash", "done")
    await finished.end()
    idle = await asyncio.open_connection("127.0.0.1", server.port)
    began = time.monotonic()
    server.terminate()
    code = await asyncio.to_thread(server.wait, 10)
    assert time.monotonic() - began < 5, "an idle server waits for nothing"
    idle[1].close()
    assert code == 0, f"exit code {code}"


async def test_background_runs_are_drained_too(new_server: NewServer) -> None:
    server = await started(new_server)
    ids = {}
    for name, model in (("quickbg", SHORT), ("endlessbg", ENDLESS)):
        body = {"model": model, "input": f"stream={name}", "background": True}
        ids[name] = (await call(server.port, "POST", "/v1/responses", body)).json()["id"]
    follower = await begin(server.port, "GET", f"/v1/responses/{ids['endlessbg']}?stream=true")
    await follower.until(deltas(follower))
    server.terminate()
    await follower.end(DRAIN + 5)
    await asyncio.to_thread(server.wait, DRAIN + 5)
    received = text_of(events_of(follower.body))
    require_terminal(follower.body)
    await asyncio.to_thread(server.start)
    quick = await get(server.port, f"/v1/responses/{ids['quickbg']}")
    assert (quick["status"], stored_text(quick)) == ("completed", expected_text("quickbg", 40))
    endless = await get(server.port, f"/v1/responses/{ids['endlessbg']}")
    assert endless["status"] == "failed"
    assert stored_text(endless) == received


async def test_a_second_sigterm_is_quicker(new_server: NewServer) -> None:
    server = await started(new_server, DRAIN_SECONDS="25")
    exchange = await stream(server, ENDLESS, "twice")
    server.terminate()
    await ready_until_refused(server)
    await exchange.until(deltas(exchange, exchange.body.count(b"output_text.delta") + 5))
    began = time.monotonic()
    server.terminate()
    await exchange.end(10)
    code = await asyncio.to_thread(server.wait, 10)
    assert time.monotonic() - began < 5
    require_terminal(exchange.body)
    await asyncio.to_thread(server.start)
    await require_stored(server, "twice", exchange, "failed")
    assert code == 0, f"exit code {code}"


async def test_a_client_that_reads_nothing_does_not_hold_the_process(new_server: NewServer) -> None:
    server = await started(new_server, DRAIN_SECONDS="0.5")
    body = {"model": "openai/n6000-hash", "input": "stream=stuck", "stream": True}
    readers = [tiny_reader(server.port, request_bytes("POST", "/v1/responses", body)) for _ in range(5)]
    half_sent = await send(
        server.port, b"POST /v1/responses HTTP/1.1\r\nhost: x\r\ncontent-length: 999\r\n\r\n{"
    )
    count = "SELECT count(*) FROM runs WHERE state='completed'"
    await until(lambda: server.query(count) == [(5,)], "five answers are whole")
    began = time.monotonic()
    server.terminate()
    await asyncio.to_thread(server.wait, 30)
    took = time.monotonic() - began
    for reader in readers:
        reader.close()
    half_sent.close()
    assert took < 0.5 + 5, f"a reader that takes nothing held the process for {took:.1f} s"


FORM = {"content-type": "multipart/form-data; boundary=b"}
HALVES: dict[str, tuple[str, dict[str, str], bytes]] = {
    "an answer": ("/v1/responses", {}, b'{"mo'),
    "a completion": ("/v1/chat/completions", {}, b'{"mo'),
    "another route": ("/v1/conversations", {}, b"{"),
    "a file": (
        "/v1/files",
        FORM,
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nhalf',
    ),
}


@pytest.mark.alone
async def test_requests_that_have_not_come_whole_hold_nobody(new_server: NewServer) -> None:
    """They waited for their clients as long as the drain lasted, and ended in a 500 and a traceback."""
    server = await started(new_server, DRAIN_SECONDS="30")
    halves = {
        name: await send(
            server.port, request_bytes("POST", path, begun + bytes(500), headers).removesuffix(bytes(500))
        )
        for name, (path, headers, begun) in HALVES.items()
    }
    await asyncio.to_thread(server.health)
    began = time.monotonic()
    server.terminate()
    for name, exchange in halves.items():
        await exchange.end(10)
        assert exchange.status == 503 and exchange.headers["connection"] == "close", name
        assert json.loads(exchange.body)["error"]["code"] == "draining", name
    code = await asyncio.to_thread(server.wait, 10)
    took = time.monotonic() - began
    assert took < 5, f"half a request held the process for {took:.1f} s"
    assert code == 0 and "Traceback" not in server.log and " ERROR " not in server.log


@pytest.mark.parametrize("number", [15, 2])
async def test_both_signals_leave_the_data_whole(new_server: NewServer, number: int) -> None:
    server = await started(new_server, DRAIN_SECONDS="0.2")
    exchange = await stream(server, ENDLESS, f"signal{number}")
    assert server.process is not None
    server.process.send_signal(number)
    await exchange.end(10)
    await asyncio.to_thread(server.wait, 10)
    require_terminal(exchange.body)
    await asyncio.to_thread(server.start)
    await require_stored(server, f"signal{number}", exchange, "failed")
    server.require_integrity()


@pytest.mark.parametrize("number", [15, 2])
async def test_a_server_that_is_told_to_stop_while_it_starts_stops(
    new_server: NewServer, number: int
) -> None:
    """The port is bound then, and uvicorn does not listen to signals yet."""
    server = new_server()
    await asyncio.to_thread(server.launch)
    await asyncio.to_thread(eventually, lambda: "listening on " in server.log, "a port", 30)
    assert server.process is not None
    server.process.send_signal(number)
    assert await asyncio.to_thread(server.wait, 30) == 0
    server.require_integrity()


async def test_no_process_that_reads_documents_has_the_port(new_server: NewServer) -> None:
    """It outlives a killed server by a moment, in which the next one could not listen."""
    server = await started(new_server)
    async with client_of(server) as http:
        await folder(http, iter(["Words to be read."]))
        readers = await asyncio.to_thread(eventually, lambda: children(server.pid), "a reader")
    port = server.listening()
    assert port in files_of(server.pid)
    for reader in readers:  # its program has begun some time after the process has
        await asyncio.to_thread(eventually, lambda one=reader: port not in files_of(one), "a closed port")
