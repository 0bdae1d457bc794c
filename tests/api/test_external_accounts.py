"""Whose account a login through a provider opens: nobody else's, whatever the provider says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from antiphon.domain import ids
from antiphon.domain.accounts import Account
from antiphon.domain.external_logins import LoginTerms
from antiphon.ports.account_writes import NewAccount, UpdateAccount
from tests.api.browser import (
    OPEN,
    Browser,
    accounts_in,
    identities_in,
    me,
    opened,
    refused,
)
from tests.api.people_fixtures import Town
from tests.harness.identity_provider import IdentityProvider, Person
from tests.harness.people import PASSWORD, log_in


@pytest.fixture
async def town(tmp_path: Path, idp: IdentityProvider) -> AsyncIterator[Town]:
    async with opened(tmp_path / "data", idp) as made:
        yield made


async def test_an_address_opens_no_account_that_has_a_password(town: Town, idp: IdentityProvider) -> None:
    victim = await town.account("victim", email="victim@example.org", role="admin")
    idp.person = Person("attacker", "Victim@Example.org", True, "victim")
    refused(await Browser(town).log_in(), 403, "email_taken")
    idp.person = Person("attacker", "victim@example.org", False, "victim")
    intruder = await me(town, await Browser(town).log_in())
    assert intruder["id"] != f"user_{victim.id}" and intruder["email"] is None
    assert intruder["role"] == "user" and intruder["name"] != "victim"
    assert (await log_in(town.http, "victim")).status_code == 200, "the password still works"
    assert [row[2] for row in identities_in(town)] == [intruder["id"][5:]]


async def test_an_address_opens_no_account_that_has_an_identity(town: Town, idp: IdentityProvider) -> None:
    owner = await me(town, await Browser(town).log_in())
    idp.person = Person("attacker", "ann@example.org", True, "Ann")
    refused(await Browser(town).log_in(), 403, "email_taken")
    idp.emails = [{"email": "ann@example.org", "primary": True, "verified": True}]
    idp.github_user = {"id": 7, "login": "ann"}
    refused(await Browser(town).log_in("hub"), 403, "email_taken")
    assert [row[2] for row in identities_in(town)] == [owner["id"][5:]]


async def made_for(town: Town, email: str, **fields: Any) -> Account:
    """An account that an administrator made for somebody's address, without a password."""
    slot = ids.new_slot()
    made = Account(id=ids.new_id(slot), slot=slot, name="made", email=email, **fields)
    await town.world.storage.unit_of_work.commit(NewAccount(account=made))
    return made


async def test_an_account_made_for_an_address_is_its_owners(tmp_path: Path, idp: IdentityProvider) -> None:
    async with opened(tmp_path / "data", idp, LoginTerms(label="IdP")) as town:
        made = await made_for(town, "ann@example.org")
        refused(await log_in(town.http, "made", PASSWORD), 401, "invalid_credentials")
        idp.person = Person(email_verified=False)
        refused(await Browser(town).log_in(), 403, "signup_closed")
        idp.person = Person()
        found = [await me(town, await Browser(town).log_in()) for _ in range(2)]
        assert {one["id"] for one in found} == {f"user_{made.id}"}
        idp.person = Person("somebody-else")
        refused(await Browser(town).log_in(), 403, "email_taken")
        idp.person = Person("stranger", "stranger@example.org")
        refused(await Browser(town).log_in(), 403, "signup_closed")
        assert accounts_in(town) == 1 and len(identities_in(town)) == 1


async def test_of_two_people_with_one_address_the_first_has_it(tmp_path: Path, idp: IdentityProvider) -> None:
    async with opened(tmp_path / "data", idp, LoginTerms(label="IdP")) as town:
        await made_for(town, "ann@example.org")
        ready = []
        for number in range(8):
            idp.person = Person(f"subject-{number}")
            browser = Browser(town)
            ready.append((browser, await browser.begin()))
        done = await asyncio.gather(*(browser.finish(brought) for browser, brought in ready))
        assert sorted(one.status_code for one in done) == [200] + [403] * 7
        assert len(identities_in(town)) == 1


async def test_one_person_in_many_tabs_has_one_account(town: Town) -> None:
    ready = [(browser, await browser.begin()) for browser in (Browser(town) for _ in range(8))]
    done = await asyncio.gather(*(browser.finish(brought) for browser, brought in ready))
    assert [one.status_code for one in done] == [200] * 8
    assert accounts_in(town) == 1 and len(identities_in(town)) == 1


@pytest.mark.parametrize(
    "name", ["taken", "admin", "root", "Ünï çode", "a" * 500, "", "../..", "; DROP", "a@b"]
)
async def test_names_are_made_to_fit_and_never_taken_over(
    town: Town, idp: IdentityProvider, name: str
) -> None:
    taken = await town.account("taken")
    idp.person = Person("s", None, None, name)
    mine = await me(town, await Browser(town).log_in())
    assert mine["id"] != f"user_{taken.id}" and mine["name"] not in ("taken", "admin", "root")
    assert mine["role"] == "user"


async def test_domains_are_asked_for_at_every_login(tmp_path: Path, idp: IdentityProvider) -> None:
    terms = replace_terms(allowed_domains=frozenset({"example.org"}))
    async with opened(tmp_path / "data", idp, terms) as town:
        assert (await Browser(town).log_in()).status_code == 200
        for person in (
            Person(email="ann@elsewhere.org"), Person(email=None), Person(email_verified=False),
            Person("new", "new@evilexample.org"),
        ):  # fmt: skip
            idp.person = person
            refused(await Browser(town).log_in(), 403, "domain_not_allowed")
        assert accounts_in(town) == 1


def replace_terms(**changes: Any) -> LoginTerms:
    return msgspec.structs.replace(OPEN, **changes)


async def test_a_disabled_account_stays_out(town: Town, idp: IdentityProvider) -> None:
    mine = await me(town, await Browser(town).log_in())
    off = UpdateAccount(account_id=mine["id"][5:], now_us=1, ends_sessions=True, state="disabled")
    await town.world.storage.unit_of_work.commit(off)
    refused(await Browser(town).log_in(), 403, "account_disabled")


async def test_the_provider_decides_the_role_where_it_is_asked(town: Town, idp: IdentityProvider) -> None:
    idp.person = Person(more={"groups": ["ops"]})
    plain = await me(town, await Browser(town).log_in())
    assert plain["role"] == "user", "this one is not asked"
    first = await Browser(town).log_in("admins")
    assert (await me(town, first))["role"] == "admin"
    bearer = {"authorization": f"Bearer {first.json()['access_token']}"}
    assert (await town.http.get("/v1/admin/providers", headers=bearer)).status_code == 200
    idp.person = Person(more={"groups": []})
    assert (await me(town, await Browser(town).log_in("admins")))["role"] == "user"
    assert (await town.http.get("/v1/admin/providers", headers=bearer)).status_code == 401, "ended at once"
    actions = [row[0] for row in town.world.rows("SELECT action FROM audit WHERE action='user.role'")]
    assert len(actions) == 2
