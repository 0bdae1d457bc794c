"""A client that loses its stream after any event goes on from there: no gap, nothing twice, same bytes."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.e2e.events import TERMINAL, bare, events_of, require_gapless, require_terminal, text_of
from tests.e2e.server_process import NewServer, ServerProcess
from tests.e2e.wire import Exchange, begin, call, gather_limited, get
from tests.harness.tokens import expected_text
from tests.harness.upstream import Upstream

TOKENS = 60
LIVE = f"openai/reasoning-r4-paced-n{TOKENS}-i10-hash"
QUICK = "openai/reasoning-r3-n12-hash"


def blocks(stream: bytes | bytearray) -> list[bytes]:
    """The whole events of a stream, each with its blank line; pings left out."""
    whole, _, _ = bytes(stream).rpartition(b"\n\n")
    return [one + b"\n\n" for one in whole.split(b"\n\n") if one and not one.startswith(b":")]


def number_of(block: bytes) -> int:
    """What an EventSource would send back as `Last-Event-ID`."""
    return int(block.split(b"\n", 1)[0].removeprefix(b"id: "))


def ended(exchange: Exchange) -> bool:
    """Whether the terminal event has come."""
    return any(b"event: " + name.encode() in exchange.body for name in TERMINAL)


async def resume(port: int, run_id: str, after: int | None, *, by_header: bool = False) -> Exchange:
    """Follow a run from the event after `after`."""
    path = f"/v1/responses/{run_id}?stream=true"
    if after is None:
        return await begin(port, "GET", path)
    if by_header:
        return await begin(port, "GET", path, headers={"last-event-id": str(after)})
    return await begin(port, "GET", f"{path}&starting_after={after}")


async def follow_in_pieces(port: int, run_id: str, rng: random.Random, *, by_header: bool) -> list[bytes]:
    """Follow a run, dropping the connection again and again; returns the events that came whole."""
    got: list[bytes] = []
    while not got or not any(b"event: " + name.encode() in got[-1] for name in TERMINAL):
        exchange = await resume(port, run_id, number_of(got[-1]) if got else None, by_header=by_header)
        wanted = rng.randrange(1, 9)
        await exchange.until(lambda one=exchange, n=wanted: len(blocks(one.body)) >= n or ended(one))  # type: ignore[misc]
        exchange.close()
        got += blocks(exchange.body)
    return got


async def ended_run(node: ServerProcess, name: str, model: str = QUICK) -> tuple[str, bytes]:
    """A finished answer and the bytes of an uninterrupted follower."""
    body = {"model": model, "input": f"stream={name}"}
    run_id = (await call(node.port, "POST", "/v1/responses", body)).json()["id"]
    reference = await call(node.port, "GET", f"/v1/responses/{run_id}?stream=true")
    return run_id, bytes(reference.body)


async def test_a_live_stream_is_put_together_from_pieces(node: ServerProcess, upstream: Upstream) -> None:
    body = {"model": LIVE, "input": "stream=pieces", "stream": True}
    posted = await begin(node.port, "POST", "/v1/responses", body)
    await posted.until(lambda: b"\n\n" in posted.body)
    run_id = "resp_" + posted.headers["x-request-id"].removeprefix("req_")
    uninterrupted = await resume(node.port, run_id, None)
    readers = [
        follow_in_pieces(node.port, run_id, random.Random(seed), by_header=seed % 2 == 0)
        for seed in range(12)
    ]
    pieces = await asyncio.gather(*readers)
    await uninterrupted.end()
    await posted.end()
    reference = bytes(uninterrupted.body)
    require_gapless(events_of(reference))
    assert [event.number for event in events_of(reference)] == list(range(len(events_of(reference))))
    assert text_of(events_of(reference)) == expected_text("pieces", TOKENS)
    for got in pieces:
        assert b"".join(got) == reference
    assert bytes(posted.body) == bare(reference), "the POST stream differs from the GET stream"
    assert upstream.stats()["calls_by_stream"]["pieces"] == 1


async def test_the_first_client_leaves_and_the_answer_goes_on(
    node: ServerProcess, upstream: Upstream
) -> None:
    body = {"model": LIVE, "input": "stream=leaver", "stream": True}
    posted = await begin(node.port, "POST", "/v1/responses", body)
    await posted.until(lambda: len(blocks(posted.body)) >= 9)
    posted.close()
    received = b"".join(blocks(posted.body))
    run_id = "resp_" + posted.headers["x-request-id"].removeprefix("req_")
    last = events_of(received)[-1].data["sequence_number"]
    rest = await (await resume(node.port, run_id, last)).end()
    assert text_of(events_of(received + bytes(rest.body))) == expected_text("leaver", TOKENS)
    whole = await call(node.port, "GET", f"/v1/responses/{run_id}?stream=true")
    assert received + bare(rest.body) == bare(whole.body)
    assert upstream.stats()["calls_by_stream"]["leaver"] == 1


async def test_three_readers_of_different_times_get_equal_bytes(node: ServerProcess) -> None:
    body = {"model": LIVE, "input": "stream=three", "background": True}
    run_id = (await call(node.port, "POST", "/v1/responses", body)).json()["id"]
    readers: list[Exchange] = []
    for wanted in (1, 25, 50):
        readers.append(await resume(node.port, run_id, None))
        await readers[0].until(lambda n=wanted: len(blocks(readers[0].body)) >= n)  # type: ignore[misc]
    for reader in readers:
        await reader.end()
    late = await (await resume(node.port, run_id, None)).end()
    assert len({bytes(reader.body) for reader in (*readers, late)}) == 1
    require_terminal(late.body)
    assert all(event.number is not None for event in events_of(late.body)), "GET streams carry id: lines"


async def test_resume_after_every_event(node: ServerProcess) -> None:
    run_id, reference = await ended_run(node, "every")
    known = blocks(reference)
    for by_header in (False, True):

        async def tail(k: int, by_header: bool = by_header) -> bytes:
            return bytes((await (await resume(node.port, run_id, k, by_header=by_header)).end()).body)

        tails = await gather_limited([tail(k) for k in range(len(known))])
        for k, got in enumerate(tails):
            assert got == b"".join(known[k + 1 :]), f"after event {k}"


async def test_resume_long_after_a_restart(new_server: NewServer) -> None:
    server = new_server(DRAIN_SECONDS="1")
    await asyncio.to_thread(server.start)
    run_id, reference = await ended_run(server, "later")
    server.terminate()
    await asyncio.to_thread(server.wait, 10)
    await asyncio.to_thread(server.start)
    known = blocks(reference)
    for k in (0, 5, len(known) - 1):
        tail = await (await resume(server.port, run_id, k)).end()
        assert bytes(tail.body) == b"".join(known[k + 1 :])
    pieces = await follow_in_pieces(server.port, run_id, random.Random(3), by_header=True)
    assert b"".join(pieces) == reference


async def test_beyond_the_end(node: ServerProcess) -> None:
    run_id, reference = await ended_run(node, "beyond")
    last = len(blocks(reference)) - 1
    for after in (last, last + 1, last + 10**9):
        tail = await (await resume(node.port, run_id, after)).end()
        assert (tail.status, bytes(tail.body)) == (200, b"")


async def test_beyond_what_a_live_run_has_said(node: ServerProcess) -> None:
    body = {"model": "openai/paced-n12-i20-hash", "input": "stream=ahead", "background": True}
    run_id = (await call(node.port, "POST", "/v1/responses", body)).json()["id"]
    ahead = await (await resume(node.port, run_id, 10)).end()
    reference = await call(node.port, "GET", f"/v1/responses/{run_id}?stream=true")
    assert blocks(ahead.body) == blocks(reference.body)[11:]
    far = await (await resume(node.port, run_id, 10_000)).end()
    assert bytes(far.body) == b""


async def test_a_reader_ahead_of_the_run_is_not_pinged_for_every_token(node: ServerProcess) -> None:
    body = {"model": "openai/paced-n30-i10-hash", "input": "stream=pings", "background": True}
    run_id = (await call(node.port, "POST", "/v1/responses", body)).json()["id"]
    ahead = await (await resume(node.port, run_id, 10_000)).end()
    assert ahead.body.count(b": ping") <= 1, "a ping is for silence, not for tokens that were not asked for"


GARBAGE = ("abc", "-1", "1.5", "1e3", "0x1", "+1", " 1 2", "9" * 40, "1;2", "null", "resp_0:3")


@pytest.mark.parametrize("value", GARBAGE)
async def test_garbage_is_refused(node: ServerProcess, value: str) -> None:
    run_id, _ = await ended_run(node, "garbage")
    in_query = value.replace("+", "%2B").replace(" ", "%20").replace(";", "%3B")
    path = f"/v1/responses/{run_id}?stream=true"
    answers = [
        await call(node.port, "GET", f"{path}&starting_after={in_query}"),
        await call(node.port, "GET", path, headers={"last-event-id": value}),
    ]
    for answer in answers:
        assert answer.status == 400, value
        assert answer.json()["error"].keys() == {"message", "type", "param", "code"}


async def test_another_runs_ids(node: ServerProcess) -> None:
    run_id, reference = await ended_run(node, "own")
    other, _ = await ended_run(node, "other", "openai/n30-hash")
    as_value = await call(
        node.port, "GET", f"/v1/responses/{run_id}?stream=true", headers={"last-event-id": other}
    )
    assert as_value.status == 400
    unknown = f"/v1/responses/resp_{'0' * 32}?stream=true&starting_after=1"
    assert (await call(node.port, "GET", unknown)).status == 404
    # A number of the other, longer stream is a place beyond the end of this one.
    beyond = await (await resume(node.port, run_id, 30)).end()
    assert beyond.status == 200
    assert len(blocks(reference)) < 30
    assert bytes(beyond.body) == b""


async def test_a_disconnect_in_the_middle_of_an_event_costs_nothing(node: ServerProcess) -> None:
    run_id, reference = await ended_run(node, "middle")
    known = blocks(reference)
    rng = random.Random(5)

    async def cut_at(position: int) -> bytes:
        received = b"".join(blocks(reference[:position]))
        after = number_of(blocks(received)[-1]) if received else None
        tail = await (await resume(node.port, run_id, after)).end()
        return received + bytes(tail.body)

    places = [rng.randrange(len(reference)) for _ in range(60)]
    for joined in await gather_limited([cut_at(place) for place in places]):
        assert joined == b"".join(known)


async def test_a_failed_answer_replays_too(node: ServerProcess) -> None:
    body: dict[str, Any] = {"model": "openai/error-after7-hash", "input": "stream=broken", "stream": True}
    posted = await call(node.port, "POST", "/v1/responses", body)
    end = require_terminal(posted.body)
    assert end.name == "response.failed"
    run_id = end.data["response"]["id"]
    whole = await (await resume(node.port, run_id, None)).end()
    assert bare(whole.body) == bytes(posted.body)
    known = blocks(whole.body)
    for k in range(len(known)):
        assert bytes((await (await resume(node.port, run_id, k)).end()).body) == b"".join(known[k + 1 :])
    assert (await get(node.port, f"/v1/responses/{run_id}")) == end.data["response"]
