"""Accounts in an administrator's hands: who may, what changes, and what it ends.

The contract: `/v1/admin` is for administrators alone, unknown fields are 422, an administrator always
remains, and whatever takes somebody's access away does so at once.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.admin_calls import NEVER, ok, path_of, refused
from tests.api.people_fixtures import Town
from tests.harness.people import PASSWORD, Json, Person, carry, log_in
from tests.services.hand import HAND, PATIENCE_SECONDS, until

# --- who may


@pytest.mark.parametrize("path", ["users", "groups", "invites", "settings", "audit"])
async def test_nobody_but_administrators_gets_in(town: Town, root: Person, path: str) -> None:
    ada = await town.person("ada")
    assert (await town.http.get(f"/v1/admin/{path}")).status_code == 401
    assert (await ada.call("GET", f"/v1/admin/{path}")).status_code == 403
    assert (await ada.call("PATCH", path_of(ada), {"role": "admin"})).status_code == 403
    assert (await root.call("GET", f"/v1/admin/{path}")).status_code == 200


async def test_an_administrators_key_needs_the_scope(town: Town, root: Person) -> None:
    for scopes, status in ((("read", "write"), 403), (("read", "write", "admin"), 200)):
        headers = carry("bearer", await root.key(*scopes))
        assert (await town.http.get("/v1/admin/users", headers=headers)).status_code == status
    only_reads = carry("bearer", await root.key("read", "admin"))
    assert (await town.http.get("/v1/admin/users", headers=only_reads)).status_code == 200
    made = await town.http.post("/v1/admin/users", json={"name": "eve"}, headers=only_reads)
    assert made.status_code == 403


# --- users


async def test_a_user_is_made_found_changed_and_logs_in(town: Town, root: Person) -> None:
    group = await ok(root, "POST", "/v1/admin/groups", {"name": "Readers", "retention_days": 7}, status=201)
    assert (group["name"], group["user_count"]) == ("readers", 0)
    body = {
        "name": "Grace", "email": "G@Example.org", "password": PASSWORD, "group_id": group["id"],
        "retention_days": 30,
    }  # fmt: skip
    made = await ok(root, "POST", "/v1/admin/users", body, status=201)
    assert made.keys() == {
        "id", "object", "name", "email", "role", "state", "group_id", "created_at", "has_password",
        "retention_days", "updated_at",
    }  # fmt: skip
    assert (made["name"], made["email"], made["role"]) == ("grace", "g@example.org", "user")
    assert (await ok(root, "GET", f"/v1/admin/groups/{group['id']}"))["user_count"] == 1
    assert (await log_in(town.http, "grace")).status_code == 200
    assert await ok(root, "GET", f"/v1/admin/users/{made['id']}") == made
    changed = await ok(
        root, "PATCH", f"/v1/admin/users/{made['id']}", {"email": None, "group_id": None, "role": "admin"}
    )
    assert (changed["email"], changed["group_id"], changed["role"]) == (None, None, "admin")
    assert changed["retention_days"] == 30 and changed["has_password"] is True


async def test_an_account_without_a_password_cannot_log_in_until_it_has_one(town: Town, root: Person) -> None:
    made = await ok(root, "POST", "/v1/admin/users", {"name": "elsewhere"}, status=201)
    assert made["has_password"] is False
    assert (await log_in(town.http, "elsewhere")).status_code == 401
    await ok(root, "PATCH", f"/v1/admin/users/{made['id']}", {"password": PASSWORD})
    assert (await log_in(town.http, "elsewhere")).status_code == 200


async def test_users_are_listed_by_pages_and_searched_by_the_beginning_of_the_name(
    town: Town, root: Person
) -> None:
    for name in ("anna", "anton", "bert", "an_x", "anz"):
        await town.account(name)
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        response = await root.call(
            "GET", "/v1/admin/users", params={"prefix": "AN", "limit": 2, "order": "asc", **after}
        )
        page = response.json()
        found += [one["name"] for one in page["data"]]
        assert page["last_id"] == page["data"][-1]["id"]
        if not page["has_more"]:
            break
        after = {"after": page["last_id"]}
    assert sorted(found) == ["an_x", "anna", "anton", "anz"]
    by_name = (await root.call("GET", "/v1/admin/users", params={"name": "Bert"})).json()
    assert [one["name"] for one in by_name["data"]] == ["bert"] and by_name["has_more"] is False
    assert (await root.call("GET", "/v1/admin/users", params={"name": "nobody"})).json()["data"] == []
    nothing = (await root.call("GET", "/v1/admin/users", params={"prefix": "%"})).json()
    assert nothing["data"] == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"name": "x", "is_admin": True}, 422, "unknown_parameter"),
        ({"name": "x", "password_hash": "$argon2id$"}, 422, "unknown_parameter"),
        ({"name": "x", "epoch": 5}, 422, "unknown_parameter"),
        ({"name": "x", "id": "user_" + NEVER}, 422, "unknown_parameter"),
        ({"name": "x", "role": "owner"}, 422, "invalid_value"),
        ({"name": "x", "role": None}, 422, "invalid_value"),
        ({"name": ""}, 422, "invalid_value"),
        ({"name": "-x"}, 422, "invalid_value"),
        ({"name": "späti"}, 422, "invalid_value"),
        ({"name": "x", "email": "nowhere"}, 422, "invalid_value"),
        ({"name": "x", "password": "short"}, 422, "weak_password"),
        ({"name": "x", "retention_days": -1}, 422, "invalid_value"),
        ({"name": "x", "group_id": "grp_" + NEVER}, 404, "not_found"),
        ({"name": "taken"}, 409, "name_taken"),
        ({"name": "x", "email": "taken@example.org"}, 409, "name_taken"),
        ({}, 422, "missing_required_parameter"),
        ([], 422, "invalid_value"),
    ],
)
async def test_what_cannot_be_a_user_is_refused(
    town: Town, root: Person, body: Any, status: int, code: str
) -> None:
    await town.account("taken", email="taken@example.org")
    before = town.world.rows("SELECT COUNT(*) FROM accounts")
    assert (await refused(root, "POST", "/v1/admin/users", body, status=status))["code"] == code
    assert town.world.rows("SELECT COUNT(*) FROM accounts") == before


# --- what takes access away


@pytest.mark.parametrize(
    ("change", "me", "login"),
    [
        ({"state": "disabled"}, 401, 401),
        ({"password": "another good password"}, 401, 401),
        ({"password": None}, 401, 401),
        ({"role": "admin"}, 401, 200),
    ],
)
async def test_a_change_of_access_ends_every_session_at_once(
    town: Town, root: Person, change: Json, me: int, login: int
) -> None:
    ada = await town.person("ada")
    assert (await ada.call("GET", "/v1/auth/me")).status_code == 200
    await ok(root, "PATCH", path_of(ada), change)
    assert (await ada.call("GET", "/v1/auth/me")).status_code == me
    assert (await ada.refresh()).status_code == 401
    assert (await log_in(town.http, "ada")).status_code == login


async def test_what_is_no_access_leaves_sessions_alone(town: Town, root: Person) -> None:
    ada = await town.person("ada")
    await ok(root, "PATCH", path_of(ada), {"email": "ada@example.org", "retention_days": 3})
    await ok(root, "PATCH", path_of(ada), {})
    assert (await ada.call("GET", "/v1/auth/me")).json()["email"] == "ada@example.org"


async def test_a_disabled_accounts_key_ends_too_and_comes_back_with_it(town: Town, root: Person) -> None:
    ada = await town.person("ada")
    headers = carry("bearer", await ada.key())
    assert (await town.http.get("/v1/models", headers=headers)).status_code == 200
    await ok(root, "PATCH", path_of(ada), {"state": "disabled"})
    assert (await town.http.get("/v1/models", headers=headers)).status_code == 401
    await ok(root, "PATCH", path_of(ada), {"state": "active"})
    assert (await town.http.get("/v1/models", headers=headers)).status_code == 200


async def test_a_demoted_administrator_is_none_with_any_credential(town: Town, root: Person) -> None:
    other = await town.person("other", role="admin")
    headers = carry("bearer", await other.key("read", "write", "admin"))
    assert (await town.http.get("/v1/admin/users", headers=headers)).status_code == 200
    await ok(root, "PATCH", path_of(other), {"role": "user"})
    assert (await town.http.get("/v1/admin/users", headers=headers)).status_code == 403
    again = await town.again(other)
    assert (await again.call("GET", "/v1/admin/users")).status_code == 403


async def test_sessions_are_listed_and_ended_one_by_one_and_all(town: Town, root: Person) -> None:
    ada = await town.person("ada")
    second, third = await town.again(ada), await town.again(ada)
    listed = (await ok(root, "GET", path_of(ada, "/sessions")))["data"]
    assert {one["id"] for one in listed} == {one.tokens["session_id"] for one in (ada, second, third)}
    assert not any(one["current"] for one in listed)
    await ok(root, "DELETE", path_of(ada, f"/sessions/{second.tokens['session_id']}"))
    assert (await second.call("GET", "/v1/auth/me")).status_code == 401
    assert (await third.call("GET", "/v1/auth/me")).status_code == 200
    await ok(root, "DELETE", path_of(ada, "/sessions"))
    assert (await third.call("GET", "/v1/auth/me")).status_code == 401
    assert (await ok(root, "GET", path_of(ada, "/sessions")))["data"] == []
    assert (await root.call("GET", "/v1/auth/me")).status_code == 200


async def test_another_persons_session_or_key_is_not_found_under_this_one(town: Town, root: Person) -> None:
    ada, eve = await town.person("ada"), await town.person("eve")
    await eve.key()
    for path in (f"/sessions/{eve.tokens['session_id']}", f"/keys/{eve.keys[0]['id']}"):
        kind, _, identifier = path[1:].partition("/")
        foreign = await root.call("DELETE", path_of(ada, path))
        never = identifier.partition("_")[0] + "_" + NEVER
        unknown = await root.call("DELETE", path_of(ada, f"/{kind}/{never}"))
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.text.replace(identifier, never) == unknown.text
    assert (await eve.call("GET", "/v1/auth/me")).status_code == 200


async def test_keys_are_listed_without_their_secret_and_revoked(town: Town, root: Person) -> None:
    ada = await town.person("ada")
    secret = await ada.key()
    response = await root.call("GET", path_of(ada, "/keys"))
    assert secret not in response.text and response.json()["data"][0]["prefix"] == secret[:9]
    await ok(root, "DELETE", path_of(ada, f"/keys/{ada.keys[0]['id']}"))
    assert (await town.http.get("/v1/models", headers=carry("bearer", secret))).status_code == 401
    await refused(root, "DELETE", path_of(ada, f"/keys/{ada.keys[0]['id']}"), status=404)


@pytest.mark.parametrize("change", [{"state": "disabled"}, None])
async def test_answers_being_made_for_somebody_shut_out_end(
    town: Town, root: Person, change: Json | None
) -> None:
    ada, eve = await town.person("ada"), await town.person("eve")
    body = {"model": HAND, "input": "x", "background": True}
    begun = [await ok(person, "POST", "/v1/responses", body) for person in (ada, eve)]
    calls = [await town.world.hand.next() for _ in begun]
    await ok(root, "PATCH" if change else "DELETE", path_of(ada), change)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await calls[0].closed.wait()
    state = "SELECT state FROM runs WHERE id=?"
    await until(lambda: town.world.rows(state, begun[0]["id"][5:]) == [("cancelled",)])
    assert not calls[1].closed.is_set()
    calls[1].answer("still here")
    await until(lambda: town.world.rows(state, begun[1]["id"][5:]) == [("completed",)])


# --- the last administrator


@pytest.mark.parametrize("change", [{"role": "user"}, {"state": "disabled"}, None])
async def test_the_last_administrator_stays(town: Town, root: Person, change: Json | None) -> None:
    method = "DELETE" if change is None else "PATCH"
    assert (await refused(root, method, path_of(root), change, status=409))["code"] == "last_administrator"
    assert (await root.call("GET", "/v1/admin/users")).status_code == 200
    await town.account("second", role="admin", state="disabled")
    assert (await refused(root, method, path_of(root), change, status=409))["code"] == "last_administrator"
    await town.account("third", role="admin")
    await ok(root, method, path_of(root), change)
    assert (await root.call("GET", "/v1/admin/users")).status_code in (401, 403)


async def test_administrators_who_demote_each_other_leave_one(town: Town) -> None:
    people = [await town.person(f"admin{number}", role="admin") for number in range(6)]
    changes: list[Json | None] = [{"role": "user"}, {"state": "disabled"}, None]

    async def oust(number: int) -> int:
        other, change = people[(number + 1) % len(people)], changes[number % len(changes)]
        response = await people[number].call("PATCH" if change else "DELETE", path_of(other), change)
        return response.status_code

    answers = await asyncio.gather(*(oust(number) for number in range(len(people))))
    assert set(answers) <= {200, 401, 403, 409}
    left = town.world.rows(
        "SELECT name FROM accounts WHERE role='admin' AND state='active' AND name<>'local'"
    )
    assert len(left) >= 1
    assert answers.count(200) == len(people) - len(left)


async def test_the_local_owner_stays_as_it_is(town: Town, root: Person) -> None:
    owner = f"/v1/admin/users/user_{town.world.who.account_id}"
    for method, body in (
        ("PATCH", {"state": "disabled"}),
        ("PATCH", {"password": PASSWORD}),
        ("DELETE", None),
    ):
        assert (await refused(root, method, owner, body, status=409))["code"] == "local_owner"


async def test_with_an_operators_key_the_last_of_the_others_may_go(operated: Town) -> None:
    root = await operated.person("root2", role="admin")
    await ok(root, "PATCH", path_of(root), {"role": "user"})


# --- deletion


async def test_a_deleted_account_is_gone_at_once_and_its_name_is_free(town: Town, root: Person) -> None:
    ada = await town.person("ada", email="ada@example.org")
    key = await ada.key()
    made = (await ada.call("POST", "/v1/conversations", {"title": "mine"})).json()
    gone = await ok(root, "DELETE", path_of(ada))
    assert gone == {"id": f"user_{ada.account.id}", "object": "user", "deleted": True, "data": "purging"}
    for headers in (ada.bearer, carry("bearer", key)):
        assert (await town.http.get("/v1/models", headers=headers)).status_code == 401
    assert (await log_in(town.http, "ada")).status_code == 401
    await refused(root, "GET", path_of(ada), status=404)
    await refused(root, "DELETE", path_of(ada), status=404)
    await refused(root, "PATCH", path_of(ada), {"state": "active"}, status=404)
    again = await ok(
        root, "POST", "/v1/admin/users",
        {"name": "ada", "email": "ada@example.org", "password": PASSWORD}, status=201,
    )  # fmt: skip
    assert again["id"] != gone["id"]
    new = Person(town.http, ada.account, (await log_in(town.http, "ada")).json())
    assert (await new.call("GET", f"/v1/conversations/{made['id']}")).status_code == 404


async def test_the_data_of_a_deleted_account_is_purged_also_after_a_restart(town: Town, root: Person) -> None:
    ada = await town.person("ada")
    for _ in range(3):
        await ada.call("POST", "/v1/conversations", {"items": [{"role": "user", "content": "hi"}]})
        await ada.call("POST", "/v1/responses", {"model": "hand/echo", "input": "hi"})
    await ok(root, "DELETE", path_of(ada))
    departures = town.world.application.administration.departures
    await departures.settle()
    assert town.world.rows("SELECT state FROM accounts WHERE id=?", ada.account.id) == [("deleting",)]
    town.clock.forward(6)
    await departures.settle()
    assert town.world.rows("SELECT 1 FROM accounts WHERE id=?", ada.account.id) == []
    for table, column in (("login_sessions", "owner_id"), ("api_keys", "owner_id")):
        assert town.world.rows(f"SELECT 1 FROM {table} WHERE {column}=?", ada.account.id) == []
    for table in ("conversations", "items", "segments", "branches", "runs", "idempotency"):
        assert town.world.rows(f"SELECT 1 FROM {table} WHERE owner_id=?", ada.account.id) == []
    log = (await root.call("GET", "/v1/admin/audit", params={"target": f"user_{ada.account.id}"})).json()
    assert [(one["action"], one["actor_id"] is None) for one in log["data"]][:2] == [
        ("user.erase", True), ("user.delete", False)
    ]  # fmt: skip
