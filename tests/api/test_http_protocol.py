"""A head is bounded however it arrives: in one read, in many, after another request."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from antiphon.api.http_protocol import (
    HEADER_BYTES,
    MAX_HEAD_BYTES,
    MAX_UNPARSED_BYTES,
    PIECE_BYTES,
    BoundedHttp,
)

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
        self.protocol: BoundedHttp | None = None

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_protocol(self) -> Any:
        return self.protocol

    def is_reading(self) -> bool:
        return self.read

    def pause_reading(self) -> None:
        self.read = False

    def resume_reading(self) -> None:
        self.read = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...


class CountingHttp(BoundedHttp):
    """Counts the heads that it has parsed."""

    heads = 0

    def on_headers_complete(self) -> None:
        self.heads += 1
        super().on_headers_complete()


class Opened:
    """A protocol with a line; `served` has the number of headers of each request that came through."""

    def __init__(self) -> None:
        self.served: list[int] = []
        self.taking = asyncio.Event()
        self.taking.set()
        config = uvicorn.Config(self._serve, interface="asgi3", lifespan="off", log_config=None)
        config.load()
        self.line = Line()
        self.protocol = CountingHttp(config=config, server_state=ServerState(), app_state={})
        self.line.protocol = self.protocol
        self.protocol.connection_made(self.line)

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        self.served.append(len(scope["headers"]))
        while scope["method"] == "POST" and (await receive())["more_body"]:
            await self.taking.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def until_served(self, number: int) -> None:
        for _ in range(number + 10):
            if len(self.served) < number:
                await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def send(self, data: bytes, *, at_once: int | None = None) -> None:
        step = at_once or max(1, len(data))
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


async def test_small_chunks_are_put_together_in_place() -> None:
    """With a copy of all before for each, a read of 256 KB in chunks of four bytes took the loop 0.6 s."""
    opened = Opened()
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    opened.protocol.data_received(head + b"2\r\nab\r\n" * 3)
    assert opened.protocol.cycle is not None
    body = opened.protocol.cycle.body
    opened.protocol.data_received(b"2\r\nab\r\n")
    assert opened.protocol.cycle.body is body and bytes(body) == b"abababab"
    await opened.send(b"0\r\n\r\n")
    assert opened.line.written.count(b"HTTP/1.1 200") == 1


async def test_requests_behind_each_other_are_parsed_as_they_are_answered() -> None:
    """Thousands in one read would take the loop for as long as all of them need, and lie in memory."""
    opened = Opened()
    request = START + b"\r\n"
    opened.protocol.data_received(request * 9_000)
    assert opened.protocol.heads <= PIECE_BYTES // len(request) + 1 and not opened.line.is_reading()
    await opened.until_served(9_000)
    assert opened.line.written.count(b"HTTP/1.1 200") == opened.protocol.heads == 9_000
    assert opened.line.is_reading() and not opened.line.closed


async def test_bodies_of_requests_that_wait_come_whole_and_late_ones_are_not_called_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = Opened()
    opened.taking.clear()
    post = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 30000\r\n\r\n" + bytes(30_000)
    await opened.send(post[:-10_000])  # this one is being answered
    await opened.send(bytes(10_000) + post + post[:-1])
    assert opened.served == [2] and not opened.line.written
    with monkeypatch.context() as later:
        later.setattr(opened.protocol, "loop", SimpleNamespace(time=lambda: 1e12))
        opened.protocol.end_if_slow()
    assert not opened.line.closed  # they wait for us
    opened.taking.set()
    await opened.send(b"")
    assert opened.served == [2, 2, 2] and opened.line.written.count(b"HTTP/1.1 200") == 2
    assert opened.line.is_reading()
    await opened.send(b"\0")
    assert opened.line.written.count(b"HTTP/1.1 200") == 3 and not opened.line.closed


async def test_whoever_sends_on_and_on_behind_an_answer_is_not_read_until_it_is_there() -> None:
    opened = Opened()
    opened.taking.clear()
    await opened.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n")
    opened.protocol.data_received(b"x" + (START + b"\r\n") * (MAX_UNPARSED_BYTES // len(START)))
    opened.protocol.flow.resume_reading()  # as whoever waits for its leaving does
    assert opened.line.is_reading()
    opened.protocol.data_received((START + b"\r\n") * 1_000)
    opened.protocol.flow.resume_reading()
    assert not opened.line.is_reading() and opened.protocol.heads < 1_000
    opened.taking.set()
    await opened.send(b"")
    await opened.until_served(MAX_UNPARSED_BYTES // len(START) + 1_001)
    assert opened.line.is_reading()
    assert len(opened.served) == opened.protocol.heads == MAX_UNPARSED_BYTES // len(START) + 1_001
