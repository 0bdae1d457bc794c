"""`/v1/responses`: objects, events, errors, and answers that outlive their clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.domain import ids
from tests.api.client import Api, Event, reading, text_of
from tests.services.hand import BROKEN, ECHO, HAND, PATIENCE_SECONDS

RESPONSE_KEYS = {
    "id", "object", "created_at", "completed_at", "status", "background", "error", "incomplete_details",
    "instructions", "max_output_tokens", "max_tool_calls", "model", "output", "parallel_tool_calls",
    "previous_response_id", "conversation", "prompt_cache_key", "prompt_cache_retention", "reasoning",
    "safety_identifier", "service_tier", "store", "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p",
    "presence_penalty", "frequency_penalty", "truncation", "usage", "user", "metadata", "antiphon",
}  # fmt: skip
PLAIN = [
    "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    "response.output_text.delta", "response.output_text.done", "response.content_part.done",
    "response.output_item.done", "response.completed",
]  # fmt: skip
FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
MISSING = "resp_" + "0" * 32


def names(events: list[Event]) -> list[str]:
    """The events' names, equal neighbours once."""
    return [event.name for at, event in enumerate(events) if at == 0 or events[at - 1].name != event.name]


async def test_a_response_has_every_key_and_says_what_was_asked(api: Api) -> None:
    answer = await api.ask("hello", instructions="be brief", temperature=0.5, metadata={"a": "b"}, user="me")
    assert answer.keys() == RESPONSE_KEYS
    assert answer["id"].startswith("resp_") and answer["object"] == "response"
    assert (answer["status"], answer["error"], answer["incomplete_details"]) == ("completed", None, None)
    assert (answer["instructions"], answer["temperature"], answer["metadata"]) == ("be brief", 0.5, {"a": "b"})
    assert (answer["model"], answer["store"], answer["background"]) == (ECHO, True, False)
    assert answer["usage"]["total_tokens"] == answer["usage"]["input_tokens"] + answer["usage"]["output_tokens"]
    (message,) = answer["output"]
    assert message.keys() == {"id", "type", "status", "role", "content"}
    assert message["content"] == [{"type": "output_text", "text": "re: hello", "annotations": [], "logprobs": []}]


async def test_a_stored_response_is_read_back_the_same(api: Api) -> None:
    answer = await api.ask("hello", tools=[FUNCTION], metadata={"a": "b"})
    assert await api.get(f"/v1/responses/{answer['id']}") == answer


async def test_the_events_of_a_plain_answer_come_in_openais_order_and_are_numbered(api: Api) -> None:
    events = await api.stream("POST", "/v1/responses", {"model": ECHO, "input": "hello", "stream": True})
    assert names(events) == PLAIN
    assert [event.data["sequence_number"] for event in events] == list(range(len(events)))
    assert [event.data["type"] for event in events] == [event.name for event in events]
    final = events[-1].data["response"]
    assert final == await api.get(f"/v1/responses/{final['id']}")
    created = events[0].data["response"]
    assert created.keys() == RESPONSE_KEYS
    assert (created["status"], created["output"], created["usage"]) == ("in_progress", [], None)


async def test_a_stream_can_be_replayed_from_every_event_byte_for_byte(api: Api) -> None:
    body = {"model": "scripted/parallel", "input": "go", "stream": True, "tools": [FUNCTION]}
    first = await api.http.post("/v1/responses", json=body)
    frames = first.text.split("\n\n")[:-1]
    identifier = first.headers["x-request-id"].removeprefix("req_")
    for after in range(-1, len(frames)):
        query = {"stream": "true", **({"starting_after": after} if after >= 0 else {})}
        replay = await api.http.get(f"/v1/responses/resp_{identifier}", params=query)
        found = replay.text.split("\n\n")[:-1]
        assert [frame.split("\n", 1)[1] for frame in found] == frames[after + 1 :]
        assert [frame.split("\n", 1)[0] for frame in found] == [f"id: {n}" for n in range(after + 1, len(frames))]
    again = await api.http.get(
        f"/v1/responses/resp_{identifier}", params={"stream": "true"}, headers={"Last-Event-ID": "3"}
    )
    assert again.text.startswith("id: 4\n")


async def test_a_client_that_leaves_stops_nothing_and_can_come_back(served: tuple[Api, int]) -> None:
    api, _ = served
    body = {"model": HAND, "input": "hello", "stream": True}
    async with reading(api, "POST", "/v1/responses", body) as stream:
        call = await api.world.hand.next()
        call.say("one ")
        seen = await stream.until("response.output_text.delta")
    call.say("two")
    call.end()
    identifier = seen[0].data["response"]["id"]
    path = f"/v1/responses/{identifier}?stream=true&starting_after={seen[-1].data['sequence_number']}"
    async with reading(api, "GET", path) as stream:
        rest = await stream.until("response.completed")
    text = "".join(event.data["delta"] for event in [*seen, *rest] if event.name.endswith("text.delta"))
    assert text == "one two"
    numbers = [event.data["sequence_number"] for event in [*seen, *rest]]
    assert numbers == list(range(len(numbers)))


async def test_many_followers_see_the_same_stream_whenever_they_come(served: tuple[Api, int]) -> None:
    api, _ = served
    begun = await api.ask("hello", model=HAND, background=True)
    call = await api.world.hand.next()
    path = f"/v1/responses/{begun['id']}?stream=true"

    async def follow() -> list[Event]:
        async with reading(api, "GET", path) as stream:
            return await stream.until("response.completed")

    followers = []
    for number in range(5):
        followers.append(asyncio.create_task(follow()))
        call.say(f"w{number} ")
        await asyncio.sleep(0)
    call.end()
    streams = [await one for one in followers] + [await follow()]
    assert all(one == streams[0] for one in streams)


async def test_a_background_answer_is_polled_to_its_end(api: Api) -> None:
    begun = await api.ask("hello", model=HAND, background=True)
    assert begun["status"] in ("queued", "in_progress") and begun["background"] is True
    call = await api.world.hand.next()
    call.say("half")
    live = api.world.application.runs.get(api.world.who.account_id, begun["id"].removeprefix("resp_"))
    assert live is not None
    while live.committed < 6:
        await live.wait()
    polled = await api.get(f"/v1/responses/{begun['id']}")
    assert (polled["status"], text_of(polled["output"][0])) == ("in_progress", "half")
    call.end()
    while not live.closed:
        await live.wait()
    assert (await api.get(f"/v1/responses/{begun['id']}"))["status"] == "completed"


async def test_the_events_of_a_background_answer_begin_with_queued(api: Api) -> None:
    events = await api.stream(
        "POST", "/v1/responses", {"model": ECHO, "input": "hello", "stream": True, "background": True}
    )
    assert names(events) == ["response.created", "response.queued", *PLAIN[1:]]


async def test_cancelling_a_background_answer_is_harmless_twice_and_after_its_end(api: Api) -> None:
    begun = await api.ask("hello", model=HAND, background=True)
    call = await api.world.hand.next()
    call.say("half")
    first = await api.post(f"/v1/responses/{begun['id']}/cancel")
    assert first["status"] == "cancelled"
    assert (await api.post(f"/v1/responses/{begun['id']}/cancel")) == first
    ended = await api.ask("hello", background=True)
    while (await api.get(f"/v1/responses/{ended['id']}"))["status"] != "completed":
        await asyncio.sleep(0)
    assert (await api.post(f"/v1/responses/{ended['id']}/cancel"))["status"] == "completed"


async def test_only_background_answers_can_be_cancelled(api: Api) -> None:
    answer = await api.ask("hello")
    await api.refused("POST", f"/v1/responses/{answer['id']}/cancel", {}, status=400)


async def test_the_stream_of_a_cancelled_answer_ends_with_incomplete_and_says_cancelled(served: tuple[Api, int]) -> None:
    api, _ = served
    body = {"model": HAND, "input": "hello", "stream": True, "background": True}
    async with reading(api, "POST", "/v1/responses", body) as stream:
        created = await stream.next()
        await api.world.hand.next()
        await api.post(f"/v1/responses/{created.data['response']['id']}/cancel")
        last = (await stream.until("response.incomplete"))[-1]
    assert last.data["response"]["status"] == "cancelled"


@pytest.mark.parametrize(
    ("model", "status", "event"),
    [
        ("scripted/text", "completed", "response.completed"),
        ("scripted/truncated", "incomplete", "response.incomplete"),
        ("scripted/fail-after", "failed", "response.failed"),
        (BROKEN, "failed", "response.failed"),
    ],
)
async def test_every_end_has_its_status_its_event_and_its_usage(api: Api, model: str, status: str, event: str) -> None:
    answer = await api.ask("hello", model=model)
    assert answer["status"] == status, "once a run exists the answer is 200 with the status inside"
    assert answer["usage"] is not None
    assert (answer["error"] is not None) == (status == "failed")
    assert (answer["incomplete_details"] is not None) == (status == "incomplete")
    if answer["error"]:
        assert answer["error"].keys() == {"code", "message"} and answer["error"]["code"] == "server_error"
    for item in answer["output"]:
        assert item["status"] == ("completed" if status == "completed" else "incomplete")
    events = await api.stream("POST", "/v1/responses", {"model": model, "input": "hello", "stream": True})
    assert events[-1].name == event
    assert events[-1].data["response"]["status"] == status


async def test_a_call_of_a_tool_ends_the_run_and_the_next_turn_brings_the_output(api: Api) -> None:
    first = await api.ask("go", model="scripted/tools", tools=[FUNCTION])
    (call,) = first["output"]
    assert call.keys() == {"id", "type", "status", "call_id", "name", "arguments"}
    assert first["status"] == "completed"
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "seen"}
    second = await api.ask([output], model="scripted/tools", previous_response_id=first["id"], tools=[FUNCTION])
    assert "seen" in text_of(second["output"][0])
    await api.refused(
        "POST", "/v1/responses",
        {"model": ECHO, "input": [{**output, "call_id": "call_other"}], "previous_response_id": first["id"]}, status=400,
    )  # fmt: skip


async def test_reasoning_and_refusals_have_their_own_events_and_items(api: Api) -> None:
    events = await api.stream("POST", "/v1/responses", {"model": "scripted/reasoning", "input": "x", "stream": True})
    assert "response.reasoning_text.delta" in names(events)
    assert [item["type"] for item in events[-1].data["response"]["output"]] == ["reasoning", "message"]
    events = await api.stream("POST", "/v1/responses", {"model": "scripted/refusal", "input": "x", "stream": True})
    assert "response.refusal.delta" in names(events)
    assert events[-1].data["response"]["output"][0]["content"][0]["type"] == "refusal"


# --- store: false


async def test_an_answer_that_is_not_stored_leaves_nothing_but_its_ledger_line(api: Api) -> None:
    answer = await api.ask("hello", store=False)
    assert (answer["status"], answer["store"], answer["antiphon"]) == ("completed", False, None)
    await api.refused("GET", f"/v1/responses/{answer['id']}", status=404)
    await api.refused("DELETE", f"/v1/responses/{answer['id']}", status=404)
    error = await api.refused(
        "POST", "/v1/responses", {"model": ECHO, "input": "x", "previous_response_id": answer["id"]}, status=400
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
async def test_store_false_excludes_a_conversation_and_the_background(api: Api, fields: dict[str, Any]) -> None:
    if "conversation" in fields:
        fields = {"conversation": await api.conversation()}
    await api.refused("POST", "/v1/responses", {"model": ECHO, "input": "x", "store": False, **fields}, status=400)


@pytest.mark.parametrize("streamed", [True, False])
async def test_an_answer_that_is_not_stored_dies_with_its_client(served: tuple[Api, int], streamed: bool) -> None:
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
    thing = {"type": "thing_of_tomorrow", "z": [1.5, None, {"b": "\u2028", "a": "\0", "$x.y": True}], "a": "é"}
    answer = await api.ask([thing, {"role": "user", "content": "hello"}])
    page = await api.get(f"/v1/responses/{answer['id']}/input_items", order="asc")
    kept = dict(page["data"][0])
    assert ids.parse_item(kept.pop("id"))
    kept.pop("status")
    assert kept == thing and list(kept) == list(thing)


async def test_deleting_a_response_makes_it_unknown(api: Api) -> None:
    answer = await api.ask("hello")
    path = f"/v1/responses/{answer['id']}"
    assert await api.delete(path) == {"id": answer["id"], "object": "response", "deleted": True}
    for method, where in (("GET", path), ("DELETE", path), ("GET", path + "/input_items"), ("POST", path + "/cancel")):
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
    asking = asyncio.create_task(api.ask([*compacted["output"], {"role": "user", "content": "?"}], model=HAND))
    call = await api.world.hand.next()
    assert "plum" in " ".join(call.prompts)
    call.answer("ok")
    await asking
