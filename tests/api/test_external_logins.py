"""Logging in through a provider, as a browser does it and as an attacker would like to."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from antiphon.services import external_logins
from tests.api.browser import (
    LOGIN_COOKIE,
    PUBLIC,
    Browser,
    accounts_in,
    identities_in,
    me,
    opened,
    refused,
)
from tests.api.client import in_process
from tests.api.people_fixtures import Town
from tests.harness.identity_provider import CLIENT_SECRET, IdentityProvider, Person
from tests.harness.people import COOKIE, SECRET_KEY
from tests.services.world import open_world


@pytest.fixture
async def town(tmp_path: Path, idp: IdentityProvider) -> AsyncIterator[Town]:
    async with opened(tmp_path / "data", idp) as made:
        yield made


async def test_the_providers_are_listed_for_anybody(town: Town) -> None:
    listed = (await town.http.get("/v1/auth/oidc")).json()
    assert [one["id"] for one in listed["data"]] == ["idp", "hub", "admins"]
    assert listed["data"][0] == {
        "id": "idp", "object": "login_provider", "label": "IdP", "login_url": "/v1/auth/oidc/idp/login"
    }  # fmt: skip
    assert CLIENT_SECRET not in json.dumps(listed)


async def test_a_login_ends_in_tokens_and_the_next_finds_the_same_account(
    town: Town, idp: IdentityProvider
) -> None:
    idp.person = Person(more={"preferred_username": "Ann.Lee"})
    first = await me(town, await Browser(town).log_in())
    assert (first["name"], first["email"], first["role"]) == ("ann.lee", "ann@example.org", "user")
    idp.person = Person(email="other@example.org", name="Renamed")
    again = await me(town, await Browser(town).log_in())
    assert again["id"] == first["id"] and accounts_in(town) == 1
    assert identities_in(town) == [(idp.issuer, "subject-1", first["id"][5:], "idp", "ann@example.org")]
    lines = town.world.rows("SELECT action, actor_id, detail FROM audit ORDER BY id")
    assert [line[0] for line in lines] == ["user.sign_up", "session.open", "session.open"]
    assert all(line[1] == first["id"][5:] and "oidc:idp" in line[2] for line in lines)
    assert town.world.rows("SELECT DISTINCT method FROM login_sessions") == [("oidc:idp",)]


async def test_a_browser_ends_where_it_wanted_to_go_with_a_cookie(town: Town) -> None:
    browser = Browser(town)
    done = await browser.log_in(next="/chat?x=1#y")
    assert (done.status_code, done.headers["location"]) == (302, f"{PUBLIC}/chat?x=1#y")
    assert done.headers["cache-control"] == "no-store" and done.headers["referrer-policy"] == "no-referrer"
    assert browser.jar.keys() == {COOKIE}, "the login's own cookie is gone"
    assert (await browser.get("/v1/auth/me")).json()["name"] == "ann"


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example", "https://evil.example/", "/\\evil.example", "\\\\evil.example", "/\t/evil.example",
        "javascript:alert(1)", "chat", "", "/a\r\nSet-Cookie: x=y", "/" + "a" * 3000, "/\u2028",
    ],
)  # fmt: skip
async def test_nobody_is_sent_to_another_host(town: Town, idp: IdentityProvider, path: str) -> None:
    refused(await Browser(town).get("/v1/auth/oidc/idp/login", next=path), 400, "invalid_next")
    assert not idp.hits, "nothing is asked for a login that does not begin"


async def test_another_browsers_state_proves_nothing(town: Town, idp: IdentityProvider) -> None:
    mine, theirs = Browser(town), Browser(town)
    brought, others = await mine.begin(), await theirs.begin()
    for browser, wrong in (
        (Browser(town), brought),  # no cookie: a link sent to somebody (login CSRF)
        (theirs, brought),
        (mine, {**others, "code": brought["code"]}),
        (mine, {"code": brought["code"]}),
        (mine, {**brought, "state": ""}),
        (mine, {**brought, "state": brought["state"] + "é"}),
    ):
        refused(await browser.finish(wrong), 401, "login_failed")
    assert idp.hits["/token"] == 0, "no code was shown to anybody"
    assert (await mine.finish(brought)).status_code == 200


async def test_a_cookie_is_good_for_its_own_provider_time_and_server(
    town: Town, idp: IdentityProvider
) -> None:
    browser = Browser(town)
    brought = await browser.begin()
    refused(await browser.finish(brought, "admins"), 401, "login_failed")
    for wrong in ("", "x", "A" * 300, "é", browser.jar[LOGIN_COOKIE][:-4] + "AAAA"):
        other = Browser(town, {LOGIN_COOKIE: wrong})
        refused(await other.finish(brought), 401, "login_failed")
    town.clock.forward(external_logins.ATTEMPT_SECONDS + 1)
    refused(await browser.finish(brought), 401, "login_failed")
    assert idp.hits["/token"] == 0


async def test_a_login_works_once_whatever_the_provider_accepts(town: Town, idp: IdentityProvider) -> None:
    idp.checks_codes = False
    browser = Browser(town)
    brought = await browser.begin()
    kept = dict(browser.jar)
    assert (await browser.finish(brought)).status_code == 200
    refused(await Browser(town, kept).finish(brought), 401, "login_failed")
    at_once = Browser(town)
    brought = await at_once.begin()
    twins = [Browser(town, dict(at_once.jar)).finish(brought) for _ in range(5)]
    assert sorted(one.status_code for one in await asyncio.gather(*twins)) == [200, 401, 401, 401, 401]


async def test_used_states_are_bounded(
    town: Town, idp: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external_logins, "REMEMBERED", 3)
    for _ in range(3):
        assert (await Browser(town).log_in()).status_code == 200
    refused(await Browser(town).log_in(), 503, "login_busy")
    town.clock.forward(external_logins.ATTEMPT_SECONDS + 1)
    assert (await Browser(town).log_in()).status_code == 200


async def test_a_refusal_at_the_provider_is_told_without_its_words(town: Town) -> None:
    browser = Browser(town)
    brought = await browser.begin()
    said = {"state": brought["state"], "error": "access_denied<script>", "code": brought["code"]}
    response = await browser.finish(said)
    refused(response, 401, "login_refused")
    assert "script" not in response.text


async def test_wrong_tokens_and_dead_providers(town: Town, idp: IdentityProvider) -> None:
    idp.claims = {"nonce": "another"}
    refused(await Browser(town).log_in(), 401, "login_failed")
    idp.reset()
    idp.statuses["/token"] = 503
    refused(await Browser(town).log_in(), 502, "login_provider_failed")
    assert accounts_in(town) == 0
    refused(await Browser(town).get("/v1/auth/oidc/none/login"), 404, "login_provider_not_found")
    refused(await Browser(town).get("/v1/auth/oidc/none/callback"), 404, "login_provider_not_found")


async def test_github(town: Town, idp: IdentityProvider) -> None:
    idp.emails = [{"email": "octo@example.org", "primary": True, "verified": True}]
    mine = await me(town, await Browser(town).log_in("hub"))
    assert (mine["name"], mine["email"]) == ("octo.cat", "octo@example.org")
    idp.github_user = {"id": 999, "login": "Octo.Cat"}
    idp.emails = []
    other = await me(town, await Browser(town).log_in("hub"))
    assert other["id"] != mine["id"], "a login name that was given again is another person"


async def test_nothing_secret_is_logged_or_stored(
    town: Town, idp: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "antiphon")
    browser = Browser(town)
    with capture_logs() as logged:
        brought = await browser.begin(next="/")
        await browser.finish(brought)
        failing = Browser(town)
        idp.claims = {"aud": "another"}
        await failing.finish(await failing.begin())
    held = b"".join(file.read_bytes() for file in town.world.directory.rglob("*") if file.is_file())
    for secret in (brought["code"], brought["state"], CLIENT_SECRET, browser.jar[COOKIE]):
        assert secret.encode() not in held
        assert secret not in str(logged) and not any(secret in line.getMessage() for line in caplog.records
                                                      if line.name.startswith("antiphon"))  # fmt: skip


async def test_without_providers_there_is_nothing(tmp_path: Path) -> None:
    world = await open_world(tmp_path / "data", auth_required=True, secret_key=SECRET_KEY)
    try:
        async with in_process(world) as api:
            assert (await api.get("/v1/auth/oidc"))["data"] == []
            await api.refused("GET", "/v1/auth/oidc/google/login", status=404)
    finally:
        await world.close()


async def test_an_open_server_on_loopback_lets_browsers_come_back(
    tmp_path: Path, idp: IdentityProvider
) -> None:
    async with opened(tmp_path / "data", idp, auth_required=False, secret_key=None) as town:
        assert (await Browser(town).log_in(next="/")).status_code == 302
        hostile = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
        response = await town.http.get("/v1/auth/oidc/idp/login", headers=hostile)
        refused(response, 403, "origin_not_allowed")
