"""No field of a create is dropped in silence: it goes on to the provider, or it is refused by name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.client import Api
from tests.services.hand import ECHO, HAND

PATH = "/v1/responses"
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"text": {"verbosity": "low"}}, {"verbosity": "low"}),
        ({"prompt_cache_key": "k"}, {"prompt_cache_key": "k"}),
        ({"prompt_cache_retention": "24h"}, {"prompt_cache_retention": "24h"}),
        ({"prompt_cache_options": {"mode": "explicit"}}, {"prompt_cache_options": {"mode": "explicit"}}),
        ({"safety_identifier": "who"}, {"safety_identifier": "who"}),
        ({"reasoning": {"effort": "low", "summary": "detailed"}}, {"reasoning_effort": "low"}),
        ({"reasoning": {"context": "auto", "mode": "standard", "generate_summary": "concise"}}, {}),
        ({"text": {"format": {"type": "text"}}, "context_management": [], "moderation": None}, {}),
        ({"max_tool_calls": 1, "stream_options": {"include_obfuscation": False}}, {}),
    ],
)
async def test_what_chat_completions_know_is_sent_on(
    api: Api, fields: dict[str, Any], sent: dict[str, Any]
) -> None:
    asking = asyncio.create_task(api.post(PATH, {"model": HAND, "input": "x", **fields}))
    call = await api.world.hand.next()
    assert call.request.params == sent
    call.answer("ok")
    answer = await asking
    for name in fields.keys() - {"text", "reasoning", "context_management", "moderation", "stream_options"}:
        assert answer[name] == fields[name]
    for name in fields.keys() & {"text", "reasoning"}:
        assert {key: answer[name][key] for key in fields[name]} == fields[name]


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"moderation": {"model": "omni-moderation-latest"}}, "moderation", "unsupported_parameter"),
        ({"prompt": {"id": "p"}}, "prompt", "unsupported_parameter"),
        ({"context_management": [{"type": "compaction"}]}, "context_management", "unsupported_parameter"),
        ({"reasoning": {"context": "all_turns"}}, "reasoning.context", "unsupported_parameter"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode", "unsupported_parameter"),
        ({"reasoning": {"efort": "low"}}, "reasoning.efort", "unknown_parameter"),
        ({"text": {"verbosity": "loud"}}, "text.verbosity", "invalid_type"),
        ({"text": {"verbose": True}}, "text.verbose", "unknown_parameter"),
        ({"stream_options": {"include_usage": True}}, "stream_options.include_usage", "unknown_parameter"),
        (
            {"tools": [LOOK, LOOK | {"defer_loading": True}]},
            "tools[1].defer_loading",
            "unsupported_parameter",
        ),
        ({"tools": [LOOK | {"output_schema": {}}]}, "tools[0].output_schema", "unsupported_parameter"),
        ({"tools": [LOOK | {"cached": None}]}, "tools[0].cached", "unknown_parameter"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_name(
    api: Api, fields: dict[str, Any], param: str, code: str
) -> None:
    body = {"model": ECHO, "input": "x", **fields}
    error = await api.refused("POST", PATH, body, status=400)
    assert (error["param"], error["code"]) == (param, code)
    assert not api.world.hand.calls
    if fields.keys() & {"text", "reasoning", "tools"}:
        error = await api.refused("POST", PATH + "/input_tokens", body, status=400)
        assert (error["param"], error["code"]) == (param, code)


async def test_a_function_may_say_what_asks_for_nothing(api: Api) -> None:
    said = {"defer_loading": False, "async": None, "allowed_callers": ["direct"], "output_schema": None}
    body = {"model": HAND, "input": "x", "tools": [LOOK | said]}
    asking = asyncio.create_task(api.post(PATH, body))
    call = await api.world.hand.next()
    sent = {"name": "look", "parameters": LOOK["parameters"]}
    assert call.request.params["tools"] == [{"type": "function", "function": sent}]
    call.answer("ok")
    assert (await asking)["tools"][0].items() >= said.items()
