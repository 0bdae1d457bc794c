"""Conversations, their items, and every list: shapes, pages, cursors."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.e2e.conformance.requests import MODEL, TOOL_MODEL, WEATHER_TOOL, create, said
from tests.e2e.conformance.shapes import (
    Conversation,
    DeletedConversation,
    ErrorBody,
    Item,
    ItemList,
    Response,
    parse,
)
from tests.e2e.sdk.launch import Server

WRITERS = 24
ITEMS: list[dict[str, Any]] = [
    said("system", "Be brief."),
    said("user", "one"),
    said(
        "user",
        [
            {"type": "input_text", "text": "two"},
            {"type": "input_image", "image_url": "https://example.org/x.png"},
        ],
    ),
    said("assistant", "three"),
    said("assistant", [{"type": "output_text", "text": "four", "annotations": []}], phase="commentary"),
    {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_1", "output": "five"},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "six"}]},
]


def make(http: httpx.Client, **body: Any) -> str:
    answer = http.post("/conversations", json=body)
    assert answer.status_code == 200, answer.text
    conversation: Conversation = parse(answer.content, Conversation)
    identifier: str = conversation.id
    return identifier


def page(http: httpx.Client, path: str, **params: Any) -> ItemList:
    answer = http.get(path, params=params)
    assert answer.status_code == 200, answer.text
    found: ItemList = parse(answer.content, ItemList)
    return found


def test_the_object_and_its_end(http: httpx.Client) -> None:
    made = make(http, metadata={"a": "b"})
    assert parse(http.get(f"/conversations/{made}").content, Conversation).metadata == {"a": "b"}
    changed = http.post(f"/conversations/{made}", json={"metadata": {"c": "d"}})
    assert parse(changed.content, Conversation).metadata == {"c": "d"}
    parse(http.delete(f"/conversations/{made}").content, DeletedConversation)
    assert http.get(f"/conversations/{made}").status_code == 404


def test_an_update_needs_metadata(http: httpx.Client) -> None:
    answer = http.post(f"/conversations/{make(http)}", json={})
    assert answer.status_code == 400
    assert parse(answer.content, ErrorBody).error.param == "metadata"


def test_every_kind_of_item_comes_back_whole(http: httpx.Client) -> None:
    made = make(http)
    added = http.post(f"/conversations/{made}/items", json={"items": ITEMS})
    assert added.status_code == 200, added.text
    listed = parse(added.content, ItemList)

    assert [item["type"] for item in added.json()["data"]] == [item["type"] for item in ITEMS]
    assert page(http, f"/conversations/{made}/items", order="asc").data == listed.data
    for item in listed.data:
        single = http.get(f"/conversations/{made}/items/{item.id}")
        assert parse(single.content, Item) == item


def test_the_server_makes_every_id(http: httpx.Client) -> None:
    wanted = "msg_" + "a" * 32
    made = make(http, items=[said("user", "one", id=wanted, status="completed")])
    (item,) = page(http, f"/conversations/{made}/items").data
    assert item.id != wanted


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 4, 9, 10, 100])
def test_pages_join_to_the_whole(http: httpx.Client, order: str, limit: int) -> None:
    made = make(http, items=[said("user", str(number)) for number in range(10)])
    path = f"/conversations/{made}/items"

    texts: list[str] = []
    after: dict[str, str] = {}
    while True:
        found = page(http, path, order=order, limit=limit, **after)
        texts += [item.content[0].text for item in found.data]
        assert len(found.data) <= limit
        if not found.has_more:
            break
        assert found.last_id is not None
        after = {"after": found.last_id}
    expected = [str(number) for number in range(10)]
    assert texts == (expected if order == "asc" else expected[::-1])


def test_a_new_conversation_has_an_empty_page(http: httpx.Client) -> None:
    found = page(http, f"/conversations/{make(http)}/items")
    assert (found.data, found.has_more) == ([], False)


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"order": "up"}])
def test_a_wrong_page_is_refused(http: httpx.Client, params: dict[str, Any]) -> None:
    answer = http.get(f"/conversations/{make(http)}/items", params=params)
    assert answer.status_code == 400
    assert parse(answer.content, ErrorBody).error.param == next(iter(params))


def test_a_cursor_from_elsewhere_is_refused(http: httpx.Client) -> None:
    elsewhere = page(http, f"/conversations/{make(http, items=[said('user', 'x')])}/items").last_id
    answer = http.get(f"/conversations/{make(http)}/items", params={"order": "asc", "after": elsewhere})
    assert answer.status_code in (400, 404)
    parse(answer.content, ErrorBody)


@pytest.mark.parametrize("items", [[], None, "one", [said("user", str(n)) for n in range(21)], [{}]])
def test_wrong_items_are_refused(http: httpx.Client, items: Any) -> None:
    answer = http.post(f"/conversations/{make(http)}/items", json={"items": items})
    assert answer.status_code == 400
    assert str(parse(answer.content, ErrorBody).error.param).startswith("items")


def test_a_removed_item_leaves_the_conversation_object(http: httpx.Client) -> None:
    made = make(http, items=[said("user", "one"), said("user", "two")])
    first = page(http, f"/conversations/{made}/items", order="asc").data[0]

    removed = http.delete(f"/conversations/{made}/items/{first.id}")
    assert parse(removed.content, Conversation).id == made
    assert [item.content[0].text for item in page(http, f"/conversations/{made}/items").data] == ["two"]


def test_a_turn_appears_when_it_is_answered(http: httpx.Client) -> None:
    made = make(http)
    body = {
        "model": "scripted/slow",
        "input": "tokens=3000 delay_ms=20",
        "conversation": made,
        "background": True,
    }
    running = http.post("/responses", json=body).json()["id"]
    assert page(http, f"/conversations/{made}/items").data == []
    http.post(f"/responses/{running}/cancel")

    create(http, input="Hello", conversation=made)
    texts = [item.content[0].text for item in page(http, f"/conversations/{made}/items", order="asc").data]
    assert texts[-2] == "Hello"


@pytest.mark.parametrize("what", ["turns", "items"])
async def test_many_writers_at_once_all_succeed(server: Server, http: httpx.Client, what: str) -> None:
    made = make(http)
    async with httpx.AsyncClient(base_url=server.base_url, timeout=30, trust_env=False) as many:

        async def write(number: int) -> httpx.Response:
            if what == "turns":
                body = {"model": MODEL, "input": str(number), "conversation": made}
                return await many.post("/responses", json=body)
            body = {"items": [said("user", str(number))]}
            return await many.post(f"/conversations/{made}/items", json=body)

        answers = await asyncio.gather(*(write(number) for number in range(WRITERS)))

    refused = [f"{answer.status_code}: {answer.text}" for answer in answers if answer.status_code != 200]
    assert refused == []
    if what == "turns":
        assert {parse(answer.content, Response).status for answer in answers} == {"completed"}


def test_input_items_of_a_response(http: httpx.Client) -> None:
    response = create(http, model=TOOL_MODEL, input=ITEMS[:5], tools=[WEATHER_TOOL])
    found = page(http, f"/responses/{response.id}/input_items", order="asc")
    assert len(found.data) == 5

    call = response.output[0]
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "18"}
    after = create(http, model=TOOL_MODEL, input=[output], previous_response_id=response.id)
    (item,) = page(http, f"/responses/{after.id}/input_items").data
    assert (item.call_id, item.output) == (call.call_id, "18")


def test_a_reference_stands_for_the_item(http: httpx.Client) -> None:
    made = make(http, items=[said("user", "The code word is iron.")])
    (item,) = page(http, f"/conversations/{made}/items").data
    for reference in ({"type": "item_reference", "id": item.id}, {"id": item.id}):
        response = create(http, model="scripted/echo", input=[reference, said("user", "recall 1")])
        assert response.output[0].content[0].text == "The code word is iron."


def test_metadata_stays_as_it_was(http: httpx.Client) -> None:
    made = make(http, metadata={"ключ": "значение"})
    assert http.get(f"/conversations/{made}").json()["metadata"] == {"ключ": "значение"}
    assert create(http, model=MODEL, input="Hello", metadata={"a": "ü"}).metadata == {"a": "ü"}
