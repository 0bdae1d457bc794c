"""The request bodies of the Open Responses compliance tests, said in our own words, and how they are sent."""

from __future__ import annotations

from typing import Any

import httpx

from tests.e2e.conformance.shapes import Response, parse

MODEL = "scripted/text"
TOOL_MODEL = "scripted/tools"
RED_DOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4"
    "//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg=="
)
WEATHER_TOOL: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather of a place",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string", "description": "City and state"}},
        "required": ["location"],
    },
}


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    """A message as an input item."""
    return {"type": "message", "role": role, "content": content, **more}


def create(http: httpx.Client, **body: Any) -> Response:
    """POST /responses, expect 200 and JSON, and return the checked response."""
    answer = http.post("/responses", json={"model": MODEL, **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    response: Response = parse(answer.content, Response)
    return response
