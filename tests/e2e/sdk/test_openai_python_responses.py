"""The official Python SDK against /v1/responses: every way to ask and to continue."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.e2e.sdk.polling import eventually
from tests.e2e.sdk.vocabulary import (
    CODE_WORD,
    ECHO,
    EXTRACTIVE,
    JSON,
    PARALLEL,
    RECALL,
    REMEMBER,
    RESPONSES_TOOL,
    SLOW,
    TAKE_YOUR_TIME,
    TEXT,
    TOOLS,
    Place,
    check_weather_arguments,
)

# --- asking ---------------------------------------------------------------------------------------


def test_an_answer_has_text_usage_and_an_id(client: OpenAI) -> None:
    response = client.responses.create(model=TEXT, input="Hello", metadata={"purpose": "test"})

    assert response.status == "completed"
    assert response.error is None
    assert response.id.startswith("resp_")
    assert response.output_text
    assert response.output[0].type == "message"
    assert response.output[0].id.startswith("msg_")
    assert response.model == TEXT
    assert response.metadata == {"purpose": "test"}
    assert response.usage is not None
    assert response.usage.output_tokens > 0
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert response._request_id, "the SDK found no x-request-id header"


def test_settings_of_the_request_are_echoed(client: OpenAI) -> None:
    response = client.responses.create(
        model=TEXT,
        input="Hello",
        instructions="Be brief.",
        temperature=0.5,
        top_p=0.25,
        max_output_tokens=500,
        parallel_tool_calls=False,
        tools=[RESPONSES_TOOL],
        tool_choice="none",
        truncation="auto",
        user="somebody",
    )

    assert response.instructions == "Be brief."
    assert (response.temperature, response.top_p) == (0.5, 0.25)
    assert response.max_output_tokens == 500
    assert response.parallel_tool_calls is False
    assert response.tool_choice == "none"
    assert response.truncation == "auto"
    assert response.user == "somebody"
    assert [tool.model_dump(exclude_unset=True) for tool in response.tools] == [RESPONSES_TOOL]


def test_a_stream_is_complete_and_in_order(client: OpenAI) -> None:
    events = list(client.responses.create(model=TEXT, input="Count from 1 to 5.", stream=True))

    assert [event.sequence_number for event in events] == list(range(len(events)))
    types = [event.type for event in events]
    assert types[0] == "response.created"
    assert types[1] == "response.in_progress"
    assert types[-1] == "response.completed"
    assert types.count("response.output_item.added") == types.count("response.output_item.done") == 1

    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    (done,) = [event for event in events if event.type == "response.output_text.done"]
    final = events[-1].response
    assert text == done.text == final.output_text != ""
    assert events[0].response.id == final.id
    assert final.usage is not None


def test_the_stream_helper_ends_with_the_stored_response(client: OpenAI) -> None:
    with client.responses.stream(model=TEXT, input="Hello") as stream:
        streamed = stream.get_final_response()

    stored = client.responses.retrieve(streamed.id)
    assert stored.output_text == streamed.output_text != ""
    assert stored.status == "completed"


def test_a_client_that_leaves_loses_nothing(client: OpenAI) -> None:
    with client.responses.create(model=SLOW, input=TAKE_YOUR_TIME, stream=True) as stream:
        first = next(iter(stream))

    def finished() -> Any:
        response = client.responses.retrieve(first.response.id)
        return response if response.status not in ("queued", "in_progress") else None

    response = eventually(finished)
    assert response.status == "completed"
    assert response.output_text


# --- tools and structured output ------------------------------------------------------------------


def test_a_tool_call_and_its_output(client: OpenAI) -> None:
    asked = client.responses.create(model=TOOLS, input="Weather in Paris?", tools=[RESPONSES_TOOL])
    (call,) = [item for item in asked.output if item.type == "function_call"]
    assert asked.status == "completed"
    assert call.name == "get_weather"
    assert call.status == "completed"
    check_weather_arguments(call.arguments)

    told = client.responses.create(
        model=TOOLS,
        previous_response_id=asked.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees, clear"}],
        tools=[RESPONSES_TOOL],
    )
    assert told.status == "completed"
    assert told.output_text
    assert told.previous_response_id == asked.id


def test_a_streamed_tool_call(client: OpenAI) -> None:
    events = list(
        client.responses.create(model=TOOLS, input="Weather in Paris?", tools=[RESPONSES_TOOL], stream=True)
    )

    deltas = "".join(e.delta for e in events if e.type == "response.function_call_arguments.delta")
    (done,) = [e for e in events if e.type == "response.function_call_arguments.done"]
    (item,) = [
        e.item for e in events if e.type == "response.output_item.done" and e.item.type == "function_call"
    ]
    assert deltas == done.arguments == item.arguments
    assert done.name == item.name == "get_weather"
    assert done.item_id == item.id
    check_weather_arguments(deltas)


def test_parallel_calls_are_told_apart(client: OpenAI) -> None:
    tools = [RESPONSES_TOOL, {**RESPONSES_TOOL, "name": "get_forecast"}]
    events = list(client.responses.create(model=PARALLEL, input="Weather?", tools=tools, stream=True))
    final = events[-1].response

    calls = [item for item in final.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["get_weather", "get_forecast"]
    assert len({call.call_id for call in calls}) == len({call.id for call in calls}) == 2
    for index, call in enumerate(final.output):
        deltas = [
            event.delta
            for event in events
            if event.type == "response.function_call_arguments.delta" and event.output_index == index
        ]
        assert "".join(deltas) == call.arguments
        check_weather_arguments(call.arguments)


def test_an_output_without_its_call_is_refused(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(
            model=TOOLS, input=[{"type": "function_call_output", "call_id": "call_none", "output": "18"}]
        )
    assert refused.value.param == "input"


def test_structured_output(client: OpenAI) -> None:
    response = client.responses.parse(model=JSON, input="Describe Paris.", text_format=Place)

    assert isinstance(response.output_parsed, Place)
    assert response.text is not None
    assert response.text.format is not None
    assert response.text.format.type == "json_schema"


def test_streamed_structured_output(client: OpenAI) -> None:
    with client.responses.stream(model=JSON, input="Describe Paris.", text_format=Place) as stream:
        final = stream.get_final_response()

    assert isinstance(final.output_parsed, Place)


# --- continuing -----------------------------------------------------------------------------------


def test_previous_response_id_carries_the_history(client: OpenAI) -> None:
    first = client.responses.create(model=ECHO, input=REMEMBER)
    second = client.responses.create(model=ECHO, input=RECALL, previous_response_id=first.id)

    assert CODE_WORD in second.output_text


def test_siblings_do_not_see_each_other(client: OpenAI) -> None:
    root = client.responses.create(model=TEXT, input="Hello")
    with_word = client.responses.create(model=TEXT, input=REMEMBER, previous_response_id=root.id)
    sibling = client.responses.create(model=ECHO, input="recall 2", previous_response_id=root.id)
    child = client.responses.create(model=ECHO, input="recall 2", previous_response_id=with_word.id)

    assert sibling.output_text == "recall 2"
    assert child.output_text == REMEMBER


def test_instructions_are_not_inherited(client: OpenAI) -> None:
    question = "What is the code word?"
    first = client.responses.create(model=TEXT, input="Hello", instructions=REMEMBER)
    with_them = client.responses.create(
        model=EXTRACTIVE, input=question, previous_response_id=first.id, instructions=REMEMBER
    )
    without = client.responses.create(model=EXTRACTIVE, input=question, previous_response_id=first.id)

    assert CODE_WORD in with_them.output_text
    assert without.instructions is None
    assert CODE_WORD not in without.output_text


def test_a_response_that_was_not_stored_cannot_be_continued(client: OpenAI) -> None:
    first = client.responses.create(model=TEXT, input="Hello", store=False)
    assert first.store is False

    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=TEXT, input="And?", previous_response_id=first.id)
    assert refused.value.code == "previous_response_not_found"


# --- afterwards -----------------------------------------------------------------------------------


def test_retrieve_gives_what_create_gave(client: OpenAI) -> None:
    created = client.responses.create(model=TEXT, input="Hello", metadata={"a": "b"})

    assert client.responses.retrieve(created.id).model_dump() == created.model_dump()


def test_input_items_are_listed_page_by_page(client: OpenAI) -> None:
    said = [f"line {number}" for number in range(5)]
    response = client.responses.create(model=TEXT, input=[{"role": "user", "content": text} for text in said])

    page = client.responses.input_items.list(response.id, limit=2, order="asc")
    assert len(page.data) == 2
    assert page.has_more is True

    listed = list(client.responses.input_items.list(response.id, limit=2, order="asc"))
    assert [item.content[0].text for item in listed] == said
    assert len({item.id for item in listed}) == 5
    backwards = list(client.responses.input_items.list(response.id, limit=3))
    assert [item.id for item in backwards] == [item.id for item in reversed(listed)]


def test_input_items_are_those_of_the_turn_only(client: OpenAI) -> None:
    first = client.responses.create(model=TEXT, input="one")
    second = client.responses.create(model=TEXT, input="two", previous_response_id=first.id)

    assert [item.content[0].text for item in client.responses.input_items.list(second.id)] == ["two"]


def test_a_deleted_response_is_gone(client: OpenAI) -> None:
    response = client.responses.create(model=TEXT, input="Hello")
    client.responses.delete(response.id)

    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.delete(response.id)


def test_input_tokens_grow_with_the_input(client: OpenAI) -> None:
    short = client.responses.input_tokens.count(model=TEXT, input="Hello")
    long = client.responses.input_tokens.count(model=TEXT, input="Hello " * 200)

    assert short.object == "response.input_tokens"
    assert 0 < short.input_tokens < long.input_tokens


def test_input_tokens_count_the_history_too(client: OpenAI) -> None:
    first = client.responses.create(model=TEXT, input="Hello " * 200)

    alone = client.responses.input_tokens.count(model=TEXT, input="And?")
    after = client.responses.input_tokens.count(model=TEXT, input="And?", previous_response_id=first.id)
    assert after.input_tokens > alone.input_tokens + 100


def test_a_compacted_window_can_be_continued(client: OpenAI) -> None:
    compacted = client.responses.compact(
        model=ECHO,
        input=[
            {"role": "user", "content": REMEMBER},
            {"role": "assistant", "content": "I shall."},
        ],
    )
    assert compacted.object == "response.compaction"
    assert [item.type for item in compacted.output].count("compaction") == 1
    assert compacted.usage.total_tokens > 0

    window = [item.model_dump(exclude_unset=True) for item in compacted.output]
    response = client.responses.create(model=ECHO, input=[*window, {"role": "user", "content": RECALL}])
    assert CODE_WORD in response.output_text
