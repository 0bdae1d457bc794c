"""Who is removed from a conversation sees nothing more of it, on a real server, within five seconds."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from tests.e2e.server_process import NewServer, ServerProcess
from tests.e2e.wire import begin, call
from tests.harness.people import PASSWORD, SECRET_KEY

LIMIT_SECONDS = 5.0
ENDLESS = "openai/paced-n4000-i15-hash"


async def person(server: ServerProcess, name: str) -> dict[str, str]:
    """Sign somebody up and in; returns the headers of their requests."""
    account = {"username": name, "password": PASSWORD}
    assert (await call(server.port, "POST", "/v1/auth/signup", account)).status == 202
    login = await call(server.port, "POST", "/token", account)
    assert login.status == 200, bytes(login.body)
    return {"authorization": f"Bearer {json.loads(login.body)['access_token']}"}


async def made(server: ServerProcess, who: dict[str, str], method: str, path: str, body: Any = None) -> Any:
    """Call as somebody and return the answer, which must be a success."""
    exchange = await call(server.port, method, path, body, who)
    assert exchange.status in (200, 201), bytes(exchange.body)
    return json.loads(exchange.body)


async def test_an_open_stream_ends_within_five_seconds_of_its_readers_removal(new_server: NewServer) -> None:
    server = new_server(AUTH_REQUIRED="true", SECRET_KEY=SECRET_KEY, SIGNUP="open", DRAIN_SECONDS="0")
    await asyncio.to_thread(server.start)
    ada, vi = await person(server, "ada"), await person(server, "vi")
    talk = (await made(server, ada, "POST", "/v1/conversations", {}))["id"]
    await made(server, ada, "POST", f"/v1/conversations/{talk}/members", {"user": "vi", "role": "viewer"})
    asked = {"model": ENDLESS, "input": "stream=x", "conversation": talk, "background": True}
    run = (await made(server, ada, "POST", "/v1/responses", asked))["id"]
    path = f"/v1/responses/{run}?stream=true"
    gone, stays = [await begin(server.port, "GET", path, None, who) for who in (vi, ada)]
    for exchange in (gone, stays):
        await exchange.until(lambda exchange=exchange: exchange.body.count(b"output_text.delta") >= 3)
    await made(server, ada, "DELETE", f"/v1/conversations/{talk}/members/vi")
    began, seen = time.monotonic(), stays.body.count(b"output_text.delta")
    assert (await call(server.port, "GET", f"/v1/responses/{run}", None, vi)).status == 404
    await gone.end(LIMIT_SECONDS)
    assert time.monotonic() - began < LIMIT_SECONDS
    assert b"response.completed" not in gone.body
    assert not (stays.complete or stays.closed)
    await stays.until(lambda: stays.body.count(b"output_text.delta") > seen + 10)
