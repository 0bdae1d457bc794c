"""Live feeds of real servers: kills lose nothing that is stored, and several servers are one room."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.api.client import Event, parse_events
from tests.e2e.server_process import NewServer, ServerProcess
from tests.e2e.test_several_servers import start
from tests.e2e.test_sharing import LIMIT_SECONDS, made, person
from tests.e2e.wire import Exchange, begin, call, until
from tests.harness.people import SECRET_KEY
from tests.harness.tokens import expected_text

MODEL = "openai/paced-n40-i20-hash"
SEVERAL = {"AUTH_REQUIRED": "true", "SECRET_KEY": SECRET_KEY, "SIGNUP": "open"}
PEOPLE = SEVERAL | {"DRAIN_SECONDS": "0"}
ROUNDS = 4


def events_in(exchange: Exchange) -> list[Event]:
    """The whole events that have come so far."""
    return parse_events(bytes(exchange.body).rpartition(b"\n\n")[0].decode() + "\n\n")


def stored_in(exchange: Exchange) -> list[Event]:
    """Those of them that are stored changes."""
    return [one for one in events_in(exchange) if one.id is not None and one.name != "ready"]


async def followed(port: int, who: dict[str, str], path: str, after: str | None = None) -> Exchange:
    """Follow by server-sent events, from where one was."""
    headers = {"accept": "text/event-stream", **who} | ({"last-event-id": after} if after else {})
    exchange = await begin(port, "GET", path, None, headers)
    await exchange.until(lambda: b"event: ready" in exchange.body)
    return exchange


class Ear:
    """Follows by a socket and keeps all frames."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.frames: list[dict[str, Any]] = []
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for text in self.connection:
            self.frames.append(json.loads(text))

    async def close(self) -> None:
        """Leave."""
        await self.connection.close()
        await asyncio.gather(self._task, return_exceptions=True)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The frames of a kind."""
        return [one for one in self.frames if one["type"] == kind]

    def text(self, run_id: str) -> str:
        """An answer's text, as it was told piece by piece."""
        text = ""
        for one in self.of("response.delta"):
            if one["response_id"] == run_id:
                assert one["offset"] == len(text)
                text += one["delta"]
        return text


async def listening(port: int, who: dict[str, str], path: str) -> Ear:
    """Follow by a socket."""
    url = f"ws://127.0.0.1:{port}{path}"
    ear = Ear(await connect(url, proxy=None, additional_headers=who))
    await until(lambda: ear.of("ready"), "the feed's beginning")
    return ear


async def two_in_a_room(server: ServerProcess) -> tuple[dict[str, str], dict[str, str], str]:
    """Ada and Bob, and the path of a conversation of both."""
    ada, bob = await person(server, "ada"), await person(server, "bob")
    talk = (await made(server, ada, "POST", "/v1/conversations", {}))["id"]
    path = f"/v1/conversations/{talk}"
    await made(server, ada, "POST", f"{path}/members", {"user": "bob", "role": "editor"})
    return ada, bob, path


async def test_what_was_acknowledged_is_told_once_and_in_order_through_kills(new_server: NewServer) -> None:
    server = new_server(**PEOPLE)
    await asyncio.to_thread(server.start)
    ada, bob, path = await two_in_a_room(server)
    told: list[Event] = []
    acknowledged: list[str] = []
    reader = await followed(server.port, bob, f"{path}/events")
    after = events_in(reader)[0].id
    reader.close()

    async def write(number: int) -> None:
        for count in range(10_000):
            text = f"{number}.{count}"
            body = {"items": [{"role": "user", "content": text}]}
            try:
                answer = await call(server.port, "POST", f"{path}/items", body, ada)
            except (OSError, AssertionError, TimeoutError):
                return
            if answer.status != 200:
                return
            acknowledged.append(text)

    for number in range(ROUNDS):
        reader = await followed(server.port, bob, f"{path}/events", after)
        writing = asyncio.create_task(write(number))
        await until(lambda reader=reader: len(stored_in(reader)) > 20, "some events")
        server.kill()
        await writing
        await until(lambda reader=reader: reader.over, "the connection's end")
        told += stored_in(reader)
        after = told[-1].id
        await asyncio.to_thread(server.start)
    last = await followed(server.port, bob, f"{path}/events", after)
    end = (await made(server, ada, "POST", f"{path}/branches", {"name": "end"}))["id"]
    await until(lambda: any(end in str(one.data) for one in events_in(last)), "the last change")
    told += stored_in(last)
    last.close()
    revisions = [int(one.id or 0) for one in told]
    assert revisions == list(range(revisions[0], revisions[0] + len(told))), (
        "each once, in order, none missed"
    )
    texts = [
        item["content"][0]["text"]
        for one in told
        if one.name == "items.added"
        for item in one.data["data"]["items"]
    ]
    assert len(texts) == len(set(texts)) and set(acknowledged) <= set(texts)
    assert len(acknowledged) > 20 * ROUNDS


async def test_who_is_removed_hears_nothing_after_five_seconds_by_either_way(new_server: NewServer) -> None:
    server = new_server(**PEOPLE)
    await asyncio.to_thread(server.start)
    ada, bob, path = await two_in_a_room(server)
    events, ear = (
        await followed(server.port, bob, f"{path}/events"),
        await listening(server.port, bob, f"{path}/events"),
    )
    began = time.monotonic()
    await made(server, ada, "DELETE", f"{path}/members/bob")
    await until(lambda: events.complete and ear.connection.close_code is not None, "both ends", LIMIT_SECONDS)
    assert time.monotonic() - began < LIMIT_SECONDS
    assert ear.connection.close_code == 4404 and b"event: closed" in events.body
    await ear.close()


async def test_a_server_that_stops_does_not_wait_for_readers(new_server: NewServer) -> None:
    server = new_server(**PEOPLE | {"DRAIN_SECONDS": "20"})
    await asyncio.to_thread(server.start)
    ada, bob, path = await two_in_a_room(server)
    events, ear = (
        await followed(server.port, bob, f"{path}/events"),
        await listening(server.port, ada, f"{path}/events"),
    )
    began = time.monotonic()
    server.terminate()
    await events.end(LIMIT_SECONDS)
    assert await asyncio.to_thread(server.wait, 10) == 0
    assert time.monotonic() - began < LIMIT_SECONDS
    assert events.complete
    await ear.close()


async def test_two_servers_are_one_room(new_server: NewServer, tmp_path: Path) -> None:
    """What one server's members say, and what its model answers, is heard at the other one, too."""
    one, two = await asyncio.to_thread(start, new_server, tmp_path, 2, **SEVERAL)
    ada, bob, path = await two_in_a_room(one)
    here = await listening(one.port, ada, f"{path}/events?deltas=true")
    there = await listening(two.port, bob, f"{path}/events?deltas=true")
    for ear in (here, there):
        await until(
            lambda ear=ear: any(len(known["present"]) == 2 for known in ear.of("presence")), "both are seen"
        )
    await here.connection.send('{"type": "typing"}')
    await until(
        lambda: any(
            [someone["name"] for someone in known["typing"]] == ["ada"] for known in there.of("presence")
        ),
        "who writes, elsewhere",
    )
    for number, (server, who) in enumerate(((one, ada), (two, bob))):
        body = {"model": MODEL, "input": f"stream=r{number}", "conversation": path[18:], "background": True}
        run_id = (await made(server, who, "POST", "/v1/responses", body))["id"]
        for ear in (here, there):
            await until(
                lambda ear=ear, run_id=run_id: any(
                    known["data"]["response_id"] == run_id for known in ear.of("turn.ended")
                ),
                "the answer's end",
            )
            assert ear.text(run_id) == expected_text(f"r{number}", 40)
            began = next(known for known in ear.of("turn.began") if known["data"]["response_id"] == run_id)
            assert began["data"]["items"][0]["content"][0]["text"] == f"stream=r{number}"
    told = [[frame["revision"] for frame in ear.frames if "revision" in frame] for ear in (here, there)]
    assert told[0] == told[1]
    await made(two, ada, "DELETE", f"{path}/members/bob")
    await until(lambda: there.connection.close_code == 4404, "the end of who was removed", LIMIT_SECONDS)
    for ear in (here, there):
        await ear.close()
