"""Nonsense on every route that the server documents: a refusal in OpenAI's shape, and nothing is hurt."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.server_process import ServerProcess
from tests.e2e.wire import call, gather_limited, get, request_bytes, send
from tests.harness.error_shapes import require_error_shape

LIMIT = 262_144
"""MAX_BODY_BYTES of the server under test."""

Route = tuple[str, str]
JSON = "application/json"


@pytest.fixture(scope="module")
def routes(node: ServerProcess) -> list[Route]:
    """Every operation of the OpenAPI document: method and path template."""
    document = httpx.get(f"http://127.0.0.1:{node.port}/openapi.json", timeout=10, trust_env=False).json()
    return [
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
        if method in ("get", "post", "put", "patch", "delete")
    ]


@pytest.fixture(scope="module")
def filled(node: ServerProcess) -> Iterator[dict[str, str]]:
    """Real objects, so that a bad body is not saved by a 404; they must be unhurt at the end."""
    http = httpx.Client(base_url=f"http://127.0.0.1:{node.port}/v1", timeout=10, trust_env=False)
    conversation = http.post("/conversations", json={"title": "kept"}).json()["id"]
    asked = {"model": "scripted/text", "input": "hello", "conversation": conversation}
    response = http.post("/responses", json=asked).json()
    chat = {"model": "scripted/text", "messages": [{"role": "user", "content": "hello"}], "store": True}
    completion = http.post("/chat/completions", json=chat).json()["id"]
    branch = http.get(f"/conversations/{conversation}/branches").json()["data"][0]["id"]
    values = {
        "conversation_id": conversation,
        "item_id": response["output"][0]["id"],
        "branch_id": branch,
        "response_id": response["id"],
        "completion_id": completion,
        "model": "scripted/text",
    }
    items = f"/conversations/{conversation}/items?branch={branch}"
    before = http.get(items).json()
    yield values
    assert http.get(items).json() == before
    assert http.get(f"/responses/{response['id']}").json() == response
    assert "Traceback" not in node.log, node.log[node.log.index("Traceback") :][:4000]


def path_of(template: str, values: dict[str, str]) -> str:
    """The path with its places filled; a name nobody foresaw gets an id that does not exist."""
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda m: values.get(m.group(1), uuid.uuid4().hex), template)


def require_error(answer: Any, what: str) -> None:
    """A 4xx in OpenAI's shape, or a dialect's."""
    assert 400 <= answer.status < 500, f"{what}: {answer.status} {bytes(answer.body[:300])!r}"
    assert answer.headers["content-type"].startswith("application/json"), what
    require_error_shape(answer.json(), what)


def require_no_5xx(answer: Any, what: str) -> None:
    """Whatever it is, it is not the server's failure; an error has the one shape."""
    assert answer.status, f"{what}: no answer"
    assert answer.status < 500, f"{what}: {answer.status} {bytes(answer.body[:300])!r}"
    if answer.status >= 400:
        require_error(answer, what)


DEEP = 100_000
BODIES: dict[str, bytes] = {
    "null": b"null",
    "array": b"[]",
    "string": b'"text"',
    "number": b"12345678901234567890123456789012345678901234567890",
    "true": b"true",
    "broken": b'{"input": ',
    "two values": b"{} {}",
    "trailing comma": b'{"a":1,}',
    "nan": b'{"temperature": NaN}',
    "infinity": b'{"temperature": 1e999}',
    "not utf-8": b'{"input": "\xff\xfe"}',
    "cut utf-8": b'{"input": "\xe2\x82"}',
    "lone surrogate": b'{"input": "\\ud800"}',
    "nul": b"\x00",
    "bom": b"\xef\xbb\xbf{}",
    "utf-16": '{"input":"x"}'.encode("utf-16"),
    "deep arrays": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
    "form": b"input=hello&model=x",
    "duplicate nonsense": b'{"nonsense": 1, "nonsense": 2}',
}
NO_BODY_NEEDED = (
    "/fork",
    "/regenerate",
    "/cancel",
    "/activate",
    "/conversations",
    "/conversation",
    "/create-chat",
    "/chat",  # which makes a session of nothing
    "/chat/",
    "/logout",
    "/shares",
    "/invites",
    "/v1/vector_stores",
)


def needs_none(template: str) -> bool:
    """Whether a call does without a body; the documents of dialects let most of theirs."""
    return template.endswith(NO_BODY_NEEDED) or not template.startswith("/v1/")


async def test_bodies_that_are_none(node: ServerProcess, routes: list[Route], filled: dict[str, str]) -> None:
    async def one(method: str, template: str, name: str) -> None:
        what = f"{method} {template} with {name}"
        answer = await call(node.port, method, path_of(template, filled), BODIES[name])
        takes_none = needs_none(template) or name in ("null",)
        (require_no_5xx if takes_none else require_error)(answer, what)

    posts = [route for route in routes if route[0] == "POST"]
    assert len(posts) > 10
    await gather_limited([one(*route, name) for route in posts for name in BODIES])


async def test_no_body(node: ServerProcess, routes: list[Route], filled: dict[str, str]) -> None:
    async def one(method: str, template: str) -> None:
        answer = await call(node.port, method, path_of(template, filled), b"")
        judge = require_no_5xx if needs_none(template) else require_error
        judge(answer, f"{method} {template} without a body")

    await gather_limited([one(*route) for route in routes if route[0] == "POST"])


WRONG: list[Any] = [
    None, True, -1, 0, 1.5, 10**30, 1e300, "", "x" * 5000, "\x00", "\u2028", [], [[]], [None], [1], {},
    {"a": {}}, {"type": "message"}, [{"type": "message"}], [{"role": "user"}],
    [{"role": "user", "content": [None]}],
    [{"role": "x", "content": "y"}], [{"type": "function_call_output", "call_id": "none", "output": "x"}],
    [{"type": "item_reference", "id": "msg_x"}], [{"type": "x" * 100}], {"id": 7}, {"type": "function"},
]  # fmt: skip


def schemas_of(document: dict[str, Any], path: str) -> dict[str, Any]:
    """The properties of the body a POST takes, from the document."""
    content = document["paths"][path]["post"].get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    for option in [schema, *schema.get("anyOf", [])]:
        if "$ref" in option:
            name = option["$ref"].rpartition("/")[2]
            properties: dict[str, Any] = document["components"]["schemas"][name].get("properties", {})
            return properties
    return {}


GOOD: dict[str, dict[str, Any]] = {
    "/v1/responses": {"model": "scripted/text", "input": "hello", "store": False},
    "/v1/responses/input_tokens": {"model": "scripted/text", "input": "hello"},
    "/v1/responses/compact": {"model": "scripted/text", "input": "hello"},
    "/v1/chat/completions": {"model": "scripted/text", "messages": [{"role": "user", "content": "hello"}]},
}


async def test_every_field_with_every_wrong_type(node: ServerProcess, filled: dict[str, str]) -> None:
    document = await get(node.port, "/openapi.json")
    made = await call(node.port, "POST", "/v1/conversations", {})
    values = filled | {"conversation_id": made.json()["id"]}

    async def one(path: str, field: str, value: Any) -> None:
        body = GOOD.get(path, {}) | {field: value}
        answer = await call(node.port, "POST", path_of(path, values), body)
        require_no_5xx(answer, f"POST {path} with {field}={json.dumps(value)[:80]}")
        if answer.status == 200 and answer.headers["content-type"].startswith("application/json"):
            assert answer.json(), path

    jobs = []
    for path, operations in document["paths"].items():
        if "post" in operations:
            for field in (*schemas_of(document, path), "unknown_field"):
                jobs += [one(path, field, value) for value in WRONG]
    assert len(jobs) > 1000
    await gather_limited(jobs)


@pytest.mark.parametrize("depth", [50, 200, 400, 600, 800, 900, 1000, 1100, 2000, 10_000])
async def test_nesting_of_every_depth(node: ServerProcess, filled: dict[str, str], depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    objects = b'{"a":' * depth + b"1" + b"}" * depth
    start = b'{"model":"scripted/text","input":"hi",'
    item = b'{"model":"scripted/text","input":[{"type":"custom","data":%b}]}'
    conversation = f"/v1/conversations/{filled['conversation_id']}"
    bodies = {
        "/v1/responses": [
            start + b'"tools":[{"type":"function","name":"f","parameters":' + objects + b"}]}",
            start + b'"text":{"format":{"type":"json_schema","name":"x","schema":' + objects + b"}}}",
            start + b'"prompt":' + objects + b"}",
            item % deep,
            item % objects,
            b'{"model":"scripted/json","input":"hi","text":{"format":{"type":"json_schema","name":"x","schema":'
            + b'{"type":"object","required":["a"],"properties":{"a":' * depth
            + b"{}"
            + b"}}" * depth
            + b"}}}",
        ],
        "/v1/responses/input_tokens": [item % deep, item % objects],
        "/v1/responses/compact": [item % deep, item % objects],
        "/v1/conversations": [
            b'{"items":[{"type":"custom","data":%b}]}' % deep,
            b'{"metadata":%b}' % objects,
        ],
        "/v1/chat/completions": [
            b'{"model":"scripted/text","messages":[{"role":"user","content":%b}]}' % deep,
            b'{"model":"scripted/text","store":true,"messages":[{"role":"user","content":"x","data":%b}]}'
            % deep,
        ],
        f"{conversation}/items/{filled['item_id']}/edit": [b'{"respond":false,"content":%b}' % deep],
    }
    for path, some in bodies.items():
        for index, body in enumerate(some):
            if len(body) <= LIMIT:
                answer = await call(node.port, "POST", path, body)
                require_no_5xx(answer, f"{path} body {index} nested {depth} deep")
    assert await asyncio.to_thread(node.health) == 200


def padded(size: int) -> bytes:
    """A well-formed JSON object of that many bytes."""
    return b'{"model":"scripted/text","input":"' + b"x" * (size - 36) + b'"}'


def _content(operation: Any) -> Any:
    """The media types an operation takes, with their schemas; forms with files have limits of their own."""
    return operation.get("requestBody", {}).get("content", {})


async def test_bodies_above_the_limit(node: ServerProcess, filled: dict[str, str]) -> None:
    async def announced(template: str) -> None:
        answer = await call(node.port, "POST", path_of(template, filled), padded(LIMIT + 1))
        require_error(answer, f"{template}, announced")
        assert answer.status == 413, f"{template}: {answer.status} {bytes(answer.body)!r}"
        if template.startswith("/v1/"):  # the dialects have a sentence only
            assert answer.json()["error"]["code"] == "request_too_large"

    async def chunked(template: str) -> None:
        head = request_bytes("POST", path_of(template, filled), b"", {"transfer-encoding": "chunked"})
        head = head.replace(b"content-length: 0\r\n", b"")
        piece = b" " * 8192
        whole = head + (b"%x\r\n%b\r\n" % (len(piece), piece)) * 40 + b"0\r\n\r\n"
        answer = await (await send(node.port, whole)).end(10)
        require_error(answer, f"{template}, chunked")
        assert answer.status == 413, f"{template}: {answer.status} {bytes(answer.body)!r}"

    # Routes that read no body need not look at it.
    document = await get(node.port, "/openapi.json")
    operations = document["paths"].items()
    posts = [template for template, of in operations if JSON in _content(of.get("post", {}))]
    assert "/v1/responses" in posts and len(posts) > 10
    await gather_limited([announced(template) for template in posts], at_once=8)
    await gather_limited([chunked(template) for template in posts], at_once=8)
    exact = await call(node.port, "POST", "/v1/responses", padded(LIMIT))
    assert exact.status == 200, "a body of exactly the limit is taken"


async def test_a_huge_body_is_not_taken_into_memory(node: ServerProcess) -> None:
    before = node.rss_bytes()
    head = request_bytes("POST", "/v1/responses", b"", {"transfer-encoding": "chunked"})
    exchange = await send(node.port, head.replace(b"content-length: 0\r\n", b""))
    piece = b"%x\r\n%b\r\n" % (1 << 20, b"x" * (1 << 20))
    for _ in range(64):
        if exchange.over:
            break
        exchange.write(piece)
        await asyncio.sleep(0)
    await exchange.end(10)
    assert exchange.status in (0, 413)
    assert node.rss_bytes() - before < 16 << 20
    assert await asyncio.to_thread(node.health) == 200


IDS = (
    "x", "%00", "%FF%FE", "..%2f..%2fetc%2fpasswd", "resp_" + "0" * 32, "resp_" + "z" * 32, "a" * 4000,
    "%F0%9F%98%80", "'%20OR%201=1--", "conv_", "1e999", "-1", "null", "%0d%0aX-Injected:%201", "%20", "%2F",
)  # fmt: skip


async def test_ids_that_are_none(node: ServerProcess, routes: list[Route]) -> None:
    async def one(method: str, template: str, identifier: str) -> None:
        path = re.sub(r"\{\w+(?::\w+)?\}", lambda _: identifier, template)
        body: Any = {} if method == "POST" else None
        answer = await call(node.port, method, path, body)
        require_no_5xx(answer, f"{method} {path}")
        assert "x-injected" not in answer.headers

    with_ids = [route for route in routes if "{" in route[1]]
    await gather_limited([one(*route, identifier) for route in with_ids for identifier in IDS])


QUERIES = (
    "limit=0", "limit=-1", "limit=101", "limit=1e3", "limit=" + "9" * 400, "limit=", "limit=%00",
    "limit=1&limit=2", "after=", "after=x", "after=%FF", "after=%00", "after=" + "x" * 5000, "order=up",
    "order=", "branch=x", "branch=%FF", "stream=maybe", "stream=true&starting_after=x",
    "after_revision=-1", "after_revision=1e99",
    "after_revision=" + "9" * 100, "model=%FF", "metadata[a]=%00", "metadata[]=x", "left=x&right=y",
    "left=%00&right=", "%FF=%FE", "&&&===", "limit=%EF%BC%91", "model=" + "%F0%9F%98%80" * 50,
)  # fmt: skip


async def test_queries_that_are_none(
    node: ServerProcess, routes: list[Route], filled: dict[str, str]
) -> None:
    async def one(template: str, query: str) -> None:
        path = f"{path_of(template, filled)}?{query}"
        require_no_5xx(await call(node.port, "GET", path), f"GET {path[:200]}")

    gets = [template for method, template in routes if method == "GET"]
    await gather_limited([one(template, query) for template in gets for query in QUERIES])


HEADERS: list[dict[str, str]] = [
    {"idempotency-key": "x" * 256}, {"idempotency-key": ""}, {"idempotency-key": "\xff\xe9"},
    {"content-encoding": "gzip"}, {"content-type": "text/plain"}, {"content-type": "application/xml"},
    {"content-type": "application/json; charset=utf-16"}, {"if-match": '"x"'}, {"if-match": "9" * 400},
    {"last-event-id": "\xff"}, {"authorization": "Bearer \xff\xe9"}, {"x-api-key": "\xff"},
    {"accept": "nonsense"}, {"range": "bytes=0-"}, {"expect": "100-continue"}, {"cookie": "\xff=\xfe;;;"},
]  # fmt: skip


async def test_odd_headers(node: ServerProcess, routes: list[Route], filled: dict[str, str]) -> None:
    made = await call(node.port, "POST", "/v1/conversations", {})
    values = filled | {"conversation_id": made.json()["id"]}

    async def one(method: str, template: str, headers: dict[str, str]) -> None:
        body = GOOD.get(template, {}) if method == "POST" else None
        answer = await call(node.port, method, path_of(template, values), body, headers)
        require_no_5xx(answer, f"{method} {template} with {headers}")

    some = [route for route in routes if route[0] in ("GET", "POST")]
    await gather_limited([one(*route, headers) for route in some for headers in HEADERS])


async def test_unknown_paths_and_methods(node: ServerProcess, routes: list[Route]) -> None:
    for path in ("/", "/v1", "/v1/", "/v1/nothing", "/v1/responses/", "//v1/responses", "/v1/../v1/models"):
        require_no_5xx(await call(node.port, "GET", path), f"GET {path}")
    for method in ("PATCH", "TRACE", "PROPFIND", "PUT", "DELETE"):
        require_error(await call(node.port, method, "/v1/responses", {}), f"{method} /v1/responses")


async def test_what_is_no_http(node: ServerProcess) -> None:
    for data in (
        b"\x00" * 64,
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"POST / HTTP/9.9\r\n\r\n",
        b"\r\n" * 50,
    ):
        exchange = await send(node.port, data + b"\r\n\r\n")
        await asyncio.sleep(0)
        exchange.close()
    assert await asyncio.to_thread(node.health) == 200
