"""`/v1/conversations` and its items."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.client import Api, text_of

KEYS = {
    "id", "object", "created_at", "metadata", "title", "updated_at", "active_branch_id", "revision", "kind",
    "forked_from_item_id", "expires_at", "pinned", "archived", "folder",
}  # fmt: skip
MISSING = "conv_" + "0" * 32


def message(text: str, role: str = "user") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": text}


async def test_a_conversation_is_created_read_changed_and_deleted(api: Api) -> None:
    made = await api.post(
        "/v1/conversations", {"items": [message("hi")], "metadata": {"a": "b"}, "title": "T"}
    )
    assert made.keys() == KEYS
    assert (made["object"], made["metadata"], made["title"], made["kind"]) == (
        "conversation",
        {"a": "b"},
        "T",
        "explicit",
    )
    path = f"/v1/conversations/{made['id']}"
    assert await api.get(path) == made
    changed = await api.post(path, {"metadata": {"c": "d"}})
    assert (changed["metadata"], changed["title"], changed["revision"]) == (
        {"c": "d"},
        "T",
        made["revision"] + 1,
    )
    changed = await api.post(path, {"title": "U"})
    assert (changed["metadata"], changed["title"]) == ({"c": "d"}, "U")
    changed = await api.post(path, {"title": None})
    assert (changed["metadata"], changed["title"]) == ({"c": "d"}, None)
    assert await api.get(path) == changed
    feed = (await api.get(f"{path}/events"))["data"]
    assert feed[-1]["data"] == {"title": None}
    assert await api.delete(path) == {"id": made["id"], "object": "conversation.deleted", "deleted": True}
    for method in ("GET", "DELETE"):
        await api.refused(method, path, status=404)
    await api.refused("POST", path, {"metadata": {}}, status=404)


async def test_a_body_may_be_absent_where_nothing_is_needed(api: Api) -> None:
    made = await api.call("POST", "/v1/conversations")
    assert made["metadata"] == {}
    assert (await api.get(f"/v1/conversations/{made['id']}/items")) == {
        "object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False,
    }  # fmt: skip


async def test_conversations_are_listed_newest_first_and_by_pages(api: Api) -> None:
    made = [await api.conversation() for _ in range(5)]
    for order in ("desc", "asc"):
        seen: list[str] = []
        after: dict[str, str] = {}
        while True:
            page = await api.get("/v1/conversations", limit=2, order=order, **after)
            seen += [one["id"] for one in page["data"]]
            if not page["has_more"]:
                break
            after = {"after": page["last_id"]}
        assert seen == sorted(made, reverse=order == "desc")


async def test_an_etag_lets_only_the_first_of_two_changes_through(api: Api) -> None:
    """A lost precondition is 412 by RFC 9110; 409 is for a state in the way of a request without one."""
    conversation = await api.conversation()
    path = f"/v1/conversations/{conversation}"
    etag = (await api.http.get(path)).headers["etag"]
    changed = await api.http.post(path, json={"title": "one"}, headers={"if-match": etag})
    assert changed.status_code == 200 and changed.headers["etag"] != etag
    error = await api.refused("POST", path, {"title": "two"}, status=412, headers={"if-match": etag})
    assert error["code"] == "stale_revision"
    assert (await api.get(path))["title"] == "one"
    await api.call("POST", path, {"title": "three"}, headers={"if-match": "*"})
    await api.refused("POST", path, {"title": "five"}, status=400, headers={"if-match": "what"})


async def test_the_etag_changes_with_everything_that_touches_the_conversation(api: Api) -> None:
    conversation = await api.conversation("u0")
    path = f"/v1/conversations/{conversation}"
    seen = {(await api.http.get(path)).headers["etag"]}
    for step in ("items", "turn", "branch"):
        if step == "items":
            await api.post(f"{path}/items", {"items": [message("x")]})
        elif step == "turn":
            await api.ask("hello", conversation=conversation)
        else:
            await api.post(f"{path}/branches", {"name": "side"})
        etag = (await api.http.get(path)).headers["etag"]
        assert etag not in seen
        seen.add(etag)


async def test_items_are_added_listed_read_and_deleted(api: Api) -> None:
    conversation = await api.conversation("one")
    path = f"/v1/conversations/{conversation}/items"
    added = await api.post(path, {"items": [message("two"), message("three", "assistant")]})
    assert [text_of(item) for item in added["data"]] == ["two", "three"]
    assert added["object"] == "list" and added["has_more"] is False
    listed = await api.get(path)
    assert [text_of(item) for item in listed["data"]] == ["three", "two", "one"]
    assert listed["data"][:2] == added["data"][::-1]
    two = added["data"][0]
    assert await api.get(f"{path}/{two['id']}") == two
    gone = await api.delete(f"{path}/{two['id']}")
    assert gone["id"] == conversation and gone["object"] == "conversation"
    await api.refused("GET", f"{path}/{two['id']}", status=404)
    await api.refused("DELETE", f"{path}/{two['id']}", status=404)
    assert await api.texts(conversation) == ["one", "three"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "items"),
        ({"items": []}, "items"),
        ({"items": [message("x")] * 21}, "items"),
        ({"items": "x"}, "items"),
        ({"items": [{"type": "message", "role": "king", "content": "x"}]}, "items[0].role"),
        ({"items": [{"type": "item_reference", "id": "msg_" + "0" * 32}]}, "items"),
        ({"items": [message("x")], "surprise": 1}, "surprise"),
    ],
)
async def test_items_that_cannot_be_added_are_refused_and_the_field_named(
    api: Api, body: Any, param: str
) -> None:
    conversation = await api.conversation()
    error = await api.refused("POST", f"/v1/conversations/{conversation}/items", body, status=400)
    assert error["param"] == param
    assert await api.texts(conversation) == []


@pytest.mark.parametrize(
    "body",
    [
        {"metadata": {"k" * 65: "v"}},
        {"metadata": {"k": "v" * 513}},
        {"metadata": {f"k{n}": "v" for n in range(17)}},
        {"metadata": {"k": 5}},
        {"metadata": []},
        {"items": [message("x")] * 21},
        {"surprise": 1},
        {"title": 5},
        [],
        "text",
        5,
    ],
)
async def test_a_conversation_with_wrong_fields_is_refused(api: Api, body: Any) -> None:
    await api.refused("POST", "/v1/conversations", body, status=400)
    assert (await api.get("/v1/conversations"))["data"] == []


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"order": "up"}, {"after": "msg_x"}]
)
async def test_a_page_that_cannot_be_is_refused_and_the_field_named(api: Api, query: dict[str, Any]) -> None:
    conversation = await api.conversation("one")
    error = await api.refused("GET", f"/v1/conversations/{conversation}/items", status=400, params=query)
    assert error["param"] == next(iter(query))


async def test_a_conversation_that_does_not_exist_is_the_same_404_everywhere(api: Api) -> None:
    foreign = "resp_" + "0" * 32
    for wire in (MISSING, foreign, "nonsense", "conv_" + "g" * 32):
        bodies = set()
        for method, suffix, body in (
            ("GET", "", None),
            ("POST", "", {"title": "x"}),
            ("DELETE", "", None),
            ("GET", "/items", None),
            ("POST", "/items", {"items": [message("x")]}),
            ("GET", "/items/msg_" + "0" * 32, None),
            ("GET", "/tree", None),
            ("GET", "/branches", None),
            ("POST", "/branches", {}),
            ("POST", "/fork", {}),
            ("GET", "/changes", None),
            ("POST", "/items/msg_" + "0" * 32 + "/edit", {"content": "x"}),
            ("POST", "/items/msg_" + "0" * 32 + "/regenerate", {}),
        ):
            error = await api.refused(method, f"/v1/conversations/{wire}{suffix}", body, status=404)
            bodies.add((error["message"], error["code"]))
        assert bodies == {(f"Conversation with id '{wire}' not found.", "not_found")}


async def test_a_turn_in_a_conversation_that_does_not_exist_is_404(api: Api) -> None:
    body = {"model": "hand/echo", "input": "x", "conversation": MISSING}
    await api.refused("POST", "/v1/responses", body, status=404)


async def test_a_conversation_may_have_an_end(api: Api) -> None:
    made = await api.post("/v1/conversations", {"expires_after": {"seconds": 3600}})
    assert made["expires_at"] - made["created_at"] in (3600, 3601)
    path = f"/v1/conversations/{made['id']}"
    kept = await api.post(path, {"title": "T"})
    assert (kept["title"], kept["expires_at"]) == ("T", made["expires_at"])
    longer = await api.post(path, {"expires_after": {"seconds": 7200}})
    assert 3590 <= longer["expires_at"] - made["expires_at"] <= 3700
    assert (await api.post(path, {"expires_after": None}))["expires_at"] is None
    assert (await api.get(path))["expires_at"] is None and (await api.get(path))["title"] == "T"
    for wrong in ({"seconds": 0}, {"seconds": -5}, {"seconds": 1.5}, {"days": 1}, 5, {"seconds": 10**10}):
        await api.refused("POST", "/v1/conversations", {"expires_after": wrong}, status=400)


async def test_a_sidebar_shows_what_was_used_last_what_is_pinned_and_what_is_put_away(api: Api) -> None:
    made = [(await api.post("/v1/conversations", {"title": f"t{n}"}))["id"] for n in range(5)]
    await api.ask("hello", conversation=made[1])
    assert (await api.get("/v1/conversations", sort="used", limit=2))["data"][0]["id"] == made[1]
    seen, after = [], None
    while True:
        page = await api.get("/v1/conversations", sort="used", limit=2, **({"after": after} if after else {}))
        seen += [one["id"] for one in page["data"]]
        after = page["next_cursor"]
        if after is None:
            break
    assert seen == [made[1], made[4], made[3], made[2], made[0]]
    pinned = await api.post(f"/v1/conversations/{made[0]}", {"pinned": True})
    assert (pinned["pinned"], pinned["archived"], pinned["title"]) == (True, False, "t0")
    await api.post(f"/v1/conversations/{made[2]}", {"archived": True})

    async def listed(**query: Any) -> list[str]:
        return [one["id"] for one in (await api.get("/v1/conversations", **query))["data"]]

    assert await listed(pinned=True) == [made[0]]
    assert await listed(sort="used", pinned=False, archived=False) == [made[1], made[4], made[3]]
    assert await listed(archived=True) == [made[2]]
    assert await listed(sort="used") == seen, "neither is a use"
    again = await api.post(f"/v1/conversations/{made[0]}", {"pinned": False, "title": "new"})
    assert (again["pinned"], again["title"]) == (False, "new")
    told = (await api.get(f"/v1/conversations/{made[0]}/changes"))["data"]
    assert [one["data"] for one in told] == [{"pinned": True}, {"title": "new", "pinned": False}]
    for query in ({"sort": "size"}, {"sort": "used", "after": made[0]}, {"sort": "used", "after": "1:x"}):
        await api.refused("GET", "/v1/conversations", status=400, params=query)
    await api.refused("GET", "/v1/conversations", status=400, params={"shared": True, "pinned": True})


async def test_conversations_are_kept_in_folders(api: Api) -> None:
    made = [(await api.post("/v1/conversations", {"title": f"t{n}"}))["id"] for n in range(3)]
    for talk in made[:2]:
        moved = await api.post(f"/v1/conversations/{talk}", {"folder": "Plans / 2026"})
        assert (moved["folder"], moved["title"]) == ("Plans / 2026", f"t{made.index(talk)}")

    async def listed(**query: Any) -> list[str]:
        return [one["id"] for one in (await api.get("/v1/conversations", **query))["data"]]

    assert await listed(folder="Plans / 2026", sort="used") == [made[1], made[0]]
    assert await listed(folder="") == [made[2]] and await listed(folder="plans") == []
    folders = (await api.get("/v1/folders"))["data"]
    assert [(one["name"], one["conversations"]) for one in folders] == [("Plans / 2026", 2)]
    assert (await api.post(f"/v1/conversations/{made[0]}", {"pinned": True}))["folder"] == "Plans / 2026"
    assert (await api.post(f"/v1/conversations/{made[0]}", {"folder": None}))["folder"] is None
    told = (await api.get(f"/v1/conversations/{made[0]}/changes"))["data"]
    assert [one["data"].get("folder", 0) for one in told] == ["Plans / 2026", 0, None]
    for wrong in ("", " x", "x ", "two\nlines", "a\0b", "x" * 101, 5, ["x"]):
        await api.refused("POST", f"/v1/conversations/{made[0]}", {"folder": wrong}, status=400)
    await api.refused("GET", "/v1/conversations", status=400, params={"shared": True, "folder": ""})
