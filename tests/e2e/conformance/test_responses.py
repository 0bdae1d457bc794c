"""POST /responses without a stream: every request of the Open Responses suite, and what is echoed."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.e2e.conformance.requests import MODEL, RED_DOT, TOOL_MODEL, WEATHER_TOOL, create, said
from tests.e2e.conformance.shapes import (
    ChooseAllowed,
    ChooseFunction,
    ConversationReference,
    DeletedResponse,
    FunctionCall,
    FunctionTool,
    InputTokens,
    JsonObjectFormat,
    JsonSchemaFormat,
    Message,
    OutputText,
    Reasoning,
    Refusal,
    Response,
    TextFormat,
    parse,
)

ASSISTANT = "Hello Alice! How can I help you today?"
IMAGE = {"type": "input_image", "image_url": RED_DOT}
QUESTION = {"type": "input_text", "text": "What is in this image?"}


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("Say hello.", id="string"),
        pytest.param([said("user", "Say hello in exactly 3 words.")], id="basic"),
        pytest.param([{"role": "user", "content": "Say hello."}], id="message without type"),
        pytest.param(
            [
                said("assistant", "I should answer with the saved number.", phase="commentary"),
                said("assistant", "The number is four.", phase="final_answer"),
                said("user", "Repeat only the number."),
            ],
            id="assistant phase",
        ),
        pytest.param([said("system", "You are a pirate."), said("user", "Say hello.")], id="system prompt"),
        pytest.param([said("developer", "Be brief."), said("user", "Say hello.")], id="developer prompt"),
        pytest.param(
            [said("user", "My name is Alice."), said("assistant", ASSISTANT), said("user", "My name?")],
            id="multi-turn",
        ),
        pytest.param(
            [said("assistant", [{"type": "output_text", "text": "OK."}]), said("user", "Go on.")],
            id="output text without annotations",
        ),
        pytest.param([said("user", [QUESTION, IMAGE])], id="image without detail"),
    ],
)
def test_an_input_of_the_suite_is_answered(http: httpx.Client, given: Any) -> None:
    response = create(http, input=given)

    assert response.status == "completed"
    (message,) = response.output
    assert isinstance(message, Message)
    assert message.role == "assistant"
    assert message.status == "completed"
    (part,) = message.content
    assert isinstance(part, OutputText)
    assert part.text
    assert response.usage is not None
    assert response.usage.output_tokens > 0


def test_defaults_are_echoed(http: httpx.Client) -> None:
    response = create(http, input="Hello")

    assert response.model == MODEL
    assert (response.temperature, response.top_p) == (1.0, 1.0)
    assert (response.presence_penalty, response.frequency_penalty) == (0, 0)
    assert response.top_logprobs == 0
    assert response.parallel_tool_calls is True
    assert (response.tool_choice, response.tools) == ("auto", [])
    assert response.truncation == "auto"  # docs/decisions/0001
    assert response.service_tier == "default"
    assert isinstance(response.text.format, TextFormat)
    assert (response.store, response.background) == (True, False)
    assert response.metadata == {}
    for absent in ("instructions", "previous_response_id", "max_output_tokens", "max_tool_calls"):
        assert getattr(response, absent) is None
    assert (response.prompt_cache_key, response.safety_identifier) == (None, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0.5),
        ("top_p", 0.25),
        ("presence_penalty", 0.5),
        ("frequency_penalty", -0.5),
        ("top_logprobs", 2),
        ("max_output_tokens", 1000),
        ("max_tool_calls", 3),
        ("parallel_tool_calls", False),
        ("truncation", "auto"),
        ("instructions", "Be brief."),
        ("metadata", {"key": "value"}),
        ("prompt_cache_key", "key"),
        ("safety_identifier", "somebody"),
        ("user", "somebody"),
    ],
)
def test_a_setting_is_echoed(http: httpx.Client, field: str, value: Any) -> None:
    assert getattr(create(http, input="Hello", **{field: value}), field) == value


def test_null_means_the_default(http: httpx.Client) -> None:
    fields = (
        "temperature",
        "top_p",
        "tools",
        "tool_choice",
        "text",
        "metadata",
        "truncation",
        "store",
        "stream",
    )
    response = create(http, input="Hello", **dict.fromkeys(fields))

    assert (response.temperature, response.tools, response.store) == (1.0, [], True)
    assert response.metadata == {}


def test_text_formats_are_echoed(http: httpx.Client) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    wanted = {"type": "json_schema", "name": "thing", "schema": schema, "strict": True}
    response = create(http, model="scripted/json", input="Go.", text={"format": wanted, "verbosity": "low"})

    assert isinstance(response.text.format, JsonSchemaFormat)
    assert (response.text.format.name, response.text.format.schema) == ("thing", schema)
    assert response.text.verbosity == "low"
    (message,) = response.output
    assert set(json.loads(message.content[0].text)) == {"a"}

    loose = create(http, model="scripted/json", input="Go.", text={"format": {"type": "json_object"}})
    assert isinstance(loose.text.format, JsonObjectFormat)
    json.loads(loose.output[0].content[0].text)


def test_a_tool_is_called(http: httpx.Client) -> None:
    response = create(http, model=TOOL_MODEL, input=[said("user", "Weather?")], tools=[WEATHER_TOOL])

    assert response.status == "completed"
    (call,) = [item for item in response.output if isinstance(item, FunctionCall)]
    assert call.name == "get_weather"
    assert set(json.loads(call.arguments)) == {"location"}
    (tool,) = response.tools
    assert isinstance(tool, FunctionTool)
    assert tool.parameters == WEATHER_TOOL["parameters"]


def test_a_tool_without_anything_is_echoed_in_full(http: httpx.Client) -> None:
    response = create(http, input="Hello", tools=[{"type": "function", "name": "nothing"}])
    (tool,) = response.tools
    assert (tool.name, tool.description) == ("nothing", None)


def test_tool_choices_are_echoed(http: httpx.Client) -> None:
    forced = {"type": "function", "name": "get_weather"}
    response = create(http, model=TOOL_MODEL, input="Hello", tools=[WEATHER_TOOL], tool_choice=forced)
    assert response.tool_choice == ChooseFunction(name="get_weather")

    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [forced]}
    response = create(http, model=TOOL_MODEL, input="Hello", tools=[WEATHER_TOOL], tool_choice=allowed)
    assert isinstance(response.tool_choice, ChooseAllowed)

    none = create(http, model=TOOL_MODEL, input="Hello", tools=[WEATHER_TOOL], tool_choice="none")
    assert [type(item) for item in none.output] == [Message]


def test_reasoning_is_an_item_before_the_message(http: httpx.Client) -> None:
    response = create(http, model="scripted/reasoning", input="Think.", reasoning={"effort": "low"})

    assert [type(item) for item in response.output] == [Reasoning, Message]
    assert response.reasoning is not None
    assert response.reasoning.effort == "low"
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens > 0


def test_a_refusal_is_a_part_of_its_own(http: httpx.Client) -> None:
    (message,) = create(http, model="scripted/refusal", input="Hello").output
    assert [type(part) for part in message.content] == [Refusal]


@pytest.mark.parametrize("model", ["scripted/fail-before", "scripted/fail-after"])
def test_a_failure_is_a_valid_response(http: httpx.Client, model: str) -> None:
    response = create(http, model=model, input="Hello")

    assert response.status == "failed"
    assert all(item.status == "incomplete" for item in response.output)


@pytest.mark.parametrize(
    "body",
    [
        {"model": "scripted/truncated", "input": "Go on."},
        {"model": "scripted/numbered", "input": "tokens=100", "max_output_tokens": 16},
    ],
)
def test_a_token_limit_makes_it_incomplete(http: httpx.Client, body: dict[str, Any]) -> None:
    response = create(http, **body)

    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output[-1].status == "incomplete"


def test_a_conversation_is_named_as_an_object(http: httpx.Client) -> None:
    made = http.post("/conversations", json={}).json()["id"]
    for reference in (made, {"id": made}):
        response = create(http, input="Hello", conversation=reference)
        assert response.conversation == ConversationReference(id=made)


def test_the_stored_response_is_the_same_object(http: httpx.Client) -> None:
    answer = http.post("/responses", json={"model": MODEL, "input": "Hello"})
    response = parse(answer.content, Response)

    stored = http.get(f"/responses/{response.id}")
    assert stored.status_code == 200
    assert stored.json() == answer.json()
    parse(http.delete(f"/responses/{response.id}").content, DeletedResponse)
    assert http.get(f"/responses/{response.id}").status_code == 404


def test_background_and_cancel_are_valid_responses(http: httpx.Client) -> None:
    body = {"model": "scripted/slow", "input": "tokens=3000 delay_ms=20", "background": True}
    started = parse(http.post("/responses", json=body).content, Response)
    assert started.status in ("queued", "in_progress")
    assert started.background is True

    cancelled = parse(http.post(f"/responses/{started.id}/cancel").content, Response)
    assert cancelled.status == "cancelled"
    assert cancelled.usage is not None


def test_input_tokens(http: httpx.Client) -> None:
    counted = http.post("/responses/input_tokens", json={"model": MODEL, "input": "Hello"})
    assert parse(counted.content, InputTokens).input_tokens > 0
