"""The official Python SDK against /v1/conversations: the object, its items, and turns within it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from openai import OpenAI

from tests.e2e.sdk.vocabulary import (
    CODE_WORD,
    ECHO,
    RECALL,
    REMEMBER,
    RESPONSES_TOOL,
    TEXT,
    TOOLS,
    check_weather_arguments,
)

WRITERS = 8


def texts(client: OpenAI, conversation_id: str) -> list[str]:
    """The text of every message of a conversation, oldest first."""
    items = client.conversations.items.list(conversation_id, order="asc", limit=100)
    return [item.content[0].text for item in items if item.type == "message"]


def test_a_conversation_from_birth_to_deletion(client: OpenAI) -> None:
    made = client.conversations.create(metadata={"topic": "demo"})
    assert made.object == "conversation"
    assert made.id.startswith("conv_")
    assert made.metadata == {"topic": "demo"}
    assert client.conversations.retrieve(made.id) == made

    changed = client.conversations.update(made.id, metadata={"topic": "other"})
    assert (changed.id, changed.metadata) == (made.id, {"topic": "other"})
    assert client.conversations.retrieve(made.id).metadata == {"topic": "other"}

    deleted = client.conversations.delete(made.id)
    assert (deleted.object, deleted.deleted, deleted.id) == ("conversation.deleted", True, made.id)
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model=TEXT, input="Hello", conversation=made.id)


def test_items_given_at_birth_are_listed(client: OpenAI) -> None:
    made = client.conversations.create(
        items=[
            {"type": "message", "role": "user", "content": "one"},
            {"type": "message", "role": "assistant", "content": "two"},
        ]
    )

    assert texts(client, made.id) == ["one", "two"]
    newest_first = client.conversations.items.list(made.id).data
    assert [item.content[0].text for item in newest_first] == ["two", "one"]
    assert [item.content[0].type for item in newest_first] == ["output_text", "input_text"]


def test_items_are_added_read_and_removed(client: OpenAI) -> None:
    made = client.conversations.create()
    added = client.conversations.items.create(
        made.id, items=[{"role": "user", "content": f"line {number}"} for number in range(5)]
    )
    assert added.object == "list"
    assert [item.content[0].text for item in added.data] == [f"line {number}" for number in range(5)]
    assert (added.first_id, added.last_id) == (added.data[0].id, added.data[-1].id)
    assert added.has_more is False

    middle = added.data[2]
    assert client.conversations.items.retrieve(middle.id, conversation_id=made.id).id == middle.id
    after = client.conversations.items.delete(middle.id, conversation_id=made.id)
    assert (after.id, after.object) == (made.id, "conversation")
    assert texts(client, made.id) == ["line 0", "line 1", "line 3", "line 4"]


def test_pages_follow_each_other_without_gap_or_double(client: OpenAI) -> None:
    made = client.conversations.create()
    for start in range(0, 45, 15):
        client.conversations.items.create(
            made.id, items=[{"role": "user", "content": str(start + n)} for n in range(15)]
        )

    upwards = [
        item.content[0].text for item in client.conversations.items.list(made.id, order="asc", limit=7)
    ]
    downwards = [item.content[0].text for item in client.conversations.items.list(made.id, limit=7)]
    assert upwards == [str(number) for number in range(45)]
    assert downwards == upwards[::-1]


def test_an_empty_conversation_lists_nothing(client: OpenAI) -> None:
    made = client.conversations.create()
    assert list(client.conversations.items.list(made.id)) == []


def test_turns_in_a_conversation_are_remembered(client: OpenAI) -> None:
    made = client.conversations.create()
    first = client.responses.create(model=ECHO, input=REMEMBER, conversation=made.id)
    second = client.responses.create(model=ECHO, input=RECALL, conversation={"id": made.id})

    assert first.conversation is not None
    assert first.conversation.id == made.id
    assert CODE_WORD in second.output_text
    assert texts(client, made.id) == [REMEMBER, first.output_text, RECALL, second.output_text]


def test_a_streamed_turn_is_remembered(client: OpenAI) -> None:
    made = client.conversations.create(items=[{"role": "user", "content": REMEMBER}])
    events = list(client.responses.create(model=ECHO, input=RECALL, conversation=made.id, stream=True))

    assert events[0].response.conversation.id == made.id
    assert CODE_WORD in events[-1].response.output_text
    assert texts(client, made.id)[-1] == events[-1].response.output_text


def test_a_tool_call_across_two_turns(client: OpenAI) -> None:
    made = client.conversations.create()
    asked = client.responses.create(
        model=TOOLS, input="Weather in Paris?", conversation=made.id, tools=[RESPONSES_TOOL]
    )
    (call,) = [item for item in asked.output if item.type == "function_call"]
    check_weather_arguments(call.arguments)
    client.responses.create(
        model=TOOLS,
        conversation=made.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}],
        tools=[RESPONSES_TOOL],
    )

    types = [item.type for item in client.conversations.items.list(made.id, order="asc")]
    assert types == ["message", "function_call", "function_call_output", "message"]


def test_a_side_question_leaves_the_conversation_as_it_was(client: OpenAI) -> None:
    made = client.conversations.create()
    first = client.responses.create(model=TEXT, input="Hello", conversation=made.id)
    client.responses.create(model=TEXT, input="By the way", conversation=made.id)
    before = texts(client, made.id)

    client.responses.create(model=TEXT, input=REMEMBER, previous_response_id=first.id)
    assert texts(client, made.id) == before
    after = client.responses.create(model=ECHO, input="recall 3", conversation=made.id)
    assert after.output_text == "recall 3"


def test_turns_at_once_all_succeed(client: OpenAI) -> None:
    made = client.conversations.create()

    def ask(number: int) -> str | None:
        question = f"question {number}"
        return client.responses.create(model=TEXT, input=question, conversation=made.id).status

    with ThreadPoolExecutor(WRITERS) as pool:
        assert list(pool.map(ask, range(WRITERS))) == ["completed"] * WRITERS
    questions = texts(client, made.id)[::2]
    assert questions, "one of the turns continued the active branch"
    assert all(text.startswith("question ") for text in questions)


def test_items_added_at_once_are_all_kept(client: OpenAI) -> None:
    made = client.conversations.create()

    def add(number: int) -> str:
        item = {"role": "user", "content": f"line {number}"}
        return client.conversations.items.create(made.id, items=[item]).data[0].id

    with ThreadPoolExecutor(WRITERS) as pool:
        added = list(pool.map(add, range(WRITERS)))
    for identifier in added:
        found = client.conversations.items.retrieve(identifier, conversation_id=made.id)
        assert found.id == identifier


def test_deleting_a_conversation_keeps_its_responses(client: OpenAI) -> None:
    made = client.conversations.create()
    response = client.responses.create(model=TEXT, input="Hello", conversation=made.id)
    client.conversations.delete(made.id)

    assert client.responses.retrieve(response.id).output_text == response.output_text


def test_too_many_items_and_strange_cursors_are_refused(client: OpenAI) -> None:
    made = client.conversations.create()
    with pytest.raises(openai.BadRequestError) as many:
        client.conversations.items.create(
            made.id, items=[{"role": "user", "content": str(number)} for number in range(21)]
        )
    assert many.value.param == "items"
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)):
        list(client.conversations.items.list(made.id, order="asc", after="msg_" + "0" * 32))
    with pytest.raises(openai.BadRequestError) as limit:
        client.conversations.items.list(made.id, limit=101)
    assert limit.value.param == "limit"


def test_unknown_things_are_typed_errors(client: OpenAI) -> None:
    made = client.conversations.create()
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.list("conv_" + "0" * 32)
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.retrieve("msg_" + "0" * 32, conversation_id=made.id)
    with pytest.raises(openai.NotFoundError):
        client.conversations.delete("conv_" + "0" * 32)
