"""Nothing the other side sends breaks the client or fills its memory."""

from __future__ import annotations

import gzip
import zlib

import pytest

from antiphon.ports.outbound import (
    OutboundError,
    OutboundProtocol,
    OutboundTooLarge,
)
from antiphon.providers import http_exchange
from antiphon.providers.http_client import HttpClient
from tests.providers.raw_server import Peer, answer, body_of, chunk, chunked, get, says, serving


@pytest.mark.parametrize("headers", [{"a": "b\r\nc: d"}, {"a b": "c"}, {"a": "\x00"}, {"": "x"}, {"a": "日"}])
async def test_headers_that_would_break_out_are_refused(client: HttpClient, headers: dict[str, str]) -> None:
    async with serving(says(answer(b"ok"))) as server:
        with pytest.raises(OutboundProtocol):
            await client.send(get(server, headers=headers))
        assert server.accepted == 0


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
