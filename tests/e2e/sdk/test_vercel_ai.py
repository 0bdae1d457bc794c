"""The Vercel AI SDK with its two OpenAI providers; the programs are node/ai_*.mjs."""

from __future__ import annotations

import pytest

from tests.e2e.sdk.launch import Server
from tests.e2e.sdk.node_programs import Findings, require_node, run_program
from tests.e2e.sdk.vocabulary import CODE_WORD, REMEMBER, Place, check_weather_input


@pytest.fixture(scope="module")
def openai(server: Server) -> Findings:
    require_node()
    return run_program("ai_openai.mjs", server.base_url)


@pytest.fixture(scope="module")
def compatible(server: Server) -> Findings:
    require_node()
    return run_program("ai_compatible.mjs", server.base_url)


both_apis = pytest.mark.parametrize("api", ["responses", "chat"])


@both_apis
def test_text(openai: Findings, api: str) -> None:
    answer = openai[f"{api}_text"]
    assert answer["text"]
    assert answer["finishReason"] == "stop"
    assert answer["usage"]["outputTokens"] > 0


@both_apis
def test_stream(openai: Findings, api: str) -> None:
    stream = openai[f"{api}_stream"]
    assert stream["errors"] == []
    assert {"start", "text-start", "text-delta", "text-end", "finish"} <= set(stream["parts"])
    assert stream["text"] == stream["whole"] == openai[f"{api}_text"]["text"]
    assert stream["finishReason"] == "stop"
    assert stream["usage"]["outputTokens"] > 0


@both_apis
def test_tools_in_several_steps(openai: Findings, api: str) -> None:
    tools = openai[f"{api}_tools"]
    assert tools["steps"] == ["tool-calls", "stop"]
    (given,) = tools["given"]
    check_weather_input(given)
    assert "18 degrees" in tools["text"]

    streamed = openai[f"{api}_streamed_tools"]
    assert streamed["steps"] == 2
    assert streamed["given"] == tools["given"]
    assert "18 degrees" in streamed["text"]


@both_apis
def test_structured_output(openai: Findings, api: str) -> None:
    Place.model_validate(openai[f"{api}_structured"])
    streamed = openai[f"{api}_streamed_structured"]
    Place.model_validate(streamed["output"])
    assert streamed["last"] == streamed["output"]


@both_apis
def test_the_client_carries_the_history(openai: Findings, api: str) -> None:
    assert openai[f"{api}_messages"] == REMEMBER


@both_apis
def test_a_truncated_answer(openai: Findings, api: str) -> None:
    truncated = openai[f"{api}_truncated"]
    assert truncated["text"]
    assert truncated["finishReason"] == "length"


@both_apis
def test_an_unknown_model(openai: Findings, api: str) -> None:
    failure = openai[f"{api}_failure"]
    assert failure["name"] == "AI_APICallError"
    assert failure["status"] in (400, 404)
    assert failure["code"] == "model_not_found"


@both_apis
def test_a_failed_stream_is_no_quiet_end(openai: Findings, api: str) -> None:
    failed = openai[f"{api}_failed_stream"]
    assert failed["text"]
    assert "error" in failed["ends"]


def test_previous_response(openai: Findings) -> None:
    assert openai["previous_response"] == REMEMBER


def test_conversation(openai: Findings) -> None:
    assert CODE_WORD in openai["conversation"]


def test_reasoning(openai: Findings) -> None:
    reasoning = openai["reasoning"]
    assert reasoning["text"]
    assert reasoning["usage"]["reasoningTokens"] > 0


def test_compatible_text_and_stream(compatible: Findings) -> None:
    answer, stream = compatible["text"], compatible["stream"]
    assert answer["text"] == stream["text"] == stream["whole"] != ""
    assert answer["finishReason"] == stream["finishReason"] == "stop"
    assert answer["usage"]["outputTokens"] == stream["usage"]["outputTokens"] > 0


def test_compatible_tools(compatible: Findings) -> None:
    (given,) = compatible["tools"]["given"]
    check_weather_input(given)
    assert "18 degrees" in compatible["tools"]["text"]


def test_compatible_structured_output(compatible: Findings) -> None:
    Place.model_validate(compatible["structured"])


def test_compatible_history(compatible: Findings) -> None:
    assert compatible["messages"] == REMEMBER


def test_compatible_reasoning(compatible: Findings) -> None:
    assert compatible["reasoning"]["reasoning"]
    assert compatible["reasoning"]["text"]


def test_compatible_failure(compatible: Findings) -> None:
    failure = compatible["failure"]
    assert failure["name"] == "AI_APICallError"
    assert failure["status"] >= 500
    assert failure["retryable"] is True
