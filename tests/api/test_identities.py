"""Whoever owns an account adds ways into it and ends them; nobody else does, and the last one stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from antiphon.domain.external_logins import LoginTerms
from antiphon.ports.account_writes import UpdateAccount
from antiphon.services.identities import MOST
from tests.api.browser import LOGIN_COOKIE, PUBLIC, Browser, identities_in, me, opened, refused
from tests.api.people_fixtures import Town
from tests.harness.identity_provider import IdentityProvider
from tests.harness.identity_provider import Person as Elsewhere
from tests.harness.people import COOKIE, PASSWORD, Person, carry, log_in

LIST = "/v1/auth/identities"
LINK = "/v1/auth/oidc/idp/link"


@pytest.fixture
async def town(tmp_path: Path, idp: IdentityProvider) -> AsyncIterator[Town]:
    async with opened(tmp_path / "data", idp) as made:
        yield made


async def brought(response: httpx.Response, browser: Browser) -> dict[str, str]:
    """Go where a begun link leads, be logged in there, and return what comes back."""
    assert response.status_code == 200, response.text
    name, _, rest = response.headers["set-cookie"].partition("=")
    assert name == LOGIN_COOKIE
    browser.jar[name] = rest.partition(";")[0]
    async with httpx.AsyncClient(trust_env=False) as elsewhere:
        back = await elsewhere.get(response.json()["url"])
    return {k: v[0] for k, v in parse_qs(urlsplit(back.headers["location"]).query).items()}


async def linked(
    town: Town, person: Person, provider: str = "idp", password: str | None = PASSWORD, **fields: Any
) -> httpx.Response:
    """The whole way, in a browser of one's own."""
    browser = Browser(town)
    body = {"current_password": password, **fields}
    begun = await person.call("POST", f"/v1/auth/oidc/{provider}/link", body)
    return await browser.finish(await brought(begun, browser), provider)


async def listed(person: Person) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await person.call("GET", LIST)).json()["data"]
    return found


async def by_provider(town: Town, response: httpx.Response) -> Person:
    """Whoever logged in through a provider, as a caller."""
    account = (await me(town, response))["id"].removeprefix("user_")
    found = await town.world.storage.accounts.get(account)
    assert found is not None
    return Person(town.http, found, response.json())


async def test_a_linked_identity_opens_the_account_and_an_ended_one_does_not(
    town: Town, idp: IdentityProvider
) -> None:
    ada = await town.person("ada")
    assert await listed(ada) == []
    done = await linked(town, ada)
    (one,) = await listed(ada)
    assert done.status_code == 200 and done.json() == one
    assert {**one, "id": "", "created_at": 0} == {
        "id": "", "object": "identity", "provider": "idp", "issuer": idp.issuer, "email": "ann@example.org",
        "created_at": 0,
    }  # fmt: skip
    assert (await me(town, await Browser(town).log_in()))["name"] == "ada"
    ended = await ada.call("DELETE", f"{LIST}/{one['id']}")
    assert ended.json() == {"id": one["id"], "object": "identity", "deleted": True}
    assert await listed(ada) == [] and identities_in(town) == []
    assert (await me(town, await Browser(town).log_in()))["name"] != "ada"
    lines = town.world.rows("SELECT action FROM audit WHERE action LIKE 'identity.%' ORDER BY id")
    assert [line[0] for line in lines] == ["identity.link", "identity.unlink"]


async def test_linking_opens_no_session_and_leads_back(town: Town) -> None:
    ada = await town.person("ada")
    browser = Browser(town)
    begun = await ada.call("POST", LINK, {"current_password": PASSWORD, "next": "/settings"})
    done = await browser.finish(await brought(begun, browser))
    assert (done.status_code, done.headers["location"]) == (302, f"{PUBLIC}/settings")
    assert browser.jar == {}, "neither a session's cookie nor the login's own is left"
    assert town.world.rows("SELECT COUNT(*) FROM login_sessions") == [(1,)]
    bad = await ada.call("POST", LINK, {"current_password": PASSWORD, "next": "//evil.example"})
    refused(bad, 400, "invalid_next")


async def test_several_identities_of_several_providers(town: Town, idp: IdentityProvider) -> None:
    ada = await town.person("ada")
    for number in range(2):
        idp.person = Elsewhere(f"subject-{number}")
        assert (await linked(town, ada)).status_code == 200
    idp.emails = [{"email": "ann@example.org", "primary": True, "verified": True}]
    assert (await linked(town, ada, "hub")).status_code == 200
    assert [one["provider"] for one in await listed(ada)] == ["idp", "idp", "hub"]
    assert (await linked(town, ada, "hub")).status_code == 200, "once more is the same"
    assert len(identities_in(town)) == 3
    assert (await me(town, await Browser(town).log_in("hub")))["name"] == "ada"


async def test_one_has_so_many_and_no_more(town: Town, idp: IdentityProvider) -> None:
    ada = await town.person("ada")
    ready = []
    for number in range(MOST + 3):
        idp.person = Elsewhere(f"subject-{number}")
        browser = Browser(town)
        begun = await ada.call("POST", LINK, {"current_password": PASSWORD})
        ready.append((browser, await brought(begun, browser)))
    done = await asyncio.gather(*(browser.finish(back) for browser, back in ready))
    assert sorted(one.status_code for one in done) == [200] * MOST + [409] * 3
    assert {one.json()["error"]["code"] for one in done if one.status_code == 409} == {"too_many_identities"}
    assert len(identities_in(town)) == MOST


# --- who may


async def test_an_identity_of_another_account_stays_there(town: Town) -> None:
    ann = await me(town, await Browser(town).log_in())
    ada = await town.person("ada")
    refused(await linked(town, ada), 409, "identity_taken")
    assert [row[2] for row in identities_in(town)] == [ann["id"][5:]]


async def test_it_takes_the_password_and_a_session(town: Town) -> None:
    ada = await town.person("ada")
    assert (await linked(town, ada)).status_code == 200
    (one,) = await listed(ada)
    refused(await ada.call("POST", LINK, {}), 422, "missing_required_parameter")
    statuses = [(await ada.call("POST", LINK, {"current_password": "wrong"})).status_code for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    key = carry("bearer", await ada.key())
    for method, path in (("POST", LINK), ("DELETE", f"{LIST}/{one['id']}")):
        body = {"current_password": PASSWORD} if method == "POST" else None
        response = await town.http.request(method, path, json=body, headers=key)
        refused(response, 403, "session_required")


async def test_without_a_password_it_takes_a_login_of_a_moment_ago(town: Town, idp: IdentityProvider) -> None:
    ann = await by_provider(town, await Browser(town).log_in())
    idp.person = Elsewhere("subject-2")
    assert (await linked(town, ann, password=None)).status_code == 200
    town.clock.forward(601)
    refused(await ann.call("POST", LINK, {}), 403, "fresh_login_required")
    refused(await ann.call("POST", LINK, {"current_password": PASSWORD}), 403, "fresh_login_required")


async def test_a_foreign_page_links_and_ends_nothing(town: Town) -> None:
    ada = await town.person("ada")
    assert (await linked(town, ada)).status_code == 200
    (one,) = await listed(ada)
    cookie = {"cookie": f"{COOKIE}={await ada.cookie()}"}
    for origin in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {},
    ):
        for method, path in (("POST", LINK), ("DELETE", f"{LIST}/{one['id']}")):
            body = {"current_password": PASSWORD} if method == "POST" else None
            response = await town.http.request(method, path, json=body, headers={**cookie, **origin})
            refused(response, 403, "csrf")
    own = {**cookie, "sec-fetch-site": "same-origin"}
    assert (await town.http.delete(f"{LIST}/{one['id']}", headers=own)).status_code == 200


async def test_what_is_brought_to_another_browser_links_nothing(town: Town) -> None:
    """Neither is a victim's identity added to an attacker's account, nor the other way round."""
    ada = await town.person("ada")
    browser, victim = Browser(town), Browser(town)
    begun = await ada.call("POST", LINK, {"current_password": PASSWORD})
    back = await brought(begun, browser)
    refused(await victim.finish(back), 401, "login_failed")
    own = await victim.begin()
    browser_answer = await browser.finish({**own, "state": back["state"]})
    assert browser_answer.status_code in (401, 502), "a code of another login proves nothing here"
    assert identities_in(town) == []


@pytest.mark.parametrize("what", ["logged out", "password changed", "disabled"])
async def test_what_began_in_a_session_that_ended_links_nothing(town: Town, what: str) -> None:
    ada = await town.person("ada")
    browser = Browser(town)
    back = await brought(await ada.call("POST", LINK, {"current_password": PASSWORD}), browser)
    if what == "logged out":
        await ada.call("POST", "/v1/auth/logout")
    elif what == "password changed":
        body = {"current_password": PASSWORD, "new_password": "another long password"}
        assert (await ada.call("POST", "/v1/auth/password", body)).status_code == 200
    else:
        off = UpdateAccount(account_id=ada.account.id, now_us=1, ends_sessions=True, state="disabled")
        await town.world.storage.unit_of_work.commit(off)
    refused(await browser.finish(back), 401, "login_failed")
    assert identities_in(town) == []


async def test_the_domains_of_a_provider_are_asked_for(tmp_path: Path, idp: IdentityProvider) -> None:
    terms = LoginTerms(label="IdP", allowed_domains=frozenset({"elsewhere.org"}))
    async with opened(tmp_path / "data", idp, terms) as town:
        refused(await linked(town, await town.person("ada")), 403, "domain_not_allowed")
        assert identities_in(town) == []


async def test_it_works_where_nobody_can_sign_up_and_the_address_is_taken(
    tmp_path: Path, idp: IdentityProvider
) -> None:
    terms = LoginTerms(label="IdP")
    async with opened(tmp_path / "data", idp, terms) as town:
        ada = await town.person("ada", email="ann@example.org")
        refused(await Browser(town).log_in(), 403, "email_taken")
        assert (await linked(town, ada)).status_code == 200
        assert (await me(town, await Browser(town).log_in()))["name"] == "ada"


# --- ending


async def test_the_last_way_in_stays(town: Town, idp: IdentityProvider) -> None:
    ann = await by_provider(town, await Browser(town).log_in())
    (first,) = await listed(ann)
    refused(await ann.call("DELETE", f"{LIST}/{first['id']}"), 409, "last_way_in")
    idp.person = Elsewhere("subject-2")
    assert (await linked(town, ann, password=None)).status_code == 200
    second = (await listed(ann))[1]
    done = await asyncio.gather(*(ann.call("DELETE", f"{LIST}/{one['id']}") for one in (first, second)))
    assert sorted(one.status_code for one in done) == [200, 409], "of two at once one stays"
    assert len(await listed(ann)) == 1


async def test_an_identity_of_a_provider_that_is_gone_is_no_way_in(town: Town, idp: IdentityProvider) -> None:
    ann = await by_provider(town, await Browser(town).log_in())
    idp.person = Elsewhere("subject-2")
    assert (await linked(town, ann, password=None)).status_code == 200
    first, second = await listed(ann)
    identities = town.world.application.identities
    identities._providers = ("hub",)
    refused(await ann.call("DELETE", f"{LIST}/{first['id']}"), 409, "last_way_in")
    identities._providers = ()
    refused(await ann.call("DELETE", f"{LIST}/{second['id']}"), 409, "last_way_in")


async def test_ending_one_ends_all_other_sessions(town: Town) -> None:
    ada = await town.person("ada")
    assert (await linked(town, ada)).status_code == 200
    thief = await by_provider(town, await Browser(town).log_in())
    (one,) = await listed(ada)
    assert (await ada.call("DELETE", f"{LIST}/{one['id']}")).status_code == 200
    assert (await thief.call("GET", "/v1/auth/me")).status_code == 401
    assert (await ada.call("GET", "/v1/auth/me")).status_code == 200
    assert (await log_in(town.http, "ada")).status_code == 200


async def test_anothers_identity_is_as_one_that_never_was(town: Town) -> None:
    ada, bob = await town.person("ada"), await town.person("bob")
    assert (await linked(town, ada)).status_code == 200
    (one,) = await listed(ada)
    answers = []
    for identifier in (one["id"], f"identity_{'0' * 32}", "x", "identity_' OR 1=1--"):
        response = await bob.call("DELETE", f"{LIST}/{identifier}")
        answers.append((response.status_code, response.text.replace(identifier, "")))
    assert len(set(answers)) == 1 and answers[0][0] == 404
    assert await listed(bob) == [] and len(identities_in(town)) == 1
