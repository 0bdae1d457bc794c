"""Every route that leads to a conversation or an answer, for everybody who may and may not go there.

Who has no access is told, byte for byte, what is told of an id that was never issued; a member whose
role is not enough is told 403; without a credential it is 401, and a key that only reads changes nothing.
A new route that is not decided here fails the first test.
"""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

from tests.api.people_fixtures import Town
from tests.api.shared_town import NEVER, ROLES, Shared, share
from tests.api.test_error_shape import routes
from tests.harness.error_shapes import code_of
from tests.harness.people import carry
from tests.services.hand import ECHO

C = "/v1/conversations/{conversation_id}"
R = "/v1/responses/{response_id}"
COMPLETION = "/v1/chat/completions/{completion_id}"
ITEM = [{"role": "user", "content": "x"}]

ROUTES: dict[tuple[str, str], tuple[str, Any]] = {
    ("GET", C): ("viewer", None),
    ("POST", C): ("editor", {"title": "t"}),
    ("DELETE", C): ("owner", None),
    ("GET", C + "/items"): ("viewer", None),
    ("POST", C + "/items"): ("editor", {"items": ITEM}),
    ("GET", C + "/items/{item_id}"): ("viewer", None),
    ("DELETE", C + "/items/{item_id}"): ("editor", None),
    ("GET", C + "/items/{item_id}/pictures/{picture_id}"): ("viewer", None),
    ("GET", C + "/items/{item_id}/siblings"): ("viewer", None),
    ("POST", C + "/items/{item_id}/edit"): ("editor", {"content": "x", "model": ECHO}),
    ("POST", C + "/items/{item_id}/regenerate"): ("editor", {"model": ECHO}),
    ("GET", C + "/tree"): ("viewer", None),
    ("GET", C + "/branches"): ("viewer", None),
    ("POST", C + "/branches"): ("editor", {}),
    ("GET", C + "/branches/{branch_id}"): ("viewer", None),
    ("POST", C + "/branches/{branch_id}"): ("editor", {"name": "n"}),
    ("DELETE", C + "/branches/{branch_id}"): ("editor", None),
    ("PUT", C + "/branches/{branch_id}/activate"): ("editor", None),
    ("POST", C + "/fork"): ("viewer", {}),
    ("GET", C + "/compare"): ("viewer", None),
    ("GET", C + "/changes"): ("viewer", None),
    ("GET", C + "/events"): ("viewer", None),
    ("GET", C + "/export"): ("viewer", None),
    ("POST", C + "/typing"): ("editor", {"typing": True}),
    ("POST", C + "/fan_out"): ("editor", {"models": [ECHO], "input": "x"}),
    ("GET", C + "/members"): ("viewer", None),
    ("POST", C + "/members"): ("owner", {"user": "newbie", "role": "viewer"}),
    ("GET", C + "/members/{user_id}"): ("viewer", None),
    ("PATCH", C + "/members/{user_id}"): ("owner", {"role": "editor"}),
    ("DELETE", C + "/members/{user_id}"): ("owner", None),
    ("GET", C + "/shares"): ("owner", None),
    ("POST", C + "/shares"): ("owner", {}),
    ("GET", C + "/shares/{share_id}"): ("owner", None),
    ("DELETE", C + "/shares/{share_id}"): ("owner", None),
    ("GET", C + "/vector_stores"): ("viewer", None),
    ("PUT", C + "/vector_stores"): ("owner", {"vector_store_ids": []}),
    ("GET", R): ("viewer", None),
    ("DELETE", R): ("editor", None),
    ("POST", R + "/cancel"): ("editor", None),
    ("GET", R + "/input_items"): ("viewer", None),
    ("GET", R + "/retrieval"): ("viewer", None),
    ("GET", R + "/usage"): ("viewer", None),
    ("PUT", R + "/rating"): ("editor", {"rating": "good"}),
    ("DELETE", R + "/rating"): ("editor", None),
    ("GET", COMPLETION): ("viewer", None),
    ("POST", COMPLETION): ("editor", {"metadata": {}}),
    ("DELETE", COMPLETION): ("owner", None),
    ("GET", COMPLETION + "/messages"): ("viewer", None),
    ("POST", "/conversation/completion/{conversation_id}"): ("editor", {"message": "x"}),
}
"""The role it takes, and a body."""

BODIES: dict[str, tuple[str, str, Any]] = {
    "a turn": ("editor", "/v1/responses", {"conversation": "{conversation_id}"}),
    "a stream": ("editor", "/v1/responses", {"conversation": "{conversation_id}", "stream": True}),
    "a turn in the background": (
        "editor",
        "/v1/responses",
        {"conversation": {"id": "{conversation_id}"}, "background": True},
    ),
    "a turn on a branch": (
        "editor",
        "/v1/responses",
        {"conversation": "{conversation_id}", "antiphon": {"branch_id": "{branch_id}"}},
    ),
    "a turn after an item": (
        "editor",
        "/v1/responses",
        {"conversation": "{conversation_id}", "antiphon": {"parent_id": "{item_id}"}},
    ),
    "a count": ("viewer", "/v1/responses/input_tokens", {"conversation": "{conversation_id}"}),
    "a next turn": ("editor", "/v1/responses", {"previous_response_id": "{response_id}"}),
    "a next turn for oneself": (
        "viewer",
        "/v1/responses",
        {"previous_response_id": "{response_id}", "store": False},
    ),
    "a count after an answer": (
        "viewer",
        "/v1/responses/input_tokens",
        {"previous_response_id": "{response_id}"},
    ),
    "a compaction": ("viewer", "/v1/responses/compact", {"previous_response_id": "{response_id}"}),
    "a reference": (
        "viewer",
        "/v1/responses",
        {"input": [{"type": "item_reference", "id": "{answer_id}"}], "store": False},
    ),
    "a message to a chat": (
        "editor",
        "/api/v1/messages/add-message",
        {"chat_id": "{conversation_id}", "question": "x"},
    ),
    "a message that is answered already": (
        "editor",
        "/api/v1/messages/add-message",
        {"chat_id": "{conversation_id}", "question": "x", "response": "y"},
    ),
    "a branch of a chat": (
        "owner",
        "/api/v1/branches/create-branch",
        {"chat_id": "{conversation_id}", "response_id": "{item_id}"},
    ),
    "a counted reference": (
        "viewer",
        "/v1/responses/input_tokens",
        {"input": [{"type": "item_reference", "id": "{answer_id}"}]},
    ),
}
"""Ids in bodies: the role it takes, the path, and the body without model and input."""

QUERIES = {
    C + "/compare": "?left={branch_id}&right={branch_id}",
    "/api/v1/chats/get-chat": "?chat_id={conversation_id}",
    "/api/v1/chats/delete-chat": "?chat_id={conversation_id}",
    "/api/v1/branches/get-branches": "?chat_id={conversation_id}",
}


@pytest.fixture
async def shared(town: Town) -> Shared:
    return await share(town)


def placed(s: Shared, text: str, *, never: bool = False, cancels: bool = False) -> str:
    """Fill in ids, or such as were never issued."""
    known = {"user_id": "guest"} | s.ids
    if cancels:
        known |= {"response_id": s.ids["running_id"], "upload_id": s.ids.get("open_upload_id", "")}

    def value(name: re.Match[str]) -> str:
        found = known[name[1]]
        return re.sub(r"[0-9a-f]{32}$", NEVER, found) if never else found

    return re.sub(r"\{(\w+)\}", value, text)


def filled(s: Shared, body: Any, **fields: Any) -> Any:
    return json.loads(re.sub(r"\{\w+_id\}", lambda m: placed(s, m[0], **fields), json.dumps(body)))


async def asked(s: Shared, role: str, route: tuple[str, str], *, never: bool = False) -> httpx.Response:
    method, path = route
    where = placed(s, path + QUERIES.get(path, ""), never=never, cancels=path.endswith("/cancel"))
    return await s.call(role, method, where, ROUTES[route][1])


async def asked_with(s: Shared, role: str, name: str, *, never: bool = False) -> httpx.Response:
    _, path, body = BODIES[name]
    usual = {"model": ECHO, "input": "x"}
    return await s.call(role, "POST", path, usual | filled(s, body, never=never))


def told(response: httpx.Response) -> tuple[Any, ...]:
    """Everything a caller sees of an answer, its ids blotted out."""
    passing = ("x-request-id", "date", "content-length")
    headers = sorted((name, value) for name, value in response.headers.items() if name not in passing)
    return response.status_code, re.sub(r"[0-9a-f]{32}", "…", response.text), headers


async def stored(s: Shared) -> list[Any]:
    tables = ("conversations", "items", "runs", "branches", "hidden_items", "conversation_members",
              "share_links", "segments")  # fmt: skip
    return [s.town.world.rows(f"SELECT * FROM {table} ORDER BY 1,2") for table in tables]


def test_every_route_is_decided() -> None:
    leading = {one for one in routes() if re.search(r"\{(conversation|response|completion)_id\}", one[1])}
    assert leading == ROUTES.keys()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: " ".join(route))
async def test_a_route_opens_to_its_role_and_to_no_lesser(shared: Shared, route: tuple[str, str]) -> None:
    need = ROUTES[route][0]
    before = await stored(shared)
    nobody = await asked(shared, "nobody", route)
    assert nobody.status_code == 401
    for role in ROLES[: ROLES.index(need)]:
        response = await asked(shared, role, route)
        assert response.status_code == (404 if role == "stranger" else 403), (role, response.text)
        assert "set-cookie" not in response.headers
    never = await asked(shared, "stranger", route, never=True)
    assert told(never) == told(await asked(shared, "stranger", route))
    if route[0] != "GET":
        key = await shared.people["owner"].key("read")
        where = placed(shared, route[1], cancels=route[1].endswith("/cancel"))
        reading = await shared.town.http.request(
            route[0], where, json=ROUTES[route][1], headers=carry("bearer", key)
        )
        assert (reading.status_code, code_of(reading.json())) == (403, "insufficient_scope")
    assert await stored(shared) == before
    opened = await asked(shared, need, route)
    assert opened.status_code in (200, 201), opened.text


@pytest.mark.parametrize("name", BODIES)
async def test_an_id_in_a_body_is_no_other_door(shared: Shared, name: str) -> None:
    need = BODIES[name][0]
    before = await stored(shared)
    assert (await asked_with(shared, "nobody", name)).status_code == 401
    for role in ROLES[: ROLES.index(need)]:
        response = await asked_with(shared, role, name)
        assert response.status_code in ((400, 404) if role == "stranger" else (403,)), response.text
        assert "data:" not in response.text
    never = await asked_with(shared, "stranger", name, never=True)
    assert told(never) == told(await asked_with(shared, "stranger", name))
    assert await stored(shared) == before
    opened = await asked_with(shared, need, name)
    assert opened.status_code in (200, 201), opened.text


async def test_a_stream_is_nobodys_by_its_id_alone(shared: Shared) -> None:
    path = f"/v1/responses/{shared.ids['running_id']}?stream=true"
    for headers in ({}, {"last-event-id": "0"}):
        response = await shared.call("stranger", "GET", path, headers=headers)
        assert response.status_code == 404 and "data:" not in response.text
    cancelled = await shared.call("stranger", "POST", f"/v1/responses/{shared.ids['running_id']}/cancel")
    assert cancelled.status_code == 404
    (await shared.town.world.hand.next()).answer("done")
    seen = await shared.call("viewer", "GET", path)
    assert seen.status_code == 200 and "response.completed" in seen.text


async def test_members_and_links_over_the_wire(shared: Shared) -> None:
    listed = await shared.made("viewer", "GET", f"{shared.conversation}/members")
    assert {one["name"]: one["role"] for one in listed["data"]} == {
        "ada": "owner", "ed": "editor", "vi": "viewer", "guest": "viewer",
    }  # fmt: skip
    assert listed["data"][0].keys() == {"id", "object", "name", "role", "created_at"}
    found = await shared.made("viewer", "GET", "/v1/conversations?shared=true")
    assert shared.ids["conversation_id"] in [one["id"] for one in found["data"]]
    assert {json.dumps(one["antiphon"]) for one in found["data"]} == {'{"owner": "ada", "role": "viewer"}'}
    assert (await shared.made("viewer", "GET", "/v1/conversations"))["data"] == []
    own = await shared.made("owner", "GET", shared.conversation)
    assert "antiphon" not in own
    left = await shared.made("viewer", "DELETE", f"{shared.conversation}/members/me")
    assert left["deleted"] is True
    assert (await shared.call("viewer", "GET", shared.conversation)).status_code == 404
    refused = await shared.call(
        "owner", "POST", f"{shared.conversation}/members", {"user": "vi", "role": "viewer", "is_owner": True}
    )
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "is_owner")


async def test_a_user_who_is_none_is_told_in_one_way(shared: Shared) -> None:
    await shared.town.account("gone", state="disabled")
    answers = set()
    for user in ("gone", "nobody-such"):
        body = {"user": user, "role": "viewer"}
        response = await shared.call("owner", "POST", f"{shared.conversation}/members", body)
        answers.add((response.status_code, response.text.replace(user, "…")))
    assert len(answers) == 1 and answers.pop()[0] == 404


async def test_a_fork_by_a_viewer_is_the_viewers(shared: Shared) -> None:
    made = await shared.made("viewer", "POST", f"{shared.conversation}/fork", {"title": "mine"})
    for role in ("owner", "editor", "stranger"):
        assert (await shared.call(role, "GET", f"/v1/conversations/{made['id']}")).status_code == 404
    await shared.made("owner", "DELETE", shared.conversation)
    listed = await shared.made("viewer", "GET", f"/v1/conversations/{made['id']}/items?order=asc")
    texts = [item["content"][0]["text"] for item in listed["data"]]
    assert texts == ["hello", "re: hello"]


async def test_a_removed_member_gets_no_replay_of_what_it_made(shared: Shared) -> None:
    editor = shared.people["editor"]
    for path, body in (
        (f"{shared.conversation}/items", {"items": ITEM}),
        (f"{shared.conversation}/branches", {"name": "mine"}),
        ("/v1/responses", {"model": ECHO, "input": "x", "conversation": shared.ids["conversation_id"]}),
    ):
        key = {"idempotency-key": path}
        assert (await editor.call("POST", path, body, headers=key)).status_code == 200
        assert (await editor.call("POST", path, body, headers=key)).status_code == 200
    await shared.made("owner", "DELETE", f"{shared.conversation}/members/ed")
    for path, body in (
        (f"{shared.conversation}/items", {"items": ITEM}),
        (f"{shared.conversation}/branches", {"name": "mine"}),
        ("/v1/responses", {"model": ECHO, "input": "x", "conversation": shared.ids["conversation_id"]}),
    ):
        again = await editor.call("POST", path, body, headers={"idempotency-key": path})
        assert again.status_code == 404, path


# --- share links


async def test_a_link_is_read_without_a_credential_and_shows_no_more_than_it_says(shared: Shared) -> None:
    path = f"/v1/shared/{shared.ids['token']}"
    seen = await shared.call("nobody", "GET", path)
    assert seen.status_code == 200
    assert seen.json().keys() == {"object", "title", "item_count", "updated_at", "expires_at"}
    assert seen.json()["title"] == "plans"
    items = await shared.call("nobody", "GET", f"{path}/items")
    assert [item["content"][0]["text"] for item in items.json()["data"]] == ["hello", "re: hello"]
    for response in (seen, items):
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert response.headers["x-robots-tag"] == "noindex"
        owner = shared.people["owner"].account.id
        for secret in (owner, "metadata", '"ada"', shared.ids["conversation_id"]):
            assert secret not in response.text
    listed = await shared.made("owner", "GET", f"{shared.conversation}/shares")
    assert shared.ids["token"] not in json.dumps(listed) and listed["data"][0]["token"] is None


async def read(s: Shared, token: str) -> list[httpx.Response]:
    """What nobody sees by a token."""
    return [await s.call("nobody", "GET", f"/v1/shared/{token}{end}") for end in ("", "/items")]


async def test_links_that_show_nothing_are_told_in_one_way(shared: Shared) -> None:
    links = f"{shared.conversation}/shares"
    answers = await read(shared, "ants_" + "A" * 43)
    await shared.made("owner", "DELETE", f"{links}/{shared.ids['share_id']}")
    answers += await read(shared, shared.ids["token"])
    short = await shared.made("owner", "POST", links, {"expires_in": 600})
    assert (await read(shared, short["token"]))[0].status_code == 200
    shared.town.clock.forward(601)
    answers += await read(shared, short["token"])
    lasting = await shared.made("owner", "POST", links, {})
    await shared.made("owner", "DELETE", shared.conversation)
    answers += await read(shared, lasting["token"])
    assert len({str(told(one)) for one in answers}) == 1
    assert answers[0].status_code == 404 and answers[0].headers["referrer-policy"] == "no-referrer"


async def test_a_retried_link_is_made_once_and_its_secret_kept_nowhere(shared: Shared) -> None:
    path, key = f"{shared.conversation}/shares", {"idempotency-key": "k"}
    first = await shared.people["owner"].call("POST", path, {}, headers=key)
    again = await shared.people["owner"].call("POST", path, {}, headers=key)
    assert first.json() | {"token": None} == again.json()
    kept = shared.town.world.rows("SELECT body FROM idempotency WHERE key='k'")
    assert first.json()["token"].encode() not in kept[0][0]
