"""The client sends what it should, keeps connections that can be trusted, and verifies whom it talks to."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from antiphon.ports.outbound import (
    OutboundError,
    OutboundRequest,
    OutboundTimeout,
)
from antiphon.providers import http_connection
from antiphon.providers.http_client import HttpClient
from tests.providers.raw_server import Peer, answer, body_of, chunk, chunked, get, says, serving
from tests.services.hand import until


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
        await until(lambda: "0 connections" in repr(client))
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
    assert time.perf_counter() - began < 10


async def test_the_second_address_is_tried() -> None:
    async def two(host: str, port: int) -> list[str]:
        return ["127.0.0.9", "127.0.0.1"]

    async with serving(says(answer(b"ok"))) as server:
        client = HttpClient(resolve=two)
        assert await body_of(client, get(server)) == b"ok"
        await client.close()


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


async def test_an_unused_connection_is_let_go(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "KEEP_SECONDS", 0.1)
    async with serving(says(answer(b"ok"))) as server:
        assert await body_of(client, get(server, idle_seconds=5)) == b"ok"
        assert "1 connections" in repr(client)
        await until(lambda: "0 connections" in repr(client))


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
