"""People and a real server: first start, revocation from outside and over a restart, many logins at once."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.e2e.server_process import ServerProcess, eventually, running
from tests.harness.people import PASSWORD, SECRET_KEY, carry

SETTINGS = {
    "AUTH_REQUIRED": "true", "SECRET_KEY": SECRET_KEY, "SIGNUP": "open", "LOG_LEVEL": "debug",
    "DRAIN_SECONDS": "0",
}  # fmt: skip
SECONDS = 5.0
SLOW = {"model": "scripted/slow", "input": "tokens=5000 delay_ms=20", "stream": True}
LOGINS = 200


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with running(tmp_path, SETTINGS) as started:
        yield started


def url(server: ServerProcess) -> str:
    return f"http://127.0.0.1:{server.port}"


def client(server: ServerProcess, **headers: str) -> httpx.Client:
    return httpx.Client(base_url=url(server), trust_env=False, timeout=30, headers=headers)


def sign_up(server: ServerProcess, name: str) -> dict[str, Any]:
    """Make an account and log it in."""
    body = {"username": name, "password": PASSWORD}
    with client(server) as http:
        assert http.post("/v1/auth/signup", json=body).status_code == 202
        tokens: dict[str, Any] = http.post("/token", json=body).json()
        return tokens


def make_key(server: ServerProcess, tokens: dict[str, Any]) -> dict[str, Any]:
    with client(server, **carry("bearer", tokens["access_token"])) as http:
        made: dict[str, Any] = http.post("/v1/api_keys", json={"name": "x"}).json()
        return made


def write(server: ServerProcess, statement: str, *values: Any) -> None:
    """Change the store behind the server's back, as another process would."""
    connection = sqlite3.connect(server.data / "antiphon.db", timeout=10)
    with connection:
        assert connection.execute(statement, values).rowcount == 1
    connection.close()


def test_the_first_password_is_shown_once_and_no_secret_is_ever_logged(server: ServerProcess) -> None:
    found = eventually(
        lambda: re.search(r"username: admin\n\s+password: (\S+)\n", server.log), "the password"
    )
    with client(server) as http:
        body = {"username": "admin", "password": found[1]}
        tokens = http.post("/token", data=body).json()
        me = http.get("/v1/auth/me", headers=carry("bearer", tokens["access_token"])).json()
        assert (me["name"], me["role"]) == ("admin", "admin")
        key = make_key(server, tokens)["key"]
        for wrong in (key + "x", tokens["refresh_token"], "Canary-in-a-bad-token"):
            assert http.get("/v1/models", headers=carry("bearer", wrong)).status_code == 401
        http.post("/token", json={"username": "admin", "password": "Canary-wrong-password", "x": 1})
    server.stop()
    server.start()
    assert server.log.count(found[1]) == 1
    for secret in (key, tokens["access_token"], tokens["refresh_token"], "Canary", SECRET_KEY):
        assert secret not in server.log


async def ended(server: ServerProcess, key: str, revoke: Any) -> float:
    """Open two streams and a socket with a key, revoke it, and return the seconds until all end."""
    headers = carry("bearer", key)
    address = f"ws://127.0.0.1:{server.port}/v1/responses"
    async with (
        httpx.AsyncClient(base_url=url(server), trust_env=False, timeout=30, headers=headers) as http,
        http.stream("POST", "/v1/responses", json=SLOW) as first,
        connect(address, additional_headers=headers, proxy=None) as socket,
    ):
        lines = first.aiter_lines()
        created = json.loads((await anext(line async for line in lines if line.startswith("data:")))[5:])
        resume = f"/v1/responses/{created['response']['id']}?stream=true"
        async with http.stream("GET", resume) as second:
            await asyncio.to_thread(revoke)
            began = time.monotonic()
            for rest in (lines, second.aiter_lines()):
                assert not [line async for line in rest if "response.completed" in line]
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    await socket.recv()
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401
            assert (await http.get(resume)).status_code == 401
            return time.monotonic() - began


@pytest.mark.parametrize(
    ("statement", "of"),
    [
        ("UPDATE api_keys SET revoked=1 WHERE id=?", "key"),
        ("UPDATE accounts SET state='disabled' WHERE name=? AND state='active'", "name"),
    ],
)
def test_what_another_process_revokes_ends_within_seconds_and_stays_so_over_a_restart(
    server: ServerProcess, statement: str, of: str
) -> None:
    tokens = sign_up(server, "ada")
    key = make_key(server, tokens)
    value = key["id"].removeprefix("key_") if of == "key" else "ada"
    took = asyncio.run(ended(server, key["key"], lambda: write(server, statement, value)))
    assert took < SECONDS, took
    server.kill()
    server.start()
    with client(server) as http:
        assert http.get("/v1/models", headers=carry("bearer", key["key"])).status_code == 401
        held = 401 if of == "name" else 200
        assert http.get("/v1/models", headers=carry("bearer", tokens["access_token"])).status_code == held


def test_a_logout_holds_over_a_kill(server: ServerProcess) -> None:
    tokens, other = sign_up(server, "ada"), sign_up(server, "bob")
    with client(server, **carry("bearer", tokens["access_token"])) as http:
        assert http.post("/v1/auth/logout").status_code == 200
    server.kill()
    server.start()
    with client(server) as http:
        assert http.get("/v1/models", headers=carry("bearer", tokens["access_token"])).status_code == 401
        refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        assert http.post("/token", json=refresh).status_code == 401
        assert http.get("/v1/models", headers=carry("bearer", other["access_token"])).status_code == 200


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("same", [True, False], ids=["one name", "many names"])
def test_two_hundred_logins_at_once_take_neither_the_machine_nor_the_memory(
    server: ServerProcess, same: bool
) -> None:
    sign_up(server, "ada")
    before = server.rss_bytes()
    statuses, health, most = asyncio.run(_storm(server, same))
    assert set(statuses) == ({200} if same else {401})
    assert len(health) > 20
    # Were a hash in the way of the loop, every second answer would wait for some of them.
    assert sorted(health)[len(health) // 2] < 0.25, sorted(health)[-5:]
    assert most - before < 256 * 1024 * 1024


async def _storm(server: ServerProcess, same: bool) -> tuple[list[int], list[float], int]:
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(base_url=url(server), trust_env=False, timeout=120, limits=limits) as http,
        httpx.AsyncClient(base_url=url(server), trust_env=False, timeout=120) as watcher,
    ):
        bodies = [{"username": "ada" if same else f"n{n}", "password": PASSWORD} for n in range(LOGINS)]
        storm = asyncio.gather(*(http.post("/token", json=body) for body in bodies))
        health, most = [], 0
        while not storm.done():
            began = time.monotonic()
            assert (await watcher.get("/health")).status_code == 200
            health.append(time.monotonic() - began)
            most = max(most, server.rss_bytes())
            await asyncio.sleep(0.01)
        return [one.status_code for one in await storm], health, most


@pytest.mark.parametrize("secret", [None, "changeme", "x" * 64])
def test_in_production_a_server_without_a_real_secret_ends_with_a_sentence(
    tmp_path: Path, secret: str | None
) -> None:
    settings = {"ENVIRONMENT": "production", **({"SECRET_KEY": secret} if secret else {})}
    server = ServerProcess(tmp_path, settings)
    server.launch()
    try:
        assert server.wait(30) != 0
    finally:
        server.stop()
    lines = [line for line in server.log.splitlines() if line.startswith("antiphon:")]
    assert len(lines) == 1 and "SECRET_KEY" in lines[0] and "openssl rand" in lines[0]
    assert "Traceback" not in server.log and (secret is None or secret not in server.log)
