"""Rooms of several people over sockets: a server that wants credentials, its people, and what they hear."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from antiphon.bootstrap import SystemClock
from antiphon.providers.scripted import Scripted
from antiphon.services.models import Models, Retrying
from tests.api.client import over_sockets
from tests.harness.people import SECRET_KEY, Person, make_person
from tests.services.hand import HAND, PATIENCE_SECONDS, Hand
from tests.services.world import World, open_world

Frame = dict[str, Any]


class Listener:
    """One connection to a session's feed."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.heard: list[Frame] = []

    async def next(self) -> Frame:
        """The next frame."""
        text = await asyncio.wait_for(self.connection.recv(), PATIENCE_SECONDS)
        frame: Frame = json.loads(text)
        self.heard.append(frame)
        return frame

    async def until(self, kind: str, **fields: Any) -> Frame:
        """The next frame of a kind whose fields are these; others are passed over."""
        while True:
            frame = await self.next()
            if frame["type"] == kind and all(frame.get(name) == value for name, value in fields.items()):
                return frame

    async def say(self, **fields: Any) -> None:
        """Send a frame."""
        await self.connection.send(json.dumps(fields))

    async def deltas(self, text: str) -> None:
        """Hear the model's text in whatever pieces, up to all of `text`."""
        so_far = ""
        while so_far != text:
            so_far += (await self.until("delta"))["text"]
            assert text.startswith(so_far)


@asynccontextmanager
async def listening(
    port: int, session: str, token: str | None = None, query: str = ""
) -> AsyncIterator[Listener]:
    """Follow a session."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    address = f"ws://127.0.0.1:{port}/sessions/{session}/live{query}"
    async with connect(address, proxy=None, additional_headers=headers) as connection:
        yield Listener(connection)


class Room:
    """A running server that wants credentials; the model says what the test has it say."""

    def __init__(self, world: World, http: httpx.AsyncClient, port: int) -> None:
        self.world = world
        self.http = http
        self.port = port

    async def person(self, name: str, **fields: Any) -> Person:
        """Somebody with an account, logged in."""
        return await make_person(self.world.storage, self.http, name, **fields)  # type: ignore[arg-type]

    def live(self, session: str, who: Person, query: str = "") -> Any:
        """Follow a session as somebody."""
        return listening(self.port, session, who.access, query)

    async def shared_session(self, owner: Person, *others: Person) -> str:
        """A session of several accounts; returns its id."""
        made = await owner.call("POST", "/sessions/", {"users": [{"id": "1", "username": "John"}]})
        assert made.status_code == 201, made.text
        session: str = made.json()["session_id"]
        for one in others:
            body = {"user": one.account.name, "role": "editor"}
            added = await owner.call("POST", f"/v1/conversations/{session}/members", body)
            assert added.status_code == 201, added.text
        return session


@asynccontextmanager
async def opened_room(directory: Path, default_model: str = HAND, **settings: Any) -> AsyncIterator[Room]:
    """Run one until the end of the block."""
    hand = Hand()
    models = Models(
        {hand.name: hand, Scripted.name: Scripted()}, clock=SystemClock(), retrying=Retrying(retries=0),
        default_model=default_model,
    )  # fmt: skip
    wanted = {"auth_required": True, "secret_key": SECRET_KEY, "list_scripted_models": True, **settings}
    world = await open_world(directory, models=models, **wanted)
    world.hand = hand
    try:
        async with over_sockets(world) as (api, port):
            yield Room(world, api.http, port)
    finally:
        await world.close()
