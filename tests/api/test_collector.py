"""An answer that has ended is freed at once: nothing of it waits for the garbage collector.

Cycles of some sixty objects an answer once cost 16 % of a turn's CPU and pauses of 60 ms.
"""

from __future__ import annotations

import asyncio
import gc
import json
from types import TracebackType
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import connect

from antiphon.api.v1 import chat_completions, responses
from antiphon.api.v1.responses_websocket import Session
from tests.api.client import Api, front_of
from tests.api.test_error_shape import ALL, filled
from tests.services.hand import ECHO, PATIENCE_SECONDS
from tests.services.world import World


async def ask(world: World, handler: Any, path: str, body: dict[str, Any]) -> bytes:
    raw = msgspec.json.encode({"model": ECHO, "stream": True, **body})
    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}
    sent: list[bytes] = []
    unread = [raw]

    async def receive() -> Any:
        if sent or not unread:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": unread.pop()}

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    await handler.create(world.application, scope, receive, send)
    return b"".join(sent)


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("surface", ["responses", "chat"])
async def test_an_answer_leaves_nothing_for_the_collector(world: World, surface: str, stored: bool) -> None:
    if surface == "responses":
        call = (responses, "/v1/responses", {"input": "hello", "store": stored})
    else:
        messages = [{"role": "user", "content": "hello"}]
        call = (chat_completions, "/v1/chat/completions", {"messages": messages, "store": stored})
    assert b"hello" in await ask(world, *call)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(3):
            await ask(world, *call)
        gc.collect()
        left = {
            type(found).__name__ for found in gc.garbage if type(found).__module__.startswith("antiphon.")
        }
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == set()


WITH_BODY = [(method, filled(path)) for method, path in ALL if method in ("POST", "PUT", "PATCH")]
NOT_STORED = {"type": "response.create", "model": ECHO, "input": "hello", "store": False}
LONG = 40_000
REFUSED = {
    "no JSON": b'"' * LONG,
    "a field of another kind": b'{"model":5,"name":5,"title":5,"message":5,"k":"%b"}' % (b"x" * LONG),
    "no object": b'["%b"]' % (b"x" * LONG),
}


async def send_body(front: Any, method: str, path: str, body: bytes) -> int:
    """Call by ASGI, for a client that keeps nothing of what it sent; returns the status."""
    unread = [body]
    del body
    found: list[int] = []

    async def receive() -> Any:
        if not unread:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": unread.pop()}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    headers = [(b"host", b"testserver"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": headers}
    await front(scope | {"query_string": b"", "client": ("127.0.0.1", 1), "scheme": "http"}, receive, send)
    return found[0]


def long_ones() -> list[Any]:
    """What lives since `gc.freeze` and holds something long, as the names of its kind."""
    return [
        type(one).__name__
        for one in gc.get_objects()
        if any(isinstance(held, bytes | str) and len(held) >= LONG for held in gc.get_referents(one))
    ]


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refused_body_is_freed_at_once(world: World, name: str) -> None:
    """Errors hold the frames they passed through, and those what was read.

    Frames that hold their error too waited for the collector: a hundred bodies of 10 MB lay there.
    """
    front = front_of(world)
    gc.disable()
    try:
        for method, path in WITH_BODY:
            assert await send_body(front, method, path, REFUSED[name]) < 500
            gc.collect()
            gc.freeze()
            await send_body(front, method, path, bytes(bytearray(REFUSED[name])))
            assert long_ones() == [], f"{method} {path}"
    finally:
        gc.enable()
        gc.unfreeze()


@pytest.mark.parametrize("model", ["scripted/fail-before", "hand/broken"])
async def test_a_failed_answer_is_freed_at_once(world: World, model: str) -> None:
    """With its history: errors of providers and of what reads their answers hold the call's frames."""
    front = front_of(world)
    body = msgspec.json.encode({"model": model, "input": "hello status=400", "store": False})
    gc.disable()
    try:
        await send_body(front, "POST", "/v1/responses", body)
        gc.collect()
        gc.freeze()
        await send_body(front, "POST", "/v1/responses", body)
        assert not any(isinstance(one, TracebackType) for one in gc.get_objects())
    finally:
        gc.enable()
        gc.unfreeze()


async def test_a_closed_socket_is_freed_at_once(served: tuple[Api, int]) -> None:
    """With what waits in it and the last answer that is not stored."""

    def sessions() -> int:
        return sum(isinstance(one, Session) for one in gc.get_objects())

    url = f"ws://127.0.0.1:{served[1]}/v1/responses"
    gc.disable()
    try:
        async with connect(url, proxy=None) as connection:
            await connection.send(msgspec.json.encode(NOT_STORED).decode())
            while json.loads(await connection.recv())["type"] != "response.completed":
                assert sessions() == 1
        async with asyncio.timeout(PATIENCE_SECONDS):
            while sessions():  # noqa: ASYNC110 - nothing tells of what is freed
                await asyncio.sleep(0.01)
    finally:
        gc.enable()
