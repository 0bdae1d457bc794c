"""`/v1/responses`: what is not stored, what is continued, and what is put in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.domain import ids
from tests.api.client import Api, text_of
from tests.services.hand import ECHO, HAND, PATIENCE_SECONDS

FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
MISSING = "resp_" + "0" * 32


# --- store: false


async def test_an_answer_that_is_not_stored_leaves_nothing_but_its_ledger_line(api: Api) -> None:
    answer = await api.ask("hello", store=False)
    assert (answer["status"], answer["store"], answer["antiphon"]) == ("completed", False, None)
    await api.refused("GET", f"/v1/responses/{answer['id']}", status=404)
    await api.refused("DELETE", f"/v1/responses/{answer['id']}", status=404)
    error = await api.refused(
        "POST",
        "/v1/responses",
        {"model": ECHO, "input": "x", "previous_response_id": answer["id"]},
        status=400,
    )
    assert error["code"] == "previous_response_not_found"
    for table in ("runs", "items", "conversations", "journal"):
        assert api.world.rows(f"SELECT COUNT(*) FROM {table}") == [(0,)]
    await api.conversation()  # a write behind the ledger's
    assert api.world.rows("SELECT COUNT(*) FROM ledger") == [(1,)]


async def test_an_answer_that_is_not_stored_can_continue_a_stored_one(api: Api) -> None:
    first = await api.ask("one")
    begun = asyncio.create_task(api.ask("two", model=HAND, store=False, previous_response_id=first["id"]))
    call = await api.world.hand.next()
    assert call.prompts == ["user:one", "assistant:re: one", "user:two"]
    call.answer("ok")
    assert (await begun)["store"] is False


@pytest.mark.parametrize("fields", [{"conversation": "?"}, {"background": True}])
async def test_store_false_excludes_a_conversation_and_the_background(
    api: Api, fields: dict[str, Any]
) -> None:
    if "conversation" in fields:
        fields = {"conversation": await api.conversation()}
    await api.refused(
        "POST", "/v1/responses", {"model": ECHO, "input": "x", "store": False, **fields}, status=400
    )


@pytest.mark.parametrize("streamed", [True, False])
async def test_an_answer_that_is_not_stored_dies_with_its_client(
    served: tuple[Api, int], streamed: bool
) -> None:
    api, _ = served
    body = {"model": HAND, "input": "hello", "store": False, "stream": streamed}
    asking = asyncio.create_task(api.http.post("/v1/responses", json=body))
    call = await api.world.hand.next()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await asyncio.wait_for(call.closed.wait(), PATIENCE_SECONDS)


# --- continuing


async def test_conversation_and_previous_response_id_exclude_each_other(api: Api) -> None:
    first = await api.ask("one")
    conversation = await api.conversation()
    body = {"model": ECHO, "input": "x", "conversation": conversation, "previous_response_id": first["id"]}
    assert (await api.refused("POST", "/v1/responses", body, status=400))["param"] == "previous_response_id"


async def test_a_running_response_cannot_be_continued(api: Api) -> None:
    begun = await api.ask("one", model=HAND, background=True)
    body = {"model": ECHO, "input": "x", "previous_response_id": begun["id"]}
    error = await api.refused("POST", "/v1/responses", body, status=400)
    assert (error["code"], error["param"]) == ("previous_response_not_finished", "previous_response_id")
    (await api.world.hand.next()).answer("ok")


@pytest.mark.parametrize("wire", [MISSING, "resp_nonsense", "", "conv_" + "0" * 32])
async def test_an_unknown_previous_response_is_refused_by_name(api: Api, wire: str) -> None:
    body = {"model": ECHO, "input": "x", "previous_response_id": wire}
    error = await api.refused("POST", "/v1/responses", body, status=400)
    assert (error["code"], error["param"]) == ("previous_response_not_found", "previous_response_id")


async def test_a_response_in_a_conversation_says_where_it_stands(api: Api) -> None:
    conversation = await api.conversation("u0")
    for named in (conversation, {"id": conversation}):
        answer = await api.ask("hello", conversation=named)
        assert answer["conversation"] == {"id": conversation}
        told = answer["antiphon"]
        assert told.keys() == {"conversation_id", "branch_id", "parent_id", "input_item_ids"}
        assert told["conversation_id"] == conversation
        branch = await api.get(f"/v1/conversations/{conversation}/branches/{told['branch_id']}")
        assert branch["active"] is True
        item = await api.get(f"/v1/conversations/{conversation}/items/{told['input_item_ids'][0]}")
        assert text_of(item) == "hello"


async def test_what_would_be_left_out_is_refused_if_nothing_may_be(api: Api) -> None:
    window = api.world.application.models.resolve(HAND).context_tokens
    conversation = await api.conversation("oldest", "x" * (window * 2))  # half of it, four characters a token
    body = {"model": HAND, "input": "?", "conversation": conversation, "truncation": "disabled"}
    asking = asyncio.create_task(api.post("/v1/responses", {**body, "max_output_tokens": window // 4}))
    call = await api.world.hand.next()
    assert call.prompts[0] == "user:oldest" and len(call.prompts) == 3
    call.answer("all of it")
    assert (await asking)["truncation"] == "disabled"
    more = [{"type": "message", "role": "user", "content": "y" * (window * 6 // 5)}]  # three tenths of it
    await api.post(f"/v1/conversations/{conversation}/items", {"items": more})
    for answer in ({}, {"max_output_tokens": window // 2}):
        asked = {**body, "model": ECHO, **answer}
        error = await api.refused("POST", "/v1/responses", asked, status=400)
        assert (error["code"], error["param"]) == ("context_length_exceeded", "input")
    asking = asyncio.create_task(api.post("/v1/responses", {**body, "truncation": "auto"}))
    call = await api.world.hand.next()
    assert "user:oldest" not in call.prompts
    call.answer("the rest")
    await asking


async def test_a_tools_output_that_comes_late_or_twice_blocks_no_conversation(api: Api) -> None:
    conversation = await api.conversation("u0")
    call = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "seen"}
    for item in (call, {"type": "message", "role": "user", "content": "u1"}, output, output):
        await api.post(f"/v1/conversations/{conversation}/items", {"items": [item]})
    asking = asyncio.create_task(api.ask("u2", model=HAND, conversation=conversation))
    asked = await api.world.hand.next()
    assert [one["role"] for one in asked.request.messages] == ["user", "assistant", "tool", "user", "user"]
    asked.answer("ok")
    await asking


# --- items


async def test_the_input_of_a_response_is_listed_by_pages(api: Api) -> None:
    items = [{"role": "user", "content": f"i{n}"} for n in range(5)]
    answer = await api.ask(items)
    path = f"/v1/responses/{answer['id']}/input_items"
    for order in ("asc", "desc"):
        seen: list[str] = []
        after: dict[str, str] = {}
        while True:
            page = await api.get(path, limit=2, order=order, **after)
            seen += [text_of(item) for item in page["data"]]
            assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
            if not page["has_more"]:
                break
            after = {"after": page["last_id"]}
        assert seen == [f"i{n}" for n in range(5)][:: 1 if order == "asc" else -1]
    await api.refused("GET", path, status=400, params={"after": "msg_" + "0" * 32})


async def test_an_item_reference_takes_over_an_item_the_caller_may_read(api: Api) -> None:
    conversation = await api.conversation("remember this")
    page = await api.get(f"/v1/conversations/{conversation}/items")
    reference = {"type": "item_reference", "id": page["data"][0]["id"]}
    asking = asyncio.create_task(api.ask([reference, {"role": "user", "content": "what?"}], model=HAND))
    call = await api.world.hand.next()
    assert call.prompts == ["user:remember this", "user:what?"]
    call.answer("this")
    answer = await asking
    listed = await api.get(f"/v1/responses/{answer['id']}/input_items", order="asc")
    assert [text_of(item) for item in listed["data"]] == ["remember this", "what?"]
    gone = [{"type": "item_reference", "id": "msg_" + "0" * 32}]
    error = await api.refused("POST", "/v1/responses", {"model": ECHO, "input": gone}, status=404)
    assert error["param"] == "input[0].id"


async def test_an_item_of_unknown_type_is_kept_verbatim(api: Api) -> None:
    thing = {
        "type": "thing_of_tomorrow",
        "z": [1.5, None, {"b": "\u2028", "a": "\0", "$x.y": True}],
        "a": "é",
    }
    answer = await api.ask([thing, {"role": "user", "content": "hello"}])
    page = await api.get(f"/v1/responses/{answer['id']}/input_items", order="asc")
    kept = dict(page["data"][0])
    assert ids.parse_item(kept.pop("id"))
    kept.pop("status")
    assert kept == thing and list(kept) == list(thing)


async def test_a_part_that_no_model_could_be_shown_is_refused_wherever_it_is_put_in(
    api: Api,
) -> None:
    content = [
        {"type": "input_text", "text": "see"},
        {"type": "input_video", "video_url": "https://a.test/b"},
    ]
    said = [{"role": "user", "content": content}]
    conversation = await api.conversation("u0")
    path = f"/v1/conversations/{conversation}"
    (item,) = (await api.get(f"{path}/items"))["data"]
    for where, body, field in (
        ("/v1/responses", {"model": ECHO, "input": said}, "input[0]"),
        ("/v1/responses/input_tokens", {"model": ECHO, "input": said}, "input[0]"),
        ("/v1/conversations", {"items": said}, "items[0]"), (f"{path}/items", {"items": said}, "items[0]"),
        (f"{path}/items/{item['id']}/edit", {"model": ECHO, "content": content}, "item"),
        (f"{path}/fan_out", {"models": [ECHO], "input": said}, "input[0]"),
    ):  # fmt: skip
        error = await api.refused("POST", where, body, status=400)
        assert (error["code"], error["param"]) == ("invalid_value", f"{field}.content[1].type"), where
        assert "'input_video'" in error["message"] and "input_text" in error["message"]
    assert await api.texts(conversation) == ["u0"]


async def test_deleting_a_response_makes_it_unknown(api: Api) -> None:
    answer = await api.ask("hello")
    path = f"/v1/responses/{answer['id']}"
    assert await api.delete(path) == {"id": answer["id"], "object": "response", "deleted": True}
    for method, where in (
        ("GET", path),
        ("DELETE", path),
        ("GET", path + "/input_items"),
        ("POST", path + "/cancel"),
    ):
        await api.refused(method, where, status=404)
    await api.refused("GET", path, status=404, params={"stream": "true"})


# --- counting and compacting


async def test_counting_an_input_begins_nothing(api: Api) -> None:
    counted = await api.post("/v1/responses/input_tokens", {"model": ECHO, "input": "one two three four"})
    assert counted["object"] == "response.input_tokens" and 4 <= counted["input_tokens"] <= 20
    more = await api.post("/v1/responses/input_tokens", {"model": ECHO, "input": "x", "tools": [FUNCTION]})
    assert more["input_tokens"] > 10
    assert api.world.rows("SELECT COUNT(*) FROM runs") == [(0,)]


async def test_a_compaction_stands_for_what_it_replaces(api: Api) -> None:
    first = await api.ask("the secret is plum")
    compacted = await api.post("/v1/responses/compact", {"model": ECHO, "previous_response_id": first["id"]})
    assert compacted["object"] == "response.compaction"
    asking = asyncio.create_task(
        api.ask([*compacted["output"], {"role": "user", "content": "?"}], model=HAND)
    )
    call = await api.world.hand.next()
    assert "plum" in " ".join(call.prompts)
    call.answer("ok")
    await asking
