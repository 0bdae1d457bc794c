"""Streams, waiting calls and sockets of a member: open to its role, and ended when it is removed."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.api.client import Reader, over_sockets
from tests.api.people_fixtures import Town
from tests.api.shared_town import Shared, share
from tests.harness.people import Person
from tests.services.hand import ECHO, HAND, PATIENCE_SECONDS


@pytest.fixture
async def shared(town: Town) -> Shared:
    return await share(town)


async def test_an_open_stream_ends_when_its_reader_is_removed(shared: Shared) -> None:
    async with over_sockets(shared.town.world) as (api, _):
        path = f"/v1/responses/{shared.ids['running_id']}?stream=true"
        people = {name: Person(api.http, p.account, p.tokens) for name, p in shared.people.items()}
        async with (
            api.http.stream("GET", path, headers=people["viewer"].bearer) as gone,
            api.http.stream("GET", path, headers=people["owner"].bearer) as stays,
        ):
            assert (gone.status_code, stays.status_code) == (200, 200)
            lines, reader = gone.aiter_lines(), Reader(stays)
            assert (await reader.next()).name == "response.created"
            await shared.made("owner", "DELETE", f"{shared.conversation}/members/vi")
            await shared.town.world.application.members.end_removed()
            async with asyncio.timeout(PATIENCE_SECONDS):
                rest = [line async for line in lines]
            assert not any("secret" in line for line in rest)
            call = await shared.town.world.hand.next()
            call.answer("secret")
            await reader.until("response.completed")


async def test_a_waiting_caller_who_is_removed_gets_no_answer(shared: Shared) -> None:
    body = {"model": HAND, "input": "x", "conversation": shared.ids["conversation_id"]}
    await shared.town.world.hand.next()
    waiting = asyncio.create_task(shared.call("editor", "POST", "/v1/responses", body))
    call = await shared.town.world.hand.next()
    await shared.made("owner", "DELETE", f"{shared.conversation}/members/ed")
    await shared.town.world.application.members.end_removed()
    response = await asyncio.wait_for(waiting, PATIENCE_SECONDS)
    assert response.status_code == 404
    call.answer("secret")


def socket_of(shared: Shared, role: str, port: int) -> connect:
    """A socket of somebody."""
    protocols = [Subprotocol("antiphon"), Subprotocol("antiphon-key." + shared.people[role].access)]
    return connect(f"ws://127.0.0.1:{port}/v1/responses", proxy=None, subprotocols=protocols)


async def frame(socket: ClientConnection) -> dict[str, object]:
    found: dict[str, object] = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE_SECONDS))
    return found


@pytest.mark.parametrize(("role", "status"), [("stranger", 404), ("viewer", 403), ("editor", None)])
async def test_the_socket_is_the_same_door(shared: Shared, role: str, status: int | None) -> None:
    async with over_sockets(shared.town.world) as (_, port), socket_of(shared, role, port) as socket:
        turn = {"type": "response.create", "model": ECHO, "input": "x"}
        await socket.send(json.dumps(turn | {"conversation": shared.ids["conversation_id"]}))
        told = await frame(socket)
        assert (told["type"], told.get("status")) == (
            ("response.created", None) if status is None else ("error", status)
        )


async def test_a_turn_on_a_socket_ends_with_the_membership_and_the_socket_goes_on(shared: Shared) -> None:
    await shared.town.world.hand.next()
    async with over_sockets(shared.town.world) as (_, port), socket_of(shared, "editor", port) as socket:
        turn = {"type": "response.create", "input": "x"}
        talk = {"conversation": shared.ids["conversation_id"]}
        await socket.send(json.dumps(turn | talk | {"model": HAND}))
        assert (await frame(socket))["type"] == "response.created"
        call = await shared.town.world.hand.next()
        await shared.made("owner", "DELETE", f"{shared.conversation}/members/ed")
        await shared.town.world.application.members.end_removed()
        told = await frame(socket)
        while told["type"] == "response.in_progress":
            told = await frame(socket)
        assert (told["type"], told["status"]) == ("error", 404)
        call.answer("secret")
        await socket.send(json.dumps(turn | {"model": ECHO}))
        seen = [await frame(socket)]
        while seen[-1]["type"] != "response.completed":
            seen.append(await frame(socket))
        assert "secret" not in json.dumps(seen)
