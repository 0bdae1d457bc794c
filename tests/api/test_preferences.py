"""What clients remember of an account: the same for all of them, and nobody else's."""

from __future__ import annotations

from antiphon.services.preferences import MAX_BYTES
from tests.api.people_fixtures import Town

PATH = "/v1/auth/preferences"


async def test_what_one_client_puts_the_next_one_finds(town: Town) -> None:
    ada, bob = await town.person("ada"), await town.person("bob")
    assert (await ada.call("GET", PATH)).json() == {"object": "preferences", "values": {}}
    nested = {"page": {"temperature": 0.2, "more": [None, True]}}
    for values in ({"instructions": "Be brief.\0 \u00e9"}, nested):
        put = await ada.call("PUT", PATH, {"values": values})
        assert put.json() == {"object": "preferences", "values": values}
        assert (await ada.call("GET", PATH)).json() == put.json()
    assert (await bob.call("GET", PATH)).json()["values"] == {}


async def test_what_is_too_large_or_no_object_is_refused_and_changes_nothing(town: Town) -> None:
    ada = await town.person("ada")
    await ada.call("PUT", PATH, {"values": {"a": 1}})
    refused = await ada.call("PUT", PATH, {"values": {"a": "x" * MAX_BYTES}})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "preferences_too_large")
    for body in ({"values": []}, {"values": None}, {}, {"values": {}, "more": 1}):
        assert (await ada.call("PUT", PATH, body)).status_code == 422, body
    assert (await ada.call("GET", PATH)).json()["values"] == {"a": 1}


async def test_a_key_that_may_only_read_changes_nothing(town: Town) -> None:
    ada = await town.person("ada")
    made = (await ada.call("POST", "/v1/api_keys", {"name": "r", "scopes": ["read"]})).json()["key"]
    headers = {"authorization": f"Bearer {made}"}
    assert (await town.http.get(PATH, headers=headers)).status_code == 200
    assert (await town.http.put(PATH, headers=headers, json={"values": {}})).status_code == 403
