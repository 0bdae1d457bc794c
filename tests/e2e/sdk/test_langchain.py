"""LangChain's ChatOpenAI, over chat completions and over the Responses API."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from tests.e2e.sdk.launch import Server
from tests.e2e.sdk.vocabulary import (
    CODE_WORD,
    ECHO,
    FAIL_AFTER,
    JSON,
    REASONING,
    RECALL,
    REMEMBER,
    TEXT,
    TOOLS,
    TRUNCATED,
    Place,
    check_weather_input,
)

both_apis = pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])


@tool
def get_weather(location: str, unit: str) -> str:
    """The weather at a place."""
    return f"18 degrees {unit} in {location}"


@pytest.fixture(autouse=True)
def no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    monkeypatch.setenv("LANGCHAIN_TRACING_V2", "false")


def model(server: Server, name: str, responses: bool, **settings: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model=name,
        base_url=server.base_url,
        api_key="sk-any",
        max_retries=0,
        timeout=30,
        use_responses_api=responses,
        **settings,
    )


@both_apis
def test_invoke(server: Server, responses: bool) -> None:
    message = model(server, TEXT, responses).invoke("Hello")

    assert message.text
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] > 0


@both_apis
def test_stream(server: Server, responses: bool) -> None:
    chat = model(server, TEXT, responses, stream_usage=True)
    chunks = list(chat.stream("Hello"))

    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert len([chunk for chunk in chunks if chunk.text]) > 1
    assert whole.text == chat.invoke("Hello").text
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] > 0


async def test_asynchronously(server: Server) -> None:
    for responses in (False, True):  # in one event loop: all models share one connection pool
        chat = model(server, TEXT, responses)
        streamed = [chunk.text async for chunk in chat.astream("Hello")]

        assert "".join(streamed) == (await chat.ainvoke("Hello")).text != ""
        assert len(await chat.abatch(["one", "two", "three"])) == 3


@both_apis
def test_tools(server: Server, responses: bool) -> None:
    chat = model(server, TOOLS, responses).bind_tools([get_weather])
    question = HumanMessage("Weather in Paris?")
    asked = chat.invoke([question])
    (call,) = asked.tool_calls
    assert call["name"] == "get_weather"
    assert set(call["args"]) == {"location", "unit"}

    told = chat.invoke(
        [question, asked, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])]
    )
    assert not told.tool_calls
    assert "18 degrees" in told.text


@both_apis
def test_streamed_tools(server: Server, responses: bool) -> None:
    chunks = list(model(server, TOOLS, responses).bind_tools([get_weather]).stream("Weather in Paris?"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk

    (call,) = whole.tool_calls
    assert set(call["args"]) == {"location", "unit"}


@both_apis
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(server: Server, responses: bool, method: str) -> None:
    name = JSON if method == "json_schema" else TOOLS
    place = model(server, name, responses).with_structured_output(Place, method=method).invoke("Paris?")

    assert isinstance(place, Place)


@both_apis
def test_the_client_carries_the_history(server: Server, responses: bool) -> None:
    message = model(server, ECHO, responses).invoke(
        [SystemMessage("Be brief."), HumanMessage(REMEMBER), AIMessage("I shall."), HumanMessage(RECALL)]
    )
    assert message.text == REMEMBER


def test_the_server_carries_the_history_by_previous_response(server: Server) -> None:
    chat = model(server, ECHO, responses=True, use_previous_response_id=True)
    first = chat.invoke([HumanMessage(REMEMBER)])
    assert first.response_metadata["id"].startswith("resp_")

    second = chat.invoke([HumanMessage(REMEMBER), first, HumanMessage(RECALL)])
    assert second.text == REMEMBER
    third = chat.invoke([first, HumanMessage(RECALL)])
    assert third.text == REMEMBER


def test_the_server_carries_the_history_by_conversation(server: Server) -> None:
    with openai.OpenAI(base_url=server.base_url, api_key="sk-any") as sdk:
        made = sdk.conversations.create()
    chat = model(server, ECHO, responses=True, extra_body={"conversation": made.id})

    chat.invoke([HumanMessage(REMEMBER)])
    assert CODE_WORD in chat.invoke([HumanMessage(RECALL)]).text
    assert "".join(chunk.text for chunk in chat.stream([HumanMessage(RECALL)])) == REMEMBER


@both_apis
def test_reasoning_does_not_leak_into_the_text(server: Server, responses: bool) -> None:
    thinking = model(server, REASONING, responses).invoke("Think.")
    plain = model(server, TEXT, responses).invoke("Hello")
    assert thinking.text == plain.text


@both_apis
def test_a_truncated_answer_says_so(server: Server, responses: bool) -> None:
    metadata = model(server, TRUNCATED, responses).invoke("Go on.").response_metadata
    if responses:
        assert metadata["incomplete_details"]["reason"] == "max_output_tokens"
    else:
        assert metadata["finish_reason"] == "length"


@both_apis
def test_failures_are_raised(server: Server, responses: bool) -> None:
    with pytest.raises((openai.NotFoundError, openai.BadRequestError)):
        model(server, "nobody/nothing", responses).invoke("Hello")
    with pytest.raises(Exception, match=r"."):
        list(model(server, FAIL_AFTER, False).stream("Hello"))


def test_arguments_of_a_raw_schema(server: Server) -> None:
    schema = {
        "title": "get_weather",
        "description": "The weather at a place",
        "type": "object",
        "properties": {
            "location": {"type": "string"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["location", "unit"],
    }
    asked = model(server, TOOLS, True).bind_tools([schema]).invoke("Weather?")
    check_weather_input(json.loads(json.dumps(asked.tool_calls[0]["args"])))
