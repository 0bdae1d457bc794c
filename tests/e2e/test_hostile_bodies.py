"""Bodies and heads made to hurt, on every route of the OpenAPI document: a refusal, soon, for little memory.

"Soon" is the server's processor time, which does not depend on what else the machine does. All the while
`/health` must answer, and fast.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.server_process import ServerProcess, running
from tests.e2e.test_bad_input import require_error, require_no_5xx
from tests.e2e.watcher import STALLS, begin_peak, cpu_seconds, health_watched, longest_stall, pace, peak_bytes
from tests.e2e.wire import Exchange, call, request_bytes, send

pytestmark = pytest.mark.alone

MIB = 1 << 20
MEMORY = 64 * MIB
SECONDS = 1.0
STALL = 0.2
"""What `/health` must wait at most, in seconds of the server's own work."""
HEALTH_P99 = 5.0
"""The same as the clock has it, on a machine that does other things too."""
HOST = b"host: 127.0.0.1\r\n"

Operation = dict[str, Any]
Route = tuple[str, str, Operation]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with its usual limits."""
    with running(tmp_path_factory.mktemp("bodies"), {"DRAIN_SECONDS": "1"}, patch=STALLS) as server:
        yield server
        assert "Traceback" not in server.log, server.log[server.log.index("Traceback") :][:4000]


@pytest.fixture(scope="module")
def routes(node: ServerProcess) -> list[Route]:
    """Every operation that may change something: method, path, description."""
    document = httpx.get(f"http://127.0.0.1:{node.port}/openapi.json", timeout=10, trust_env=False).json()
    return [
        (method.upper(), re.sub(r"\{\w+(?::\w+)?\}", uuid.uuid4().hex, path), operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]


@pytest.fixture(autouse=True)
def _healthy(node: ServerProcess) -> Iterator[None]:
    """Beside every test here `/health` always answers, and the event loop is never busy for long."""
    longest_stall(node)
    with health_watched(node.port) as watch:
        yield
    assert watch.failures == 0
    assert watch.quantile(0.99) <= HEALTH_P99, sorted(watch.seconds)[-5:]
    stall = longest_stall(node)
    assert stall <= STALL or stall <= STALL * pace()


def measured(server: ServerProcess) -> Callable[[str], None]:
    """Begin to measure; the result fails if too much time or memory was taken since."""
    memory, processor = begin_peak(server), cpu_seconds(server)

    def check(what: str) -> None:
        used, grown = cpu_seconds(server) - processor, peak_bytes(server) - memory
        assert used < SECONDS or used < SECONDS * pace(), f"{what}: {used:.2f} s of processor time"
        assert grown <= MEMORY, f"{what}: {grown / MIB:.0f} MiB more"

    return check


def many_fields() -> bytes:
    return b"{" + b",".join(b'"k%d":1' % i for i in range(10**6)) + b"}"


def form(fields: int) -> bytes:
    return b"&".join(b"f%d=x" % i for i in range(fields))


def parts(count: int, headers: int = 0) -> bytes:
    head = b"".join(b"x-%d: y\r\n" % i for i in range(headers))
    one = b'--b\r\ncontent-disposition: form-data; name="f"\r\n%b\r\nx\r\n' % head
    return one * count + b"--b--\r\n"


JSON = "application/json"
MULTIPART = "multipart/form-data; boundary=b"
BODIES: dict[str, Callable[[], tuple[bytes, dict[str, str]]]] = {
    "a million fields": lambda: (many_fields(), {}),
    "a million metadata": lambda: (b'{"metadata":%b}' % many_fields(), {}),
    "ten million elements": lambda: (b"[" + b"{}," * 10**7 + b"{}]", {}),
    "ten million in a field": lambda: (b'{"tools":[' + b"{}," * 10**7 + b"{}]}", {}),
    "just below the count": lambda: (b"{" + b",".join(b'"k%d":1' % i for i in range(99_000)) + b"}", {}),
    "wrong metadata": lambda: (b'{"metadata":{%b}}' % b",".join(b'"k%d":1' % i for i in range(90_000)), {}),
    "wrong models": lambda: (b'{"models":[%b1]}' % (b"1," * 90_000), {}),
    "a hundred thousand deep": lambda: (b'{"a":' * 90_000 + b"1" + b"}" * 90_000, {}),
    "a hundred thousand arrays deep": lambda: (b"[" * 10**5 + b"]" * 10**5, {}),
    "a million digits": lambda: (b'{"temperature":%b}' % (b"9" * 10**6), {}),
    "a million digits alone": lambda: (b"9" * 10**6, {}),
    "an exponent": lambda: (b'{"temperature":1e%b}' % (b"9" * 10**5), {}),
    "a million urlencoded fields": lambda: (
        form(10**6),
        {"content-type": "application/x-www-form-urlencoded"},
    ),
    "a hundred thousand parts": lambda: (parts(10**5), {"content-type": MULTIPART}),
    "a hundred thousand part headers": lambda: (parts(1, 10**5), {"content-type": MULTIPART}),
    "one part without end": lambda: (b"--b\r\nx: " + b"y" * 10**7, {"content-type": MULTIPART}),
    "a bomb": lambda: (gzip.compress(b" " * (64 * MIB)), {"content-encoding": "gzip"}),
    "a bomb, declared twice": lambda: (gzip.compress(b" " * MIB), {"content-encoding": "gzip, gzip"}),
    "quotes": lambda: (b'"' * 10**7, {}),
    "escapes": lambda: (b'["' + b"\\u0041" * 10**6 + b'","' + b"\\" * 10**6, {}),
    "white space": lambda: (b" \n\t\r" * (4 * MIB), {}),
}


@pytest.mark.parametrize("name", BODIES)
async def test_on_every_route(node: ServerProcess, routes: list[Route], name: str) -> None:
    body, headers = BODIES[name]()
    taking = [route for route in routes if "requestBody" in route[2]]
    assert len(taking) > 8
    for method, path, operation in routes:
        if method == "GET":
            continue
        check = measured(node)
        answered = await call(node.port, method, path, body, headers)
        what = f"{name} at {method} {path}"
        wants = operation.get("requestBody", {}).get("required", False)
        (require_error if wants else require_no_5xx)(answered, what)
        check(what)


async def test_get_routes_with_a_body(node: ServerProcess, routes: list[Route]) -> None:
    body = b"{" + b'"k":1,' * 10**6
    for method, path, _ in routes:
        if method == "GET":
            check = measured(node)
            require_no_5xx(await call(node.port, method, path, body), f"GET {path}")
            check(f"GET {path}")


async def test_a_gigabyte_that_is_announced_is_refused_unread(
    node: ServerProcess, routes: list[Route]
) -> None:
    check = measured(node)
    for method, path, operation in routes:
        if method == "GET":
            continue
        head = f"{method} {path} HTTP/1.1\r\ncontent-type: {JSON}\r\ncontent-length: {10**9}\r\n".encode()
        answered = await (await send(node.port, head + HOST + b"\r\n{")).end(5)
        if "requestBody" in operation:
            require_error(answered, f"{method} {path}")
            assert answered.status == 413
        else:
            require_no_5xx(answered, f"{method} {path}")
    check("announced")


@pytest.mark.parametrize("framing", ["announced", "chunked"])
async def test_a_gigabyte_that_is_sent(node: ServerProcess, framing: str) -> None:
    """The client writes as long as the server takes it; the answer comes and the rest is not read."""
    check = measured(node)
    length = f"content-length: {10**9}" if framing == "announced" else "transfer-encoding: chunked"
    for path in ("/v1/responses", "/v1/chat/completions", "/v1/conversations"):
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        writer.write(
            f"POST {path} HTTP/1.1\r\n{length}\r\ncontent-type: {JSON}\r\n".encode() + HOST + b"\r\n"
        )
        answer = asyncio.create_task(reader.readline())
        piece = b" " * MIB if framing == "announced" else b"%x\r\n%b\r\n" % (MIB, b" " * MIB)
        sent = 0
        while not answer.done() and sent < 1000:
            writer.write(piece)
            drained = asyncio.create_task(writer.drain())
            await asyncio.wait({drained, answer}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
            sent += 1
        assert b" 413 " in await asyncio.wait_for(answer, 10)
        assert sent < 64, "far less than all of it was taken"
        writer.transport.abort()
    check(framing)


FRAMINGS = {
    "negative": b"content-length: -1", "empty": b"content-length:", "signed": b"content-length: +2",
    "hexadecimal": b"content-length: 0x2", "spaced": b"content-length: 2 2",
    "huge": b"content-length: " + b"9" * 30, "twice": b"content-length: 2\r\ncontent-length: 3",
    "list": b"content-length: 2, 2", "both": b"content-length: 2\r\ntransfer-encoding: chunked",
    "both, turned": b"transfer-encoding: chunked\r\ncontent-length: 2",
    "unknown coding": b"transfer-encoding: gzip", "chunked twice": b"transfer-encoding: chunked, chunked",
    "hidden coding": b"transfer-encoding: xchunked", "folded": b"transfer-encoding:\r\n chunked",
    "before the colon": b"content-length : 2", "nul": b"content-length: 2\x00",
    "bare cr": b"a: b\rcontent-length: 2", "fraction": b"content-length: 2.0",
}  # fmt: skip


@pytest.mark.parametrize("name", FRAMINGS)
async def test_ambiguous_framing_is_refused(node: ServerProcess, name: str) -> None:
    """What two servers may read in two ways is how requests are smuggled: nothing after it is served."""
    for path in (b"/v1/responses", b"/v1/conversations"):
        head = b"POST %b HTTP/1.1\r\n%bcontent-type: application/json\r\n%b\r\n\r\n" % (
            path,
            HOST,
            FRAMINGS[name],
        )
        smuggled = b"{}GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        writer.write(head + smuggled)
        if writer.can_write_eof():
            writer.write_eof()
        said = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert said.startswith((b"HTTP/1.1 400", b"HTTP/1.1 413")) or not said, said[:200]
        assert said.count(b"HTTP/1.1 ") <= 1 and b'"running"' not in said, said


HEADS: dict[str, Callable[[], bytes]] = {
    "a long path": lambda: b"GET /" + b"a" * (8 * MIB),
    "a long query": lambda: b"GET /health?" + b"a=b&" * (2 * MIB),
    "a long header": lambda: b"GET /health HTTP/1.1\r\n" + HOST + b"x: " + b"y" * (8 * MIB),
    "a long name": lambda: b"GET /health HTTP/1.1\r\n" + HOST + b"x" * (8 * MIB),
    "many headers": lambda: b"GET /health HTTP/1.1\r\n" + HOST + b"x: y\r\n" * MIB,
    "many cookies": lambda: b"GET /health HTTP/1.1\r\n" + HOST + b"cookie: a=b; c=d\r\n" * (MIB // 2),
    "a long trailer": lambda: CHUNKED + b"0\r\nx: " + b"y" * (8 * MIB),
    "many trailers": lambda: CHUNKED + b"0\r\n" + b"x: y\r\n" * MIB,
    "a long chunk extension": lambda: CHUNKED + b"2;a=" + b"b" * (8 * MIB),
}
CHUNKED = b"POST /v1/responses HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("name", HEADS)
async def test_heads_and_trailers_without_end(node: ServerProcess, name: str) -> None:
    check = measured(node)
    exchange = await send(node.port, HEADS[name]())
    await exchange.end(10)
    assert exchange.status in (0, 400, 431), exchange.status
    if "trailer" not in name and "chunk" not in name:
        require_error(exchange, name)
    check(name)


ONE_READ: dict[str, bytes] = {
    "one header of 200 KiB": b"x: " + b"y" * 200 * 1024 + b"\r\n",
    "five thousand small ones": b"".join(b"x-%d: y\r\n" % index for index in range(5_000)),
    "many, just too large": b"".join(b"x-%02d: %b\r\n" % (index, b"y" * 1000) for index in range(64)),
    "an empty one very often": b"a:\r\n" * 2_500,
}


@pytest.mark.parametrize("name", ONE_READ)
async def test_a_head_that_is_whole_in_one_read_is_bounded_too(node: ServerProcess, name: str) -> None:
    """It ends properly and would be served: the parser takes what one read brings."""
    head, _, end = request_bytes("GET", "/health").partition(b"\r\n")
    exchange = await send(node.port, head + b"\r\n" + ONE_READ[name] + end)
    await exchange.end(10)
    assert exchange.status in (0, 431), "0: the connection was closed on what was still being sent"
    if exchange.status:
        require_error(exchange, name)


async def test_a_usual_head_is_taken(node: ServerProcess) -> None:
    """30 KiB of cookies and headers are a browser's right, also a little at a time, also with trailers."""
    fields = {f"x-{index}": "y" * 1000 for index in range(30)}
    assert (await call(node.port, "GET", "/health", headers=fields)).status == 200
    whole = request_bytes("GET", "/health", headers=fields)
    exchange = await send(node.port, whole[:100])
    for at in range(100, len(whole), 997):
        exchange.write(whole[at : at + 997])
        await asyncio.sleep(0)
    assert (await exchange.end(10)).status == 200
    trailed = CHUNKED + b'2;x="y"\r\n{}\r\n0\r\nx-trailer: z\r\n\r\n'
    answered: Exchange = await (await send(node.port, trailed)).end(10)
    assert answered.json()["error"]["code"] == "missing_required_parameter"


PATTERNS = (
    "a" * 50_000 + "!",
    "(" * 20_000,
    "\\" * 40_000 + "x",
    " " * 50_000 + "x",
    "%" * 30_000,
    "9" * 50_000 + "z",
)


async def test_no_pattern_takes_long(node: ServerProcess, routes: list[Route]) -> None:
    """Ids, cursors, names, headers and texts that make a careless pattern try everything."""
    for value in PATTERNS:
        check = measured(node)
        for method, path, _ in routes:
            if method == "GET":
                found = await call(
                    node.port, method, path, headers={"range": f"bytes={value}", "user-agent": value}
                )
                require_no_5xx(found, path)
        quoted = value.replace("%", "%25").replace(" ", "%20").replace("\\", "%5c")[:60_000]
        for path in (
            "/v1/conversations?after=",
            "/v1/models/",
            "/v1/responses/",
            "/v1/chat/completions?metadata[a]=",
        ):
            require_no_5xx(await call(node.port, "GET", path + quoted), path)
        body = {"model": value, "input": value, "metadata": {"a": value}, "instructions": value}
        require_error(await call(node.port, "POST", "/v1/responses", body), "body")
        asked = {"model": "scripted/text", "input": value, "store": False}
        assert (await call(node.port, "POST", "/v1/responses", asked)).status == 200
        check(value[:10])


async def test_ranges_without_end(node: ServerProcess, routes: list[Route]) -> None:
    value = "bytes=" + ",".join(["0-"] * 10_000)
    for method, path, _ in routes:
        if method == "GET":
            check = measured(node)
            answered = await call(node.port, method, path, headers={"range": value})
            require_no_5xx(answered, path)
            assert answered.status != 206
            check(path)
