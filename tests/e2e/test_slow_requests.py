"""Requests that arrive a byte now and then are let go of; slow but honest ones are answered (F22)."""

from __future__ import annotations

import asyncio
import socket
import time

from tests.e2e.server_process import NewServer
from tests.e2e.wire import request_bytes

PATCH = """
import antiphon.api.http_protocol as h, antiphon.process as p
h.ARRIVAL_SECONDS = 1.0
p.SLOW_TICKS = 2
"""
HEAD = b"POST /v1/responses HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
BEGINNINGS = (
    b"",
    b"PO",
    HEAD,
    HEAD + b"content-length: 1000\r\n\r\n{",
    HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n{",
)


def closed_within(connection: socket.socket, seconds: float) -> bool:
    """Whether the server ends a connection in time, however often a byte is sent to it."""
    deadline = time.monotonic() + seconds
    connection.settimeout(0.2)
    while time.monotonic() < deadline:
        try:
            connection.sendall(b"x")
            if connection.recv(65536) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


async def test_what_does_not_arrive_is_let_go_of(new_server: NewServer) -> None:
    server = new_server(patch=PATCH)
    await asyncio.to_thread(server.start)
    waiting = [socket.create_connection(("127.0.0.1", server.port)) for _ in BEGINNINGS]
    for connection, beginning in zip(waiting, BEGINNINGS, strict=True):
        connection.sendall(beginning)
    ended = await asyncio.gather(*(asyncio.to_thread(closed_within, one, 8) for one in waiting))
    assert ended == [True] * len(BEGINNINGS)
    assert await asyncio.to_thread(server.health) == 200


async def test_a_connection_that_waits_between_requests_is_kept(new_server: NewServer) -> None:
    server = new_server(patch=PATCH)
    await asyncio.to_thread(server.start)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for _ in range(2):
        writer.write(request_bytes("GET", "/health").replace(b"connection: close\r\n", b""))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        await asyncio.sleep(1.5)  # longer than a request may take to arrive
    writer.close()
