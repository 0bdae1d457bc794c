"""Streams are handed on without delay, held back for slow readers and let go of at once."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref

import pytest

from antiphon.ports.outbound import (
    OutboundError,
    OutboundProtocol,
    OutboundResponse,
    OutboundTimeout,
)
from antiphon.providers import http_exchange
from antiphon.providers.http_client import HttpClient
from tests.providers.raw_server import Peer, body_of, chunk, chunked, get, says, serving
from tests.services.hand import until


async def test_a_stream_is_handed_on_as_it_comes(client: HttpClient) -> None:
    go = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(chunked(b"one", b"two", last=False))
        await go.wait()
        await peer.say(chunk(b"three"), b"0\r\n\r\n")
        await peer.gone()

    async with serving(play) as server:
        response = await client.send(get(server))
        assert response.status == 200 and response.headers["content-type"] == "text/event-stream"
        assert await response.read() == b"onetwo"
        waiting = asyncio.create_task(response.read())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        go.set()
        assert await waiting == b"three"
        assert await response.read() == b""
        assert await response.read() == b""


async def test_every_split_of_a_response_reads_the_same(client: HttpClient) -> None:
    whole = chunked(b'data: {"a":1}\n\n', b"x" * 20)

    async def play(peer: Peer) -> None:
        while request := await peer.request():
            at = int(request.split()[1][1:])
            await peer.say(whole[:at])
            await asyncio.sleep(0)
            await peer.say(whole[at:])

    async with serving(play) as server:
        for at in range(1, len(whole)):
            assert await body_of(client, get(server, f"/{at}")) == b'data: {"a":1}\n\n' + b"x" * 20
        assert server.accepted == 1


async def test_a_body_that_ends_with_the_connection(client: HttpClient) -> None:
    async with serving(says(b"HTTP/1.1 200 OK\r\n\r\nall of it", keep=False)) as server:
        assert await body_of(client, get(server)) == b"all of it"


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
@pytest.mark.parametrize(
    "start", [chunked(b"some", last=False), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome"]
)
async def test_a_body_that_is_cut_gives_what_came_first(client: HttpClient, how: str, start: bytes) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(start)
        await asyncio.sleep(0.02)
        if how == "reset":
            peer.reset()
        elif how == "half-close":
            peer.writer.write_eof()
            await peer.gone()

    async with serving(play) as server:
        began = time.perf_counter()
        response = await client.send(get(server))
        assert await response.read() == b"some"
        with pytest.raises(OutboundProtocol) as failed:
            await response.read()
        assert failed.value.answered and time.perf_counter() - began < 5
        with pytest.raises(OutboundProtocol):
            await response.read()


async def test_a_silence_has_a_time_and_each_byte_starts_it_anew(client: HttpClient) -> None:
    async def play(peer: Peer) -> None:
        request = await peer.request()
        if b"/head" in request:
            await peer.gone()
        await peer.say(chunked(last=False))
        for _ in range(8):
            await peer.say(chunk(b"."))
            await asyncio.sleep(0.1)
        await peer.gone()

    async with serving(play) as server:
        began = time.perf_counter()
        response = await client.send(get(server, idle_seconds=0.5))
        got = b""
        with pytest.raises(OutboundTimeout):
            while True:
                got += await response.read()
        assert got == b"........"
        assert 1.2 < time.perf_counter() - began < 10
        with pytest.raises(OutboundTimeout):
            await client.send(get(server, "/head", idle_seconds=0.1))
        with pytest.raises(OutboundTimeout):
            response = await client.send(get(server, idle_seconds=5, total_seconds=0.15))
            await response.read_all(100)


async def test_a_reader_that_does_not_read_stops_the_sender(client: HttpClient) -> None:
    sent = 0

    async def play(peer: Peer) -> None:
        nonlocal sent
        while await peer.request():
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 64000000\r\n\r\n")
            for _ in range(1000):
                await peer.say(b"x" * 64_000)
                sent += 64_000

    async with serving(play) as server:
        response = await client.send(get(server, idle_seconds=1.0))
        await asyncio.sleep(1.5)  # longer than the idle time: the silence is ours, not the sender's
        held = len(await response.read())
        assert held <= http_exchange.HIGH_WATER + 1_000_000
        assert sent < 20_000_000  # the rest waits in the kernel's buffers at most
        total = held
        while received := await response.read():
            total += len(received)
        assert total == 64_000_000
        assert await body_of(client, get(server)) and server.accepted == 1


async def test_closing_closes_the_socket_at_once(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_exchange, "FINISH_SECONDS", 60.0)  # what waits for an end would be seen to
    gone = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(chunked(b"x", last=False))
        await peer.gone()
        gone.set()

    async with serving(play) as server:
        response = await client.send(get(server, idle_seconds=60))
        response.close()
        response.close()
        await asyncio.wait_for(gone.wait(), 10)
        with pytest.raises(OutboundError):
            await response.read()
        assert "0 connections" in repr(client)


@pytest.mark.parametrize("when", ["head", "body"])
async def test_being_cancelled_closes_the_socket_at_once(
    client: HttpClient, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_exchange, "FINISH_SECONDS", 60.0)  # what waits for an end would be seen to
    gone = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        if when == "body":
            await peer.say(chunked(b"x", last=False))
        await peer.gone()
        gone.set()

    async def use() -> None:
        response: OutboundResponse = await client.send(get(server, idle_seconds=60))
        try:
            while await response.read():
                pass
        finally:
            response.close()

    async with serving(play) as server:
        task = asyncio.create_task(use())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 10)


async def test_finish_keeps_the_connection_if_little_is_left(client: HttpClient) -> None:
    async def play(peer: Peer) -> None:
        while request := await peer.request():
            await peer.say(chunked(b"x", last=False))
            await asyncio.sleep(0.03)
            if b"/much" in request:
                await peer.say(*[chunk(b"y" * 50_000)] * 5)
                await peer.gone()
            elif b"/never" not in request:
                await peer.say(b"0\r\n\r\n")

    async with serving(play) as server:
        for path in ("/", "/", "/much", "/", "/never"):
            response = await client.send(get(server, path))
            assert await response.read() == b"x"
            response.finish()
            response.close()
            await asyncio.sleep(0.1)
        assert server.accepted == 2
        await until(lambda: "0 connections" in repr(client))


async def test_nothing_is_left_behind_and_no_cycles(client: HttpClient) -> None:
    async with serving(says(chunked(b"a", b"b"))) as server:
        await body_of(client, get(server))
        gc.collect()
        gc.disable()
        try:
            response = await client.send(get(server))
            await response.read_all(10)
            alive = weakref.ref(response)
            del response
            await asyncio.sleep(0)
            assert alive() is None
        finally:
            gc.enable()
        await client.close()
        await client.close()
        assert "0 connections" in repr(client)
        with pytest.raises(OutboundError):
            await client.send(get(server))
