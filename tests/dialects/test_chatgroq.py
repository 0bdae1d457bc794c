"""What ChatGroq's document says of logins and administrators, sentence by sentence."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.people_fixtures import Town, opened_town
from tests.dialects.chatgroq_town import (
    MINUTES,
    MOMENT,
    SETTINGS,
    bearer,
    logged_in,
    say,
)
from tests.harness.people import PASSWORD, Person


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    """A server that wants credentials, with a short memory."""
    async with opened_town(tmp_path / "data", monkeypatch, **SETTINGS) as opened:
        yield opened


@pytest.fixture
async def admin(town: Town) -> Person:
    return await town.person("boss", role="admin")


# --- JWT Token Security: Standard Bearer token authentication for API access


async def test_a_login_gives_a_jwt_with_its_lifetime_in_seconds(town: Town) -> None:
    await town.account("boss", role="admin")
    login = (await logged_in(town, "boss")).json()
    assert login.keys() == {"access_token", "token_type", "expires_in", "username"}
    assert (login["token_type"], login["expires_in"], login["username"]) == ("bearer", MINUTES * 60, "boss")
    head = json.loads(base64.urlsafe_b64decode(login["access_token"].split(".")[0] + "=="))
    assert head["alg"] == "HS256"


async def test_a_token_expires_after_the_configured_minutes(town: Town) -> None:
    await town.account("boss", role="admin")
    headers = await bearer(town, "boss")
    town.clock.forward(MINUTES * 60 - 30)
    assert (await town.http.get("/admin/info", headers=headers)).status_code == 200
    town.clock.forward(31)
    response = await town.http.get("/admin/info", headers=headers)
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")


async def test_a_token_is_good_on_every_surface(town: Town) -> None:
    await town.account("boss", role="admin")
    headers = await bearer(town, "boss")
    assert (await town.http.get("/v1/auth/me", headers=headers)).json()["name"] == "boss"
    assert (await town.http.get("/v1/admin/users", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("name", "password"), [("boss", "wrong password"), ("nobody", PASSWORD), ("boss", ""), ("", "x")]
)
async def test_wrong_credentials_are_401_in_one_sentence(town: Town, name: str, password: str) -> None:
    await town.account("boss", role="admin")
    response = await logged_in(town, name, password)
    if name and password:
        assert (response.status_code, response.json()) == (
            401,
            {"detail": "The name or the password is wrong."},
        )
    else:
        assert response.status_code == 422


async def test_guessing_is_slowed_down(town: Town) -> None:
    await town.account("boss", role="admin")
    statuses = [(await logged_in(town, "boss", f"guess number {number}")).status_code for number in range(12)]
    assert statuses[0] == 401 and statuses[-1] == 429


@pytest.mark.parametrize("path", ["/admin/login", "/admin/change-credentials"])
async def test_a_password_in_the_address_is_refused(town: Town, admin: Person, path: str) -> None:
    field = "password" if "login" in path else "new_password"
    response = await admin.call("POST", f"{path}?{field}=secret-words&username=boss")
    assert response.status_code == 400 and "secret-words" not in response.text


async def test_logging_out_ends_the_token(town: Town) -> None:
    await town.account("boss", role="admin")
    one, other = await bearer(town, "boss"), await bearer(town, "boss")
    response = await town.http.post("/admin/logout", headers=one)
    assert response.status_code == 200 and response.json().keys() == {"message"}
    assert (await town.http.post("/admin/logout", headers=one)).status_code == 401
    assert (await town.http.get("/admin/info", headers=one)).status_code == 401
    assert (await town.http.get("/admin/info", headers=other)).status_code == 200


# --- Admin Management


async def test_the_account_is_shown(admin: Person) -> None:
    shown = (await admin.call("GET", "/admin/info")).json()
    assert shown.keys() == {"username", "role", "created_at", "last_login_at"}
    assert (shown["username"], shown["role"]) == ("boss", "admin")
    assert MOMENT.fullmatch(shown["created_at"]) and MOMENT.fullmatch(shown["last_login_at"])


async def test_active_admin_sessions_are_logins_and_never_tokens(town: Town, admin: Person) -> None:
    headers = await bearer(town, "boss")
    await say(admin, "chat123", "hello")
    response = await town.http.get("/admin/sessions", headers=headers)
    shown = response.json()
    assert shown["count"] == len(shown["active_sessions"]) == 2, "the fixture's login and this one; no chat"
    assert all(
        one.keys() == {"username", "created_at", "expires_at", "current"} for one in shown["active_sessions"]
    )
    assert [one["current"] for one in shown["active_sessions"]] == [True, False], "the newest first"
    assert "eyJ" not in response.text


async def test_changed_credentials_end_the_old_ones_and_all_tokens(town: Town, admin: Person) -> None:
    tokens = [await bearer(town, "boss"), await bearer(town, "boss"), admin.bearer]
    body = {"new_username": "NewAdmin", "new_password": "newsecurepass"}
    changed = await town.http.post("/admin/change-credentials", json=body, headers=tokens[0])
    assert changed.json() == {"message": "Credentials updated successfully", "username": "newadmin"}
    for headers in tokens:
        assert (await town.http.get("/admin/info", headers=headers)).status_code == 401
    assert (await logged_in(town, "boss")).status_code == 401
    assert (
        await town.http.get("/admin/info", headers=await bearer(town, "newadmin", "newsecurepass"))
    ).status_code == 200
    audited = town.world.rows("SELECT action FROM audit WHERE action='credentials.change'")
    assert len(audited) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"new_username": "taken", "new_password": "newsecurepass"}, 409),
        ({"new_username": "newadmin", "new_password": "short"}, 422),
        ({"new_username": "newadmin", "new_password": "admin123"}, 422),
        ({"new_username": "no name", "new_password": "newsecurepass"}, 422),
        ({"new_username": "newadmin"}, 422),
        ({"new_username": 7, "new_password": "newsecurepass"}, 422),
        ({}, 422),
    ],
)
async def test_credentials_that_cannot_be_change_nothing(
    town: Town, admin: Person, body: dict[str, Any], status: int
) -> None:
    await town.account("taken")
    response = await admin.call("POST", "/admin/change-credentials", body)
    assert response.status_code == status and response.json().keys() == {"detail"}
    assert "newsecurepass" not in response.text
    assert (await logged_in(town, "boss")).status_code == 200


async def test_credentials_are_changed_by_a_login_not_by_a_key(admin: Person) -> None:
    key = await admin.key("read", "write", "admin")
    body = {"new_username": "newadmin", "new_password": "newsecurepass"}
    response = await admin.http.post(
        "/admin/change-credentials", json=body, headers={"authorization": f"Bearer {key}"}
    )
    assert response.status_code == 403


async def test_who_is_no_administrator_takes_no_administrators_name(town: Town) -> None:
    ada = await town.person("ada")
    body = {"new_username": "root", "new_password": "newsecurepass"}
    assert (await ada.call("POST", "/admin/change-credentials", body)).status_code == 422
