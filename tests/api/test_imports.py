"""`POST /v1/imports`: an uploaded export comes in line by line; what is no export is refused before."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.api.client import Api
from tests.api.documents import upload
from tests.domain.exports import ROOT, exported, node
from tests.services.hand import ECHO

PIXEL = base64.b64decode(
    b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def export(*numbers: int) -> bytes:
    return json.dumps([
        exported(ROOT, node("u", "root", "user", f"text {n}"), node("a", "u", "assistant", "Yes."),
                 conversation_id=f"c{n}", title=f"{n}")
        for n in numbers
    ]).encode()  # fmt: skip


async def imported(api: Api, file: Any, **fields: Any) -> list[dict[str, Any]]:
    response = await api.http.post("/v1/imports", json={"file_id": file["id"], **fields})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


async def test_each_conversation_is_a_line_and_the_last_is_the_sum(api: Api) -> None:
    file = await upload(api, export(1, 2), name="conversations.json", purpose="user_data")
    first, second, last = await imported(api, file)
    assert first == {
        "object": "import.conversation", "title": "1", "state": "new", "messages": 2, "added": 2,
        "branches": 1, "notes": [], "conversation_id": first["conversation_id"],
    }  # fmt: skip
    assert last == {
        "object": "import", "new": 2, "grown": 0, "same": 0, "empty": 0, "left": 0, "failed": 0, "added": 4,
    }  # fmt: skip
    items = await api.get(f"/v1/conversations/{second['conversation_id']}/items", order="asc")
    assert [one["content"][0]["text"] for one in items["data"]] == ["text 2", "Yes."]
    assert items["data"][0]["imported"]["from"] == "chatgpt"
    found = await api.get(f"/v1/conversations/{second['conversation_id']}")
    assert (found["title"], found["created_at"]) == ("2", 1_700_000_000)
    assert found["metadata"]["imported_from"] == "chatgpt"
    *_, again = await imported(api, file, kind="chatgpt")
    assert (again["same"], again["added"]) == (2, 0)


async def test_notes_name_the_file_as_it_was_uploaded(api: Api) -> None:
    file = await upload(api, b'[7,{"mapping":{},"create_time":1}]', name="mine.json")
    first, *_ = await imported(api, file)
    assert (first["state"], first["title"]) == ("failed", "number 1 in mine.json")


async def test_what_is_said_here_afterwards_can_be_exported_again(api: Api) -> None:
    file = await upload(api, export(1))
    first, *_ = await imported(api, file)
    conversation = first["conversation_id"]
    answer = await api.post(
        "/v1/responses", {"model": "scripted/echo", "input": "More", "conversation": conversation}
    )
    assert answer["status"] == "completed"
    items = (await api.get(f"/v1/conversations/{conversation}/items", order="asc"))["data"]
    again = await api.post("/v1/conversations", {"items": items})
    copied = (await api.get(f"/v1/conversations/{again['id']}/items", order="asc"))["data"]
    assert [one["content"] for one in copied] == [one["content"] for one in items]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "missing_required_parameter"), ({"file_id": 7}, 400, None),
        ({"file_id": "file-" + "0" * 32}, 404, None), ({"file_id": "mine", "kind": "myspace"}, 400, None),
        ({"file_id": "mine", "path": "/etc/passwd"}, 400, None),
    ],
)  # fmt: skip
async def test_bodies_that_are_none(api: Api, body: dict[str, Any], status: int, code: str | None) -> None:
    file = await upload(api, export(1))
    body = body | ({"file_id": file["id"]} if body.get("file_id") == "mine" else {})
    error = await api.refused("POST", "/v1/imports", body, status=status)
    assert code is None or error["code"] == code


@pytest.mark.parametrize("content", [b"hello", b"[]", b"PK\x03\x04 no archive", b'{"a":1}'])
async def test_what_is_no_export_is_refused(api: Api, content: bytes) -> None:
    file = await upload(api, content)
    error = await api.refused("POST", "/v1/imports", {"file_id": file["id"]}, status=400)
    assert (error["code"], error["param"]) == ("invalid_export", "file_id")


def shape(exported: Any) -> list[tuple[str, str | None, str | None]]:
    """Each message with the text it follows and who said it, in the order of their texts."""
    words = {one["id"]: one["content"][0]["text"] for one in exported["items"]}
    told = [
        (words[one["id"]], words.get(one["antiphon"]["parent_id"]), one["role"]) for one in exported["items"]
    ]
    return sorted(told, key=str)


async def test_files_that_messages_name_come_in_with_the_archive_and_are_no_chats(api: Api) -> None:
    talk = (await api.post("/v1/conversations", {"title": "Pictures"}))["id"]
    await api.post(f"/v1/conversations/{talk}", {"folder": "Work"})
    picture = (await upload(api, PIXEL, name="pixel.png"))["id"]
    await upload(api, (await api.http.get(f"/v1/conversations/{talk}/export")).content, name="chat.json")
    shown = [{"type": "input_text", "text": "look"}, {"type": "input_image", "file_id": picture}]
    await api.post(f"/v1/conversations/{talk}/items", {"items": [{"role": "user", "content": shown}]})
    taken = (await api.http.get("/v1/export?format=zip")).content
    await api.http.delete(f"/v1/conversations/{talk}")
    first, last = await imported(api, await upload(api, taken, name="mine.zip"))
    assert (last["new"], last["failed"]) == (1, 0)
    (item,) = (await api.get(f"/v1/conversations/{first['conversation_id']}/items"))["data"]
    (found,) = [part["file_id"] for part in item["content"] if part.get("file_id")]
    assert found != picture
    assert (await api.get(f"/v1/conversations/{first['conversation_id']}"))["folder"] == "Work"
    assert (await api.http.get(f"/v1/files/{found}/content")).content == PIXEL


async def test_what_is_noted_of_a_conversation_and_items_of_any_type_come_back(api: Api) -> None:
    search = {"type": "web_search_call", "action": {"query": "x"}, "status": "completed"}
    half = {"type": "message", "role": "assistant", "content": "ha", "status": "incomplete"}
    body = {
        "title": "Noted",
        "metadata": {"topic": "garden"},
        "items": [search, {"type": "odd", "a": [1]}, half],
    }
    talk = (await api.post("/v1/conversations", body))["id"]
    taken = (await api.http.get(f"/v1/conversations/{talk}/export")).content
    await api.http.delete(f"/v1/conversations/{talk}")
    first, _ = await imported(api, await upload(api, taken, name="mine.json"))
    assert (first["state"], first["notes"]) == ("new", [])
    path = f"/v1/conversations/{first['conversation_id']}"
    items = (await api.get(f"{path}/items", order="asc"))["data"]
    assert [(one["type"], one["status"]) for one in items] == [
        ("web_search_call", "completed"), ("odd", "completed"), ("message", "incomplete"),
    ]  # fmt: skip
    assert (items[0]["action"], items[1]["a"]) == ({"query": "x"}, [1])
    assert (await api.get(path))["metadata"] == {
        "imported_from": "antiphon", "imported_id": talk, "topic": "garden",
    }  # fmt: skip
    answer = {"model": ECHO, "input": "More", "conversation": first["conversation_id"]}
    assert (await api.post("/v1/responses", answer))["status"] == "completed"
    *_, again = await imported(api, await upload(api, taken, name="again.json"))
    assert (again["same"], again["added"]) == (1, 0)


@pytest.mark.parametrize("way", ["one", "everything", "zip"])
async def test_what_one_took_along_from_an_antiphon_comes_in_with_all_its_branches(
    api: Api, way: str
) -> None:
    talk = (await api.post("/v1/conversations", {"title": "Plans [1]"}))["id"]
    await api.ask("one", conversation=talk)
    await api.ask("two", conversation=talk)
    items = (await api.get(f"/v1/conversations/{talk}/items", order="asc"))["data"]
    await api.post(f"/v1/conversations/{talk}/items/{items[2]['id']}/edit", {"content": "too", "model": ECHO})
    paths = {"one": f"/v1/conversations/{talk}/export", "everything": "/v1/export"}
    taken = await api.http.get(paths.get(way, "/v1/export?format=zip"))
    before = (await api.http.get(paths["one"])).json()
    file = await upload(api, taken.content, name=f"mine.{'zip' if way == 'zip' else 'json'}")
    here, last = await imported(api, file)
    assert (here["state"], here["conversation_id"], last["added"]) == ("same", talk, 0)  # it never left
    await api.http.delete(f"/v1/conversations/{talk}")
    first, last = await imported(api, file)
    assert (first["title"], first["state"]) == ("Plans [1]", "new")
    assert (first["messages"], first["branches"]) == (6, 2)
    assert (last["new"], last["failed"]) == (1, 0)
    after = (await api.http.get(f"/v1/conversations/{first['conversation_id']}/export")).json()
    assert shape(after) == shape(before)
    shown = (await api.get(f"/v1/conversations/{first['conversation_id']}/items", order="asc"))["data"]
    assert [one["content"][0]["text"] for one in shown] == ["one", "re: one", "too", "re: too"]
    assert shown[1]["imported"]["model"] == ECHO
    assert (await api.get(f"/v1/conversations/{first['conversation_id']}"))["created_at"] == (
        before["conversation"]["created_at"]
    )
    *_, again = await imported(api, file)
    assert (again["same"], again["added"]) == (1, 0)
