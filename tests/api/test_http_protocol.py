"""A head is bounded however it arrives: in one read, in many, after another request."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from antiphon.api.http_protocol import HEADER_BYTES, MAX_HEAD_BYTES, BoundedHttp

START = b"GET /health HTTP/1.1\r\nhost: x\r\n"
HEADS: dict[str, bytes] = {
    "one header of 200 KiB": b"x: " + b"y" * 200 * 1024 + b"\r\n",
    "five thousand small ones": b"".join(b"x-%d: y\r\n" % index for index in range(5_000)),
    "empty ones": b"a:\r\n" * 2_500,
    "a long name": b"x" * 200 * 1024 + b": y\r\n",
}


class Line(asyncio.Transport):
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.read = True

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.read = False

    def resume_reading(self) -> None:
        self.read = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...


class Opened:
    """A protocol with a line; `served` has the number of headers of each request that came through."""

    def __init__(self) -> None:
        self.served: list[int] = []
        self.taking = asyncio.Event()
        self.taking.set()
        config = uvicorn.Config(self._serve, interface="asgi3", lifespan="off", log_config=None)
        config.load()
        self.line = Line()
        self.protocol = BoundedHttp(config=config, server_state=ServerState(), app_state={})
        self.protocol.connection_made(self.line)

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        self.served.append(len(scope["headers"]))
        while scope["method"] == "POST" and (await receive())["more_body"]:
            await self.taking.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def send(self, data: bytes, *, at_once: int | None = None) -> None:
        step = at_once or len(data)
        for start in range(0, len(data), step):
            if not self.line.closed:
                self.protocol.data_received(data[start : start + step])
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("at_once", [None, 64 * 1024, 1000])
async def test_too_large_a_head_is_refused_and_not_served(name: str, at_once: int | None) -> None:
    opened = Opened()
    await opened.send(START + HEADS[name] + b"\r\n", at_once=at_once)
    assert opened.line.closed and opened.served == []
    head, _, body = opened.line.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ") and opened.line.written.count(b"HTTP/1.1") == 1
    assert json.loads(body)["error"]["code"] == "request_head_too_large"


@pytest.mark.parametrize("name", HEADS)
async def test_after_a_request_that_was_answered_too(name: str) -> None:
    opened = Opened()
    await opened.send(START + b"\r\n")
    assert opened.served == [1] and not opened.line.closed
    await opened.send(START + HEADS[name] + b"\r\n")
    assert opened.served == [1] and opened.line.closed
    assert opened.line.written.count(b"HTTP/1.1 200") == opened.line.written.count(b"HTTP/1.1 431") == 1


async def test_a_head_up_to_the_bound_is_served_again_and_again() -> None:
    opened = Opened()
    value = b"y" * (MAX_HEAD_BYTES - len(b"/health" + b"host" + b"x" + b"x") - 2 * HEADER_BYTES)
    for number in range(1, 4):
        await opened.send(START + b"x: " + value + b"\r\n\r\n")
        assert opened.served == [2] * number and not opened.line.closed
    await opened.send(START + b"x: " + value + b"y\r\n\r\n")
    assert opened.line.closed and len(opened.served) == 3


async def test_what_is_no_http_is_refused_as_before() -> None:
    opened = Opened()
    await opened.send(b"\x16\x03\x01 no request\r\n\r\n")
    assert opened.line.written.startswith(b"HTTP/1.1 400 ") and opened.line.closed


async def test_a_body_that_nobody_takes_is_not_read_on() -> None:
    """Else a large upload lies in memory, and takes every turn of the loop from the others."""
    opened = Opened()
    opened.taking.clear()
    await opened.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 800000\r\n\r\n" + bytes(200_000))
    assert opened.line.read  # it has been taken
    await opened.send(bytes(200_000))
    assert not opened.line.read
    opened.taking.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert opened.line.read
    await opened.send(bytes(400_000))
    assert b"HTTP/1.1 200" in opened.line.written
