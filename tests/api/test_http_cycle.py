"""The server's own request cycle: what ASGI asks of it, on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest
import uvicorn

from antiphon.api.http import direct_of
from antiphon.api.http_protocol import WRITE_BUFFER_BYTES, BoundedHttp
from tests.services.hand import until

PATIENCE_SECONDS = 10
GET = b"GET /a/b?q=1 HTTP/1.1\r\nHost: h\r\n\r\n"
START = {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"1")]}


class Server(uvicorn.Server):
    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(
            uvicorn.Config(app, port=0, http=BoundedHttp, lifespan="off", log_config=None, **options)
        )
        self.ready = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    def capture_signals(self) -> Any:
        return nullcontext()


@asynccontextmanager
async def talking(app: Any, **options: Any) -> AsyncIterator[tuple[Server, Any, Any]]:
    server = Server(app, **options)
    serving = asyncio.create_task(server.serve())
    await asyncio.wait_for(server.ready.wait(), PATIENCE_SECONDS)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield server, reader, writer
    finally:
        writer.close()
        server.should_exit = server.force_exit = True
        await serving


def body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def test_a_head_leaves_with_the_first_piece_even_an_empty_one() -> None:
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await go.wait()
        await send(body(b"", more=True))
        await send(body(b"one", more=True))
        assert direct_of(scope)(b"two", True)  # type: ignore[misc]

    async with talking(app) as (_, reader, writer):
        writer.write(GET)
        waiting = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        go.set()
        head = await waiting
        assert b"x-a: 1\r\n" in head and b"transfer-encoding: chunked" in head
        assert await reader.readuntil(b"0\r\n\r\n") == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


async def test_requests_that_come_at_once_are_answered_in_their_order() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        said = (await receive())["body"]
        await asyncio.sleep(0.02 if said == b"1" else 0)
        await send({**START, "headers": [(b"content-length", b"1")]})
        await send(body(said))

    async with talking(app) as (_, reader, writer):
        post = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n"
        writer.write(b"".join(post + number for number in (b"1", b"2", b"3")))
        for number in (b"1", b"2", b"3"):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(1) == number


@pytest.mark.parametrize("direct", [False, True])
async def test_a_client_of_http_1_0_gets_no_chunks_but_an_end_of_its_connection(direct: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(b"one\n", more=True))
        if direct:
            assert direct_of(scope)(b"two\n", False)  # type: ignore[misc]
        await send(body(b"three\n"))

    async with talking(app) as (_, reader, writer):
        writer.write(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head, _, said = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ") and b"connection: close" in head
    assert b"transfer-encoding" not in head
    assert said == (b"one\ntwo\nthree\n" if direct else b"one\nthree\n")


async def test_a_length_that_is_known_is_told_a_client_of_http_1_0() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": [(b"content-length", b"4")]})
        await send(body(b"four"))

    async with talking(app) as (_, reader, writer):
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        head, _, said = (await reader.read()).partition(b"\r\n\r\n")
    assert b"content-length: 4" in head and said == b"four"


@pytest.mark.parametrize("ends", ["raises", "returns"])
@pytest.mark.parametrize("begun", [False, True])
async def test_an_application_that_breaks_off_ends_its_connection(ends: str, begun: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if begun:
            await send(START)
            await send(body(b"some", more=True))
        if ends == "raises":
            raise ValueError

    async with talking(app) as (_, reader, writer):
        writer.write(GET)
        answer = await reader.read()
    if begun:
        assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"4\r\nsome\r\n"), "no last chunk"
    else:
        assert answer.startswith(b"HTTP/1.1 500 ") and b"connection: close" in answer


@pytest.mark.parametrize(
    "headers",
    [[(b"x", b"a\r\nb: c")], [(b"x y", b"a")], [(b"content-length", b"2")], [(b"content-length", b"9")]],
)
async def test_what_would_break_the_framing_is_not_sent(headers: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": headers})
        await send(body(b"four"))

    async with talking(app) as (_, reader, writer):
        writer.write(GET)
        answer = await reader.read()
    assert b"b: c" not in answer.partition(b"\r\n\r\n")[0].replace(b"content-length", b"")
    assert not answer.endswith(b"four")


async def test_a_head_request_has_the_head_and_no_body() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": [(b"content-length", b"4")]})
        await send(body(b"four"))

    async with talking(app) as (_, reader, writer):
        writer.write(GET.replace(b"GET", b"HEAD") + GET.replace(b"Host", b"Connection: close\r\nHost"))
        answer = await reader.read()
    first, _, second = answer.partition(b"HTTP/1.1 200 OK\r\n")[2].partition(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 4" in first and first.endswith(b"\r\n\r\n")
    assert second.endswith(b"\r\n\r\nfour")


async def test_a_body_is_asked_for_only_when_it_is_read() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        said = await receive()
        await send({**START, "headers": []})
        await send(body(said["body"]))

    async with talking(app) as (_, reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert (await reader.readuntil(b"0\r\n\r\n")).endswith(b"2\r\nok\r\n0\r\n\r\n")


async def test_a_client_that_takes_nothing_is_waited_for_and_its_going_is_seen() -> None:
    seen: list[Any] = []
    full, over = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(START)
        write: Callable[[bytes, bool], bool] | None = direct_of(scope)
        assert write is not None
        for _ in range(10_000):
            if not write(b"x" * WRITE_BUFFER_BYTES, False):
                break
            await asyncio.sleep(0)
        full.set()
        await send(body(b"y", more=True))  # returns when the client has gone
        seen.append((await receive())["type"])
        seen.append(write(b"z", True))
        over.set()

    async with talking(app) as (_, _reader, writer):
        writer.write(GET)
        await full.wait()
        writer.transport.abort()
        await over.wait()
    assert seen == ["http.disconnect", True]


async def test_a_connection_that_rests_too_long_is_ended_and_one_that_is_answered_is_not() -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await go.wait()
        await send({**START, "headers": [(b"content-length", b"0")]})
        await send(body(b""))

    async with talking(app, timeout_keep_alive=0) as (server, reader, writer):
        writer.write(GET)
        await asked.wait()
        (connection,) = server.server_state.connections
        assert isinstance(connection, BoundedHttp)
        connection.end_if_slow()
        go.set()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await asyncio.sleep(0.01)
        connection.end_if_slow()
        assert await reader.read() == b""


async def test_what_is_whole_before_anybody_reads_it_is_answered_though_the_server_shuts_down() -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await go.wait()
        said = await receive()
        await send({**START, "headers": [(b"content-length", b"2")]})
        await send(body(said["body"]))

    async with talking(app) as (server, reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n")
        await asked.wait()
        (connection,) = server.server_state.connections
        connection.shutdown()
        assert isinstance(connection, BoundedHttp) and connection.cycle is not None
        writer.write(b"ok")
        await until(lambda: not connection.cycle.more_body)
        go.set()
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"ok")


@pytest.mark.parametrize("begun", [False, True])
async def test_what_the_end_of_the_drain_cuts_off_is_no_failure(
    begun: bool, caplog: pytest.LogCaptureFixture
) -> None:
    asked = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if begun:
            await send(START)
            await send(body(b"some", more=True))
        asked.set()
        await asyncio.Event().wait()

    async with talking(app) as (server, reader, writer):
        writer.write(GET)
        await asked.wait()
        (connection,) = server.server_state.connections
        connection.shutdown()
        for task in server.server_state.tasks:
            task.cancel()
        answer = await reader.read()
    assert answer.endswith(b"4\r\nsome\r\n" if begun else b"}")
    assert answer.startswith(b"HTTP/1.1 200 " if begun else b"HTTP/1.1 503 ")
    assert [record.levelname for record in caplog.records if record.name.startswith("antiphon")] == [
        "WARNING"
    ]


@pytest.mark.parametrize(
    "head",
    [b"CONNECT a:1 HTTP/1.1\r\nHost: h\r\n\r\n", GET[:-2] + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n"],
)
async def test_an_upgrade_that_is_not_offered_is_answered_as_a_request(head: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "status": 404, "headers": [(b"content-length", b"0")]})
        await send(body(b""))

    async with talking(app) as (_, reader, writer):
        writer.write(head)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 "))
