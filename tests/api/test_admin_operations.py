"""Groups, invites, runtime settings and the audit log over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.admin_calls import NEVER, ok, path_of, refused
from tests.api.people_fixtures import Town
from tests.harness.people import PASSWORD, Person
from tests.services.hand import HAND, until

# --- groups and invites


async def test_groups_are_made_renamed_listed_and_deleted(town: Town, root: Person) -> None:
    first = await ok(root, "POST", "/v1/admin/groups", {"name": "a"}, status=201)
    await ok(root, "POST", "/v1/admin/groups", {"name": "b"}, status=201)
    assert (await refused(root, "POST", "/v1/admin/groups", {"name": "A"}, status=409))[
        "code"
    ] == "name_taken"
    path = f"/v1/admin/groups/{first['id']}"
    assert (await refused(root, "PATCH", path, {"name": "B"}, status=409))["code"] == "name_taken"
    changed = await ok(root, "PATCH", path, {"name": "c", "retention_days": 5})
    assert (changed["name"], changed["retention_days"]) == ("c", 5)
    assert (await ok(root, "PATCH", path, {"retention_days": None}))["retention_days"] is None
    await refused(root, "PATCH", path, {"name": "c", "size": 3}, status=422)
    ada = await town.person("ada")
    await ok(root, "PATCH", path_of(ada), {"group_id": first["id"]})
    listed = (await ok(root, "GET", "/v1/admin/groups?order=asc"))["data"]
    assert [(one["name"], one["user_count"]) for one in listed] == [("c", 1), ("b", 0)]
    of_group = (await ok(root, "GET", f"/v1/admin/users?group_id={first['id']}"))["data"]
    assert [one["name"] for one in of_group] == ["ada"]
    await ok(root, "DELETE", path)
    await refused(root, "DELETE", path, status=404)
    assert (await ok(root, "GET", path_of(ada)))["group_id"] is None
    assert (await ada.call("GET", "/v1/auth/me")).status_code == 200


async def test_an_invite_is_shown_once_and_used_once(town: Town, root: Person) -> None:
    await ok(root, "PATCH", "/v1/admin/settings", {"signup": "invite"})
    group = await ok(root, "POST", "/v1/admin/groups", {"name": "guests"}, status=201)
    body = {"role": "admin", "group_id": group["id"], "expires_in": 3600}
    made = await ok(root, "POST", "/v1/admin/invites", body, status=201)
    listed = await root.call("GET", "/v1/admin/invites")
    assert made["token"] not in listed.text and listed.json()["data"][0]["id"] == made["id"]
    assert made["token"] not in str(town.world.rows("SELECT * FROM invites")) and made["token"] not in str(
        town.world.rows("SELECT * FROM audit")
    )
    person = {"username": "guest", "password": PASSWORD, "invite": made["token"]}
    assert (await town.http.post("/v1/auth/signup", json=person)).status_code == 202
    guest = (await ok(root, "GET", "/v1/admin/users?name=guest"))["data"][0]
    assert (guest["role"], guest["group_id"]) == ("admin", group["id"])
    used = (await ok(root, "GET", "/v1/admin/invites"))["data"][0]
    assert used["used_by"] == guest["id"] and "token" not in used
    second = await town.http.post("/v1/auth/signup", json={**person, "username": "guest2"})
    assert second.status_code == 403
    await refused(root, "DELETE", f"/v1/admin/invites/{made['id']}", status=404)


async def test_a_revoked_invite_and_one_of_a_group_that_is_gone(town: Town, root: Person) -> None:
    await ok(root, "PATCH", "/v1/admin/settings", {"signup": "invite"})
    made = await ok(root, "POST", "/v1/admin/invites", {}, status=201)
    await ok(root, "DELETE", f"/v1/admin/invites/{made['id']}")
    person = {"username": "guest", "password": PASSWORD, "invite": made["token"]}
    assert (await town.http.post("/v1/auth/signup", json=person)).status_code == 403
    body = {"group_id": "grp_" + NEVER}
    await refused(root, "POST", "/v1/admin/invites", body, status=404)
    assert (await ok(root, "GET", "/v1/admin/invites"))["data"][0]["revoked_at"] is not None


# --- settings


async def test_settings_hold_at_once_and_null_returns_to_the_default(town: Town, root: Person) -> None:
    person = {"username": "guest", "password": PASSWORD}
    assert (await town.http.post("/v1/auth/signup", json=person)).status_code == 403
    body = {"signup": "open", "registration_message": "Welcome.", "user_retention_days": 30}
    changed = await ok(root, "PATCH", "/v1/admin/settings", body)
    assert {name: changed["values"][name] for name in body} == body
    shown = (await town.http.get("/v1/auth/signup")).json()
    assert shown == {"object": "registration", "mode": "open", "message": "Welcome."}
    assert changed["stored"] == sorted(body) and changed["defaults"]["signup"] == "closed"
    assert (await town.http.post("/v1/auth/signup", json=person)).status_code == 202
    back = await ok(root, "PATCH", "/v1/admin/settings", {"signup": None})
    assert back["values"]["signup"] == "closed" and "signup" not in back["stored"]
    assert (await town.http.post("/v1/auth/signup", json=person)).status_code == 403


async def test_the_default_model_is_a_setting(town: Town, root: Person) -> None:
    answered = await ok(root, "POST", "/v1/responses", {"input": "hi"})
    assert answered["model"] == "hand/echo"
    await ok(root, "PATCH", "/v1/admin/settings", {"default_model": "scripted/echo"})
    assert (await ok(root, "POST", "/v1/responses", {"input": "hi"}))["model"] == "scripted/echo"
    error = await refused(root, "PATCH", "/v1/admin/settings", {"default_model": "none/such"}, status=422)
    assert error["param"] == "default_model" and "none/such" in error["message"]


async def test_the_cache_of_answers_is_a_setting(town: Town, root: Person) -> None:
    async def asked(person: Person) -> str | None:
        response = await person.call("POST", "/v1/responses", {"model": "hand/echo", "input": "the same"})
        assert response.status_code == 200, response.text
        return response.headers.get("x-antiphon-cache")

    ada = await town.person("ada")
    assert await asked(ada) is None
    await ok(root, "PATCH", "/v1/admin/settings", {"response_cache": "user"})
    assert [await asked(ada), await asked(ada), await asked(root)] == ["miss", "hit", "miss"]
    await ok(root, "PATCH", "/v1/admin/settings", {"response_cache": "shared"})
    assert [await asked(ada), await asked(root)] == ["miss", "hit"]
    metrics = (await root.call("GET", "/metrics")).text
    assert 'antiphon_cached_runs_total{model="echo",provider="hand",state="completed"} 2.0' in metrics
    await ok(root, "PATCH", "/v1/admin/settings", {"response_cache": None})
    assert await asked(ada) is None


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"nothing": 1}, "nothing", "unknown_parameter"),
        ({"nothing": None}, "nothing", "unknown_parameter"),
        ({"secret_key": "x"}, "secret_key", "unknown_parameter"),
        ({"signup": "everybody"}, "signup", "invalid_value"),
        ({"user_retention_days": "7"}, "user_retention_days", "invalid_value"),
        ({"user_retention_days": -7}, "user_retention_days", "invalid_value"),
        ({"user_retention_days": 1.5}, "user_retention_days", "invalid_value"),
        ({"registration_message": "x" * 2001}, "registration_message", "invalid_value"),
        ([], None, "invalid_value"),
    ],
)
async def test_a_setting_that_cannot_be_changes_nothing(
    root: Person, body: Any, param: str | None, code: str
) -> None:
    before = await ok(root, "GET", "/v1/admin/settings")
    with_good = {"signup": "open", **body} if isinstance(body, dict) else body
    error = await refused(root, "PATCH", "/v1/admin/settings", with_good, status=422)
    assert (error["param"], error["code"]) == (param, code)
    assert await ok(root, "GET", "/v1/admin/settings") == before


async def test_a_setting_changed_elsewhere_is_taken_up_by_the_next_look(town: Town, root: Person) -> None:
    await ok(root, "PATCH", "/v1/admin/settings", {"signup": "open"})
    settings = town.world.application.administration.settings
    elsewhere = type(settings)(town.world.storage, town.clock, settings.defaults, {})  # type: ignore[arg-type]
    assert elsewhere.current.signup == "closed"
    await elsewhere.refresh()
    assert elsewhere.current.signup == "open"


# --- the audit log


async def test_every_change_leaves_a_line_without_secrets(town: Town, root: Person) -> None:
    secret = "a very canary password"
    made = await ok(
        root, "POST", "/v1/admin/users",
        {"name": "ada", "email": "ada@example.org", "password": secret}, status=201,
    )  # fmt: skip
    await ok(root, "PATCH", f"/v1/admin/users/{made['id']}", {"password": secret + "!", "role": "admin"})
    invite = await ok(root, "POST", "/v1/admin/invites", {}, status=201)
    await ok(root, "PATCH", "/v1/admin/settings", {"signup": "invite"})
    response = await root.call("GET", "/v1/admin/audit", params={"actor_id": f"user_{root.account.id}"})
    log = response.json()["data"]
    assert [one["action"] for one in log] == [
        "settings.update", "invite.create", "user.update", "user.create", "session.open"
    ]  # fmt: skip
    assert log[2]["detail"] == {"role": "admin", "password": "set"}
    assert log[2]["target"] == made["id"] and log[2]["credential_id"] is not None
    for canary in (secret, invite["token"], "argon2", "ada@example.org"):
        assert canary not in response.text


async def test_the_audit_log_is_filtered_and_paged(town: Town, root: Person) -> None:
    for number in range(5):
        town.clock.forward(10)
        await ok(root, "POST", "/v1/admin/groups", {"name": f"g{number}"}, status=201)
    everything = (await ok(root, "GET", "/v1/admin/audit?action=group.create&order=asc"))["data"]
    assert [one["detail"]["name"] for one in everything] == [f"g{number}" for number in range(5)]
    first = await ok(root, "GET", "/v1/admin/audit?action=group.create&order=asc&limit=2")
    second = await ok(
        root, "GET", f"/v1/admin/audit?action=group.create&order=asc&limit=9&after={first['last_id']}"
    )
    assert first["has_more"] and first["data"] + second["data"] == everything and not second["has_more"]
    since, until = everything[1]["created_at"], everything[3]["created_at"]
    between = await ok(root, "GET", f"/v1/admin/audit?action=group.create&since={since}&until={until}")
    assert {one["id"] for one in between["data"]} == {one["id"] for one in everything[1:3]}
    assert (await ok(root, "GET", f"/v1/admin/audit?actor_id=user_{NEVER}"))["data"] == []
    await refused(root, "GET", "/v1/admin/audit?actor_id=nobody", status=422)
    await refused(root, "GET", "/v1/admin/audit?after=nonsense", status=400)


async def test_old_audit_entries_are_forgotten(town: Town, root: Person) -> None:
    await ok(root, "POST", "/v1/admin/groups", {"name": "old"}, status=201)
    town.clock.forward(400 * 24 * 3600 + 60)
    newer = await town.again(root)
    await ok(newer, "POST", "/v1/admin/groups", {"name": "new"}, status=201)
    await town.world.application.administration.audit_log.forget()
    log = (await ok(newer, "GET", "/v1/admin/audit"))["data"]
    assert {one["detail"].get("name") for one in log if one["action"] == "group.create"} == {"new"}


async def test_running_answers_are_seen_without_their_words_and_ended(town: Town, root: Person) -> None:
    ann = await town.person("ann")
    asked = {"model": HAND, "input": "my secret", "background": True}
    begun = (await ann.call("POST", "/v1/responses", asked)).json()
    call = await town.world.hand.next()
    call.say("words")
    listed = await root.call("GET", "/v1/admin/runs")
    (one,) = listed.json()["data"]
    assert one["id"] == begun["id"] and one["user"] == {"id": f"user_{ann.account.id}", "name": "ann"}
    assert (one["model"], one["stored"], one["background"]) == (HAND, True, True) and one["age_seconds"] >= 0
    assert "secret" not in listed.text and "words" not in listed.text
    assert (await root.call("GET", f"/v1/admin/runs?after={one['id']}")).json()["data"] == []
    cancelled = await root.call("POST", f"/v1/admin/runs/{one['id']}/cancel")
    assert cancelled.json() == {"id": one["id"], "object": "run.cancelled", "cancelled": True}
    await until(lambda: not len(town.world.application.runs))
    assert (await ann.call("GET", f"/v1/responses/{one['id']}")).json()["status"] == "cancelled"
    again = await root.call("POST", f"/v1/admin/runs/{one['id']}/cancel")
    assert again.status_code == 404
    lines = (await root.call("GET", "/v1/admin/audit?action=run.cancel")).json()["data"]
    assert [line["target"] for line in lines] == [one["id"]]
    assert (await ann.call("GET", "/v1/admin/runs")).status_code == 403
