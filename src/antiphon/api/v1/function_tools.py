"""The functions of a response, as a model is told of them: in the shape of chat completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from antiphon.api.v1.hosted_tools import not_offered, unsupported_tool
from antiphon.domain.errors import InvalidRequest

_TOLD: Final = ("name", "description", "parameters", "strict")
_ASKS_NOTHING: Final[dict[str, Any]] = {
    "allowed_callers": ["direct"], "async": False, "defer_loading": False, "output_schema": None,
}  # fmt: skip
"""What OpenAI knows of a function besides, and what is as if it had not been said."""


def chat_tool(tool: dict[str, Any], param: str) -> dict[str, Any]:
    """Return a tool as it goes on to a model; raises InvalidRequest for what is no function."""
    if tool.get("type") != "function":
        raise unsupported_tool(tool.get("type"), param)
    if not isinstance(tool.get("name"), str) or not tool["name"]:
        raise InvalidRequest(
            "A function needs a name.", param=f"{param}.name", code="missing_required_parameter"
        )
    _require_told(tool, param)
    return {"type": "function", "function": {k: tool[k] for k in _TOLD if tool.get(k) is not None}}


def _require_told(tool: dict[str, Any], param: str) -> None:
    """Refuse what else a function has: a model is told no more of one. What asks for nothing may stand."""
    for name in tool.keys() - {"type", *_TOLD}:
        known, field = name in _ASKS_NOTHING, f"{param}.{name}"
        if known and tool[name] in (None, _ASKS_NOTHING[name]):
            continue
        message = "This is not supported of a function." if known else f"Unknown parameter: '{field}'."
        code = "unsupported_parameter" if known else "unknown_parameter"
        raise InvalidRequest(message, param=field, code=code)


def chat_tool_choice(choice: str | dict[str, Any]) -> Any:
    """Return a choice as it goes on to a model; raises InvalidRequest."""
    if isinstance(choice, str):
        if choice not in ("none", "auto", "required"):
            raise InvalidRequest(
                "'tool_choice' is 'none', 'auto', 'required' or one of the tools.",
                param="tool_choice",
                code="invalid_value",
            )
        return choice
    if choice.get("type") == "function" and isinstance(choice.get("name"), str):
        return {"type": "function", "function": {"name": choice["name"]}}
    raise InvalidRequest("This tool choice is not supported.", param="tool_choice", code="invalid_value")


def require_offered(choice: Any, names: Sequence[str]) -> None:
    """Raise InvalidRequest for a choice that no call can satisfy."""
    if choice == "required" and not names:
        raise not_offered("What tool choice 'required' calls for is", "tool_choice")
    if isinstance(choice, dict) and choice["function"]["name"] not in names:
        raise not_offered("Tool choice 'function'", "tool_choice")
