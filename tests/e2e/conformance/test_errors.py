"""Errors: every refusal has OpenAI's body, all four keys, and a status that SDKs do not retry in vain."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.conformance.requests import MODEL, said
from tests.e2e.conformance.shapes import ErrorBody, ErrorDetail, parse

NOTHING = "0" * 32


def refused(answer: httpx.Response, *statuses: int) -> ErrorDetail:
    assert answer.status_code in statuses, f"{answer.status_code}: {answer.text}"
    assert answer.headers["content-type"].startswith("application/json")
    body: ErrorBody = parse(answer.content, ErrorBody)
    return body.error


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": 5}, "input"),
        ({"input": [5]}, "input"),
        ({"input": [said("nobody", "Hello")]}, "input"),
        ({"input": [{"type": "function_call_output", "call_id": "call_none", "output": "x"}]}, "input"),
        ({"model": 5}, "model"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"metadata": {str(number): "x" for number in range(17)}}, "metadata"),
        ({"metadata": {"key": "x" * 513}}, "metadata"),
        ({"metadata": {"x" * 65: "value"}}, "metadata"),
        ({"metadata": {"key": 1}}, "metadata"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tools": "all"}, "tools"),
        ({"tool_choice": "perhaps"}, "tool_choice"),
        ({"truncation": "sometimes"}, "truncation"),
        ({"text": {"format": {"type": "xml"}}}, "text"),
        ({"stream": "yes"}, "stream"),
        ({"previous_response_id": 5}, "previous_response_id"),
    ],
)
def test_a_wrong_field_is_refused_by_name(http: httpx.Client, body: dict[str, Any], param: str) -> None:
    answer = http.post("/responses", json={"model": MODEL, "input": "Hello", **body})
    error = refused(answer, 400)

    assert error.type == "invalid_request_error"
    assert error.param is not None
    assert error.param.replace("[", ".").split(".")[0] == param


NO_OBJECTS = [b"{", b"[]", b'"text"', b"\xff\xfe", b'{"model": NaN}']


@pytest.mark.parametrize(
    ("path", "content"),
    [
        *((path, content) for path in ("/responses", "/chat/completions") for content in (b"", b"null")),
        *(
            (path, content)
            for path in ("/responses", "/chat/completions", "/conversations")
            for content in NO_OBJECTS
        ),
    ],
)
def test_what_is_no_json_object_is_refused(http: httpx.Client, path: str, content: bytes) -> None:
    answer = http.post(path, content=content, headers={"Content-Type": "application/json"})
    assert refused(answer, 400).type == "invalid_request_error"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/responses/resp_{NOTHING}"),
        ("DELETE", f"/responses/resp_{NOTHING}"),
        ("POST", f"/responses/resp_{NOTHING}/cancel"),
        ("GET", f"/responses/resp_{NOTHING}/input_items"),
        ("GET", f"/responses/resp_{NOTHING}?stream=true"),
        ("GET", "/responses/nonsense"),
        ("GET", f"/conversations/conv_{NOTHING}"),
        ("DELETE", f"/conversations/conv_{NOTHING}"),
        ("GET", f"/conversations/conv_{NOTHING}/items"),
        ("GET", f"/conversations/conv_{NOTHING}/items/msg_{NOTHING}"),
        ("DELETE", f"/conversations/conv_{NOTHING}/items/msg_{NOTHING}"),
        ("GET", f"/chat/completions/chatcmpl-{NOTHING}"),
        ("DELETE", f"/chat/completions/chatcmpl-{NOTHING}"),
        ("GET", f"/chat/completions/chatcmpl-{NOTHING}/messages"),
        ("GET", "/models/nobody/nothing"),
        ("GET", "/nothing"),
    ],
)
def test_what_does_not_exist_is_404(http: httpx.Client, method: str, path: str) -> None:
    assert refused(http.request(method, path), 404).type == "invalid_request_error"


def test_a_wrong_method_is_405(http: httpx.Client) -> None:
    refused(http.put("/responses", json={}), 405)


def test_an_unknown_model_is_named(http: httpx.Client) -> None:
    for path, body in (
        ("/responses", {"input": "Hello"}),
        ("/chat/completions", {"messages": [{"role": "user", "content": "Hello"}]}),
    ):
        error = refused(http.post(path, json={"model": "nobody/nothing", **body}), 400, 404)
        assert (error.code, error.param) == ("model_not_found", "model")
        assert "nobody/nothing" in error.message


def test_an_unknown_previous_response(http: httpx.Client) -> None:
    body = {"model": MODEL, "input": "Hello", "previous_response_id": f"resp_{NOTHING}"}
    error = refused(http.post("/responses", json=body), 400)
    assert (error.code, error.param) == ("previous_response_not_found", "previous_response_id")


def test_an_unknown_conversation(http: httpx.Client) -> None:
    body = {"model": MODEL, "input": "Hello", "conversation": f"conv_{NOTHING}"}
    assert refused(http.post("/responses", json=body), 404).type == "invalid_request_error"


def test_a_stream_that_cannot_begin_is_an_http_error(http: httpx.Client) -> None:
    body = {"model": "nobody/nothing", "input": "Hello", "stream": True}
    refused(http.post("/responses", json=body), 400, 404)


def test_a_running_response_cannot_be_continued(http: httpx.Client) -> None:
    body = {"model": "scripted/slow", "input": "tokens=3000 delay_ms=20", "background": True}
    running = http.post("/responses", json=body).json()["id"]
    try:
        body = {"model": MODEL, "input": "Hello", "previous_response_id": running}
        error = refused(http.post("/responses", json=body), 400)
        assert error.code == "previous_response_not_finished"
    finally:
        http.post(f"/responses/{running}/cancel")


def test_store_false_and_a_conversation_contradict_each_other(http: httpx.Client) -> None:
    made = http.post("/conversations", json={}).json()["id"]
    body = {"model": MODEL, "input": "Hello", "conversation": made, "store": False}
    refused(http.post("/responses", json=body), 400)


def test_starting_after_needs_a_number(http: httpx.Client) -> None:
    made = http.post("/responses", json={"model": MODEL, "input": "Hello"}).json()["id"]
    answer = http.get(f"/responses/{made}", params={"stream": "true", "starting_after": "x"})
    assert refused(answer, 400).param == "starting_after"
