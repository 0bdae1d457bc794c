"""The live feed of a conversation: whoever may read it hears all of it, over events and over a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from antiphon.ports import write_sets as ws
from tests.api.client import Event, Reader
from tests.dialects.rooms import Room, opened_room
from tests.harness.people import Person
from tests.services.hand import ECHO, HAND, PATIENCE_SECONDS
from tests.services.hand import until as eventually

PASSING = ("presence", "response.delta")


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with opened_room(tmp_path / "data") as opened:
        opened.world.application.credentials.schedule(_Jobs(opened))
        yield opened


class _Jobs:
    """Does what the server does again and again, fast."""

    def __init__(self, room: Room) -> None:
        self.tasks: list[asyncio.Task[None]] = []

    def once(self, name: str, job: Any) -> None:
        """Do it."""
        self.tasks.append(asyncio.create_task(job()))

    def every(self, seconds: float, name: str, job: Any) -> None:
        """Do it often."""

        async def again() -> None:
            while True:
                await asyncio.sleep(0.05)
                await job()

        self.tasks.append(asyncio.create_task(again()))

    async def close(self) -> None:
        """Stop."""


@asynccontextmanager
async def events(
    room: Room, who: Person | None, path: str, *, headers: dict[str, str] | None = None
) -> AsyncIterator[Reader]:
    """Follow by server-sent events."""
    asked = {"accept": "text/event-stream", **(who.bearer if who else {}), **(headers or {})}
    async with room.http.stream("GET", path, headers=asked) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Reader(response)


class Socket:
    """Follow by a socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def next(self) -> Event:
        """The next frame, in the shape of an event."""
        frame = json.loads(await asyncio.wait_for(self.connection.recv(), PATIENCE_SECONDS))
        return Event(frame["type"], frame, frame.get("id"))


@asynccontextmanager
async def socket(room: Room, who: Person, path: str) -> AsyncIterator[Socket]:
    url = f"ws://127.0.0.1:{room.port}{path}"
    async with connect(url, proxy=None, additional_headers=who.bearer) as connection:
        yield Socket(connection)


async def stored(reader: Reader | Socket) -> Event:
    """The next event of what is stored."""
    while (event := await reader.next()).name in PASSING:
        pass
    return event


async def until(reader: Reader | Socket, name: str, **data: Any) -> Event:
    while True:
        event = await reader.next()
        if event.name == name and all(event.data.get(key) == value for key, value in data.items()):
            return event


def names(event: Event, kind: str) -> list[str]:
    return [one["name"] for one in event.data[kind]]


async def talk_of(room: Room, owner: Person, *members: tuple[Person, str]) -> str:
    """A conversation's path."""
    made = (await owner.call("POST", "/v1/conversations", {"title": "plans"})).json()
    path = f"/v1/conversations/{made['id']}"
    for one, role in members:
        added = await owner.call("POST", f"{path}/members", {"user": one.account.name, "role": role})
        assert added.status_code == 201
    return path


def said(event: Event) -> list[tuple[str, str | None]]:
    return [(one["content"][0]["text"], one["antiphon"]["author_id"]) for one in event.data["data"]["items"]]


async def test_two_in_one_room_hear_both_and_the_answer_word_by_word(room: Room) -> None:
    ann, bob = await room.person("ann"), await room.person("bob")
    path = await talk_of(room, ann, (bob, "editor"))
    async with (
        events(room, ann, f"{path}/events?deltas=true") as hers,
        socket(room, bob, f"{path}/events?deltas=true") as his,
    ):
        for one in (hers, his):
            ready = await one.next()
            assert (ready.name, ready.data["running_response_ids"]) == ("ready", [])
        for number, (speaker, words) in enumerate(((ann, "from ann"), (bob, "from bob"))):
            body = {"model": HAND, "input": words, "conversation": path[18:], "background": True}
            begun = (await speaker.call("POST", "/v1/responses", body)).json()
            call = await room.world.hand.next()
            for one in (hers, his):
                event = await stored(one)
                assert (event.name, event.data["data"]["response_id"]) == ("turn.began", begun["id"])
                assert said(event) == [(words, f"user_{speaker.account.id}")]
            call.say("an ")
            for one in (hers, his):
                piece = await until(one, "response.delta")
                assert (piece.data["delta"], piece.data["offset"]) == ("an ", 0)
            call.answer(f"answer {number}")
            for one in (hers, his):
                event = await stored(one)
                assert (event.name, event.data["data"]["state"]) == ("turn.ended", "completed")
                assert said(event) == [(f"an answer {number}", None)]


async def test_a_second_tab_follows_the_running_answer_from_its_beginning(room: Room) -> None:
    ann = await room.person("ann")
    path = await talk_of(room, ann)
    body = {"model": HAND, "input": "x", "conversation": path[18:], "background": True}
    begun = (await ann.call("POST", "/v1/responses", body)).json()
    call = await room.world.hand.next()
    call.say("half ")
    async with events(room, ann, f"{path}/events") as tab:
        running = (await tab.next()).data["running_response_ids"]
        assert running == [begun["id"]]
        async with events(room, ann, f"/v1/responses/{running[0]}?stream=true") as answer:
            call.answer("whole")
            text = [
                one.data["delta"] for one in await answer.until("response.completed") if "delta" in one.data
            ]
            assert "".join(text) == "half whole"
        assert (await stored(tab)).name == "turn.ended"


@pytest.mark.parametrize("way", ["query", "header"])
async def test_who_comes_back_is_told_what_was_missed_once_and_in_order(room: Room, way: str) -> None:
    ann = await room.person("ann")
    path = await talk_of(room, ann)
    async with events(room, ann, f"{path}/events") as first:
        ready = await first.next()
    assert ready.id == str(ready.data["revision"])
    await ann.call("POST", f"{path}/items", {"items": [{"role": "user", "content": "one"}]})
    await ann.call("POST", f"{path}/branches", {"name": "beside", "activate": True})
    await ann.call("POST", path, {"title": "renamed"})
    where = f"{path}/events?starting_after={ready.id}" if way == "query" else f"{path}/events"
    async with events(room, ann, where, headers={"last-event-id": str(ready.id)}) as again:
        assert (await again.next()).data["revision"] == ready.data["revision"]
        told = [await stored(again) for _ in range(3)]
    assert [one.name for one in told] == ["items.added", "branch.created", "conversation.updated"]
    assert [int(one.id or 0) for one in told] == [ready.data["revision"] + n for n in (1, 2, 3)]
    page = (await ann.call("GET", f"{path}/events?starting_after={ready.id}&limit=2")).json()
    assert [one["type"] for one in page["data"]] == ["items.added", "branch.created"] and page["has_more"]
    assert page["data"][0] == told[0].data


async def test_what_is_not_kept_any_more_is_said_to_be_missing(room: Room) -> None:
    """Changes are kept for a week: who comes later is told to read anew, and then what follows."""
    ann = await room.person("ann")
    path = await talk_of(room, ann)
    for title in ("a", "b", "c"):
        await ann.call("POST", path, {"title": title})
    revision = (await ann.call("GET", path)).json()["revision"]
    store, identifier = room.world.storage, path[18:].removeprefix("conv_")
    (last,) = await store.conversations.changes(identifier, after=revision - 1, limit=1)
    forget = {"first_conversation_id": "", "last_conversation_id": "g", "limit": 100, "now_us": 1}
    await store.unit_of_work.commit(ws.Forget(changes_before_us=last.created_us, **forget))
    for after in (1, 999):
        async with events(room, ann, f"{path}/events?starting_after={after}") as late:
            await late.next()
            reset = await stored(late)
            assert reset.name == "reset"
            if after == 1:
                assert reset.data["revision"] == revision - 1
                assert (await stored(late)).id == str(revision)
            else:
                assert reset.data["revision"] == revision


async def test_who_is_there_and_who_writes_is_told_and_forgotten(room: Room) -> None:
    ann, bob, vi = [await room.person(name) for name in ("ann", "bob", "vi")]
    path = await talk_of(room, ann, (bob, "editor"), (vi, "viewer"))
    async with events(room, ann, f"{path}/events") as hers:
        assert names(await until(hers, "presence"), "present") == ["ann"]
        async with socket(room, bob, f"{path}/events") as his:
            assert names(await until(hers, "presence"), "present") == ["ann", "bob"]
            await his.connection.send('{"type": "typing"}')
            assert names(await until(hers, "presence"), "typing") == ["bob"]
            await his.connection.send('{"type": "typing", "typing": false}')
            assert names(await until(hers, "presence"), "typing") == []
            assert (await ann.call("POST", f"{path}/typing", {"typing": True})).status_code == 200
            assert names(await until(hers, "presence"), "typing") == ["ann"]
            await his.connection.send("nonsense")
            assert (await until(his, "error")).data["error"]["code"] == "invalid_json"
        assert names(await until(hers, "presence"), "present") == ["ann"]
        refused = await vi.call("POST", f"{path}/typing", {"typing": True})
        assert refused.status_code == 403
    await eventually(lambda: room.world.application.presence._rooms == {})


@pytest.mark.parametrize("way", ["removed", "deleted", "key"])
async def test_who_loses_the_right_hears_nothing_more(room: Room, way: str) -> None:
    ann, bob = await room.person("ann"), await room.person("bob")
    path = await talk_of(room, ann, (bob, "viewer"))
    async with events(room, bob, f"{path}/events") as his, socket(room, bob, f"{path}/events") as beside:
        await his.next()
        await beside.next()
        if way == "removed":
            await ann.call("DELETE", f"{path}/members/bob")
        elif way == "deleted":
            await ann.call("DELETE", path)
        else:
            await bob.call("POST", "/v1/auth/logout")
        await ann.call("POST", f"{path}/items", {"items": [{"role": "user", "content": "secret"}]})
        heard = ""
        with pytest.raises(StopAsyncIteration):
            while True:
                heard += str(await his.next())
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                heard += str(await beside.next())
        assert "secret" not in heard and ("closed" in heard) == (way != "key")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == (4401 if way == "key" else 4404)


async def test_strangers_and_nonsense_are_refused(room: Room) -> None:
    ann, bob = await room.person("ann"), await room.person("bob")
    path = await talk_of(room, ann)
    accept = {"accept": "text/event-stream"}
    told = set()
    for where in (path, "/v1/conversations/conv_" + "0" * 32):
        response = await bob.call("GET", f"{where}/events", headers=accept)
        assert response.status_code == 404
        told.add(response.text.replace(where[18:], ""))
        async with socket(room, bob, f"{where}/events") as refused:
            assert (await refused.next()).data["status"] == 404
            with pytest.raises(ConnectionClosed):
                await refused.next()
    assert len(told) == 1
    for query in ("x", "-1", "9" * 30):
        response = await ann.call("GET", f"{path}/events?starting_after={query}", headers=accept)
        assert response.status_code == 400 and response.json()["error"]["param"] == "starting_after"


async def test_a_link_tells_its_readers_what_it_shows_and_nobody_who_spoke(room: Room) -> None:
    ann = await room.person("ann")
    path = await talk_of(room, ann)
    link = (await ann.call("POST", f"{path}/shares")).json()
    async with events(room, None, f"/v1/shared/{link['token']}/events") as read:
        first = await read.next()
        assert (first.name, first.data["title"], first.data["item_count"]) == ("changed", "plans", 0)
        body = {"model": ECHO, "input": "hello", "conversation": path[18:]}
        assert (await ann.call("POST", "/v1/responses", body)).status_code == 200
        second = await read.next()
        assert second.data["item_count"] == 2
        for secret in (ann.account.id, path[18:]):
            assert secret not in json.dumps(second.data)
        await ann.call("DELETE", f"{path}/shares/{link['id']}")
        assert (await read.next()).name == "closed"
    gone = await room.http.get(f"/v1/shared/{link['token']}/events", headers={"accept": "text/event-stream"})
    assert gone.status_code == 404


async def test_nothing_is_left_of_a_reader_that_went(room: Room) -> None:
    ann = await room.person("ann")
    path = await talk_of(room, ann)
    application = room.world.application
    for _ in range(3):
        async with events(room, ann, f"{path}/events?deltas=true") as tab:
            await tab.next()
            assert len(application.feeds._open) == 1
        await eventually(lambda: not application.feeds._open)
    assert application.feeds.changes._listeners == {} and application.presence._open == {}


async def test_feeds_end_when_the_server_stops(room: Room) -> None:
    ann = await room.person("ann")
    path = await talk_of(room, ann)
    async with events(room, ann, f"{path}/events") as tab, socket(room, ann, f"{path}/events") as beside:
        await tab.next()
        await beside.next()
        room.world.application.feeds.end_all()
        with pytest.raises(StopAsyncIteration):
            await until(tab, "never")
        with pytest.raises(ConnectionClosed):
            await until(beside, "never")
