"""The client keeps connections, streams without delay, bounds what it holds and lets go at once."""

from __future__ import annotations

import asyncio
import gc
import gzip
import ssl
import subprocess
import time
import weakref
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.ports.outbound import (
    OutboundError,
    OutboundHttp,
    OutboundProtocol,
    OutboundRequest,
    OutboundResponse,
    OutboundTimeout,
    OutboundTooLarge,
)
from antiphon.providers import http_connection, http_exchange
from antiphon.providers.http_client import HttpClient
from tests.providers.raw_server import Peer, Play, RawServer, answer, chunk, chunked, serving


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    made = HttpClient()
    yield made
    await made.close()


def get(server: RawServer, path: str = "/", **fields: Any) -> OutboundRequest:
    given = {"method": "GET", "trust": "operator", "idle_seconds": 5.0, **fields}
    return OutboundRequest(url=server.url + path, **given)


def says(*parts: bytes, keep: bool = True) -> Play:
    """Answer every request with the same bytes; close afterwards unless `keep`."""

    async def play(peer: Peer) -> None:
        while await peer.request():
            await peer.say(*parts)
            if not keep:
                return

    return play


async def body_of(client: OutboundHttp, request: OutboundRequest) -> bytes:
    response = await client.send(request)
    return await response.read_all(10**8)


async def test_what_is_sent(client: HttpClient) -> None:
    seen: list[bytes] = []

    async def play(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.say(answer(b"ok"))

    async with serving(play) as server:
        url = server.url.replace("http://", "http://me:pass@") + "/v1/x?y=1#frag"
        headers = {"X-A": "1", "Host": "evil", "Content-Length": "9"}
        request = OutboundRequest(method="POST", url=url, trust="operator", body=b"{}", headers=headers)
        assert await body_of(client, request) == b"ok"
    head, _, body = seen[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v1/x?y=1 HTTP/1.1" and body == b"{}"
    assert sorted(lines[1:]) == sorted(
        [
            f"host: 127.0.0.1:{server.port}".encode(),
            b"accept-encoding: identity",
            b"content-length: 2",
            b"x-a: 1",
            b"authorization: Basic bWU6cGFzcw==",
            b"user-agent: antiphon",
        ]
    )


@pytest.mark.parametrize("headers", [{"a": "b\r\nc: d"}, {"a b": "c"}, {"a": "\x00"}, {"": "x"}, {"a": "日"}])
async def test_headers_that_would_break_out_are_refused(client: HttpClient, headers: dict[str, str]) -> None:
    async with serving(says(answer(b"ok"))) as server:
        with pytest.raises(OutboundProtocol):
            await client.send(get(server, headers=headers))
        assert server.accepted == 0


async def test_connections_are_kept_and_shared(client: HttpClient) -> None:
    async with serving(says(answer(b"ok"))) as server:
        for _ in range(5):
            assert await body_of(client, get(server)) == b"ok"
        assert server.accepted == 1
        await asyncio.gather(*(body_of(client, get(server)) for _ in range(3)))
        assert server.accepted <= 3
        chunky = get(server)
        assert await body_of(client, chunky) == b"ok"


@pytest.mark.parametrize(
    "response",
    [
        answer(b"ok", b"Connection: close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        answer(b"ok") + b"unasked",
        answer(b"ok") + answer(b"smuggled"),
    ],
)
async def test_connections_that_cannot_be_trusted_are_not_kept(client: HttpClient, response: bytes) -> None:
    async with serving(says(response)) as server:
        assert await body_of(client, get(server)) == b"ok"
        assert await body_of(client, get(server)) == b"ok"
        assert server.accepted == 2


async def test_bytes_that_come_unasked_between_requests_end_the_connection(client: HttpClient) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(answer(b"ok"))
        await asyncio.sleep(0.02)
        await peer.say(answer(b"smuggled"))
        await peer.gone()

    async with serving(play) as server:
        assert await body_of(client, get(server)) == b"ok"
        await asyncio.sleep(0.05)
        assert await body_of(client, get(server)) == b"ok"
        assert server.accepted == 2


async def test_a_stale_connection_is_replaced_once(client: HttpClient) -> None:
    async def play(peer: Peer) -> None:
        assert await peer.request()
        await peer.say(answer(b"ok"))
        if await peer.request():  # the second request on this connection gets no answer
            return

    async with serving(play) as server:
        assert await body_of(client, get(server)) == b"ok"
        assert await body_of(client, get(server, method="POST", body=b"x")) == b"ok"
        assert server.accepted == 2


async def test_a_fresh_connection_that_is_closed_is_an_error(client: HttpClient) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()

    async with serving(play) as server:
        with pytest.raises(OutboundError) as failed:
            await client.send(get(server))
        assert not failed.value.answered and server.accepted == 1


async def test_a_refused_connection_and_an_unknown_name(client: HttpClient) -> None:
    for url in ("http://127.0.0.1:1/", "http://name.invalid/"):
        with pytest.raises(OutboundError):
            await client.send(OutboundRequest(method="GET", url=url, trust="operator", connect_seconds=5))


async def test_connecting_and_resolving_have_a_time() -> None:
    async def never(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    client = HttpClient(resolve=never)
    began = time.perf_counter()
    with pytest.raises(OutboundTimeout):
        request = OutboundRequest(method="GET", url="http://x/", trust="operator", connect_seconds=0.1)
        await client.send(request)
    assert time.perf_counter() - began < 2


async def test_the_second_address_is_tried() -> None:
    async def two(host: str, port: int) -> list[str]:
        return ["127.0.0.9", "127.0.0.1"]

    async with serving(says(answer(b"ok"))) as server:
        client = HttpClient(resolve=two)
        assert await body_of(client, get(server)) == b"ok"
        await client.close()


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
        assert failed.value.answered and time.perf_counter() - began < 1
        with pytest.raises(OutboundProtocol):
            await response.read()


@pytest.mark.parametrize(
    "response",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/2 200\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_an_error(client: HttpClient, response: bytes) -> None:
    async with serving(says(response, keep=False)) as server:
        with pytest.raises(OutboundError):
            await body_of(client, get(server))


async def test_interim_responses_are_passed_over(client: HttpClient) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    async with serving(says(early + answer(b"ok", b"A: b"))) as server:
        response = await client.send(get(server))
        assert response.status == 200 and "link" not in response.headers and response.headers["a"] == "b"
        assert await response.read_all(9) == b"ok"
        assert await body_of(client, get(server)) == b"ok" and server.accepted == 1


async def test_answers_without_a_body(client: HttpClient) -> None:
    async with serving(says(b"HTTP/1.1 204 No Content\r\n\r\n")) as server:
        assert await body_of(client, get(server)) == b"" and await body_of(client, get(server)) == b""
        assert server.accepted == 1
    async with serving(says(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")) as server:
        assert await body_of(client, get(server, method="HEAD")) == b""


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"A%d: b\r\n" % i for i in range(300)) + b"\r\n",
    ],
)
async def test_the_head_has_a_cap(client: HttpClient, head: bytes) -> None:
    async with serving(says(head, keep=False)) as server:
        with pytest.raises(OutboundTooLarge):
            await body_of(client, get(server))


async def test_endless_framing_has_a_cap(client: HttpClient) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(chunked(last=False), b"5;x=")
        while True:
            await peer.say(b"y" * 60_000)

    async with serving(play) as server:
        with pytest.raises(OutboundError):
            await body_of(client, get(server))


async def test_a_silence_has_a_time_and_each_byte_starts_it_anew(client: HttpClient) -> None:
    async def play(peer: Peer) -> None:
        request = await peer.request()
        if b"/head" in request:
            await peer.gone()
        await peer.say(chunked(last=False))
        for _ in range(8):
            await peer.say(chunk(b"."))
            await asyncio.sleep(0.05)
        await peer.gone()

    async with serving(play) as server:
        began = time.perf_counter()
        response = await client.send(get(server, idle_seconds=0.2))
        got = b""
        with pytest.raises(OutboundTimeout):
            while True:
                got += await response.read()
        assert got == b"........"
        assert 0.5 < time.perf_counter() - began < 1.5
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
        response = await client.send(get(server, idle_seconds=0.3))
        await asyncio.sleep(0.6)  # longer than the idle time: the silence is ours, not the sender's
        held = len(await response.read())
        assert held <= http_exchange.HIGH_WATER + 1_000_000
        assert sent < 20_000_000  # the rest waits in the kernel's buffers at most
        total = held
        while received := await response.read():
            total += len(received)
        assert total == 64_000_000
        assert await body_of(client, get(server)) and server.accepted == 1


async def test_closing_closes_the_socket_at_once(client: HttpClient) -> None:
    gone = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(chunked(b"x", last=False))
        await peer.gone()
        gone.set()

    async with serving(play) as server:
        response = await client.send(get(server))
        response.close()
        response.close()
        await asyncio.wait_for(gone.wait(), 1)
        with pytest.raises(OutboundError):
            await response.read()
        assert "0 connections" in repr(client)


@pytest.mark.parametrize("when", ["head", "body"])
async def test_being_cancelled_closes_the_socket_at_once(client: HttpClient, when: str) -> None:
    gone = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        if when == "body":
            await peer.say(chunked(b"x", last=False))
        await peer.gone()
        gone.set()

    async def use() -> None:
        response: OutboundResponse = await client.send(get(server))
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
        await asyncio.wait_for(gone.wait(), 1)


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
        await asyncio.sleep(http_exchange.FINISH_SECONDS)
        assert "0 connections" in repr(client)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_comes_compressed_anyway(client: HttpClient, encoding: str) -> None:
    plain = b"".join(b"data: %d\n\n" % i for i in range(1000))
    packed = gzip.compress(plain) if encoding == "gzip" else zlib.compress(plain)
    parts = [packed[i : i + 100] for i in range(0, len(packed), 100)]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: "
    head += encoding.encode() + b"\r\n\r\n"
    async with serving(says(head, *map(chunk, parts), b"0\r\n\r\n")) as server:
        assert await body_of(client, get(server)) == plain
        assert await body_of(client, get(server)) == plain
        assert server.accepted == 1


async def test_a_bomb_does_not_go_off(client: HttpClient) -> None:
    bomb = gzip.compress(b"\0" * 200_000_000)
    assert len(bomb) < http_exchange.HIGH_WATER
    async with serving(says(answer(bomb, b"Content-Encoding: gzip"))) as server:
        with pytest.raises(OutboundTooLarge):
            await body_of(client, get(server))
        with pytest.raises(OutboundTooLarge):
            await body_of(client, get(server, max_bytes=1_000_000))
    async with serving(says(answer(b"not gzip", b"Content-Encoding: gzip"))) as server:
        with pytest.raises(OutboundProtocol):
            await body_of(client, get(server))


async def test_max_bytes(client: HttpClient) -> None:
    async with serving(says(answer(b"x" * 101))) as server:
        with pytest.raises(OutboundTooLarge):
            await body_of(client, get(server, max_bytes=100))
        assert len(await body_of(client, get(server, max_bytes=101))) == 101
        response = await client.send(get(server))
        with pytest.raises(OutboundTooLarge):
            await response.read_all(100)
    async with serving(says(chunked(b"x" * 60, b"x" * 60))) as server:
        with pytest.raises(OutboundTooLarge):
            await body_of(client, get(server, max_bytes=100))


async def test_an_unused_connection_is_let_go(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "KEEP_SECONDS", 0.1)
    async with serving(says(answer(b"ok"))) as server:
        assert await body_of(client, get(server, idle_seconds=0.05)) == b"ok"
        assert "1 connections" in repr(client)
        await asyncio.sleep(0.25)
        assert "0 connections" in repr(client)


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


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, made = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-nodes", "-keyout", str(key), "-out", str(made), "-days", "2", "-subj", "/CN=models.test"]
    command += ["-addext", "subjectAltName=DNS:models.test"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return key, made


async def test_tls_is_verified_against_the_name_in_the_url(certificate: tuple[Path, Path]) -> None:
    async def local(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    key, made = certificate
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serves.load_cert_chain(made, key)
    names: list[str | None] = []
    serves.sni_callback = lambda _socket, name, _context: names.append(name)
    trusting = ssl.create_default_context(cafile=str(made))
    stream = [chunk(b"x" * 1000)] * 300
    async with serving(says(chunked(last=False), *stream, b"0\r\n\r\n"), tls=serves) as server:
        client = HttpClient(resolve=local, ssl_context=trusting)
        right = OutboundRequest(method="GET", url=f"https://models.test:{server.port}/", trust="operator")
        assert len(await body_of(client, right)) == 300_000
        assert len(await body_of(client, right)) == 300_000
        assert server.accepted == 1 and names[0] == "models.test"
        wrong = OutboundRequest(method="GET", url=f"https://other.test:{server.port}/", trust="operator")
        with pytest.raises(OutboundError, match="certificate"):
            await client.send(wrong)
        await client.close()
        strict = HttpClient(resolve=local)
        with pytest.raises(OutboundError, match="certificate"):
            await strict.send(right)
        await strict.close()
