"""Whose address sessions and the audit log show behind proxies, and that nobody can choose it."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from antiphon.api.forwarding import client_address
from tests.api.people_fixtures import opened_town
from tests.harness.people import PASSWORD
from tests.services.world import settings_for

TRUSTED = tuple(map(ip_network, ("10.0.0.0/8", "fd00::/8")))


def seen(peer: str | None, *forwarded: str, trusted: Any = TRUSTED) -> str:
    headers = [(b"host", b"a"), *((b"x-forwarded-for", value.encode("latin-1")) for value in forwarded)]
    client = (peer, 4711) if peer is not None else None
    return client_address({"type": "http", "client": client, "headers": headers}, trusted)


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.9, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.9", "203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.9, 203.0.113.7", "10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["203.0.113.7:5000"], "203.0.113.7"),
        ("10.0.0.1", ["[2001:db8::7]:5000"], "2001:db8::7"),
        ("10.0.0.1", ["2001:DB8:0::7"], "2001:db8::7"),
        ("fd00::1", ["203.0.113.7"], "203.0.113.7"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["", " , "], "10.0.0.1"),
        ("10.0.0.1", ["<script>, \xff"], "10.0.0.1"),
        ("203.0.113.7", ["198.51.100.9"], "203.0.113.7"),
        (None, ["198.51.100.9"], ""),
        ("testclient", ["198.51.100.9"], "testclient"),
    ],
)
def test_the_last_address_that_a_trusted_proxy_saw(
    peer: str | None, forwarded: list[str], address: str
) -> None:
    assert seen(peer, *forwarded) == address


def test_nothing_is_believed_where_no_proxy_is_trusted() -> None:
    assert seen("10.0.0.1", "203.0.113.7", trusted=()) == "10.0.0.1"


def test_an_endless_list_is_read_from_its_end() -> None:
    assert seen("10.0.0.1", "198.51.100.9, " + "x, " * 10_000 + "203.0.113.7, 10.0.0.2") == "203.0.113.7"
    assert seen("10.0.0.1", "198.51.100.9, " + "10.0.0.2, " * 10_000 + "10.0.0.3").startswith("10.")


@pytest.mark.parametrize("value", ["10.0.0.0/33", "nginx", "*", "10.0.0.1-10.0.0.9"])
def test_what_is_no_network_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ValueError, match="a list of addresses and networks"):
        settings_for(tmp_path, trusted_proxies=value)


async def test_sessions_and_audit_show_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxies = "127.0.0.0/8, 10.0.0.0/8"
    async with opened_town(tmp_path / "data", monkeypatch, trusted_proxies=proxies) as town:
        ada = await town.person("ada")
        forwarded = {"x-forwarded-for": "198.51.100.9, 203.0.113.7, 10.9.9.9"}
        body = {"grant_type": "password", "username": "ada", "password": PASSWORD}
        assert (await town.http.post("/token", json=body, headers=forwarded)).status_code == 200
        sessions = (await ada.call("GET", "/v1/auth/sessions")).json()["data"]
        assert "203.0.113.7" in {one["address"] for one in sessions}
        assert (await ada.call("DELETE", "/v1/auth/sessions", headers=forwarded)).is_success
        rows = town.world.rows("SELECT address FROM audit WHERE action = 'session.revoke_others'")
        assert rows == [("203.0.113.7",)]
