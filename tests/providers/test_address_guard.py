"""A URL that anybody may give leads to public addresses only, however it is spelt (T12, T13)."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator
from ipaddress import IPv6Address, ip_address

import pytest

from antiphon.domain.errors import InvalidRequest
from antiphon.ports.outbound import OutboundError, OutboundRequest, OutboundTooLarge
from antiphon.providers.address_guard import REFUSAL, is_public, take_apart
from antiphon.providers.http_client import NOT_FETCHED, HttpClient
from tests.providers.raw_server import Peer, answer, serving

PRIVATE = """
0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.1.2.3 168.63.129.16 169.254.169.254
172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1
203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:a9fe:a9fe ::ffff:10.0.0.1
::ffff:0:7f00:1 64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1
2001:0:4136:e378:8000:63bf:3fff:fdd2
2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:a9fe:a9fe::1 2002:0a00:0001::1 3fff::1 5f00::1 fc00::1
fd00:ec2::254 fe80::1 fe80::1%lo fec0::1 ff02::1 ff0e::1 2606:4700::5efe:7f00:1
2606:4700::200:5efe:10.0.0.1 nonsense 127.1 0x7f.1
""".split()  # fmt: skip

PUBLIC = """
1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.0.1.1 198.17.0.1 198.20.0.1
223.255.255.255 2606:4700::1111 2a00:1450:4001::1 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1
2606:4700::5efe:8.8.8.8
""".split()  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_private(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(address)


def test_nothing_python_calls_private_is_public_here() -> None:
    draw = random.Random(7)
    for _ in range(20_000):
        number = draw.getrandbits(32)
        numbers = (draw.getrandbits(128), 0xFFFF << 32 | number)
        for address in (ip_address(number), *map(IPv6Address, numbers)):
            if not address.is_global or address.is_multicast:
                assert not is_public(str(address))


PORT = "{port}"
SPELLINGS = [
    "http://127.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.1:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://017700000001:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://127.0.0.2:{port}/",
    "http://127.255.255.254:{port}/",
    "http://localhost:{port}/",
    "http://localhost.:{port}/",
    "http://LOCALHOST:{port}/",
    "http://ip6-localhost:{port}/",
    "http://[::1]:{port}/",
    "http://[::]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[fe80::1%25lo]:{port}/",
    "http://[fe80::1%lo]:{port}/",
    "http://[fec0::1]:{port}/",
    "http://[ff02::1]:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://metadata.google.internal/",
    "http://100.64.0.1/",
    "http://224.0.0.1/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://127。0。0。1:{port}/",
    "http://evil\\@127.0.0.1:{port}/",
    "http://user:password@127.0.0.1:{port}/",
    "http://example.org@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@example.org/",
    "http://127.0.0.1\t:{port}/",
    "http://127.0.0.1:{port}/\r\nX: y",
    " http://127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}",
    "https://127.0.0.1:{port}/",
    "HTTP://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
    "ftp://127.0.0.1:{port}/",
    "dict://127.0.0.1:{port}/",
    "data:text/plain,x",
    "javascript:alert(1)",
    "unix:///run/x.sock",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:-1/",
    "http://[::1/",
    "http://",
    "",
    "http://" + "a" * 9000,
]


@contextlib.asynccontextmanager
async def canaries() -> AsyncIterator[tuple[int, list[str]]]:
    """Listen on one port of 127.0.0.1 and ::1 and note every connection."""
    seen: list[str] = []

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(str(writer.get_extra_info("sockname")))
        writer.close()

    first = await asyncio.start_server(note, "127.0.0.1", 0)
    port = first.sockets[0].getsockname()[1]
    servers = [first]
    with contextlib.suppress(OSError):
        servers.append(await asyncio.start_server(note, "::1", port))
    try:
        yield port, seen
    finally:
        for server in servers:
            server.close()


def fetch(url: str, **fields: object) -> OutboundRequest:
    given = {"total_seconds": 5.0, "max_bytes": 1000, "max_redirects": 5, **fields}
    return OutboundRequest(method="GET", url=url, trust="user", **given)  # type: ignore[arg-type]


async def test_no_spelling_reaches_a_private_address() -> None:
    client = HttpClient()
    async with canaries() as (port, seen):
        for spelling in SPELLINGS:
            with pytest.raises(InvalidRequest) as refused:
                await client.send(fetch(spelling.replace(PORT, str(port))))
            assert (refused.value.code, refused.value.message) == ("url_not_allowed", REFUSAL), spelling
        await asyncio.sleep(0.02)
        assert seen == []
    await client.close()


async def test_open_and_closed_private_ports_are_told_alike() -> None:
    client = HttpClient()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with canaries() as (port, _):
            said = set()
            for number in (port, closed.getsockname()[1]):
                with pytest.raises(InvalidRequest) as refused:
                    await client.send(fetch(f"http://127.0.0.1:{number}/"))
                said.add(str(refused.value))
    assert len(said) == 1


def public_for_the_test(address: str) -> bool:
    """127.0.0.1 stays private, the rest of 127/8 plays the public network."""
    return address != "127.0.0.1" and address.startswith("127.")


async def test_open_and_closed_public_ports_are_told_alike() -> None:
    client = HttpClient(is_public=public_for_the_test)

    async def no_http(peer: Peer) -> None:
        await peer.say(b"SSH-2.0-OpenSSH_9.2\r\n")

    async def resets(peer: Peer) -> None:
        peer.reset()

    said = set()
    async with serving(no_http, host="127.0.0.2") as first, serving(resets, host="127.0.0.2") as second:
        with socket.socket() as closed:
            closed.bind(("127.0.0.2", 0))
            for port in (first.port, second.port, closed.getsockname()[1]):
                with pytest.raises(OutboundError) as failed:
                    await client.send(fetch(f"http://127.0.0.2:{port}/"))
                said.add((type(failed.value), str(failed.value)))
    assert said == {(OutboundError, NOT_FETCHED)}
    await client.close()


async def test_every_redirect_is_judged_anew() -> None:
    client = HttpClient(is_public=public_for_the_test)
    async with canaries() as (port, seen):
        targets = [
            f"http://127.0.0.1:{port}/",
            f"//127.0.0.1:{port}/",
            "file:///etc/passwd",
            "http://u:p@127.0.0.2/",
        ]

        async def redirect(peer: Peer) -> None:
            await peer.request()
            await peer.say(answer(b"", b"Location: " + targets[0].encode(), status=b"302 Found"))

        async with serving(redirect, host="127.0.0.2") as server:
            while targets:
                with pytest.raises(InvalidRequest):
                    await client.send(fetch(server.url))
                targets.pop(0)
        assert seen == []
    await client.close()


async def test_redirects_are_followed_and_counted_and_lose_credentials_elsewhere() -> None:
    client = HttpClient(is_public=public_for_the_test)
    seen: list[bytes] = []

    async def arrive(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.say(answer(b"there"))

    async with serving(arrive, host="127.0.0.3") as last:

        async def hop(peer: Peer) -> None:
            request = await peer.request()
            seen.append(request)
            left = int(request.split()[1].strip(b"/"))
            where = b"/%d" % (left - 1) if left > 1 else last.url.encode() + b"/end"
            await peer.say(answer(b"", b"Location: " + where, status=b"307 Temporary Redirect"))

        async with serving(hop, host="127.0.0.2") as first:
            request = fetch(f"{first.url}/3", headers={"Authorization": "secret", "Accept": "text/html"})
            response = await client.send(request)
            assert await response.read_all(100) == b"there" and response.url == f"{last.url}/end"
            assert [b"authorization" in said for said in seen] == [True, True, True, False]
            assert b"accept: text/html" in seen[-1] and f"host: 127.0.0.3:{last.port}".encode() in seen[-1]
            with pytest.raises(OutboundError):
                await client.send(fetch(f"{first.url}/7"))
            unfollowed = await client.send(fetch(f"{first.url}/3", max_redirects=0))
            assert unfollowed.status == 307
    await client.close()


async def test_the_address_that_is_judged_is_the_one_connected_to() -> None:
    """A name that turns private between question and connection (DNS rebinding) changes nothing."""
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.2"] if len(asked) == 1 else ["127.0.0.1"]

    async def serve(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.say(answer(b"public"))

    seen: list[bytes] = []
    client = HttpClient(is_public=public_for_the_test, resolve=rebinding)
    async with serving(serve, host="127.0.0.2") as server:
        response = await client.send(fetch(f"http://rebind.example:{server.port}/"))
        assert await response.read_all(100) == b"public"
        assert asked == ["rebind.example"] and f"host: rebind.example:{server.port}".encode() in seen[0]
        with pytest.raises(InvalidRequest):
            await client.send(fetch(f"http://rebind.example:{server.port}/"))
    await client.close()


async def test_a_name_with_one_private_address_is_refused_whole() -> None:
    async def mixed(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    client = HttpClient(is_public=public_for_the_test, resolve=mixed)
    with pytest.raises(InvalidRequest):
        await client.send(fetch("http://mixed.example/"))


async def test_size_and_time_are_capped() -> None:
    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.say(b"x" * 500)

    async def drip(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await peer.say(b"x")
            await asyncio.sleep(0.02)

    client = HttpClient(is_public=public_for_the_test)
    async with serving(endless, host="127.0.0.2") as first, serving(drip, host="127.0.0.2") as second:
        response = await client.send(fetch(first.url))
        with pytest.raises(OutboundTooLarge):
            await response.read_all(10**9)
        with pytest.raises(OutboundError):
            response = await client.send(fetch(second.url, total_seconds=0.2))
            await response.read_all(10**9)
    await client.close()


async def test_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.say(answer(b"direct"))

    async with canaries() as (port, seen), serving(serve) as server:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        client = HttpClient()
        response = await client.send(OutboundRequest(method="GET", url=server.url, trust="operator"))
        assert await response.read_all(100) == b"direct"
        assert seen == []
        await client.close()


def test_taking_apart() -> None:
    target = take_apart("https://user:p%40ss@Example.ORG:8443/a%20b?q=ü&r=[1]", credentials=True)
    assert (target.scheme, target.host, target.port) == ("https", "example.org", 8443)
    assert target.path == "/a%20b?q=%C3%BC&r=[1]"
    assert target.authorization == "Basic dXNlcjpwQHNz"
    assert "p@ss" not in target.url and target.host_header == "example.org:8443"
    assert take_apart("http://[2606:4700::1111]", credentials=False).host_header == "[2606:4700::1111]"
    assert take_apart("http://bücher.example/", credentials=False).host == "xn--bcher-kva.example"
