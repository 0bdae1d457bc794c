"""The official Python SDK's asynchronous client: the same server under many requests at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import openai
import pytest
from openai import AsyncOpenAI

from tests.e2e.sdk.launch import Server
from tests.e2e.sdk.polling import eventually_async
from tests.e2e.sdk.vocabulary import (
    CHAT_TOOL,
    CODE_WORD,
    ECHO,
    JSON,
    RECALL,
    REMEMBER,
    SLOW,
    TAKE_FOREVER,
    TAKE_YOUR_TIME,
    TEXT,
    TOOLS,
    Place,
    check_weather_arguments,
)


@pytest.fixture
async def client(server: Server) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=server.base_url, api_key="sk-any", max_retries=0, timeout=30) as sdk:
        yield sdk


async def test_many_streams_at_once_are_not_mixed_up(client: AsyncOpenAI) -> None:
    async def one(number: int) -> tuple[str, str]:
        stream = await client.responses.create(
            model=ECHO, input=f"The code word is word-{number}.", stream=True
        )
        events = [event async for event in stream]
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert events[-1].type == "response.completed"
        followed = await client.responses.create(
            model=ECHO, input=RECALL, previous_response_id=events[-1].response.id
        )
        return f"word-{number}.", followed.output_text

    for word, text in await asyncio.gather(*(one(number) for number in range(20))):
        assert word in text


async def test_streaming_and_helpers(client: AsyncOpenAI) -> None:
    async with client.responses.stream(model=TEXT, input="Hello") as stream:
        deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert "".join(deltas) == final.output_text != ""

    async with client.chat.completions.stream(
        model=TEXT, messages=[{"role": "user", "content": "Hello"}]
    ) as chat:
        completion = await chat.get_final_completion()
    assert completion.choices[0].message.content


async def test_tools_and_structured_output(client: AsyncOpenAI) -> None:
    asked = await client.chat.completions.create(
        model=TOOLS, messages=[{"role": "user", "content": "Weather?"}], tools=[CHAT_TOOL]
    )
    (call,) = asked.choices[0].message.tool_calls or []
    check_weather_arguments(call.function.arguments)

    parsed = await client.responses.parse(model=JSON, input="Describe Paris.", text_format=Place)
    assert isinstance(parsed.output_parsed, Place)


async def test_conversations_and_their_pages(client: AsyncOpenAI) -> None:
    made = await client.conversations.create(items=[{"role": "user", "content": REMEMBER}])
    response = await client.responses.create(model=ECHO, input=RECALL, conversation=made.id)
    assert CODE_WORD in response.output_text

    listed = [item async for item in client.conversations.items.list(made.id, order="asc", limit=1)]
    assert [item.content[0].text for item in listed] == [REMEMBER, RECALL, response.output_text]


async def test_a_background_answer_is_followed_by_two(client: AsyncOpenAI) -> None:
    started = await client.responses.create(model=SLOW, input=TAKE_YOUR_TIME, background=True)

    async def follow() -> list[str]:
        stream = await client.responses.retrieve(started.id, stream=True)
        return [event.model_dump_json() async for event in stream]

    one, other = await asyncio.gather(follow(), follow())
    assert one == other
    assert (await client.responses.retrieve(started.id)).status == "completed"


async def test_cancelling_ends_the_streams_of_followers(client: AsyncOpenAI) -> None:
    started = await client.responses.create(model=SLOW, input=TAKE_FOREVER, background=True)

    async def follow() -> list[str]:
        stream = await client.responses.retrieve(started.id, stream=True)
        return [event.type async for event in stream]

    follower = asyncio.create_task(follow())
    await client.responses.cancel(started.id)
    types = await asyncio.wait_for(follower, 20)
    assert types[-1] == "response.incomplete"
    assert (await client.responses.retrieve(started.id)).status == "cancelled"


async def test_a_client_that_hangs_up_stops_nothing(client: AsyncOpenAI) -> None:
    stream = await client.responses.create(model=SLOW, input=TAKE_YOUR_TIME, stream=True)
    first = await anext(aiter(stream))
    await stream.close()

    async def finished() -> object | None:
        response = await client.responses.retrieve(first.response.id)
        return response if response.status == "completed" and response.output_text else None

    assert await eventually_async(finished)


async def test_a_websocket_conversation(client: AsyncOpenAI) -> None:
    async with client.responses.connect() as connection:
        await connection.response.create(model=ECHO, input=REMEMBER)
        async for event in connection:
            if event.type == "response.completed":
                break
        await connection.response.create(model=ECHO, input=RECALL, previous_response_id=event.response.id)
        async for event in connection:
            if event.type == "response.completed":
                break
    assert CODE_WORD in event.response.output[0].content[0].text
    assert (await client.responses.retrieve(event.response.id)).status == "completed"


async def test_errors_are_typed(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve("resp_" + "0" * 32)
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model=TEXT, input="Hello", previous_response_id="resp_" + "0" * 32)
    assert refused.value.code == "previous_response_not_found"
