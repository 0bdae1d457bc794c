"""The official Python SDK against /v1/chat/completions, /v1/models and the stored completions."""

from __future__ import annotations

import openai
import pytest
from openai import OpenAI

from tests.e2e.sdk.vocabulary import (
    CHAT_TOOL,
    CODE_WORD,
    ECHO,
    EXTRACTIVE,
    FAIL_AFTER,
    FAIL_BEFORE,
    JSON,
    RECALL,
    REMEMBER,
    TEXT,
    TOOLS,
    TRUNCATED,
    Place,
    check_weather_arguments,
)

HELLO = [{"role": "user", "content": "Hello"}]


def test_models_are_listed_and_retrieved(client: OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}

    assert EXTRACTIVE in listed
    assert listed[EXTRACTIVE].object == "model"
    assert client.models.retrieve(EXTRACTIVE) == listed[EXTRACTIVE]
    with pytest.raises(openai.NotFoundError) as missing:
        client.models.retrieve("nobody/nothing")
    assert missing.value.code == "model_not_found"


def test_an_answer(client: OpenAI) -> None:
    completion = client.chat.completions.create(model=TEXT, messages=HELLO)

    assert completion.object == "chat.completion"
    assert completion.id.startswith("chatcmpl-")
    (choice,) = completion.choices
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert (choice.message.role, choice.message.refusal) == ("assistant", None)
    assert choice.message.content
    assert completion.usage is not None
    assert completion.usage.completion_tokens > 0
    assert (
        completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
    )


def test_a_stream(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model=TEXT, messages=HELLO, stream=True))

    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert all(chunk.usage is None for chunk in chunks)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def test_a_stream_with_usage(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model=TEXT, messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )

    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_the_stream_helper(client: OpenAI) -> None:
    with client.chat.completions.stream(model=TEXT, messages=HELLO) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content


def test_the_client_carries_the_history(client: OpenAI) -> None:
    completion = client.chat.completions.create(
        model=ECHO,
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": REMEMBER},
            {"role": "assistant", "content": "I shall."},
            {"role": "user", "content": RECALL},
        ],
    )
    assert CODE_WORD in (completion.choices[0].message.content or "")


def test_several_choices(client: OpenAI) -> None:
    completion = client.chat.completions.create(model=TEXT, messages=HELLO, n=3)

    assert [choice.index for choice in completion.choices] == [0, 1, 2]
    assert all(choice.message.content for choice in completion.choices)


def test_a_tool_call_and_its_output(client: OpenAI) -> None:
    messages = [{"role": "user", "content": "Weather in Paris?"}]
    asked = client.chat.completions.create(model=TOOLS, messages=messages, tools=[CHAT_TOOL])
    message = asked.choices[0].message
    assert asked.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert (call.type, call.function.name) == ("function", "get_weather")
    check_weather_arguments(call.function.arguments)

    told = client.chat.completions.create(
        model=TOOLS,
        messages=[
            *messages,
            message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"},
        ],
        tools=[CHAT_TOOL],
    )
    assert told.choices[0].finish_reason == "stop"
    assert told.choices[0].message.content


def test_a_streamed_tool_call(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model=TOOLS, messages=[{"role": "user", "content": "Weather in Paris?"}], tools=[CHAT_TOOL]
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()

    (call,) = final.choices[0].message.tool_calls or []
    check_weather_arguments(call.function.arguments)
    assert final.choices[0].finish_reason == "tool_calls"
    assert any(event.type == "tool_calls.function.arguments.done" for event in events)


def test_structured_output(client: OpenAI) -> None:
    completion = client.chat.completions.parse(model=JSON, messages=HELLO, response_format=Place)
    assert isinstance(completion.choices[0].message.parsed, Place)

    with client.chat.completions.stream(model=JSON, messages=HELLO, response_format=Place) as stream:
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Place)


def test_a_truncated_answer(client: OpenAI) -> None:
    completion = client.chat.completions.create(model=TRUNCATED, messages=HELLO)
    assert completion.choices[0].finish_reason == "length"


def test_a_provider_that_fails_at_once_is_a_server_error(client: OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as failed:
        client.chat.completions.create(model=FAIL_BEFORE, messages=HELLO)
    assert failed.value.status_code >= 500
    assert isinstance(failed.value.body, dict)
    assert {"message", "type", "param", "code"} <= set(failed.value.body)


def test_a_provider_that_fails_in_mid_stream_is_no_quiet_end(client: OpenAI) -> None:
    received = []
    with pytest.raises(openai.APIError):
        for chunk in client.chat.completions.create(model=FAIL_AFTER, messages=HELLO, stream=True):
            received.append(chunk)
    assert received
    assert all(choice.finish_reason is None for chunk in received for choice in chunk.choices)


@pytest.mark.parametrize(
    "body",
    [
        {"model": TEXT},
        {"model": TEXT, "messages": []},
        {"model": TEXT, "messages": "Hello"},
        {"model": TEXT, "messages": [{"role": "nobody", "content": "Hello"}]},
    ],
)
def test_wrong_messages_are_a_typed_error(client: OpenAI, body: dict[str, object]) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.post("/chat/completions", body=body, cast_to=object)
    assert refused.value.type == "invalid_request_error"
    assert str(refused.value.param).startswith("messages")


# --- stored completions ---------------------------------------------------------------------------


def test_what_is_not_stored_is_not_found(client: OpenAI) -> None:
    completion = client.chat.completions.create(model=TEXT, messages=HELLO)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(completion.id)


def test_a_stored_completion_from_birth_to_deletion(client: OpenAI) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *HELLO]
    made = client.chat.completions.create(
        model=TEXT, messages=messages, store=True, metadata={"suite": "stored", "run": "one"}
    )

    stored = client.chat.completions.retrieve(made.id)
    assert stored.id == made.id
    assert stored.choices[0].message.content == made.choices[0].message.content
    assert stored.choices[0].finish_reason == "stop"
    assert stored.usage is not None

    said = list(client.chat.completions.messages.list(made.id))
    assert [(message.role, message.content) for message in said] == [
        ("system", "Be brief."),
        ("user", "Hello"),
    ]
    assert len({message.id for message in said}) == 2

    updated = client.chat.completions.update(made.id, metadata={"suite": "stored", "run": "two"})
    assert updated.id == made.id
    found = client.chat.completions.list(metadata={"suite": "stored", "run": "two"})
    assert [completion.id for completion in found] == [made.id]
    assert list(client.chat.completions.list(metadata={"suite": "stored", "run": "one"})) == []

    deleted = client.chat.completions.delete(made.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (made.id, True, "chat.completion.deleted")
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(made.id)


def test_a_streamed_completion_is_stored_too(client: OpenAI) -> None:
    with client.chat.completions.stream(model=TEXT, messages=HELLO, store=True) as stream:
        final = stream.get_final_completion()

    stored = client.chat.completions.retrieve(final.id)
    assert stored.choices[0].message.content == final.choices[0].message.content


def test_stored_completions_are_paged(client: OpenAI) -> None:
    made = [
        client.chat.completions.create(
            model=TEXT, messages=HELLO, store=True, metadata={"suite": "pages", "number": str(number)}
        ).id
        for number in range(5)
    ]

    oldest_first = [c.id for c in client.chat.completions.list(metadata={"suite": "pages"}, limit=2)]
    newest_first = [
        c.id for c in client.chat.completions.list(metadata={"suite": "pages"}, limit=2, order="desc")
    ]
    assert oldest_first == made
    assert newest_first == made[::-1]
    assert [c.id for c in client.chat.completions.list(metadata={"suite": "pages"}, model=TEXT)] == made
    assert list(client.chat.completions.list(metadata={"suite": "pages"}, model=JSON)) == []
