"""T31-T33: what other pages, other hosts and sockets of unknown origin may do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.api.client import Api, over_sockets
from tests.api.people_fixtures import Town, opened_town
from tests.harness.people import COOKIE, Person, carry
from tests.services.hand import PATIENCE_SECONDS

GOOD = "https://chat.example.org"
EVIL = ["https://evil.example", "null", "https://chat.example.org.evil.example", "http://localhost:9999",
        "http://chat.example.org", "https://chat.example.org:444", "https://CHAT.example.org"]  # fmt: skip
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,x-stainless-os",
}


@pytest.fixture
async def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    """A server whose API one other page may use."""
    async with opened_town(
        tmp_path / "data", monkeypatch, cors_origins=f"{GOOD}, http://localhost:3000"
    ) as town:
        yield town


@pytest.mark.parametrize("path", ["/v1/models", "/v1/responses", "/token", "/v1/auth/me", "/nowhere"])
async def test_an_allowed_page_may_ask_and_read(shared: Town, path: str) -> None:
    asked = await shared.http.options(path, headers={"origin": GOOD, **PREFLIGHT})
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == GOOD
    assert asked.headers["access-control-allow-credentials"] == "true"
    assert asked.headers["access-control-allow-headers"] == PREFLIGHT["access-control-request-headers"]
    assert "Origin" in asked.headers["vary"]
    answered = await shared.http.get(path, headers={"origin": GOOD})
    assert answered.headers["access-control-allow-origin"] == GOOD, "errors can be read too"


async def test_a_page_may_name_its_session_and_read_which_one_it_was(shared: Town) -> None:
    asking = {**PREFLIGHT, "access-control-request-headers": "content-type,session_id"}
    asked = await shared.http.options("/chat", headers={"origin": GOOD, **asking})
    assert asked.headers["access-control-allow-headers"] == "content-type,session_id"
    answered = await shared.http.get("/chat", headers={"origin": GOOD})
    assert {"link", "session-id"} <= set(answered.headers["access-control-expose-headers"].split(", "))


@pytest.mark.parametrize("origin", EVIL)
async def test_any_other_page_gets_no_leave(shared: Town, origin: str) -> None:
    ada = await shared.person("ada")
    asked = await shared.http.options("/v1/responses", headers={"origin": origin, **PREFLIGHT})
    read = await shared.http.get("/v1/models", headers={"origin": origin, **ada.bearer})
    assert asked.status_code == 403 and "CORS_ORIGINS" in asked.text
    for response in (asked, read):
        assert not [name for name in response.headers if name.startswith("access-control-")]
        assert response.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", [GOOD, *EVIL])
async def test_without_configuration_no_page_gets_leave(town: Town, origin: str) -> None:
    for method in ("OPTIONS", "GET", "POST"):
        response = await town.http.request(method, "/v1/models", headers={"origin": origin, **PREFLIGHT})
        assert not [name for name in response.headers if name.startswith("access-control-")]
        if method == "OPTIONS":
            assert response.status_code == 403 and "CORS_ORIGINS" in response.json()["error"]["message"]
        else:
            assert response.status_code in (401, 405)


async def test_a_stream_is_shared_like_any_answer(shared: Town) -> None:
    ada = await shared.person("ada")
    body = {"model": "hand/echo", "input": "x", "stream": True}
    response = await ada.call("POST", "/v1/responses", body, headers={"origin": GOOD})
    assert response.headers["access-control-allow-origin"] == GOOD
    assert "response.completed" in response.text


CASES: list[tuple[dict[str, str], int]] = [
    ({}, 403),
    ({"origin": "https://evil.example"}, 403),
    ({"origin": "null"}, 403),
    ({"origin": "https://testserver.evil.example"}, 403),
    ({"sec-fetch-site": "cross-site"}, 403),
    ({"sec-fetch-site": "same-site"}, 403),
    ({"sec-fetch-site": "none"}, 403),
    ({"origin": "https://evil.example", "sec-fetch-site": "same-origin"}, 403),
    ({"sec-fetch-site": "same-origin"}, 200),
    ({"origin": "http://testserver"}, 200),
    ({"origin": "https://testserver"}, 200),
    ({"origin": GOOD}, 200),
]


@pytest.mark.parametrize(("headers", "status"), CASES)
@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
async def test_a_cookie_changes_things_for_our_own_pages_only(
    shared: Town, headers: dict[str, str], status: int, content_type: str
) -> None:
    ada = await shared.person("ada")
    cookie = {"cookie": f"{COOKIE}={await ada.cookie()}"}
    sent = {**cookie, **headers, "content-type": content_type}
    response = await shared.http.post("/v1/conversations", content=b"{}", headers=sent)
    if content_type == "text/plain" and status == 200:
        assert response.status_code == 400
    else:
        assert response.status_code == status, response.text
    if status == 403:
        assert response.json()["error"]["code"] == "csrf"
    read = await shared.http.get("/v1/conversations", headers={**cookie, **headers})
    assert read.status_code == 200, "reading is harmless: the answer stays out of the other page's reach"


async def test_a_key_beside_the_cookie_is_what_counts(town: Town) -> None:
    ada, bob = await town.person("ada"), await town.person("bob")
    both = {"cookie": f"{COOKIE}={await ada.cookie()}", **bob.bearer}
    assert (await town.http.post("/v1/conversations", json={}, headers=both)).status_code == 200
    assert (await town.http.get("/v1/auth/me", headers=both)).json()["name"] == "bob"
    bad = {"cookie": f"{COOKIE}={await ada.cookie()}", **carry("bearer", "x.y.z")}
    assert (await town.http.get("/v1/auth/me", headers=bad)).status_code == 401


async def test_a_host_that_is_not_ours_is_refused_where_names_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T33."""
    async with opened_town(tmp_path / "data", monkeypatch, allowed_hosts="chat.example.org") as town:
        ada = await town.person("ada")
        for host, status in (
            ("attacker.example", 403),
            ("chat.example.org", 200),
            ("chat.example.org:8443", 200),
        ):
            assert (await ada.call("GET", "/v1/models", headers={"host": host})).status_code == status


async def test_what_watches_the_server_may_know_it_by_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: Api
) -> None:
    """A cluster's Prometheus asks every pod; without credentials a name that leads here may be an attack."""
    address = {"host": "10.1.2.3:8000"}
    settings = {"allowed_hosts": "chat.example.org", "metrics_token": "m" * 32}
    async with opened_town(tmp_path / "town", monkeypatch, **settings) as town:
        token = {"authorization": "Bearer " + "m" * 32}
        assert (await town.http.get("/metrics", headers=address | token)).status_code == 200
        assert (await town.http.get("/metrics", headers=address)).status_code == 401
        assert (await town.http.get("/health/ready", headers=address)).status_code == 200
        assert (await town.http.get("/v1/models", headers=address)).status_code == 403
    await api.refused("GET", "/metrics", status=403, headers=address)


async def test_a_host_changes_no_decision_about_the_path(town: Town) -> None:
    """Starlette CVE-2026-48710: the path is the scope's, not that of a URL built with the Host."""
    ada = await town.person("ada")
    for host in ("x/v1/auth/me?", "testserver/token", "testserver/v1/admin"):
        response = await town.http.get("/v1/models", headers={"host": host})
        assert response.status_code == 401
        assert (await ada.call("GET", "/v1/models", headers={"host": host})).status_code == 200


async def test_open_on_loopback_other_names_are_refused(api: Api) -> None:
    for host in ("attacker.example", "127.0.0.1.attacker.example", "localhost.attacker.example:8000"):
        await api.refused("GET", "/v1/models", status=403, headers={"host": host})


# --- sockets


@pytest.fixture
async def port(shared: Town) -> AsyncIterator[int]:
    async with over_sockets(shared.world) as (_, port):
        yield port


async def whoever(port: int, **fields: Any) -> list[Any]:
    """Open a socket, ask for an answer, and return the status, the close code or the last event's type."""
    fields.setdefault("proxy", None)
    first = fields.pop("first", None)
    try:
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            connect(f"ws://127.0.0.1:{port}/v1/responses", **fields) as socket,
        ):
            if first is not None:
                await socket.send(json.dumps(first))
            await socket.send(json.dumps({"type": "response.create", "model": "hand/echo", "input": "x"}))
            kinds = []
            while not kinds or kinds[-1] not in ("response.completed", "error"):
                kinds.append(json.loads(await socket.recv())["type"])
            return [kinds[-1], socket.subprotocol]
    except InvalidStatus as refusal:
        return [refusal.response.status_code]
    except ConnectionClosed as closed:
        return [closed.rcvd.code if closed.rcvd else None]


async def test_a_socket_takes_its_token_from_every_carrier(shared: Town, port: int) -> None:
    ada = await shared.person("ada")
    key, cookie = await ada.key(), {"cookie": f"{COOKIE}={await ada.cookie()}"}
    own = {"origin": f"http://127.0.0.1:{port}"}
    assert await whoever(port, additional_headers=ada.bearer) == ["response.completed", None]
    assert await whoever(port, additional_headers={"x-api-key": key}) == ["response.completed", None]
    assert await whoever(port, additional_headers={**cookie, **own}) == ["response.completed", None]
    assert await whoever(port, additional_headers={**cookie, "origin": GOOD}) == ["response.completed", None]
    for token in (key, ada.access):
        offered = ["antiphon", f"antiphon-key.{token}"]
        assert await whoever(port, subprotocols=offered) == ["response.completed", "antiphon"]
    offered = ["realtime", f"openai-insecure-api-key.{key}", "openai-beta.realtime-v1"]
    assert await whoever(port, subprotocols=offered) == ["response.completed", "realtime"]
    offered = [f"openai-insecure-api-key.{key}", "chat"]
    assert await whoever(port, subprotocols=offered) == ["response.completed", "chat"]
    assert await whoever(port, subprotocols=[f"antiphon-key.{key}"]) == ["response.completed", None]


async def test_a_socket_without_a_good_token_is_refused(shared: Town, port: int) -> None:
    ada = await shared.person("ada")
    read_only, cookie = await ada.key("read"), {"cookie": f"{COOKIE}={await ada.cookie()}"}
    assert await whoever(port, additional_headers=carry("bearer", "wrong")) == [403]
    assert await whoever(port, subprotocols=["antiphon", "antiphon-key.wrong"]) == [403]
    assert await whoever(port) == [4401], "it may still say who it is, and did not"
    assert await whoever(port, additional_headers=carry("x-api-key", read_only)) == [403]
    assert await whoever(port, additional_headers=cookie) == [403], "a cookie without an Origin"
    for origin in EVIL:
        assert await whoever(port, additional_headers={**cookie, "origin": origin}) == [403]
        assert await whoever(port, additional_headers={**ada.bearer, "origin": origin}) == [403]


async def test_the_first_message_may_say_who_is_there(shared: Town, port: int) -> None:
    ada = await shared.person("ada")

    def said(token: Any) -> dict[str, Any]:
        return {"type": "session.authenticate", "token": token}

    assert await whoever(port, first=said(ada.access)) == ["response.completed", None]
    assert await whoever(port, first=said(await ada.key())) == ["response.completed", None]
    for wrong in (
        said("wrong"),
        said(5),
        said(ada.tokens["refresh_token"]),
        {"type": "session.authenticate"},
        [],
    ):
        assert await whoever(port, first=wrong) == [4401]
    assert await whoever(port, first=said(await ada.key("read"))) == [4403]


async def test_every_message_is_asked_again_and_a_token_can_be_renewed(shared: Town, port: int) -> None:
    ada, bob = await shared.person("ada"), await shared.person("bob")

    async def renew(socket: Any, person: Person) -> str:
        await socket.send(json.dumps({"type": "session.authenticate", "token": person.access}))
        return str(json.loads(await socket.recv())["type"])

    async def ask(socket: Any) -> None:
        await socket.send(json.dumps({"type": "response.create", "model": "hand/echo", "input": "x"}))
        while json.loads(await socket.recv())["type"] != "response.completed":
            pass

    url = f"ws://127.0.0.1:{port}/v1/responses"
    async with connect(url, additional_headers=ada.bearer, proxy=None) as socket:
        await ask(socket)
        shared.clock.forward(600)
        assert (await ada.refresh()).status_code == 200
        assert await renew(socket, ada) == "session.authenticated"
        shared.clock.forward(600)
        await ask(socket)
        shared.clock.forward(600)
        with pytest.raises(ConnectionClosed) as closed:
            await ask(socket)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401
    assert (await ada.refresh()).status_code == 200
    async with connect(url, additional_headers=ada.bearer, proxy=None) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await renew(socket, bob)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401


async def test_no_token_in_the_url_opens_a_socket(shared: Town, port: int) -> None:
    ada = await shared.person("ada")
    for name in ("token", "api_key", "access_token"):
        url = f"ws://127.0.0.1:{port}/v1/responses?{name}={ada.access}"
        async with connect(url, proxy=None) as socket:
            await socket.send(json.dumps({"type": "response.create", "model": "hand/echo", "input": "x"}))
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401


async def test_open_on_loopback_a_foreign_page_opens_no_socket(served: tuple[Api, int]) -> None:
    _, port = served
    assert await whoever(port) == ["response.completed", None]
    assert await whoever(port, additional_headers={"origin": f"http://127.0.0.1:{port}"}) == [
        "response.completed",
        None,
    ]
    for origin in EVIL:
        assert await whoever(port, additional_headers={"origin": origin}) == [403]
