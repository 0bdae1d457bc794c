"""A tool choice that allows some of the tools offers a model no others, whatever the model's server knows.

One that no call can satisfy is refused; one that asks for nothing needs no tools.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.client import Api
from tests.services.hand import HAND
from tests.services.world import World

NAMES = ("one", "two", "three")
RESPONSES, CHAT = "/v1/responses", "/v1/chat/completions"


def body_of(path: str, **choice: Any) -> dict[str, Any]:
    """A request with three functions of which a choice allows some, in the path's own shape."""
    if path == RESPONSES:
        tools: list[dict[str, Any]] = [{"type": "function", "name": name} for name in NAMES]
        return {
            "model": HAND,
            "input": "x",
            "tools": tools,
            "tool_choice": {"type": "allowed_tools", **choice},
        }
    tools = [{"type": "function", "function": {"name": name}} for name in NAMES]
    said = [{"role": "user", "content": "x"}]
    chosen = {"type": "allowed_tools", "allowed_tools": choice}
    return {"model": HAND, "messages": said, "tools": tools, "tool_choice": chosen}


def named(path: str, *names: str) -> list[dict[str, Any]]:
    if path == RESPONSES:
        return [{"type": "function", "name": name} for name in names]
    return [{"type": "function", "function": {"name": name}} for name in names]


def body_with(choice: Any, tools: Any) -> dict[str, Any]:
    return {"model": HAND, "input": "x", "tools": tools, "tool_choice": choice}


@pytest.mark.parametrize("path", [RESPONSES, CHAT])
@pytest.mark.parametrize("mode", ["auto", "required"])
@pytest.mark.parametrize("names", [("two",), ("three", "one"), NAMES])
async def test_only_what_is_allowed_is_offered(
    world: World, api: Api, path: str, mode: str, names: tuple[str, ...]
) -> None:
    body = body_of(path, mode=mode, tools=named(path, *names))
    asking = asyncio.create_task(api.post(path, body))
    call = await world.hand.next()
    params = call.request.params
    assert [tool["function"]["name"] for tool in params["tools"]] == [one for one in NAMES if one in names]
    assert params["tool_choice"] == mode
    call.answer("ok")
    answer = await asking
    if path == RESPONSES:
        assert answer["tool_choice"] == body["tool_choice"]
        assert [tool["name"] for tool in answer["tools"]] == list(NAMES)


@pytest.mark.parametrize("path", [RESPONSES, CHAT])
@pytest.mark.parametrize(
    ("mode", "names", "field"),
    [
        ("auto", (), "tools"),
        ("auto", None, "tools"),
        ("auto", ("two", "four"), "tools[1]"),
        ("auto", ("",), "tools[0]"),
        ("none", ("two",), "mode"),
        (None, ("two",), "mode"),
    ],
)
async def test_a_choice_that_allows_nothing_known_is_refused(
    api: Api, path: str, mode: str | None, names: tuple[str, ...] | None, field: str
) -> None:
    body = body_of(path, mode=mode, tools=None if names is None else named(path, *names))
    error = await api.refused("POST", path, body, status=400)
    where = "tool_choice." if path == RESPONSES else "tool_choice.allowed_tools."
    assert (error["code"], error["param"]) == ("invalid_value", where + field)


async def test_a_tool_that_is_not_supported_is_refused_also_where_it_is_not_allowed(api: Api) -> None:
    body = body_of(RESPONSES, mode="auto", tools=named(RESPONSES, "two"))
    body["tools"].append({"type": "image_generation"})
    error = await api.refused("POST", RESPONSES, body, status=400)
    assert (error["code"], error["param"]) == ("unsupported_tool", "tools[3].type")


UNKNOWN = {"type": "function", "name": "zz"}


@pytest.mark.parametrize(
    ("choice", "tools"),
    [("required", None), ("required", []), (UNKNOWN, None), (UNKNOWN, named(RESPONSES, "one", "z"))],
)
async def test_a_choice_that_no_call_can_satisfy_is_refused(api: Api, choice: Any, tools: Any) -> None:
    error = await api.refused("POST", RESPONSES, body_with(choice, tools), status=400)
    assert (error["code"], error["param"]) == ("invalid_value", "tool_choice")
    assert error["message"].endswith("not found in 'tools' parameter.")


@pytest.mark.parametrize("choice", ["auto", "none", None])
async def test_a_choice_that_asks_for_nothing_needs_no_tools(api: Api, choice: str | None) -> None:
    answer = await api.ask(tool_choice=choice)
    assert (answer["status"], answer["tool_choice"]) == ("completed", choice or "auto")


async def test_a_function_that_is_offered_may_be_chosen(world: World, api: Api) -> None:
    chosen = {"type": "function", "name": "two"}
    asking = asyncio.create_task(api.post(RESPONSES, body_with(chosen, named(RESPONSES, *NAMES))))
    call = await world.hand.next()
    assert call.request.params["tool_choice"] == {"type": "function", "function": {"name": "two"}}
    call.answer("ok")
    assert (await asking)["tool_choice"] == chosen
