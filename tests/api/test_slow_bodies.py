"""A credential that ends while its request's body trickles in begins nothing and changes nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from antiphon.api import authentication
from antiphon.ports.account_writes import RevokeApiKey
from tests.api.people_fixtures import Town
from tests.harness.people import CARRIERS, Person
from tests.services.hand import ECHO

MESSAGE = {"type": "message", "role": "user", "content": "x"}
ROUTES: dict[str, dict[str, Any]] = {
    "/v1/responses": {"model": ECHO, "input": "x"},
    "/v1/chat/completions": {"model": ECHO, "messages": [{"role": "user", "content": "x"}]},
    "/v1/responses/input_tokens": {"model": ECHO, "input": "x"},
    "/v1/responses/compact": {"model": ECHO, "input": "x"},
    "/v1/conversations": {},
    "/v1/conversations/{conversation}/items": {"items": [MESSAGE]},
    "/v1/conversations/{conversation}/fan_out": {"models": [ECHO], "input": "x"},
    "/v1/api_keys": {"name": "another"},
}


class Watch:
    """The clock by which a body's time is taken."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    found = Watch()
    monkeypatch.setattr(authentication, "time", found)
    return found


async def asked(town: Town, path: str, headers: dict[str, str], meanwhile: Any) -> httpx.Response:
    """Send half a body, let something happen, and send the rest."""
    whole = json.dumps(ROUTES[path]).encode()
    made = town.world.rows("SELECT id FROM conversations ORDER BY created LIMIT 1")[0][0]
    where = path.replace("{conversation}", f"conv_{made}")

    async def body() -> AsyncIterator[bytes]:
        yield whole[:1]
        await meanwhile()
        yield whole[1:]

    headers = {**headers, "content-type": "application/json"}
    return await town.http.post(where, content=body(), headers=headers)


def stored(town: Town) -> dict[str, Any]:
    tables = ("runs", "items", "conversations", "api_keys")
    return {table: town.world.rows(f"SELECT COUNT(*) FROM {table}") for table in tables}


async def caller(town: Town, carrier: str) -> tuple[Person, dict[str, str]]:
    ada = await town.person("ada")
    assert (await ada.call("POST", "/v1/conversations", {"items": [MESSAGE]})).status_code == 200
    return ada, await ada.carried(carrier)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("carrier", CARRIERS)
async def test_what_is_revoked_meanwhile_begins_nothing(
    town: Town, watch: Watch, path: str, carrier: str
) -> None:
    ada, headers = await caller(town, carrier)
    before = stored(town)

    async def revoked() -> None:
        for key in ada.keys:
            assert (await ada.call("DELETE", f"/v1/api_keys/{key['id']}")).status_code == 200
        assert (await ada.call("POST", "/v1/auth/logout")).status_code == 200
        watch.now += 1.1

    response = await asked(town, path, headers, revoked)
    assert response.status_code == 401, response.text
    assert stored(town) == before and town.world.hand.calls == []


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions"])
async def test_what_another_process_revoked_too(town: Town, watch: Watch, path: str) -> None:
    ada, headers = await caller(town, "x-api-key")

    async def revoked() -> None:
        identifier = ada.keys[0]["id"].removeprefix("key_")
        change = RevokeApiKey(account_id=ada.account.id, key_id=identifier, now_us=1)
        await town.world.storage.unit_of_work.commit(change)
        town.clock.forward(2.1)
        watch.now += 1.1

    response = await asked(town, path, headers, revoked)
    assert response.status_code == 401 and town.world.hand.calls == []


@pytest.mark.parametrize("seconds", [0.0, 5.0])
@pytest.mark.parametrize("path", ROUTES)
async def test_a_slow_body_of_one_that_holds_is_served(
    town: Town, watch: Watch, path: str, seconds: float
) -> None:
    _, headers = await caller(town, "cookie")

    async def nothing() -> None:
        watch.now += seconds

    response = await asked(town, path, headers, nothing)
    assert response.status_code in (200, 201), response.text


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_a_file_whose_sender_is_revoked_meanwhile_is_not_kept(town: Town, carrier: str) -> None:
    ada, headers = await caller(town, carrier)
    head = b'--b\r\ncontent-disposition: form-data; name="%b"%b\r\n\r\n'

    async def body() -> AsyncIterator[bytes]:
        yield head % (b"purpose", b"") + b"batch\r\n" + head % (b"file", b'; filename="a"') + b"half"
        for key in ada.keys:
            assert (await ada.call("DELETE", f"/v1/api_keys/{key['id']}")).status_code == 200
        assert (await ada.call("POST", "/v1/auth/logout")).status_code == 200
        yield b"\r\n--b--\r\n"

    form = {**headers, "content-type": "multipart/form-data; boundary=b"}
    response = await town.http.post("/v1/files", content=body(), headers=form)
    assert response.status_code == 401, response.text
    assert town.world.rows("SELECT COUNT(*) FROM files", name="knowledge.db") == [(0,)]
    left = [one for one in (town.world.directory / "documents").rglob("*") if one.is_file()]
    assert left == []
