"""The route-table gate: every operation of the OpenAPI document, by every carrier, for everybody who may not.

Nobody is told 401, a key that only reads 403 for what changes something, another user the same answer for
an object of ada's as for an id that was never issued, and who is no administrator 403. A new operation or
path parameter that `route_matrix` or `open_routes` does not know fails the first test.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from antiphon.bootstrap import SystemClock
from antiphon.providers.http_client import HttpClient
from antiphon.providers.oidc import OidcLogin
from tests.api.client import over_sockets
from tests.api.dialect_routes import SPENDING, SPOKEN, SPOKEN_BY_ADMINS, SPOKEN_LAST
from tests.api.document_routes import DOCUMENTS_NAMED
from tests.api.people_fixtures import Town, opened_town
from tests.api.route_matrix import (
    CARRIERS,
    CLOSED,
    COMMON,
    KEYS,
    OBJECTS,
    OF_ADMINS,
    OF_ONES_OWN,
    SAFE,
    SHARED,
    Gated,
    Operation,
    document_of,
    of_admins,
    operations,
    parameters,
    populate,
)  # fmt: skip
from tests.api.shared_town import NEVER
from tests.api.test_access import BODIES, QUERIES, filled, placed, told
from tests.api.test_error_shape import every_route, routes
from tests.harness.error_shapes import code_of
from tests.harness.identity_provider import IdentityProvider
from tests.harness.open_routes import OPEN_OPERATIONS
from tests.harness.people import carry
from tests.providers.logging_in import spec_of
from tests.services.hand import ECHO

NAMED = [one for one in CLOSED if parameters(one[1]) & OBJECTS and not of_admins(one)]
NAMED += [one for one, body in SPOKEN.items() if "_id}" in json.dumps(body) or one[1] in QUERIES]
"""Operations on an object that belongs to a user."""
ENDING = frozenset({
    ("DELETE", "/v1/auth/sessions"), ("POST", "/v1/auth/logout"), ("POST", "/v1/auth/password"),
    *SPOKEN_LAST,
})  # fmt: skip
"""Operations that end their caller's session, or need one that is fresh."""
OF_ONE_LOGIN = ("/metrics", "/v1/auth/sessions", "/v1/auth/me", "/admin/sessions", "/admin/status")
"""Answers that tell which credential was shown, or the time."""
PASSING = frozenset(
    {
        "age_seconds",
        "uptime_seconds",
        "uptime_formatted",
        "last_login_at",
        "last_used_at",
        "last_seen_at",
        "used",
        "remaining",
        "reset_seconds",
        "reset_at",
    }
)
"""Fields that asking changes, or time alone."""


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, idp: IdentityProvider) -> AsyncIterator[Town]:
    """With a login provider of the name that stands in every operation's place for one."""
    http = HttpClient()
    logins = {"hand": OidcLogin(spec_of(idp), http, SystemClock())}
    public = "https://antiphon.test"
    async with opened_town(tmp_path / "data", monkeypatch, logins, public_url=public) as opened:
        yield opened
    await http.close()


@pytest.fixture
async def gated(town: Town) -> Gated:
    return await populate(town)


def blotted(value: Any) -> Any:
    """A decoded answer without what time and asking change."""
    if isinstance(value, dict):
        return {key: blotted(inner) for key, inner in value.items() if key not in PASSING}
    return [blotted(inner) for inner in value] if isinstance(value, list) else value


def unissued(ids: dict[str, str]) -> dict[str, str]:
    """The same kinds of ids, never issued."""
    return {name: one[:-32] + NEVER if name in OBJECTS else one for name, one in ids.items()}


def content_of(response: httpx.Response) -> Any:
    """What an answer says, ids blotted out; a picture is what it is."""
    is_json = "json" in response.headers["content-type"]
    return blotted(response.json()) if is_json else response.content


async def everything(g: Gated) -> dict[Operation, Any]:
    """What ada and root read of all they have: each safe operation's answer."""
    seen = {}
    for operation in CLOSED:
        if is_safe(operation) and operation[1] != "/metrics":
            who = "root" if of_admins(operation) else "owner"
            response = await g.ask(operation, g.carried[who, "access token"])
            assert response.status_code == 200, (operation, response.text)
            seen[operation] = content_of(response)
    return seen


def is_safe(operation: tuple[str, str]) -> bool:
    """Whether an operation only reads."""
    return operation[0] in SAFE and operation not in SPENDING


def test_every_operation_and_every_parameter_is_decided() -> None:
    known = operations(document_of())
    assert known == CLOSED.keys() | OPEN_OPERATIONS
    assert not CLOSED.keys() & OPEN_OPERATIONS
    assert len(CLOSED) == len(OF_ONES_OWN) + len(SHARED) + len(OF_ADMINS), "each is decided once"
    assert set().union(*(parameters(path) for _, path in known)) == OBJECTS | COMMON
    assert {(method, path.replace(":path}", "}")) for method, path in routes()} == known, "nothing is hidden"
    assert len(known) > 90


def test_the_administrators_operations_are_those_under_their_path() -> None:
    assert {one for one in CLOSED if one[1].startswith("/v1/admin")} | {
        ("GET", "/metrics")
    } | SPOKEN_BY_ADMINS.keys() == OF_ADMINS.keys()


def test_there_are_three_websockets() -> None:
    sockets = {one.path for one in every_route() if isinstance(one, WebSocketRoute)}
    assert sockets == {
        "/v1/responses", "/sessions/{session_id}/live", "/v1/conversations/{conversation_id}/events",
    }  # fmt: skip


# --- nobody


async def test_nobody_gets_in_but_where_all_may(gated: Gated) -> None:
    before = await everything(gated)
    token = gated.carried["owner", "x-api-key"]["x-api-key"]
    access = gated.shared.people["owner"].access
    answers, wrong = set(), []
    for operation in CLOSED:
        for query in (
            "",
            f"api_key={token}&key={token}&token={token}",
            f"access_token={access}&token={access}",
        ):
            response = await gated.ask(operation, {}, query=query)
            answers.add(json.dumps(told(response)))
            if response.status_code != 401:
                wrong.append((operation, query[:8], response.status_code))
    assert wrong == []
    shapes = {answer for answer in answers if "detail" in answer}
    assert len(answers) - len(shapes) == 1, "one answer, whatever was asked for"
    assert len(shapes) == 2, "and in the dialects one for each of their shapes"
    assert await everything(gated) == before


@pytest.mark.parametrize("content", [b"{", b"", b"[" * 100_000, b'{"surprise": 1}'])
async def test_nobody_is_told_nothing_of_a_body(gated: Gated, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    wrong = []
    for operation in CLOSED:
        if operation[0] in ("POST", "PUT", "PATCH"):
            where = placed(gated.shared, operation[1])
            response = await gated.http.request(operation[0], where, content=content, headers=headers)
            if response.status_code != 401:
                wrong.append((operation, response.status_code))
    assert wrong == []


async def test_an_open_operation_asks_for_no_credential(gated: Gated) -> None:
    for method, path in OPEN_OPERATIONS:
        where = path.replace("{token}", gated.shared.ids["token"]).replace("{provider}", "hand")
        response = await gated.http.request(method, where, json={} if method == "POST" else None)
        assert "invalid_api_key" not in response.text, (method, path)


# --- a key that only reads


@pytest.mark.parametrize("carrier", KEYS)
async def test_a_key_that_reads_reads_and_no_more(gated: Gated, carrier: str) -> None:
    before, wrong = await everything(gated), []
    for who in ("owner", "root"):
        headers = gated.carried[f"{who}, reading", carrier]
        for operation in CLOSED:
            response = await gated.ask(operation, headers)
            refused = response.status_code == 403 and code_of(response.json()) == "insufficient_scope"
            if not is_safe(operation) or (of_admins(operation) and who == "owner"):
                right = refused or (operation == ("GET", "/metrics") and response.status_code == 403)
            elif of_admins(operation) or who == "owner":
                right = response.status_code == 200
            else:
                right = response.status_code in (200, 404)
            if not right:
                wrong.append((who, operation, response.status_code, response.text[:200]))
    assert wrong == []
    assert await everything(gated) == before


# --- somebody else


@pytest.mark.parametrize("who", ["stranger", "root"])
async def test_anothers_object_is_as_one_that_never_was(gated: Gated, who: str) -> None:
    """An administrator too has no way to what belongs to a user but the administrators' own."""
    before, wrong = await everything(gated), []
    for operation in NAMED:
        answers = []
        for carrier in CARRIERS:
            for never in (False, True):
                response = await gated.ask(operation, gated.carried[who, carrier], never=never)
                answers.append(told(response))
        if answers[0][0] != 404 or any(one != answers[0] for one in answers):
            wrong.append((operation, answers))
    assert wrong == []
    assert await everything(gated) == before


async def test_anothers_object_in_ones_own_conversation_is_as_one_that_never_was(gated: Gated) -> None:
    headers = gated.carried["stranger", "key"]
    mine = (await gated.http.post("/v1/conversations", json={}, headers=headers)).json()["id"]
    hers, wrong = gated.shared.ids.copy(), []
    for operation in NAMED:
        if len(parameters(operation[1])) > 1:
            answers = []
            for never in (False, True):
                gated.shared.ids |= unissued(hers) if never else hers
                gated.shared.ids["conversation_id"] = mine
                answers.append(told(await gated.ask(operation, headers)))
            if answers[0][0] != 404 or answers[0] != answers[1]:
                wrong.append((operation, answers))
    gated.shared.ids |= hers
    assert wrong == []


@pytest.mark.parametrize("who", ["stranger", "root"])
async def test_anothers_id_in_a_body_is_as_one_that_never_was(gated: Gated, who: str) -> None:
    before, wrong = await everything(gated), []
    for name, (_, path, body) in BODIES.items():
        answers = []
        for carrier in CARRIERS:
            for never in (False, True):
                headers = gated.carried[who, carrier]
                answers.append(told(await gated.ask_with(headers, path, body, never=never)))
        if answers[0][0] not in (400, 404) or any(one != answers[0] for one in answers):
            wrong.append((name, answers))
    assert wrong == []
    assert await everything(gated) == before


@pytest.mark.parametrize("who", ["stranger", "root"])
async def test_anothers_document_in_a_body_is_as_one_that_never_was(gated: Gated, who: str) -> None:
    before, wrong = await everything(gated), []
    usual = gated.carried[who, "access token"]
    mine = (await gated.http.post("/v1/vector_stores", json={}, headers=usual)).json()["id"]
    for method, path, body in DOCUMENTS_NAMED:
        answers = []
        for carrier in CARRIERS:
            for never in (False, True):
                filled_in = filled(gated.shared, body, never=never)
                where, headers = path.replace("{mine}", mine), gated.carried[who, carrier]
                answers.append(told(await gated.http.request(method, where, json=filled_in, headers=headers)))
        if answers[0][0] != 404 or any(one != answers[0] for one in answers):
            wrong.append((path, answers))
    assert wrong == []
    assert await everything(gated) == before


async def test_who_is_no_administrator_is_403_whatever_the_id(gated: Gated) -> None:
    plain = carry("bearer", await gated.root.key("read", "write"))  # an administrator's, without that scope
    before, wrong = await everything(gated), []
    for operation in OF_ADMINS:
        answers = []
        refused = [gated.carried[who, carrier] for who in ("stranger", "owner") for carrier in CARRIERS]
        for headers in (*refused, plain):
            for never in (False, True):
                answers.append(told(await gated.ask(operation, headers, never=never)))
        if answers[0][0] != 403 or any(one != answers[0] for one in answers):
            wrong.append((operation, answers))
    assert wrong == []
    assert await everything(gated) == before


# --- who may: the refusals above are not of a wrong path or body


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_who_may_is_answered_alike_by_every_carrier(gated: Gated, carrier: str) -> None:
    for operation in CLOSED:
        if is_safe(operation) and operation[1] not in OF_ONE_LOGIN:
            who = "root" if of_admins(operation) else "owner"
            usual = await gated.ask(operation, gated.carried[who, "access token"])
            response = await gated.ask(operation, gated.carried[who, carrier])
            assert response.status_code == 200, (operation, response.text)
            assert content_of(response) == content_of(usual), operation


@pytest.mark.parametrize(("who", "matrix"), [("owner", OF_ONES_OWN), ("root", OF_ADMINS)])
async def test_who_may_can_do_everything(gated: Gated, who: str, matrix: dict[Operation, Any]) -> None:
    person = gated.root if who == "root" else gated.shared.people[who]
    for operation in matrix:
        if operation in ENDING:
            person = await gated.shared.town.again(person)
        response = await gated.ask(operation, person.bearer)
        served = response.status_code in (200, 201, 204)
        may_fail = operation[1].endswith(("/providers/{provider}/key", "/from_url"))
        assert served or may_fail, (operation, response.text)


# --- the WebSocket


def offers(headers: dict[str, str], port: int) -> dict[str, dict[str, Any]]:
    """The ways a socket is opened with what an HTTP request would carry."""
    if "cookie" in headers:
        return {"cookie": {"additional_headers": headers | {"origin": f"http://127.0.0.1:{port}"}}}
    token = headers.get("x-api-key") or headers["authorization"].removeprefix("Bearer ")
    return {
        "header": {"additional_headers": headers},
        "subprotocol": {"subprotocols": [f"antiphon-key.{token}"]},
        "OpenAI's subprotocol": {"subprotocols": ["realtime", f"openai-insecure-api-key.{token}"]},
        "first message": {"first": {"type": "session.authenticate", "token": token}},
    }


async def over_socket(port: int, body: dict[str, Any], *, query: str = "", **fields: Any) -> Any:
    """Open a socket, ask, and return the error or last event; the status or code if it was refused."""
    first = fields.pop("first", None)
    url = f"ws://127.0.0.1:{port}/v1/responses{query}"
    try:
        async with connect(url, proxy=None, **fields) as socket:
            if first is not None:
                await socket.send(json.dumps(first))
            await socket.send(json.dumps({"type": "response.create", "model": ECHO, "input": "x"} | body))
            while True:
                event = json.loads(await socket.recv())
                if event["type"] in ("error", "response.completed", "response.failed"):
                    return event
    except InvalidStatus as refusal:
        return refusal.response.status_code
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


async def test_the_socket_decides_as_the_routes_do(gated: Gated) -> None:
    ids, before = gated.shared.ids, await everything(gated)
    token = gated.carried["owner", "key"]["authorization"].removeprefix("Bearer ")
    async with over_sockets(gated.shared.town.world) as (_, port):
        assert await over_socket(port, {}) == 4401
        assert await over_socket(port, {}, query=f"?token={token}&api_key={token}") == 4401
        for carrier in KEYS:
            for way, how in offers(gated.carried["owner, reading", carrier], port).items():
                assert await over_socket(port, {}, **how) in (403, 4403), way
        for carrier in CARRIERS:
            for way, how in offers(gated.carried["stranger", carrier], port).items():
                for field in ("conversation_id", "response_id"):
                    name = "conversation" if field == "conversation_id" else "previous_response_id"
                    never = unissued(ids)[field]
                    said = [await over_socket(port, {name: one}, **how) for one in (ids[field], never)]
                    shown = [json.dumps(one).replace(ids[field], never) for one in said]
                    assert said[0]["type"] == "error" and said[0]["status"] in (400, 404), (way, said)
                    assert shown[0] == shown[1], way
        assert await everything(gated) == before
        for carrier in CARRIERS:
            for way, how in offers(gated.carried["owner", carrier], port).items():
                ended = await over_socket(port, {"store": False}, **how)
                assert ended["type"] == "response.completed", (carrier, way)
