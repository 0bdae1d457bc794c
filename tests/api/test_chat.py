"""`/v1/chat/completions`: chunks, choices, and what is stored if it is asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.client import Api, Event
from tests.services.hand import ECHO, HAND, PATIENCE_SECONDS
from tests.services.world import say as user

MISSING = "chatcmpl-" + "0" * 32
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


async def chunks(api: Api, **fields: Any) -> list[Event]:
    body = {"model": ECHO, "messages": [user("hello")], "stream": True, **fields}
    return await api.stream("POST", "/v1/chat/completions", body)


def joined(events: list[Event], choice: int = 0) -> str:
    return "".join(
        one["delta"].get("content") or "" for event in events if event.data != "[DONE]"
        for one in event.data["choices"] if one["index"] == choice
    )  # fmt: skip


async def test_a_completion_has_openais_shape(api: Api) -> None:
    answer = await api.chat(user("hello"))
    assert answer.keys() == {
        "id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint",
    }  # fmt: skip
    assert answer["object"] == "chat.completion" and answer["id"].startswith("chatcmpl-")
    (choice,) = answer["choices"]
    assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "stop", None)
    assert choice["message"] == {
        "role": "assistant",
        "content": "re: hello",
        "refusal": None,
        "annotations": [],
    }
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_a_stream_is_chunks_with_one_role_one_end_and_done(api: Api) -> None:
    events = await chunks(api)
    assert events[-1].data == "[DONE]"
    assert {event.name for event in events} == {"message"}
    data = [event.data for event in events[:-1]]
    assert {(one["object"], one["id"], one["model"]) for one in data} == {
        ("chat.completion.chunk", data[0]["id"], ECHO)
    }
    assert data[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [one["choices"][0]["finish_reason"] for one in data] == [None] * (len(data) - 1) + ["stop"]
    assert joined(events) == "re: hello"


async def test_usage_is_streamed_only_if_asked_for_and_last(api: Api) -> None:
    assert all("usage" not in event.data for event in (await chunks(api))[:-1])
    events = await chunks(api, stream_options={"include_usage": True})
    data = [event.data for event in events[:-1]]
    assert [one["usage"] for one in data[:-1]] == [None] * (len(data) - 1)
    assert data[-1]["choices"] == [] and data[-1]["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("streamed", [False, True])
async def test_n_choices_are_told_apart_and_stored_as_siblings(api: Api, streamed: bool) -> None:
    body = {"model": HAND, "messages": [user("u")], "n": 3, "store": True, "stream": streamed}
    asking = asyncio.create_task(api.http.post("/v1/chat/completions", json=body))
    call = await api.world.hand.next()
    assert call.request.params["n"] == 3
    for piece in ("a", "b"):
        for choice in range(3):
            call.say(f"{piece}{choice} ", choice=choice)
    call.end()
    response = await asking
    assert response.status_code == 200
    listed = await api.get("/v1/chat/completions")
    (stored,) = listed["data"]
    assert [one["index"] for one in stored["choices"]] == [0, 1, 2]
    assert [one["message"]["content"] for one in stored["choices"]] == [f"a{n} b{n} " for n in range(3)]
    if not streamed:
        assert response.json()["choices"] == stored["choices"]
    ((question,),) = api.world.rows("SELECT id FROM items WHERE author_id IS NOT NULL")
    places = api.world.rows(
        "SELECT i.depth,s.parent_id FROM items i JOIN segments s ON s.id=i.segment_id"
        " WHERE i.author_id IS NULL"
    )
    assert question and sorted(depth for depth, _ in places) == [1, 1, 1]


@pytest.mark.parametrize("streamed", [False, True])
async def test_calls_of_tools_are_whole_and_end_with_tool_calls(api: Api, streamed: bool) -> None:
    fields: dict[str, Any] = {"model": "scripted/parallel", "tools": [TOOL]}
    whole = (await api.chat(user("go"), **fields))["choices"][0]
    assert whole["finish_reason"] == "tool_calls"
    calls = whole["message"]["tool_calls"]
    assert len(calls) == 2 and {call["type"] for call in calls} == {"function"}
    if streamed:
        parts: dict[int, dict[str, str]] = {}
        for event in (await chunks(api, messages=[user("go")], **fields))[:-1]:
            for piece in event.data["choices"][0]["delta"].get("tool_calls") or []:
                part = parts.setdefault(piece["index"], {"id": "", "name": "", "arguments": ""})
                part["id"] += piece.get("id", "")
                part["name"] += piece["function"].get("name", "")
                part["arguments"] += piece["function"].get("arguments", "")
        assert [parts[n] for n in sorted(parts)] == [{"id": call["id"], **call["function"]} for call in calls]


async def test_what_is_not_stored_is_nowhere(api: Api) -> None:
    answer = await api.chat(user("hello"))
    await api.refused("GET", f"/v1/chat/completions/{answer['id']}", status=404)
    assert (await api.get("/v1/chat/completions"))["data"] == []
    assert api.world.rows("SELECT COUNT(*) FROM items") == [(0,)]


async def test_a_stored_completion_is_read_changed_listed_and_deleted(api: Api) -> None:
    made = await api.chat(user("hello"), store=True, metadata={"who": "ada"})
    path = f"/v1/chat/completions/{made['id']}"
    assert await api.get(path) == made | {"metadata": {"who": "ada"}}
    changed = await api.post(path, {"metadata": {"who": "eve"}})
    assert changed["metadata"] == {"who": "eve"}
    await api.chat(user("other"), store=True)
    found = await api.get("/v1/chat/completions", **{"metadata[who]": "eve"})
    assert [one["id"] for one in found["data"]] == [made["id"]]
    assert (await api.get("/v1/chat/completions", **{"metadata[who]": "ada"}))["data"] == []
    page = await api.get("/v1/chat/completions", limit=1)
    assert page["has_more"] and page["data"][0]["id"] == made["id"]
    assert await api.delete(path) == {"object": "chat.completion.deleted", "id": made["id"], "deleted": True}
    for method, body in (("GET", None), ("DELETE", None), ("POST", {"metadata": {}})):
        await api.refused(method, path, body, status=404)


async def test_the_messages_of_a_stored_completion_are_its_whole_question(api: Api) -> None:
    history = [user("be kind", "system"), user("u1")]
    await api.chat(*history, store=True)
    history += [user("re: u1", "assistant"), user("u2")]
    made = await api.chat(*history, store=True)
    path = f"/v1/chat/completions/{made['id']}/messages"
    page = await api.get(path)
    assert [(one["role"], one["content"]) for one in page["data"]] == [
        (m["role"], m["content"]) for m in history
    ]
    first = await api.get(path, limit=3)
    rest = await api.get(path, limit=3, after=first["last_id"])
    assert first["has_more"] and first["data"] + rest["data"] == page["data"]
    await api.refused("GET", f"/v1/chat/completions/{MISSING}/messages", status=404)


async def test_messages_of_every_kind_are_listed_as_they_were_sent(api: Api) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    sent = [
        {"role": "user", "content": [{"type": "text", "text": "see"}, image]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "a cat"},
    ]
    made = await api.chat(*sent, store=True)
    found = (await api.get(f"/v1/chat/completions/{made['id']}/messages"))["data"]
    assert [one["role"] for one in found] == ["user", "assistant", "tool"]
    assert found[0]["content_parts"] == sent[0]["content"]
    assert found[1]["tool_calls"] == [call]
    assert (found[2]["tool_call_id"], found[2]["content"]) == ("call_1", "a cat")


async def test_a_stored_completion_and_a_response_are_one_run_under_two_names(api: Api) -> None:
    made = await api.chat(user("hello"), store=True)
    digits = made["id"].removeprefix("chatcmpl-")
    found = await api.get(f"/v1/responses/resp_{digits}")
    assert found["output"][0]["content"][0]["text"] == "re: hello"


async def test_an_unstored_completion_dies_with_its_client(served: tuple[Api, int]) -> None:
    api, _ = served
    body = {"model": HAND, "messages": [user("hello")]}
    asking = asyncio.create_task(api.http.post("/v1/chat/completions", json=body))
    call = await api.world.hand.next()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await asyncio.wait_for(call.closed.wait(), PATIENCE_SECONDS)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [user("x")], "n": 0}, "n"),
        ({"messages": [user("x")], "temperature": "hot"}, "temperature"),
        ({"messages": [user("x")], "api_base": "http://x"}, "api_base"),
    ],
)
async def test_a_completion_with_wrong_fields_is_refused_and_the_field_named(
    api: Api, body: Any, param: str
) -> None:
    error = await api.refused("POST", "/v1/chat/completions", {"model": ECHO, **body}, status=400)
    assert error["param"] == param


CUSTOM = {"type": "custom", "custom": {"name": "sql"}}
HOSTED = {"type": "browser_search"}


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"tools": [TOOL, CUSTOM]}, "tools[1].type", "unsupported_tool"),
        ({"tools": [TOOL], "tool_choice": CUSTOM}, "tool_choice.type", "unsupported_tool"),
        ({"modalities": ["text", "audio"]}, "modalities", "unsupported_parameter"),
        ({"audio": {"voice": "alloy", "format": "wav"}}, "audio", "unsupported_parameter"),
    ],
)
async def test_what_is_answered_in_a_form_that_is_not_shown_is_refused_before_the_run(
    api: Api, body: Any, param: str, code: str
) -> None:
    asked = {"model": ECHO, "messages": [user("x")], **body}
    error = await api.refused("POST", "/v1/chat/completions", asked, status=400)
    assert (error["param"], error["code"]) == (param, code) and api.world.hand.calls == []


async def test_what_asks_for_no_other_form_goes_on(api: Api) -> None:
    tools = {"tools": [TOOL, HOSTED], "tool_choice": "auto"}
    params = {"modalities": ["text"], "web_search_options": {}, **tools}
    asking = asyncio.create_task(api.chat(user("x"), model=HAND, audio=None, **params))
    call = await api.world.hand.next()
    assert call.request.params == params
    call.answer("ok")
    await asking


async def test_what_a_tool_says_besides_goes_on_and_how_to_stream_does_not(api: Api) -> None:
    tool = {"type": "function", "function": TOOL["function"], "defer_loading": True}
    options = {"include_usage": False, "continuous_usage_stats": True}
    asking = asyncio.create_task(api.chat(user("x"), model=HAND, tools=[tool], stream_options=options))
    call = await api.world.hand.next()
    assert call.request.params == {"tools": [tool]}
    call.answer("ok")
    await asking


async def test_a_history_with_a_custom_tool_goes_on_and_is_not_stored(api: Api) -> None:
    call = {"id": "c", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}
    history = [
        user("x"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ]
    await api.chat(*history)
    body = {"model": ECHO, "messages": history, "store": True}
    error = await api.refused("POST", "/v1/chat/completions", body, status=400)
    assert "custom tools are not stored" in error["message"] and error["param"] == "messages"


async def test_a_model_nobody_has_is_404(api: Api) -> None:
    body = {"model": "nobody/nothing", "messages": [user("x")]}
    assert (await api.refused("POST", "/v1/chat/completions", body, status=404))["code"] == "model_not_found"


async def test_an_unknown_field_goes_on_to_the_model(api: Api) -> None:
    asking = asyncio.create_task(api.chat(user("x"), model=HAND, top_k=5, seed=7))
    call = await api.world.hand.next()
    assert call.request.params == {"top_k": 5, "seed": 7}
    call.answer("ok")
    await asking


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("stored", [False, True])
async def test_a_failure_before_the_first_word_is_an_http_error(
    api: Api, streamed: bool, stored: bool
) -> None:
    body = {"model": "hand/broken", "messages": [user("x")], "stream": streamed, "store": stored}
    error = await api.refused("POST", "/v1/chat/completions", body, status=502)
    assert error["code"] == "server_error"
