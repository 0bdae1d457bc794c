"""Stored completions: what counts as one, what it was asked with, and what deleting does to the next."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.client import Api
from tests.services.hand import ECHO, HAND
from tests.services.world import say as user

PATH = "/v1/chat/completions"


def assistant(text: str) -> dict[str, Any]:
    return user(text, "assistant")


async def sent(api: Api, completion: str) -> list[str]:
    """The texts that a stored completion was asked with."""
    return [one["content"] for one in (await api.get(f"{PATH}/{completion}/messages"))["data"]]


async def test_only_what_ended_with_an_answer_is_listed(api: Api) -> None:
    whole = await api.chat(user("x"), store=True)
    failing = {"model": "hand/broken", "messages": [user("x")], "store": True}
    await api.refused("POST", PATH, failing, status=502)
    body = {"model": HAND, "messages": [user("y")], "store": True, "stream": True}
    asking = asyncio.create_task(api.stream("POST", PATH, body))
    call = await api.world.hand.next()
    assert [one["id"] for one in (await api.get(PATH))["data"]] == [whole["id"]]
    call.answer("at last")
    first = (await asking)[0].data["id"]
    assert [one["id"] for one in (await api.get(PATH))["data"]] == [whole["id"], first]


async def test_one_that_is_still_being_made_has_no_reason_to_have_ended(api: Api) -> None:
    body = {"model": HAND, "messages": [user("x")], "store": True, "stream": True}
    asking = asyncio.create_task(api.stream("POST", PATH, body))
    call = await api.world.hand.next()
    (run,) = api.world.rows("SELECT id FROM runs")
    found = await api.get(f"{PATH}/chatcmpl-{run[0]}")
    assert found["choices"][0]["finish_reason"] is None
    call.answer("done")
    await asking
    found = await api.get(f"{PATH}/chatcmpl-{run[0]}")
    assert found["choices"][0]["finish_reason"] == "stop" and "error" not in found


async def test_a_failed_one_says_why(api: Api) -> None:
    body = {"model": "hand/broken", "messages": [user("x")], "store": True}
    await api.refused("POST", PATH, body, status=502)
    (run,) = api.world.rows("SELECT id FROM runs")
    found = await api.get(f"{PATH}/chatcmpl-{run[0]}")
    assert found["choices"][0]["finish_reason"] is None
    assert found["error"]["code"] == "server_error"


@pytest.mark.parametrize("streamed", [False, True])
async def test_one_that_is_deleted_while_it_is_made_ends_with_an_error(api: Api, streamed: bool) -> None:
    body = {"model": HAND, "messages": [user("x")], "store": True, "stream": streamed}
    asking = asyncio.create_task(api.http.post(PATH, json=body))
    call = await api.world.hand.next()
    call.say("so f")
    (run,) = api.world.rows("SELECT id FROM runs")
    await api.delete(f"{PATH}/chatcmpl-{run[0]}")
    answer = await asking
    if streamed and answer.status_code == 200:
        assert '"finish_reason":"stop"' not in answer.text and '"code":"cancelled"' in answer.text
    else:
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "cancelled")


async def test_a_history_goes_on_whole_after_one_of_its_completions_was_deleted(api: Api) -> None:
    history = [user("a")]
    await api.chat(*history, store=True)
    history += [assistant("re: a"), user("b")]
    second = await api.chat(*history, store=True)
    await api.delete(f"{PATH}/{second['id']}")
    again = await api.chat(*history, store=True)
    assert await sent(api, again["id"]) == ["a", "re: a", "b"]
    history += [assistant("re: b"), user("c")]
    third = await api.chat(*history, store=True)
    assert await sent(api, third["id"]) == ["a", "re: a", "b", "re: b", "c"]
    wire_id = third["id"].replace("chatcmpl-", "resp_")
    asking = asyncio.create_task(api.ask("d", model=HAND, previous_response_id=wire_id))
    call = await api.world.hand.next()
    assert call.prompts == [
        "user:a", "assistant:re: a", "user:b", "assistant:re: b", "user:c", "assistant:re: c", "user:d",
    ]  # fmt: skip
    call.answer("e")
    await asking


async def test_calls_stand_in_the_message_they_came_with_and_names_and_refusals_are_told(api: Api) -> None:
    calls = [
        {"id": f"call_{n}", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        for n in range(2)
    ]
    asked = [
        {"role": "user", "content": "see", "name": "ada"},
        {"role": "assistant", "content": "I look.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_0", "content": "a cat"},
        {"role": "tool", "tool_call_id": "call_1", "content": "a dog"},
        {"role": "assistant", "content": None, "refusal": "No."},
        {"role": "user", "content": "why?"},
    ]
    made = await api.chat(*asked, store=True)
    found = (await api.get(f"{PATH}/{made['id']}/messages"))["data"]
    assert [one["role"] for one in found] == [one["role"] for one in asked]
    assert found[0]["name"] == "ada"
    assert (found[1]["content"], found[1]["tool_calls"], found[1]["refusal"]) == ("I look.", calls, None)
    assert (found[4]["content"], found[4]["refusal"], found[4]["content_parts"]) == (None, "No.", None)


async def test_several_texts_of_one_message_are_told_apart(api: Api) -> None:
    def texts(*said: str) -> list[dict[str, Any]]:
        return [{"type": "text", "text": text} for text in said]

    asked = [{"role": "user", "content": texts("a", "b")}, {"role": "user", "content": texts("c")}]
    made = await api.chat(*asked, store=True)
    found = (await api.get(f"{PATH}/{made['id']}/messages"))["data"]
    assert [(one["content"], one["content_parts"]) for one in found] == [(None, texts("a", "b")), ("c", None)]
    wire_id = made["id"].replace("chatcmpl-", "resp_")
    asking = asyncio.create_task(api.ask("d", model=HAND, previous_response_id=wire_id))
    call = await api.world.hand.next()
    assert call.prompts == ["user:a\nb", "user:c", "assistant:re: c", "user:d"]
    call.answer("e")
    await asking


async def test_a_history_of_any_age_goes_on_with_all_that_was_said(api: Api) -> None:
    called = {"name": "look", "arguments": "{}"}
    refused = [{"type": "text", "text": "p1"}, {"type": "refusal", "refusal": "r"}]
    asked = [
        user("see"), {"role": "assistant", "content": None, "function_call": called},
        {"role": "function", "name": "look", "content": "a cat"}, {"role": "assistant", "content": refused},
        user("why?"),
    ]  # fmt: skip
    made = await api.chat(*asked, store=True)
    found = (await api.get(f"{PATH}/{made['id']}/messages"))["data"]
    assert [call["function"] for call in found[1]["tool_calls"]] == [called]
    assert (found[2]["tool_call_id"], found[2]["content"]) == ("look", "a cat")
    assert (found[3]["content"], found[3]["refusal"]) == ("p1", "r")
    wire_id = made["id"].replace("chatcmpl-", "resp_")
    asking = asyncio.create_task(api.ask("d", model=HAND, previous_response_id=wire_id))
    call = await api.world.hand.next()
    assert call.prompts == [
        "user:see", "assistant:", "tool:a cat", "assistant:p1\nr", "user:why?", "assistant:re: why?",
        "user:d",
    ]  # fmt: skip
    assert [one["function"] for one in call.request.messages[1]["tool_calls"]] == [called]
    call.answer("e")
    await asking


async def test_a_cursor_that_is_none_is_refused(api: Api) -> None:
    made = await api.chat(user("x"), store=True, model=ECHO)
    error = await api.refused("GET", f"{PATH}/{made['id']}/messages?after=junk", status=400)
    assert (error["code"], error["param"]) == ("invalid_cursor", "after")
