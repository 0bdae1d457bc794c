"""T23: when a credential ends, everything that hangs on it ends within five seconds."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from antiphon.ports.account_writes import RevokeApiKey, UpdateAccount
from tests.api.client import Reader, over_sockets
from tests.api.people_fixtures import Town
from tests.harness.people import PASSWORD, Person, carry
from tests.services.hand import HAND, until

SECONDS = 5.0


@pytest.fixture
async def sockets(town: Town) -> AsyncIterator[tuple[Town, int]]:
    """The town behind a real socket, with its clients on it."""
    async with over_sockets(town.world) as (api, port):
        town.http = api.http
        yield town, port


async def end_of(reader: Reader) -> str:
    """Whatever still comes; fails unless it ends in time."""
    async with asyncio.timeout(SECONDS):
        try:
            return "\n".join([line async for line in reader._lines])
        except httpx.TransportError:
            return "cut"


async def closed(connection: ClientConnection) -> int:
    async with asyncio.timeout(SECONDS):
        try:
            while True:
                await connection.recv()
        except ConnectionClosed as gone:
            assert gone.rcvd is not None
            return gone.rcvd.code


async def on_a_tree(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> list[Coroutine[Any, Any, httpx.Response]]:
    """Calls that wait for an edit's, another and two answers side by side."""
    question = {"type": "message", "role": "user", "content": "x"}
    made = await http.post("/v1/conversations", json={"items": [question]}, headers=headers)
    path = f"/v1/conversations/{made.json()['id']}"
    item = (await http.get(f"{path}/items", headers=headers)).json()["data"][0]["id"]
    bodies: dict[str, dict[str, Any]] = {
        f"{path}/items/{item}/edit": {"content": "y", "model": HAND},
        f"{path}/items/{item}/regenerate": {"model": HAND},
        f"{path}/fan_out": {"models": [HAND, HAND], "input": "z"},
    }
    return [http.post(to, json=body, headers=headers) for to, body in bodies.items()]


@asynccontextmanager
async def everything_open(
    town: Town, port: int, headers: dict[str, str]
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A stream, a resumed stream, waiting calls and a busy socket; yields what sees all of them end."""
    hand, asked = town.world.hand, {"model": HAND, "input": "x"}
    http = town.http
    async with (
        http.stream("POST", "/v1/responses", json={**asked, "stream": True}, headers=headers) as first,
        connect(f"ws://127.0.0.1:{port}/v1/responses", additional_headers=headers, proxy=None) as socket,
    ):
        readers = [Reader(first)]
        identifier = (await readers[0].next()).data["response"]["id"]
        resume = f"/v1/responses/{identifier}?stream=true"
        async with http.stream("GET", resume, headers=headers) as second:
            readers.append(Reader(second))
            waiting = asyncio.create_task(http.post("/v1/responses", json=asked, headers=headers))
            chat = {"model": HAND, "messages": [{"role": "user", "content": "x"}]}
            chatting = asyncio.create_task(http.post("/v1/chat/completions", json=chat, headers=headers))
            await socket.send(json.dumps({"type": "response.create", **asked}))
            trees = [asyncio.create_task(call) for call in await on_a_tree(http, headers)]
            for _ in range(4 + 4):
                await hand.next()

            async def all_end() -> None:
                began = time.monotonic()
                assert await closed(socket) == 4401
                for reader in readers:
                    assert "response.completed" not in await end_of(reader)
                for call in (waiting, chatting, *trees):
                    assert (await asyncio.wait_for(call, SECONDS)).status_code == 401
                assert (await http.get(resume, headers=headers)).status_code == 401
                assert (await http.get("/v1/auth/me", headers=headers)).status_code == 401
                assert time.monotonic() - began < SECONDS

            yield all_end


async def log_out(town: Town, ada: Person) -> None:
    assert (await ada.call("POST", "/v1/auth/logout")).status_code == 200


async def change_password(town: Town, ada: Person) -> None:
    device = await town.again(ada)
    body = {"current_password": PASSWORD, "new_password": "another long password"}
    assert (await device.call("POST", "/v1/auth/password", body)).status_code == 200


async def end_session(town: Town, ada: Person) -> None:
    device = await town.again(ada)
    path = f"/v1/auth/sessions/{ada.tokens['session_id']}"
    assert (await device.call("DELETE", path)).status_code == 200


async def show_a_used_refresh_token(town: Town, ada: Person) -> None:
    used = ada.tokens["refresh_token"]
    assert (await ada.refresh()).status_code == 200
    body = {"grant_type": "refresh_token", "refresh_token": used}
    assert (await town.http.post("/token", json=body)).status_code == 401


async def disable(town: Town, ada: Person) -> None:
    change = UpdateAccount(account_id=ada.account.id, now_us=1, state="disabled", ends_sessions=True)
    await town.world.storage.unit_of_work.commit(change)
    town.world.application.credentials.forget(ada.account.id)


async def lower_the_role(town: Town, ada: Person) -> None:
    change = UpdateAccount(account_id=ada.account.id, now_us=1, role="user", ends_sessions=True)
    await town.world.storage.unit_of_work.commit(change)
    town.world.application.credentials.forget(ada.account.id)


@pytest.mark.parametrize(
    "act", [log_out, change_password, end_session, show_a_used_refresh_token, disable, lower_the_role]
)
@pytest.mark.parametrize("carrier", ["bearer", "cookie"])
async def test_everything_of_a_session_ends(
    sockets: tuple[Town, int], act: Callable[[Town, Person], Awaitable[None]], carrier: str
) -> None:
    town, port = sockets
    ada, bob = await town.person("ada", role="admin"), await town.person("bob")
    headers = carry(carrier, ada.access if carrier == "bearer" else await ada.cookie())
    headers["origin"] = f"http://127.0.0.1:{port}"
    refresh = ada.tokens["refresh_token"]
    async with everything_open(town, port, headers) as all_end:
        await act(town, ada)
        await all_end()
    body = {"grant_type": "refresh_token", "refresh_token": refresh}
    assert (await town.http.post("/token", json=body)).status_code == 401
    assert (await bob.call("GET", "/v1/auth/me")).status_code == 200


async def revoke_key(town: Town, ada: Person) -> None:
    path = f"/v1/api_keys/{ada.keys[0]['id']}"
    assert (await ada.call("DELETE", path)).status_code == 200


async def expire_key(town: Town, ada: Person) -> None:
    town.clock.forward(120)
    await town.world.application.credentials.end_revoked()


async def revoke_key_in_another_process(town: Town, ada: Person) -> None:
    identifier = ada.keys[0]["id"].removeprefix("key_")
    change = RevokeApiKey(account_id=ada.account.id, key_id=identifier, now_us=1)
    await town.world.storage.unit_of_work.commit(change)
    town.clock.forward(2.1)
    await town.world.application.credentials.end_revoked()  # what the server does every two seconds


@pytest.mark.parametrize("act", [revoke_key, expire_key, revoke_key_in_another_process, disable])
async def test_everything_of_a_key_ends(
    sockets: tuple[Town, int], act: Callable[[Town, Person], Awaitable[None]]
) -> None:
    town, port = sockets
    ada = await town.person("ada")
    headers = carry("x-api-key", await ada.key(expires_in=60))
    async with everything_open(town, port, headers) as all_end:
        await act(town, ada)
        await all_end()


async def test_what_is_another_credentials_goes_on(sockets: tuple[Town, int]) -> None:
    town, _ = sockets
    ada = await town.person("ada")
    key = carry("x-api-key", await ada.key())
    body = {"model": HAND, "input": "x", "stream": True}
    async with town.http.stream("POST", "/v1/responses", json=body, headers=key) as response:
        reader = Reader(response)
        await reader.next()
        call = await town.world.hand.next()
        await log_out(town, ada)
        await town.world.application.credentials.end_revoked()
        call.answer("still here")
        events = await reader.until("response.completed")
    assert events[-1].data["response"]["status"] == "completed"


async def test_an_answer_that_waits_for_no_one_else_is_given_up(sockets: tuple[Town, int]) -> None:
    """A stream that is not stored cannot be read by anybody any more: its model is not asked further."""
    town, _ = sockets
    ada = await town.person("ada")
    body: dict[str, Any] = {"model": HAND, "input": "x", "stream": True, "store": False}
    async with town.http.stream("POST", "/v1/responses", json=body, headers=ada.bearer) as response:
        reader = Reader(response)
        await reader.next()
        call = await town.world.hand.next()
        await log_out(town, ada)
        assert "no longer holds" in await end_of(reader)
    await asyncio.wait_for(call.closed.wait(), SECONDS)


async def test_a_fan_out_ends_too(sockets: tuple[Town, int]) -> None:
    town, _ = sockets
    ada = await town.person("ada")
    made = (await ada.call("POST", "/v1/conversations", {})).json()["id"]
    body = {"models": [HAND, HAND], "input": "x", "stream": True}
    path = f"/v1/conversations/{made}/fan_out"
    async with town.http.stream("POST", path, json=body, headers=ada.bearer) as response:
        for _ in range(2):
            await town.world.hand.next()
        await log_out(town, ada)
        assert ": the credential no longer holds" in await end_of(Reader(response))


async def test_nothing_stays_registered(sockets: tuple[Town, int]) -> None:
    town, port = sockets
    ada = await town.person("ada")
    async with connect(
        f"ws://127.0.0.1:{port}/v1/responses", additional_headers=ada.bearer, proxy=None
    ) as socket:
        await socket.send(json.dumps({"type": "response.create", "model": "hand/echo", "input": "x"}))
        while "completed" not in str(await socket.recv()):
            pass
    for stream in (True, False):
        response = await ada.call(
            "POST", "/v1/responses", {"model": "hand/echo", "input": "x", "stream": stream}
        )
        assert response.status_code == 200
    credentials = town.world.application.credentials
    await until(lambda: not credentials._watched)


async def test_a_token_forgotten_while_it_is_read_is_read_again(town: Town) -> None:
    """The read began before the revocation was committed, and ends after it was announced."""
    ada = await town.person("ada")
    credentials = town.world.application.credentials
    inner, reads = credentials._store, []

    class Held:
        async def session(self, session_id: str) -> Any:
            found = await inner.session(session_id)
            reads.append(session_id)
            if len(reads) == 1:
                await log_out_unseen()
            return found

    async def log_out_unseen() -> None:
        credentials._store = inner
        who = found_before
        await town.world.application.sessions.log_out(who, visit)
        credentials._store = Held()  # type: ignore[assignment]

    from antiphon.domain.accounts import Visit

    visit = Visit()
    found_before = await credentials.authenticate(ada.access)
    credentials.forget(ada.account.id)
    credentials._store = Held()  # type: ignore[assignment]
    try:
        assert (await ada.call("GET", "/v1/auth/me")).status_code == 401
    finally:
        credentials._store = inner
