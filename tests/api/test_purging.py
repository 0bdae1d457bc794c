"""`?purge=true`: what is asked to go goes, is counted, and is somebody's own."""

from __future__ import annotations

import base64
import os
from typing import Any

from tests.api.client import Api
from tests.api.people_fixtures import Town
from tests.services.hand import ECHO

MISSING = "0" * 32

BESIDE = {"passages": 0, "files": 0, "vector_stores": 0}
"""What else is counted: none of it belongs to a conversation."""


def picture(url: str) -> list[dict[str, Any]]:
    content = [{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": url}]
    return [{"type": "message", "role": "user", "content": content}]


def data_url() -> str:
    return "data:image/png;base64," + base64.b64encode(os.urandom(100_000)).decode()


def left(api: Api, table: str) -> int:
    ((count,),) = api.world.rows(f"SELECT COUNT(*) FROM {table}")
    return int(count)


def require_nothing_left(api: Api) -> None:
    for table in ("conversations", "branches", "segments", "items", "hidden_items", "conversation_changes"):
        assert left(api, table) == 0, table
    for table in ("runs", "run_chunks", "journal", "idempotency", "blobs", "blob_refs", "sweeps"):
        assert left(api, table) == 0, table
    assert not [path for path in (api.world.directory / "blobs").rglob("*") if path.is_file()]


async def test_a_purged_conversation_is_gone_and_the_answer_counts_what_went(api: Api) -> None:
    conversation, url = await api.conversation("first"), data_url()
    asked = await api.ask(picture(url), conversation=conversation)
    items = await api.get(f"/v1/conversations/{conversation}/items", order="asc")
    assert items["data"][1]["content"][1]["image_url"] == url
    gone = await api.delete(f"/v1/conversations/{conversation}?purge=true")
    assert gone == {
        "id": conversation,
        "object": "conversation.deleted",
        "deleted": True,
        "purged": {"conversations": 1, "items": 3, "responses": 1, "blobs": 1, **BESIDE},
    }
    for path in (f"conversations/{conversation}", f"responses/{asked['id']}"):
        await api.refused("GET", f"/v1/{path}", status=404)
        await api.refused("DELETE", f"/v1/{path}?purge=true", status=404)
    require_nothing_left(api)
    assert left(api, "ledger") == 1


async def test_without_purge_the_answer_to_a_deletion_is_openais(api: Api) -> None:
    conversation = await api.conversation("first")
    asked = await api.ask("hi")
    assert (await api.delete(f"/v1/conversations/{conversation}")).keys() == {"id", "object", "deleted"}
    assert (await api.delete(f"/v1/responses/{asked['id']}")).keys() == {"id", "object", "deleted"}


async def test_an_unknown_object_is_404_as_ever(api: Api) -> None:
    for path in (f"conversations/conv_{MISSING}", f"responses/resp_{MISSING}"):
        plain = await api.refused("DELETE", f"/v1/{path}", status=404)
        assert await api.refused("DELETE", f"/v1/{path}?purge=true", status=404) == plain
    path = f"/v1/chat/completions/chatcmpl-{MISSING}"
    await api.refused("DELETE", f"{path}?purge=true", status=404)
    await api.refused("DELETE", f"/v1/conversations/conv_{MISSING}?purge=perhaps", status=400)


async def test_a_purged_response_leaves_its_conversation_as_it_was(api: Api) -> None:
    conversation = await api.conversation()
    first = await api.ask("one", conversation=conversation)
    await api.ask("two", conversation=conversation)
    before = await api.get(f"/v1/conversations/{conversation}/items")
    gone = await api.delete(f"/v1/responses/{first['id']}?purge=true")
    assert gone["purged"] == {"conversations": 0, "items": 0, "responses": 1, "blobs": 0, **BESIDE}
    assert await api.get(f"/v1/conversations/{conversation}/items") == before
    assert left(api, "runs") == 1


async def test_the_last_response_of_a_chain_takes_its_items_along(api: Api) -> None:
    first = await api.ask("one")
    second = await api.ask(picture(data_url()), previous_response_id=first["id"])
    gone = await api.delete(f"/v1/responses/{second['id']}?purge=true")
    assert gone["purged"] == {"conversations": 0, "items": 2, "responses": 1, "blobs": 1, **BESIDE}
    conversation = first["antiphon"]["conversation_id"]
    assert await api.texts(conversation) == ["one", "re: one"]
    third = await api.ask("again", previous_response_id=first["id"])
    assert third["status"] == "completed"
    assert await api.texts(conversation) == ["one", "re: one", "again", "re: again"]


async def test_a_continued_response_leaves_its_items_to_who_continued_it(api: Api) -> None:
    first = await api.ask("one")
    await api.ask("two", previous_response_id=first["id"])
    gone = await api.delete(f"/v1/responses/{first['id']}?purge=true")
    assert gone["purged"]["items"] == 0
    conversation = first["antiphon"]["conversation_id"]
    assert await api.texts(conversation) == ["one", "re: one", "two", "re: two"]


async def test_a_purged_completion_is_gone_with_its_chain(api: Api) -> None:
    made = await api.chat({"role": "user", "content": "hello"}, store=True)
    gone = await api.delete(f"/v1/chat/completions/{made['id']}?purge=true")
    assert (gone["object"], gone["purged"]["items"]) == ("chat.completion.deleted", 2)
    require_nothing_left(api)


async def test_another_answer_to_the_same_question_outlives_a_purge(api: Api) -> None:
    question = {"role": "user", "content": "hello"}
    first, second = [await api.chat(question, store=True) for _ in range(2)]
    gone = await api.delete(f"/v1/chat/completions/{first['id']}?purge=true")
    assert gone["purged"] == {"conversations": 0, "items": 1, "responses": 1, "blobs": 0, **BESIDE}
    kept = await api.get(f"/v1/chat/completions/{second['id']}")
    assert kept["choices"][0]["message"]["content"] == "re: hello"
    messages = await api.get(f"/v1/chat/completions/{second['id']}/messages")
    assert [message["content"] for message in messages["data"]] == ["hello"]
    await api.delete(f"/v1/chat/completions/{second['id']}?purge=true")
    assert left(api, "runs") == 0


async def test_the_kept_answers_of_retries_go_too(api: Api) -> None:
    made = await api.post(
        "/v1/conversations", {"items": [{"role": "user", "content": "a"}]}, Idempotency_Key="a"
    )
    path = f"/v1/conversations/{made['id']}"
    await api.post(f"{path}/items", {"items": [{"role": "user", "content": "b"}]}, Idempotency_Key="b")
    await api.post(f"{path}/branches", {"name": "c"}, Idempotency_Key="c")
    await api.post(
        "/v1/responses", {"input": "d", "conversation": made["id"], "model": "hand/echo"}, Idempotency_Key="d"
    )
    other = await api.post("/v1/conversations", {}, Idempotency_Key="e")
    await api.delete(f"{path}?purge=true")
    assert api.world.rows("SELECT key FROM idempotency") == [("e",)]
    await api.get(f"/v1/conversations/{other['id']}")


async def test_a_purge_takes_along_what_is_kept_under_members_keys(town: Town) -> None:
    ada, bob = await town.person("ada"), await town.person("bob")
    made = await ada.call("POST", "/v1/conversations", {}, headers={"idempotency-key": "k"})
    path = f"/v1/conversations/{made.json()['id']}"
    joined = await ada.call("POST", f"{path}/members", {"user": "bob", "role": "editor"})
    assert joined.status_code == 201, joined.text
    other = await bob.call("POST", "/v1/conversations", {}, headers={"idempotency-key": "his own"})
    message = {"type": "message", "role": "user", "content": "CANARY"}
    turn = {"model": ECHO, "input": "CANARY", "conversation": made.json()["id"]}
    posts = [(f"{path}/items", {"items": [message]}), ("/v1/responses", turn)]
    for where, body in posts:
        answer = await bob.call("POST", where, body, headers={"idempotency-key": where})
        assert answer.status_code == 200, answer.text
    kept = "SELECT COUNT(*) FROM idempotency WHERE CAST(body AS TEXT) LIKE '%CANARY%'"
    assert town.world.rows(kept) == [(1,)]
    assert (await ada.call("DELETE", f"{path}?purge=true")).status_code == 200
    assert town.world.rows("SELECT key FROM idempotency") == [("his own",)]
    for where, body in posts:
        answer = await bob.call("POST", where, body, headers={"idempotency-key": where})
        assert answer.status_code == 404, "a retry finds nothing, and makes nothing"
    again = await bob.call("POST", "/v1/conversations", {}, headers={"idempotency-key": "his own"})
    assert again.json() == other.json()


async def test_what_a_removed_member_kept_goes_too_and_with_a_purged_answer(town: Town) -> None:
    ada, bob = await town.person("ada"), await town.person("bob")
    conversation = (await ada.call("POST", "/v1/conversations", {})).json()["id"]
    path = f"/v1/conversations/{conversation}"
    await ada.call("POST", f"{path}/members", {"user": "bob", "role": "editor"})
    turn = {"model": ECHO, "input": "hello", "conversation": conversation}
    answer = (await bob.call("POST", "/v1/responses", turn, headers={"idempotency-key": "a"})).json()
    items = {"items": [{"type": "message", "role": "user", "content": "CANARY"}]}
    await bob.call("POST", f"{path}/items", items, headers={"idempotency-key": "b"})
    assert (await ada.call("DELETE", f"/v1/responses/{answer['id']}?purge=true")).status_code == 200
    assert town.world.rows("SELECT key FROM idempotency") == [("b",)]
    assert (await ada.call("DELETE", f"{path}/members/bob")).status_code == 200
    assert (await ada.call("DELETE", f"{path}?purge=true")).status_code == 200
    assert town.world.rows("SELECT key FROM idempotency") == []
