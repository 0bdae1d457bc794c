"""Tools that the server runs itself are taken out of what a model is offered.

Only `file_search` is one. Retrieval comes first and needs no tool call, so it works with every model; what
is left to decide is whether a tool choice wants it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.domain.errors import InvalidRequest
from antiphon.domain.file_search import DEFAULT_RESULTS, TOOL, FileSearch, parse_file_search


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
    if kind == TOOL:
        if search is None:
            raise InvalidRequest(
                f"Tool choice '{TOOL}' not found in 'tools' parameter.",
                code="invalid_value",
                param="tool_choice",
            )
        return Tools(offered=offered, choice=None, search=search, retrieves=True)
    if not _allows(choice, kind):
        return Tools(offered=offered, choice=choice, search=None, retrieves=kind != "none")
    if kind == "required" and search is not None:
        choice = None  # the search is the call that was required
    return Tools(offered=offered, choice=choice, search=search, retrieves=True)


def _allows(choice: str | dict[str, Any] | None, kind: str | None) -> bool:
    """Whether a tool choice leaves room for a search: not if it names what is to be called instead."""
    if not isinstance(choice, dict):
        return kind != "none"
    allowed = choice.get("tools")
    if kind == "allowed_tools" and isinstance(allowed, list):
        return any(isinstance(one, dict) and one.get("type") == TOOL for one in allowed)
    return kind == "allowed_tools"


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
