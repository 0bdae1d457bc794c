"""What a person takes along is all of their conversations, nobody else's, made while it is sent."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from typing import Any

import pytest

from antiphon.storage.with_blobs import TreeWithBlobs
from tests.api.client import Api
from tests.api.people_fixtures import Town
from tests.harness.people import Person
from tests.services.hand import ECHO


async def tree(api: Api) -> tuple[str, str]:
    """A conversation of two turns, the second answered twice; and a fork of it."""
    talk = (await api.post("/v1/conversations", {"title": "Plans & such"}))["id"]
    await api.ask("one", conversation=talk)
    await api.ask("two", conversation=talk)
    items = (await api.get(f"/v1/conversations/{talk}/items", order="asc"))["data"]
    await api.post(f"/v1/conversations/{talk}/items/{items[3]['id']}/regenerate", {"model": ECHO})
    fork = await api.post(f"/v1/conversations/{talk}/fork", {"item_id": items[1]["id"], "title": "fork"})
    await api.ask("elsewhere", conversation=fork["id"])
    return talk, fork["id"]


def texts(exported: Any) -> dict[str, list[str]]:
    """The texts by the id of what they follow, the first by none."""
    found: dict[str, list[str]] = {}
    for item in exported["items"]:
        found.setdefault(str(item["antiphon"]["parent_id"]), []).append(item["content"][0]["text"])
    return found


async def test_a_conversation_is_exported_with_its_whole_tree(api: Api) -> None:
    talk, fork = await tree(api)
    response = await api.http.get(f"/v1/conversations/{talk}/export")
    assert "attachment" in response.headers["content-disposition"]
    exported = response.json()
    assert (exported["object"], exported["format"], exported["conversation"]["id"]) == (
        "conversation.export", 1, talk,
    )  # fmt: skip
    assert len(exported["branches"]) == 2
    ids = [item["id"] for item in exported["items"]]
    assert len(ids) == len(set(ids)) == 5
    for index, item in enumerate(exported["items"]):
        parent = item["antiphon"]["parent_id"]
        assert (parent is None) == (index == 0) and (parent is None or parent in ids[:index])
    told = texts(exported)
    assert told["None"] == ["one"] and told[ids[2]] == ["re: two", "re: two"]
    shared = (await api.http.get(f"/v1/conversations/{fork}/export")).json()
    assert [item["content"][0]["text"] for item in shared["items"]] == [
        "one", "re: one", "elsewhere", "re: elsewhere",
    ]  # fmt: skip
    assert [item["antiphon"]["parent_id"] for item in shared["items"][1:]] == [
        item["id"] for item in shared["items"][:-1]
    ]


async def test_who_said_a_message_in_a_room_is_told_with_its_place(api: Api) -> None:
    said = {"type": "message", "role": "user", "content": "hello", "antiphon": {"user_id": "Ann", "depth": 7}}
    talk = (await api.http.post("/v1/conversations", json={"items": [said]})).json()["id"]
    exported = (await api.http.get(f"/v1/conversations/{talk}/export")).json()
    listed = await api.http.get(f"/v1/conversations/{talk}/items", params={"include": "antiphon"})
    for item in (exported["items"][0], listed.json()["data"][0]):
        assert (item["antiphon"]["user_id"], item["antiphon"]["depth"]) == ("Ann", 0)


async def test_what_was_hidden_stays_behind_and_the_chain_closes(api: Api) -> None:
    talk = await api.conversation("a", "b", "c")
    items = (await api.get(f"/v1/conversations/{talk}/items", order="asc"))["data"]
    await api.delete(f"/v1/conversations/{talk}/items/{items[1]['id']}")
    exported = (await api.http.get(f"/v1/conversations/{talk}/export")).json()
    assert texts(exported) == {"None": ["a"], items[0]["id"]: ["c"]}


async def test_a_branch_that_left_where_something_was_deleted_hangs_on_what_is_shown_before(
    api: Api,
) -> None:
    talk = (await api.post("/v1/conversations", {}))["id"]
    await api.ask("one", conversation=talk)
    await api.ask("two", conversation=talk)
    items = (await api.get(f"/v1/conversations/{talk}/items", order="asc"))["data"]
    await api.delete(f"/v1/conversations/{talk}/items/{items[1]['id']}")
    await api.post(f"/v1/conversations/{talk}/items/{items[2]['id']}/edit", {"content": "too", "model": ECHO})
    exported = (await api.http.get(f"/v1/conversations/{talk}/export")).json()
    assert texts(exported)[items[0]["id"]] == ["two", "too"]
    assert texts(exported)["None"] == ["one"]
    await api.delete(f"/v1/conversations/{talk}/items/{items[0]['id']}")
    exported = (await api.http.get(f"/v1/conversations/{talk}/export")).json()
    assert texts(exported)["None"] == ["two", "too"]


async def test_the_active_branch_as_markdown(api: Api) -> None:
    talk, _ = await tree(api)
    response = await api.http.get(f"/v1/conversations/{talk}/export", params={"format": "markdown"})
    assert response.headers["content-type"] == "text/markdown; charset=utf-8"
    assert response.text == (
        f"# Plans & such\n\n## User\n\none\n\n## Assistant ({ECHO})\n\nre: one\n"
        f"\n## User\n\ntwo\n\n## Assistant ({ECHO})\n\nre: two\n"
    )
    calls = [
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": "```"}'},
        {"type": "function_call_output", "call_id": "c", "output": "done"},
    ]
    await api.post(f"/v1/conversations/{talk}/items", {"items": calls})
    text = (await api.http.get(f"/v1/conversations/{talk}/export", params={"format": "markdown"})).text
    assert text.endswith('## Tool call: f\n\n````\n{"a": "```"}\n````\n\n## Tool output\n\n```\ndone\n```\n')


async def test_everything_of_ones_own_and_nothing_of_others(town: Town) -> None:
    ann, bob = await town.person("ann"), await town.person("bob")
    for who, name in ((ann, "hers"), (bob, "his")):
        body = {"title": name, "items": [{"role": "user", "content": f"secret of {name}"}]}
        talk = (await who.call("POST", "/v1/conversations", body)).json()["id"]
        added = {"user": "bob" if who is ann else "ann", "role": "viewer"}
        await who.call("POST", f"/v1/conversations/{talk}/members", added)
    whole = await ann.call("GET", "/v1/export")
    assert "secret of his" not in whole.text
    exported = whole.json()
    assert exported["account"] == {"id": f"user_{ann.account.id}", "name": "ann"}
    assert [one["conversation"]["title"] for one in exported["conversations"]] == ["hers"]
    packed = await ann.call("GET", "/v1/export?format=zip")
    archive = zipfile.ZipFile(io.BytesIO(packed.content))
    assert archive.testzip() is None
    beside, *names = sorted(archive.namelist(), key=lambda name: (name != "account.json", name))
    assert len(names) == 2 and all("hers" in name for name in names)
    assert json.loads(archive.read(names[0])) == exported.pop("conversations")[0]
    assert archive.read(names[1]).decode() == "# hers\n\n## User\n\nsecret of hers\n"
    assert json.loads(archive.read(beside)) == exported


async def put_file(who: Person, name: str, content: bytes) -> str:
    """Upload a file; returns its id."""
    form: dict[str, Any] = {"data": {"purpose": "user_data"}, "files": {"file": (name, content)}}
    made = await who.http.post("/v1/files", headers=who.bearer, **form)
    return str(made.json()["id"])


async def test_files_stores_and_preferences_come_along(town: Town) -> None:
    ann, bob = await town.person("ann"), await town.person("bob")
    await put_file(bob, "his.txt", b"secret of his")
    notes = [await put_file(ann, f"../n\u00f6te {n}?.json", b'[{"n": %d}]' % n) for n in range(103)]
    body = {"name": "Harbour", "file_ids": notes[:101]}
    store = (await ann.call("POST", "/v1/vector_stores", body)).json()["id"]
    await ann.call("POST", f"/v1/vector_stores/{store}/files/{notes[0]}", {"attributes": {"year": 2026}})
    await ann.call("PUT", "/v1/auth/preferences", {"values": {"a": [1]}})
    exported = (await ann.call("GET", "/v1/export")).json()
    assert [one["id"] for one in exported["files"]] == notes
    assert exported["files"][0]["filename"] == "n\u00f6te 0?.json"
    (kept,) = exported["vector_stores"]
    assert kept["name"] == "Harbour" and [one["id"] for one in kept["files"]] == notes[:101]
    assert kept["files"][0]["attributes"] == {"year": 2026}
    assert (exported["conversations"], exported["preferences"]) == ([], {"a": [1]})
    packed = await ann.call("GET", "/v1/export?format=zip")
    archive = zipfile.ZipFile(io.BytesIO(packed.content))
    assert archive.testzip() is None
    names = [f"own-files/{one}-n\u00f6te {n}_.json" for n, one in enumerate(notes)]
    assert sorted(archive.namelist()) == sorted([*names, "account.json"])
    for number, name in enumerate(names):
        assert archive.read(name) == b'[{"n": %d}]' % number
    beside = json.loads(archive.read("account.json"))
    assert beside["vector_stores"][0].keys() == kept.keys() and beside["files"] == exported["files"]


async def test_one_whole_export_at_a_time(api: Api) -> None:
    with api.world.application.exports.whole(api.world.who):
        refused = await api.http.get("/v1/export")
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) > 0
    assert (await api.http.get("/v1/export")).status_code == 200
    assert (await api.http.get("/v1/export", params={"format": "zip"})).status_code == 200


async def test_a_long_one_is_read_in_slices(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    talk = await api.conversation()
    for start in range(0, 260, 20):
        items = [{"role": "user", "content": f"{start + n}"} for n in range(20)]
        await api.post(f"/v1/conversations/{talk}/items", {"items": items})
    sizes: list[int] = []
    read = TreeWithBlobs.items

    async def noted(self: Any, ranges: Any, conversation_id: str) -> Any:
        found = await read(self, ranges, conversation_id)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(TreeWithBlobs, "items", noted)
    exported = (await api.http.get(f"/v1/conversations/{talk}/export")).json()
    assert [item["content"][0]["text"] for item in exported["items"]] == [str(n) for n in range(260)]
    assert max(sizes) <= 100
    text = (await api.http.get(f"/v1/conversations/{talk}/export", params={"format": "markdown"})).text
    assert text.count("## User") == 260 and max(sizes) <= 100


async def test_exports_asked_for_at_once_are_sent_whole_or_refused(api: Api) -> None:
    """Whoever loses hears it in the status: a body never breaks off for another export."""
    for kind in ("json", "zip"):
        asked = [api.http.get(f"/v1/export?format={kind}") for _ in range(20)]
        answers = await asyncio.gather(*asked)
        assert {one.status_code for one in answers} <= {200, 429}
        whole = [one.content for one in answers if one.status_code == 200]
        assert whole and all(one.endswith(b"}}\n") or zipfile.is_zipfile(io.BytesIO(one)) for one in whole)
    assert (await api.http.get("/v1/export")).status_code == 200
