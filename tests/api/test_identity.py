"""Logging in, staying, leaving; keys; and what each may do."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.api.client import Api
from tests.api.people_fixtures import Town
from tests.harness.people import CARRIERS, COOKIE, PASSWORD, carry, log_in

REFUSED = "Incorrect API key provided, or none."


async def test_a_login_gives_tokens_by_form_and_by_json(town: Town) -> None:
    await town.account("ada")
    form = await log_in(town.http, "ada")
    body = {"username": "ADA", "password": PASSWORD}
    for response in (form, await town.http.post("/token", json=body)):
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-store"
        tokens = response.json()
        assert (tokens["token_type"], tokens["expires_in"]) == ("bearer", 900)
        assert 0 <= 30 * 24 * 3600 - tokens["refresh_expires_in"] <= 1
        me = await town.http.get("/v1/auth/me", headers=carry("bearer", tokens["access_token"]))
        assert me.json()["name"] == "ada" and "password_hash" not in me.text and "argon2" not in me.text


async def test_an_address_logs_in_as_well_as_a_name(town: Town) -> None:
    await town.account("ada", email="ada@example.org")
    assert (await log_in(town.http, "Ada@example.org")).status_code == 200


@pytest.mark.parametrize(
    ("name", "password"),
    [("ada", "wrong password"), ("nobody", PASSWORD), ("ada", ""), ("", ""), ("ada", "x" * 1000)],
)
async def test_whatever_is_wrong_the_answer_is_the_same(town: Town, name: str, password: str) -> None:
    await town.account("ada")
    response = await town.http.post("/token", json={"username": name, "password": password})
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_credentials"
    assert response.json()["error"]["message"] == "The name or the password is wrong."


async def test_a_disabled_account_does_not_log_in_and_looks_unknown(town: Town) -> None:
    await town.account("ada", state="disabled")
    known, unknown = await log_in(town.http, "ada"), await log_in(town.http, "nobody")
    assert (
        (known.status_code, known.content) == (unknown.status_code, unknown.content) == (401, known.content)
    )


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_every_carrier_names_the_same_person(town: Town, carrier: str) -> None:
    ada = await town.person("ada")
    headers = await ada.carried(carrier)
    assert (await town.http.get("/v1/auth/me", headers=headers)).json()["name"] == "ada"
    made = await town.http.post("/v1/conversations", json={}, headers=headers)
    assert made.status_code == 200, made.text


async def test_a_credential_in_the_url_is_none(town: Town) -> None:
    ada = await town.person("ada")
    for name in ("api_key", "token", "access_token", "key"):
        response = await town.http.get(f"/v1/models?{name}={ada.access}")
        assert response.status_code == 401 and response.json()["error"]["message"] == REFUSED


async def test_a_key_is_shown_once_and_works_until_it_is_revoked(town: Town) -> None:
    ada = await town.person("ada")
    key = await ada.key()
    assert key.startswith("antk_") and len(key) > 45
    listed = (await ada.call("GET", "/v1/api_keys")).json()["data"]
    assert [one["id"] for one in listed] == [ada.keys[0]["id"]]
    assert key not in str(listed) and listed[0]["prefix"] == key[:9]
    headers = carry("bearer", key)
    assert (await town.http.get("/v1/models", headers=headers)).status_code == 200
    ended = await ada.call("DELETE", f"/v1/api_keys/{ada.keys[0]['id']}")
    assert ended.json()["deleted"] is True
    assert (await town.http.get("/v1/models", headers=headers)).status_code == 401
    assert (await ada.call("DELETE", f"/v1/api_keys/{ada.keys[0]['id']}")).status_code == 404


async def test_a_key_is_nothing_for_anybody_else(town: Town) -> None:
    ada, bob = await town.person("ada"), await town.person("bob")
    await ada.key()
    foreign = await bob.call("DELETE", f"/v1/api_keys/{ada.keys[0]['id']}")
    never = await bob.call("DELETE", "/v1/api_keys/key_" + "0" * 32)
    assert (foreign.status_code, never.status_code) == (404, 404)
    assert foreign.text.replace(ada.keys[0]["id"], "") == never.text.replace("key_" + "0" * 32, "")
    assert (await bob.call("GET", "/v1/api_keys")).json()["data"] == []


async def test_a_read_only_key_reads(town: Town) -> None:
    ada = await town.person("ada")
    headers = carry("x-api-key", await ada.key("read"))
    assert (await town.http.get("/v1/conversations", headers=headers)).status_code == 200
    for method, path in (
        ("POST", "/v1/conversations"),
        ("POST", "/v1/responses"),
        ("DELETE", "/v1/auth/sessions"),
    ):
        response = await town.http.request(method, path, json={}, headers=headers)
        assert response.status_code == 403, path
        assert response.json()["error"]["code"] == "insufficient_scope"


async def test_a_key_never_exceeds_who_makes_it(town: Town) -> None:
    ada, root = await town.person("ada"), await town.person("boss", role="admin")
    assert (await ada.call("POST", "/v1/api_keys", {"name": "x", "scopes": ["admin"]})).status_code == 403
    assert (await ada.call("POST", "/v1/api_keys", {"name": "x", "scopes": ["*"]})).status_code == 422
    assert (await root.call("POST", "/v1/api_keys", {"name": "x", "scopes": ["admin"]})).status_code == 201
    key = carry("bearer", await ada.key())
    made = await town.http.post("/v1/api_keys", json={"name": "successor"}, headers=key)
    assert (made.status_code, made.json()["error"]["code"]) == (403, "session_required")


async def test_administration_is_for_administrators(town: Town) -> None:
    ada, root = await town.person("ada"), await town.person("boss", role="admin")
    assert (await ada.call("GET", "/v1/admin/nowhere")).status_code in (403, 404)
    plain = carry("bearer", await root.key("read", "write"))
    from antiphon.api.authentication import permit
    from antiphon.domain.errors import Forbidden

    who = await town.world.application.credentials.authenticate(plain["authorization"][7:])
    for path in ("/v1/admin", "/v1/admin/users"):
        with pytest.raises(Forbidden):
            permit(who, {"type": "http", "method": "GET", "path": path})
    permit(who, {"type": "http", "method": "GET", "path": "/v1/administer"})


async def test_an_expired_key_is_refused(town: Town) -> None:
    ada = await town.person("ada")
    key = await ada.key(expires_in=600)
    assert (await town.http.get("/v1/models", headers=carry("bearer", key))).status_code == 200
    town.clock.forward(601)
    assert (await town.http.get("/v1/models", headers=carry("bearer", key))).status_code == 401


async def test_last_use_is_written_down(town: Town) -> None:
    ada = await town.person("ada")
    key = await ada.key()
    assert (await ada.call("GET", "/v1/api_keys")).json()["data"][0]["last_used_at"] is None
    await town.http.get("/v1/models", headers=carry("bearer", key))
    await town.world.application.credentials.remember_use()
    assert (await ada.call("GET", "/v1/api_keys")).json()["data"][0]["last_used_at"] is not None


async def test_a_refresh_token_is_good_once_and_shown_again_ends_the_family(town: Town) -> None:
    ada = await town.person("ada")
    first = dict(ada.tokens)
    assert (await ada.refresh()).status_code == 200
    assert (await ada.call("GET", "/v1/auth/me")).status_code == 200
    again = await town.http.post(
        "/token", json={"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    )
    assert (again.status_code, again.json()["error"]["message"]) == (401, REFUSED)
    assert (await ada.call("GET", "/v1/auth/me")).status_code == 401, "the thief's or the owner's: both end"
    assert (await ada.refresh()).status_code == 401


async def test_sessions_are_listed_and_ended_one_by_one_and_all_together(town: Town) -> None:
    ada, bob = await town.person("ada"), await town.person("bob")
    phone, tablet = await town.again(ada), await town.again(ada)
    listed = (await ada.call("GET", "/v1/auth/sessions")).json()
    assert len(listed["data"]) == 3 and sum(one["current"] for one in listed["data"]) == 1
    foreign = await bob.call("DELETE", f"/v1/auth/sessions/{phone.tokens['session_id']}")
    assert foreign.status_code == 404
    assert (await ada.call("DELETE", f"/v1/auth/sessions/{phone.tokens['session_id']}")).status_code == 200
    assert (await phone.call("GET", "/v1/auth/me")).status_code == 401
    assert (await tablet.call("GET", "/v1/auth/me")).status_code == 200
    assert (await ada.call("DELETE", "/v1/auth/sessions")).status_code == 200
    assert (await tablet.call("GET", "/v1/auth/me")).status_code == 401
    assert (await ada.call("GET", "/v1/auth/me")).status_code == 200
    assert (await bob.call("GET", "/v1/auth/me")).status_code == 200


async def test_a_new_password_ends_every_other_session(town: Town) -> None:
    ada = await town.person("ada")
    other, old = await town.again(ada), dict(ada.tokens)
    body = {"current_password": PASSWORD, "new_password": "another long password"}
    changed = await ada.call("POST", "/v1/auth/password", body)
    assert changed.status_code == 200, changed.text
    assert (await other.call("GET", "/v1/auth/me")).status_code == 401
    assert (await ada.call("GET", "/v1/auth/me")).status_code == 401, "also tokens made before the change"
    ada.tokens = changed.json()
    assert (await ada.call("GET", "/v1/auth/me")).status_code == 200
    assert (await log_in(town.http, "ada")).status_code == 401
    assert (await log_in(town.http, "ada", "another long password")).status_code == 200
    stale = {"grant_type": "refresh_token", "refresh_token": old["refresh_token"]}
    assert (await town.http.post("/token", json=stale)).status_code == 401


async def test_a_password_is_changed_by_whoever_knows_it_in_a_session(town: Town) -> None:
    ada = await town.person("ada")
    body = {"current_password": "wrong", "new_password": "another long password"}
    assert (await ada.call("POST", "/v1/auth/password", body)).status_code == 401
    key = carry("bearer", await ada.key())
    body["current_password"] = PASSWORD
    by_key = await town.http.post("/v1/auth/password", json=body, headers=key)
    assert (by_key.status_code, by_key.json()["error"]["code"]) == (403, "session_required")


@pytest.mark.parametrize(
    "password",
    ["short", "password1", "PASSWORD123", "aaaaaaaaaaaa", "adalovelace", "AdaLovelace12", "x" * 257],
)
async def test_a_password_that_is_guessed_first_is_refused(town: Town, password: str) -> None:
    ada = await town.person("adalovelace")
    body = {"current_password": PASSWORD, "new_password": password}
    response = await ada.call("POST", "/v1/auth/password", body)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "weak_password")
    assert password not in response.text


async def test_a_long_password_counts_to_its_last_character(town: Town) -> None:
    long = "ü" * 100 + "a passphrase" * 10 + "!"
    await town.account("ada", password=long)
    assert (await log_in(town.http, "ada", long)).status_code == 200
    assert (await log_in(town.http, "ada", long[:-1] + "?")).status_code == 401


async def test_the_operators_key_acts_as_the_local_owner(operated: Town) -> None:
    me = await operated.http.get("/v1/auth/me", headers=carry("x-api-key", "k" * 20 + "0123456789abcdef"))
    assert (me.json()["name"], me.json()["role"]) == ("local", "admin")


async def test_open_on_loopback_anything_but_ours_is_the_local_owner(api: Api) -> None:
    for headers in ({}, {"authorization": "Bearer sk-anything"}, {"x-api-key": "unused"}):
        assert (await api.call("GET", "/v1/auth/me", headers=headers))["name"] == "local"
    for token in ("antk_" + "x" * 43, "eyJ.eyJ.sig", ".."):
        await api.refused("GET", "/v1/auth/me", status=401, headers=carry("bearer", token))
    await api.refused("GET", "/v1/auth/me", status=401, headers=carry("cookie", "x.y.z"))


async def test_the_local_owner_makes_keys_that_work(api: Api) -> None:
    made = await api.call("POST", "/v1/api_keys", {"name": "laptop"}, status=201)
    assert (await api.call("GET", "/v1/auth/me", headers=carry("bearer", made["key"])))["name"] == "local"
    await api.call("DELETE", f"/v1/api_keys/{made['id']}")
    await api.refused("GET", "/v1/auth/me", status=401, headers=carry("bearer", made["key"]))


async def test_the_cookie_is_hard_to_misuse(town: Town) -> None:
    ada = await town.person("ada")
    response = await ada.call("POST", "/v1/auth/cookie")
    name, *attributes = response.headers["set-cookie"].split("; ")
    assert name.startswith(COOKIE + "=")
    assert {"Path=/", "HttpOnly", "Secure", "SameSite=Lax"} < set(attributes)
    value = name.partition("=")[2]
    for carrier in ("bearer", "x-api-key"):
        assert (await town.http.get("/v1/auth/me", headers=carry(carrier, value))).status_code == 401
    assert (await town.http.get("/v1/auth/me", headers=carry("cookie", ada.access))).status_code == 401
    key = await ada.key()
    assert (await town.http.get("/v1/auth/me", headers=carry("cookie", key))).status_code == 401


async def test_logging_out_ends_everything_of_the_session(town: Town) -> None:
    ada = await town.person("ada")
    value = await ada.cookie()
    out = await town.http.post("/v1/auth/logout", headers=carry("cookie", value))
    assert out.status_code == 200
    dropped = out.headers["set-cookie"]
    assert dropped.startswith(f"{COOKIE}=; Path=/; Max-Age=0;") and "Secure" in dropped
    assert (await town.http.get("/v1/auth/me", headers=carry("cookie", value))).status_code == 401
    assert (await ada.call("GET", "/v1/auth/me")).status_code == 401
    assert (await ada.refresh()).status_code == 401


async def test_no_session_is_chosen_by_the_client(town: Town) -> None:
    await town.account("ada")
    planted = {"cookie": f"{COOKIE}=planted; session_id=sess_{'0' * 32}"}
    body = {"username": "ada", "password": PASSWORD}
    first = (await town.http.post("/token", json=body, headers=planted)).json()
    second = (await town.http.post("/token", json=body, headers=planted)).json()
    assert len({first["session_id"], second["session_id"], f"sess_{'0' * 32}"}) == 3
    assert first["access_token"] != second["access_token"]
    for name in ("session_id", "sid", "id", "role", "epoch"):
        refused = await town.http.post("/token", json={**body, name: "x"})
        assert refused.status_code == 422, name


async def test_what_happened_is_on_record_without_secrets(town: Town) -> None:
    ada = await town.person("ada")
    key = await ada.key()
    await ada.call("POST", "/v1/auth/logout")
    rows: list[Any] = town.world.rows("SELECT action, actor_id, detail, target FROM audit ORDER BY id")
    assert [row[0] for row in rows] == ["session.open", "api_key.create", "session.revoke"]
    assert all(row[1] == ada.account.id for row in rows)
    for secret in (key, ada.access, PASSWORD):
        assert secret not in str(rows)


async def test_a_forged_page_cursor_is_no_fault(town: Town) -> None:
    ada = await town.person("ada")
    for path in ("/v1/api_keys", "/v1/auth/sessions"):
        for after in ("' OR 1=1--", "key_x", "\0", '{"$ne":null}', "sess_" + "f" * 32):
            began = time.monotonic()
            response = await ada.call("GET", path, params={"after": after})
            assert response.status_code in (200, 400) and time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("text/plain", b'{"username":"ada","password":"x"}', 400), ("", b"{}", 400),
        ("application/x-www-form-urlencoded", b"username=ada&username=bob&password=x", 422),
        ("application/x-www-form-urlencoded", b"username=ada&password=%ff", 422),
        ("application/x-www-form-urlencoded", b"&".join(b"f%d=x" % n for n in range(100_000)), 413),
        ("application/x-www-form-urlencoded", b"&".join(b"f%d=x" % n for n in range(100)), 422),
        ("application/x-www-form-urlencoded", b"username=ada&password=x&role=admin", 422),
        ("application/x-www-form-urlencoded", b"grant_type=client_credentials", 422),
        ("application/json", b'{"username":"ada"}', 422), ("application/json", b"[]", 422),
        ("application/json", b'{"username":{"$ne":null},"password":"x"}', 422),
        ("application/json", b"{", 400),
        ("application/json", b'{"username":"' + b"x" * 70_000 + b'","password":"x"}', 413),
        ("application/json", b'{"username":"ada","password":"\\u0000","scope":"admin"}', 401),
        ("application/json", b'{"username":"\' OR 1=1--","password":"x"}', 401),
    ],
)  # fmt: skip
async def test_what_is_no_login_is_refused_and_not_repeated(
    town: Town, content_type: str, body: bytes, status: int
) -> None:
    response = await town.http.post("/token", content=body, headers={"content-type": content_type})
    assert response.status_code == status, response.text
    assert response.json()["error"].keys() == {"message", "type", "param", "code"}
    assert len(response.content) < 300


async def test_tokens_are_kept_by_no_cache(town: Town) -> None:
    ada = await town.person("ada")
    for method, path in (("GET", "/v1/auth/me"), ("GET", "/v1/auth/sessions"), ("GET", "/v1/api_keys"),
                         ("POST", "/v1/auth/cookie"), ("DELETE", "/v1/auth/cookie")):  # fmt: skip
        assert (await ada.call(method, path)).headers["cache-control"] == "no-store", path
    assert (await town.http.get("/v1/auth/me")).headers["cache-control"] == "no-store"
