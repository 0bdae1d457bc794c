"""Tools that the server runs itself are taken out of what a model is offered.

Only `file_search` is one. Retrieval comes first and needs no tool call, so it works with every model; what
is left to decide is whether a tool choice wants it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from antiphon.domain.errors import InvalidRequest
from antiphon.domain.file_search import DEFAULT_RESULTS, TOOL, FileSearch, parse_file_search

ALLOWED: Final = "allowed_tools"

Name = tuple[str | None, str | None]
"""A tool's type, and its name if it has one."""


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """A request's tools, sorted: the search it wants, and what goes on to the model.

    With `retrieves` False nothing is searched at all.
    """

    offered: list[Any]
    choice: str | dict[str, Any] | None
    search: FileSearch | None
    retrieves: bool


def sort_tools(tools: list[dict[str, Any]] | None, choice: str | dict[str, Any] | None) -> Tools:
    """Sort the tools of a request; raises InvalidRequest."""
    found = [
        parse_file_search(tool, f"tools[{index}]")
        for index, tool in enumerate(tools or ())
        if tool.get("type") == TOOL
    ]
    if len(found) > 1:
        raise InvalidRequest("At most one file search at once.", code="invalid_value", param="tools")
    search = found[0] if found else None
    offered = [tool for tool in tools or () if tool.get("type") != TOOL]
    kind: str | None = choice.get("type") if isinstance(choice, dict) else choice
    searches = kind == TOOL or (kind != "none" and not isinstance(choice, dict))
    if kind == TOOL:
        if search is None:
            raise not_offered(f"Tool choice '{TOOL}'", "tool_choice")
        choice = None
    elif kind == ALLOWED and isinstance(choice, dict):
        named, choice = _allowed(choice, tools or [])
        offered = [tool for tool in offered if _name(tool) in named]
        searches = (TOOL, None) in named
    if not searches:
        return Tools(offered=offered, choice=choice, search=None, retrieves=kind != "none")
    if choice == "required" and search is not None:
        choice = None  # the search is the call that was required
    return Tools(offered=offered, choice=choice, search=search, retrieves=True)


def _allowed(choice: dict[str, Any], tools: list[dict[str, Any]]) -> tuple[set[Name], str]:
    """Return which tools a choice allows, and how; in the shape of responses or of chat completions.

    Servers that know no `allowed_tools` take any for allowed, so the others are not even offered.
    """
    where: Any = choice
    param = "tool_choice"
    if ALLOWED in choice:
        where, param = choice[ALLOWED], f"tool_choice.{ALLOWED}"
    mode, listed = (where.get("mode"), where.get("tools")) if isinstance(where, dict) else (None, None)
    if mode not in ("auto", "required"):
        message = "The mode of allowed tools is 'auto' or 'required'."
        raise InvalidRequest(message, code="invalid_value", param=f"{param}.mode")
    if not isinstance(listed, list) or not listed:
        message = "At least one tool must be allowed; 'none' is the tool choice for none."
        raise InvalidRequest(message, code="invalid_value", param=f"{param}.tools")
    known = {_name(tool) for tool in tools}
    named = [_name(tool) if isinstance(tool, dict) else (None, None) for tool in listed]
    for index, name in enumerate(named):
        if name not in known:
            raise not_offered("A tool that is allowed is", f"{param}.tools[{index}]")
    return set(named), mode


def _name(tool: dict[str, Any]) -> Name:
    """Return by what a tool is told from others: its type, and its name if it has one."""
    kind = tool.get("type")
    if not isinstance(kind, str):
        return None, None
    nested = tool.get(kind)  # where chat completions have it
    name = (nested if isinstance(nested, dict) else tool).get("name")
    return kind, name if isinstance(name, str) else None


def not_offered(what: str, param: str) -> InvalidRequest:
    """Return the error for a choice of what is not among a request's tools."""
    message = f"{what} not found in 'tools' parameter."
    return InvalidRequest(message, code="invalid_value", param=param)


def unsupported_tool(kind: Any, param: str) -> InvalidRequest:
    """Return the refusal of a tool that is neither a function nor run by the server."""
    return InvalidRequest(
        f"Tools of type '{kind}' are not supported here; functions and {TOOL} are.",
        param=f"{param}.type",
        code="unsupported_tool",
    )


def echoed_tool(tool: dict[str, Any]) -> dict[str, Any]:
    """Return a tool as OpenAI shows it in a response, with the defaults of what was left out."""
    if tool.get("type") != TOOL:
        return {
            "type": "function",
            "name": "",
            "description": None,
            "parameters": None,
            "strict": None,
        } | tool
    ranking = tool.get("ranking_options") or {}
    return {
        "type": TOOL,
        "filters": tool.get("filters"),
        "max_num_results": tool.get("max_num_results") or DEFAULT_RESULTS,
        "ranking_options": {"ranker": "auto", "score_threshold": 0.0}
        | {name: value for name, value in ranking.items() if value is not None},
        "vector_store_ids": tool["vector_store_ids"],
    }
