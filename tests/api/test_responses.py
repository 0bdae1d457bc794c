"""`/v1/responses`: objects, events, errors, and answers that outlive their clients."""

from __future__ import annotations

import asyncio

import pytest

from tests.api.client import Api, Event, reading, text_of
from tests.services.hand import BROKEN, ECHO, HAND, until

RESPONSE_KEYS = {
    "id",
    "object",
    "created_at",
    "completed_at",
    "status",
    "background",
    "error",
    "incomplete_details",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "model",
    "output",
    "parallel_tool_calls",
    "previous_response_id",
    "conversation",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "truncation",
    "usage",
    "user",
    "metadata",
    "antiphon",
}
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
    assert (answer["instructions"], answer["temperature"], answer["metadata"]) == (
        "be brief",
        0.5,
        {"a": "b"},
    )
    assert (answer["model"], answer["store"], answer["background"]) == (ECHO, True, False)
    assert (
        answer["usage"]["total_tokens"] == answer["usage"]["input_tokens"] + answer["usage"]["output_tokens"]
    )
    (message,) = answer["output"]
    assert message.keys() == {"id", "type", "status", "role", "content"}
    assert message["content"] == [
        {"type": "output_text", "text": "re: hello", "annotations": [], "logprobs": []}
    ]


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
        assert [frame.split("\n", 1)[0] for frame in found] == [
            f"id: {n}" for n in range(after + 1, len(frames))
        ]
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
    await until(lambda: not len(api.world.application.runs))
    assert (await api.post(f"/v1/responses/{ended['id']}/cancel"))["status"] == "completed"


async def test_only_background_answers_can_be_cancelled(api: Api) -> None:
    answer = await api.ask("hello")
    await api.refused("POST", f"/v1/responses/{answer['id']}/cancel", {}, status=400)


async def test_the_stream_of_a_cancelled_answer_ends_with_incomplete_and_says_cancelled(
    served: tuple[Api, int],
) -> None:
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
async def test_every_end_has_its_status_its_event_and_its_usage(
    api: Api, model: str, status: str, event: str
) -> None:
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
    second = await api.ask(
        [output], model="scripted/tools", previous_response_id=first["id"], tools=[FUNCTION]
    )
    assert "seen" in text_of(second["output"][0])
    await api.refused(
        "POST",
        "/v1/responses",
        {"model": ECHO, "input": [{**output, "call_id": "call_other"}], "previous_response_id": first["id"]},
        status=400,
    )


async def test_reasoning_and_refusals_have_their_own_events_and_items(api: Api) -> None:
    events = await api.stream(
        "POST", "/v1/responses", {"model": "scripted/reasoning", "input": "x", "stream": True}
    )
    assert "response.reasoning_text.delta" in names(events)
    assert [item["type"] for item in events[-1].data["response"]["output"]] == ["reasoning", "message"]
    events = await api.stream(
        "POST", "/v1/responses", {"model": "scripted/refusal", "input": "x", "stream": True}
    )
    assert "response.refusal.delta" in names(events)
    assert events[-1].data["response"]["output"][0]["content"][0]["type"] == "refusal"


@pytest.mark.parametrize("named", ["file_search_call", "output.results", ""])
async def test_what_include_cannot_name_is_refused_with_what_it_can(api: Api, named: str) -> None:
    for answer in (
        await api.http.post("/v1/responses", json={"model": ECHO, "input": "hi", "include": [named]}),
        await api.http.get(f"/v1/responses/{MISSING}", params={"include": named}),
    ):
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert (error["param"], error["code"]) == ("include", "invalid_value")
        assert "'file_search_call.results'" in error["message"]


async def test_include_may_name_what_other_tools_would_return(api: Api) -> None:
    named = ["reasoning.encrypted_content", "web_search_call.action.sources", "code_interpreter_call.outputs"]
    answer = await api.post("/v1/responses", {"model": ECHO, "input": "hi", "include": named})
    assert answer["status"] == "completed"
