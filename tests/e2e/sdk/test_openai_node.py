"""The official Node SDK against the whole OpenAI surface; the program is node/openai.mjs."""

from __future__ import annotations

import pytest

from tests.e2e.sdk.launch import Server
from tests.e2e.sdk.node_programs import Findings, require_node, run_program
from tests.e2e.sdk.vocabulary import CODE_WORD, RECALL, REMEMBER, Place, check_weather_arguments


@pytest.fixture(scope="module")
def found(server: Server) -> Findings:
    require_node()
    return run_program("openai.mjs", server.base_url)


def test_text(found: Findings) -> None:
    answer = found["text"]
    assert answer["id"].startswith("resp_")
    assert answer["status"] == "completed"
    assert answer["output_text"]
    assert answer["usage"]["total_tokens"] > 0
    assert answer["_request_id"]


def test_streams(found: Findings) -> None:
    stream = found["stream"]
    assert stream["numbers"] == list(range(len(stream["numbers"])))
    assert stream["types"][0] == "response.created"
    assert stream["types"][-1] == "response.completed"
    assert stream["text"] == stream["final"] != ""

    helper = found["stream_helper"]
    assert helper["text"] == helper["final"] != ""


def test_tools(found: Findings) -> None:
    tools = found["tools"]
    assert tools["name"] == "get_weather"
    check_weather_arguments(tools["arguments"])
    assert "18 degrees" in tools["answer"]

    streamed = found["streamed_tools"]
    assert streamed["deltas"] == streamed["arguments"]
    check_weather_arguments(streamed["arguments"])


def test_structured_output(found: Findings) -> None:
    Place.model_validate(found["structured"])
    Place.model_validate(found["chat_structured"])


def test_previous_response(found: Findings) -> None:
    assert found["previous_response"] == REMEMBER


def test_conversation(found: Findings) -> None:
    conversation = found["conversation"]
    assert conversation["id"].startswith("conv_")
    assert conversation["metadata"] == {"topic": "demo"}
    assert conversation["inResponse"]["id"] == conversation["id"]
    assert conversation["texts"] == [REMEMBER, REMEMBER, RECALL, REMEMBER]
    assert conversation["deleted"]["deleted"] is True
    assert conversation["after"]["thrown"] == "NotFoundError"


def test_background(found: Findings) -> None:
    resumed = found["background_resumed"]
    together = resumed["seen"] + resumed["rest"]
    assert together == list(range(len(together)))
    assert resumed["last"] == "response.completed"

    assert found["background_polled"]["started"] in ("queued", "in_progress")
    assert found["background_polled"]["text"]
    assert found["cancelled"] == ["cancelled"] * 3


def test_input_items_tokens_and_compact(found: Findings) -> None:
    assert found["input_items"] == ["a", "b", "c"]

    rest = found["input_tokens_and_compact"]
    assert rest["counted"]["object"] == "response.input_tokens"
    assert rest["counted"]["input_tokens"] > 0
    assert rest["object"] == "response.compaction"
    assert "compaction" in rest["types"]
    assert CODE_WORD in rest["answer"]


def test_chat(found: Findings) -> None:
    completion = found["chat"]
    assert completion["object"] == "chat.completion"
    assert completion["choices"][0]["message"]["content"]

    stream = found["chat_stream"]
    assert stream["text"] == completion["choices"][0]["message"]["content"]
    assert stream["finish"] == ["stop"]
    assert stream["usage"]["total_tokens"] > 0


def test_chat_tools(found: Findings) -> None:
    assert "location and unit understood" in found["chat_tools"]
    assert found["chat_streamed_tools"]["finish"] == "tool_calls"
    check_weather_arguments(found["chat_streamed_tools"]["arguments"])


def test_stored_completions(found: Findings) -> None:
    stored = found["chat_stored"]
    assert stored["listed"] == [stored["id"]]
    assert stored["said"] == ["Hello"]
    assert stored["deleted"]["deleted"] is True
    assert stored["after"]["thrown"] == "NotFoundError"


def test_errors_are_typed(found: Findings) -> None:
    errors = found["errors"]
    assert errors["model"]["code"] == "model_not_found"
    assert errors["previous"]["thrown"] == "BadRequestError"
    assert errors["previous"]["code"] == "previous_response_not_found"
    assert errors["response"]["thrown"] == "NotFoundError"
    assert errors["input"]["thrown"] == "BadRequestError"
    assert errors["input"]["param"].startswith("input")
    assert errors["input"]["type"] == "invalid_request_error"


def test_websocket(found: Findings) -> None:
    websocket = found["websocket"]
    assert websocket["numbers"] == list(range(len(websocket["numbers"])))
    assert websocket["remembered"] is True


def test_documents(found: Findings) -> None:
    documents = found["documents"]
    assert (documents["file"]["filename"], documents["file"]["object"]) == ("a b.md", "file")
    assert documents["file"]["expires_at"] == documents["file"]["created_at"] + 3600
    assert documents["same"] is True
    assert documents["alone"] == "completed"
    assert (documents["batch"]["completed"], documents["batch"]["total"]) == (2, 2)
    assert documents["listed"] == 4
    assert documents["completed"] == ["completed", True]
    assert documents["deleted"]["deleted"] is True
    assert (documents["after"]["thrown"], documents["after"]["status"]) == ("NotFoundError", 404)
