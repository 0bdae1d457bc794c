"""Run inside a network namespace of its own: the real resolver, the real guard, and addresses that lie.

The loopback interface carries a "public" address and the metadata service's. A tiny DNS server on
port 53 answers as it is told, with a time to live of 0. Prints what was seen as one line of JSON.
"""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import json
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from antiphon.domain.errors import InvalidRequest
from antiphon.ports.outbound import OutboundError, OutboundRequest
from antiphon.providers.http_client import HttpClient

PUBLIC, METADATA = "93.184.216.34", "169.254.169.254"
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
IN_A = struct.pack("!HHHIH", 0xC00C, 1, 1, 0, 4)

hits: Counter[str] = Counter()
asked: Counter[str] = Counter()


def raise_interface() -> None:
    """Bring the loopback up with its further addresses."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
    for address in (PUBLIC, METADATA):
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)


class Names(asyncio.DatagramProtocol):
    """Answers A questions; `rebind.test` is public the first time and private ever after."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(b"\0", 12)
        name, at = [], 12
        while data[at]:
            name.append(data[at + 1 : at + 1 + data[at]].decode().lower())
            at += 1 + data[at]
        kind = struct.unpack("!H", data[end + 1 : end + 3])[0]
        question = data[12 : end + 5]
        addresses = self.addresses(".".join(name)) if kind == 1 else []
        head = data[:2] + struct.pack("!HHHHH", 0x8180, 1, len(addresses), 0, 0)
        answers = b"".join(IN_A + socket.inet_aton(address) for address in addresses)
        self.transport.sendto(head + question + answers, addr)

    def addresses(self, name: str) -> list[str]:
        asked[name] += 1
        if name == "rebind.test":
            return [PUBLIC] if asked[name] == 1 else ["127.0.0.1"]
        return {
            "public.test": [PUBLIC], "private.test": ["127.0.0.1"], "metadata.google.internal": [METADATA],
            "mixed.test": [PUBLIC, METADATA], "back.test": [PUBLIC],
        }.get(name, [])  # fmt: skip


async def public_site(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What is served at the public address, by path."""
    try:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        hits["public"] += 1
        await PAGES.get(path.partition("?")[0], redirect)(path, writer)
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def redirect(path: str, writer: asyncio.StreamWriter) -> None:
    target = path.partition("?")[2] or "http://public.test/ok"
    if path.startswith("/loop"):
        target = "/loop"
    writer.write(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())


async def ok(path: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


async def bomb(path: str, writer: asyncio.StreamWriter) -> None:
    packed = gzip.compress(b"\0" * 300_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    writer.write(head.encode() + packed)


async def drip(path: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def endless(path: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


PAGES: dict[str, Callable[[str, asyncio.StreamWriter], Awaitable[None]]] = {
    "/ok": ok, "/bomb": bomb, "/drip": drip, "/endless": endless,
}  # fmt: skip


def canary(place: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hits[place] += 1
        writer.close()

    return note


async def fetch(client: HttpClient, url: str) -> str:
    """What becomes of a fetch on a user's behalf, with nothing but the defaults for time and size."""
    began = time.monotonic()
    try:
        response = await client.send(OutboundRequest(method="GET", url=url, trust="user", max_redirects=10))
        said = (await response.read_all(10**9)).decode()
    except InvalidRequest as error:
        said = str(error.code)
    except OutboundError as error:
        said = type(error).__name__
    took = time.monotonic() - began
    return said if took < 10.5 else f"{said} after {took:.1f} s"


async def main() -> None:
    raise_interface()
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(Names, ("127.0.0.1", 53))
    await asyncio.start_server(public_site, PUBLIC, 80)
    for place in ("127.0.0.1", "::1", METADATA):
        await asyncio.start_server(canary(place), place, 80)
    client = HttpClient()
    said = {url: await fetch(client, url) for url in sys.argv[1:]}
    await asyncio.sleep(0.05)
    print(json.dumps({"said": said, "hits": hits, "asked": asked}))


if __name__ == "__main__":
    asyncio.run(main())
