"""Whoever guesses closes a name for strangers, and not for its owner on a device that logged in before.

A device's token is worth a count of wrong passwords of its own, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import httpx
import pytest

from antiphon.services.keyring import Keyring
from antiphon.services.passwords import THREADS
from antiphon.services.tokens import Kind
from tests.api.people_fixtures import Town
from tests.api.test_token_zoo import b64, forge, respell, unb64
from tests.harness.people import CARRIERS, PASSWORD, SECRET_KEY, carry, log_in
from tests.services.hand import until

DEVICE = "__Host-antiphon-device"
KEY = Keyring(SECRET_KEY).key(Kind.DEVICE.audience)


async def device_of(town: Town, name: str) -> str:
    """Log in and return the device's token."""
    token: str = (await log_in(town.http, name)).json()["device_token"]
    return token


async def tried(
    town: Town, name: str, password: str, device: str | None = None, *, cookie: bool = False
) -> httpx.Response:
    body = {"username": name, "password": password}
    if device is None:
        return await town.http.post("/token", json=body)
    if cookie:
        return await town.http.post("/token", json=body, headers={"cookie": f"{DEVICE}={device}"})
    return await town.http.post("/token", data={**body, "device_token": device})


async def close(town: Town, name: str) -> None:
    """A hundred guesses from anywhere."""
    answers = [(await tried(town, name, f"wrong {n}")).status_code for n in range(100)]
    assert answers == [401] * 10 + [429] * 90


def told(response: httpx.Response) -> Any:
    headers = {name: value for name, value in response.headers.items() if name != "retry-after"}
    return response.status_code, response.content, headers


@pytest.mark.parametrize("cookie", [False, True])
async def test_a_hundred_guesses_keep_strangers_out_and_let_the_owner_in(town: Town, cookie: bool) -> None:
    await town.account("ada", email="ada@example.org")
    device = await device_of(town, "ada")
    await close(town, "ada")
    assert (await tried(town, "ada", PASSWORD)).status_code == 429
    for name in ("ada", "ADA"):
        entered = await tried(town, name, PASSWORD, device, cookie=cookie)
        assert entered.status_code == 200, entered.text
    await close(town, "ada@example.org")
    assert (await tried(town, "ada@example.org", PASSWORD, device, cookie=cookie)).status_code == 200


async def test_the_cookie_is_for_this_server_alone_and_never_sent_from_elsewhere(town: Town) -> None:
    await town.account("ada")
    response = await log_in(town.http, "ada")
    name, *attributes = response.headers["set-cookie"].split("; ")
    assert name == f"{DEVICE}={response.json()['device_token']}"
    assert set(attributes) == {"Path=/", "Max-Age=7776000", "HttpOnly", "Secure", "SameSite=Strict"}
    refused = await log_in(town.http, "ada", "wrong")
    assert "set-cookie" not in refused.headers and "device_token" not in refused.text
    refresh = {"grant_type": "refresh_token", "refresh_token": response.json()["refresh_token"]}
    assert "device_token" not in (await town.http.post("/token", json=refresh)).json()


async def test_a_stolen_token_has_ten_tries_of_its_own_and_closes_nothing_else(town: Town) -> None:
    await town.account("ada")
    stolen, other = await device_of(town, "ada"), await device_of(town, "ada")
    answers = [(await tried(town, "ada", f"wrong {n}", stolen)).status_code for n in range(30)]
    assert answers == [401] * 10 + [429] * 20
    assert (await tried(town, "ada", PASSWORD, stolen)).status_code == 429
    assert (await tried(town, "ada", PASSWORD)).status_code == 200, "the name is open"
    assert (await tried(town, "ada", PASSWORD, other)).status_code == 200, "another device too"
    town.clock.forward(901)
    assert (await tried(town, "ada", PASSWORD, stolen)).status_code == 200


async def test_one_device_stays_one_however_often_it_logs_in(town: Town) -> None:
    await town.account("ada")
    first = await device_of(town, "ada")
    renewed = [(await tried(town, "ada", PASSWORD, first)).json()["device_token"] for _ in range(3)]
    assert len({first, *renewed}) == 4
    for number, token in enumerate([first, *renewed] * 3):
        answer = await tried(town, "ada", "wrong", token)
        assert answer.status_code == (401 if number < 10 else 429)


async def test_it_opens_nothing_by_itself(town: Town) -> None:
    await town.account("ada")
    device = await device_of(town, "ada")
    for carrier in CARRIERS:
        assert (await town.http.get("/v1/auth/me", headers=carry(carrier, device))).status_code == 401
    planted = {"cookie": f"{DEVICE}={device}"}
    assert (await town.http.get("/v1/auth/me", headers=planted)).status_code == 401
    body = {"grant_type": "refresh_token", "refresh_token": device, "device_token": device}
    assert (await town.http.post("/token", json=body)).status_code == 401
    assert (await tried(town, "ada", "wrong", device)).status_code == 401


def forgeries(device: str, account_id: str) -> dict[str, str]:
    head, body, signature = device.split(".")
    now, none = int(time.time()), b64(b'{"alg":"none","typ":"dt+jwt"}')
    claims = json.loads(unb64(body))
    return {
        "nothing": "",
        "a word": "x",
        "cut": device[:-1],
        "respelled": respell(device),
        "no signature": f"{head}.{body}.",
        "alg none": f"{none}.{body}.",
        "another key": forge(device, key=b"x" * 32),
        "the plain secret as key": forge(device, key=SECRET_KEY.encode()),
        "of another kind": forge(device, {"typ": "at+jwt"}),
        "another account": forge(device, claims={"sub": account_id}, key=KEY),
        "an earlier password": forge(device, claims={"epoch": claims["epoch"] - 1}, key=KEY),
        "old": forge(device, claims={"iat": now - 9_000_000, "exp": now - 1_000_000}, key=KEY),
        "for ever": forge(device, claims={"exp": now + 10**9}, key=KEY),
        "long": device + "A" * 3000,
        "another device's end": f"{head}.{body[:-4]}AAAA.{signature}",
    }


@pytest.mark.parametrize("name", ["ada", "nobody"])
async def test_a_token_that_does_not_hold_counts_for_the_name_and_tells_nothing(
    town: Town, name: str
) -> None:
    """Forged, too old, or somebody else's: answered as if there were none, whoever exists."""
    await town.account("ada")
    bob = await town.account("bob")
    held = {
        **forgeries(await device_of(town, "ada"), bob.id),
        "another's": await device_of(town, "bob"),
        "an access token": (await log_in(town.http, "ada")).json()["access_token"],
    }
    plain = told(await tried(town, name, "wrong"))
    answers = [await tried(town, name, f"wrong {why}", token, cookie=True) for why, token in held.items()]
    assert [one.status_code for one in answers] == [401] * 9 + [429] * (len(held) - 9)
    assert all(told(one) == plain for one in answers[:9])
    closed = told(await tried(town, name, PASSWORD))
    for why, token in held.items():
        assert told(await tried(town, name, PASSWORD, token)) == closed, why


async def test_a_new_password_makes_earlier_tokens_worthless(town: Town) -> None:
    ada = await town.person("ada")
    before = [await device_of(town, "ada") for _ in range(3)]
    body = {"current_password": PASSWORD, "new_password": "another long password"}
    changed = await ada.call("POST", "/v1/auth/password", body)
    await close(town, "ada")
    for token in before:
        assert (await tried(town, "ada", "another long password", token)).status_code == 429
    now = changed.json()["device_token"]
    assert (await tried(town, "ada", "another long password", now)).status_code == 200


async def test_the_password_can_be_changed_while_others_guess(town: Town) -> None:
    ada = await town.person("ada")
    await close(town, "ada")
    body = {"current_password": PASSWORD, "new_password": "another long password"}
    assert (await ada.call("POST", "/v1/auth/password", body)).status_code == 200


async def test_a_flood_of_logins_leaves_room_for_known_devices(town: Town) -> None:
    """Of strangers 256 wait for a hash, whatever names they try; everybody else is told to come back."""
    ada = await town.person("ada")
    device = await device_of(town, "ada")
    passwords = town.world.application.accounts._passwords
    gate = threading.Event()
    held = [passwords._pool.submit(gate.wait) for _ in range(THREADS)]
    flood = [asyncio.create_task(tried(town, f"nobody{n}", "wrong password")) for n in range(400)]
    try:
        await until(lambda: passwords._free <= 0)
        assert (await tried(town, "ada", PASSWORD)).status_code == 503
        known = asyncio.create_task(tried(town, "ada", PASSWORD, device))
        await until(lambda: passwords._free < 0)
    finally:
        gate.set()
    assert (await known).status_code == 200
    assert all(one.result() for one in held)
    body = {"current_password": PASSWORD, "new_password": "another long password"}
    assert (await ada.call("POST", "/v1/auth/password", body)).status_code == 200
    statuses = {one.status_code for one in await asyncio.gather(*flood)}
    assert statuses == {401, 503}


async def test_a_name_that_looks_like_a_device_is_a_name(town: Town) -> None:
    await town.account("ada")
    device = await device_of(town, "ada")
    number = json.loads(unb64(device.split(".")[1]))["sid"]
    for _ in range(12):
        await tried(town, f"device {number}", "wrong")
    assert (await tried(town, "ada", PASSWORD, device)).status_code == 200
