"""What the tests of all clients say to the scripted models, and what they expect to hear."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict

TEXT = "scripted/text"
ECHO = "scripted/echo"
TOOLS = "scripted/tools"
JSON = "scripted/json"
SLOW = "scripted/slow"
TRUNCATED = "scripted/truncated"
FAIL_BEFORE = "scripted/fail-before"
FAIL_AFTER = "scripted/fail-after"
REASONING = "scripted/reasoning"
REFUSAL = "scripted/refusal"
PARALLEL = "scripted/parallel"
EXTRACTIVE = "offline/extractive"

CODE_WORD = "cobalt-7319"
REMEMBER = f"The code word is {CODE_WORD}."
RECALL = "recall 1"
"""Makes `scripted/echo` repeat the first thing the user said in what the model was given."""

TAKE_YOUR_TIME = "tokens=40 delay_ms=20"
TAKE_FOREVER = "tokens=3000 delay_ms=20"
"""Directives for `scripted/slow`: under a second, and a minute that nobody waits for."""

WEATHER_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "location": {"type": "string", "description": "City and country"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
    },
    "required": ["location", "unit"],
    "additionalProperties": False,
}
RESPONSES_TOOL: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather at a place",
    "parameters": WEATHER_PARAMETERS,
    "strict": True,
}
CHAT_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {name: RESPONSES_TOOL[name] for name in ("name", "description", "parameters", "strict")},
}

ERROR_CODES = {
    "server_error",
    "rate_limit_exceeded",
    "invalid_prompt",
    "vector_store_timeout",
    "data_residency_mismatch",
    "bio_policy",
}
"""The part of OpenAI's closed list that a text model can end with."""


class Place(BaseModel):
    """A shape to be filled by structured output."""

    model_config = ConfigDict(extra="forbid")

    name: str
    population: int
    capital: bool
    districts: list[str]


def check_weather_input(value: Any) -> None:
    """Assert that a value fits `WEATHER_PARAMETERS`."""
    assert set(value) == {"location", "unit"}, value
    assert isinstance(value["location"], str)
    assert value["unit"] in ("celsius", "fahrenheit")


def check_weather_arguments(arguments: str) -> None:
    """Assert that a tool call's arguments are JSON that fits `WEATHER_PARAMETERS`."""
    check_weather_input(json.loads(arguments))
