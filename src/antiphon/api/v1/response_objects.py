"""Items and the `response` object as OpenAI writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from antiphon.api.v1.wire_json import encode_object, encode_text
from antiphon.domain import ids
from antiphon.domain.accounts import USER
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.items import EXTENSION, Item
from antiphon.domain.limits import MONEY
from antiphon.domain.runs import RATINGS, Run
from antiphon.domain.usage import Usage
from antiphon.services.usage import ResponseUsage

PLACE: Final = "antiphon"
"""What `include` says to have where items stand in their tree."""

RESULTS: Final = "file_search_call.results"
"""What `include` says to have the results of searches."""

LOGPROBS: Final = "message.output_text.logprobs"
INCLUDABLE: Final = (
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    RESULTS,
    "message.input_image.image_url",
    LOGPROBS,
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "web_search_call.results",
)
"""What OpenAI's `include` may name. What is of tools that do not exist here adds nothing, since clients
name it in every request; anything else is a mistake that its caller wants to hear of."""

_NO_STATUS: Final = frozenset({"compaction", "item_reference"})


def output_item(
    identifier: str,
    item_type: str,
    status: str,
    payload: dict[str, Any],
    record: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return an item on the wire: id and type first, then status and the payload.

    `record` is a search's, where its results are to be shown.
    """
    wire_id = ids.item_wire_id(item_type, identifier)
    head: dict[str, Any] = {"id": wire_id, "type": item_type}
    if item_type not in _NO_STATUS:
        head["status"] = status
    head.update(payload)
    head["id"] = wire_id  # whatever id the payload came with
    if record is not None:
        head["results"] = record["results"]
    return head


def known_includes(
    named: Sequence[str], *, own: Sequence[str] = (), of: Sequence[str] = INCLUDABLE
) -> Sequence[str]:
    """Return what an `include` names, `of` a list or our `own`; raises InvalidRequest for others."""
    known = (*of, *own)
    for one in named:
        if one not in known:
            raise InvalidRequest(
                f"'include' names something unknown. Known are {', '.join(map(repr, known))}.",
                param="include",
                code="invalid_value",
            )
    return named


def shows_results(run: Run) -> bool:
    """Whether who asked wanted the results of searches in the answer and its events."""
    return RESULTS in run.request.get("include", ())


def stored_item(item: Item, record: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a stored item on the wire; `record` is a search's, where its results are to be shown."""
    return output_item(item.id, item.type, item.status, item.body(), record)


def placed_item(item: Item, run: Run | None, record: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a stored item with its place in the tree, and the answer that took it in or gave it out.

    What clients of named sessions said of it stands there too.
    """
    answered = None
    if run is not None:
        answered = {
            "id": ids.RESPONSE + run.id,
            "model": run.model,
            "status": run.state,
            "error": {"code": run.error.code, "message": run.error.message} if run.error else None,
            "usage": usage_object(run.usage),
            **_continues(run),
            **_rated(run),
        }
    place = {
        "segment_id": ids.SEGMENT + item.segment_id,
        "depth": item.depth,
        "author_id": USER + item.author_id if item.author_id is not None else None,
        "created_at": item.created_us // 1_000_000,
        "response": answered,
    }
    shown = stored_item(item, record)
    told = shown.get(EXTENSION)
    return {**shown, EXTENSION: {**told, **place} if isinstance(told, dict) else place}


def usage_object(usage: Usage | None) -> dict[str, Any] | None:
    """Return token counts in the shape of Responses."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def usage_line_object(wire_id: str, found: ResponseUsage) -> dict[str, Any]:
    """Return what a response used; null for what is not known (yet), or is no matter of the caller's."""
    line, run = found.line, found.run
    return {
        "object": "response.usage",
        "response_id": wire_id,
        "status": run.state,
        "model": line.model if line else run.model,
        "provider": line.provider if line else run.provider,
        "cached": line.cached if line else None,
        "estimated": line.usage.estimated if line else None,
        "usage": usage_object(line.usage if line else run.usage),
        "cost": None if found.cost is None else found.cost / MONEY,
        "latency_ms": line.latency_us // 1_000 if line else None,
        "retrieval": f"/v1/responses/{wire_id}/retrieval" if found.searched else None,
    }


def response_object(run: Run, outputs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a run as OpenAI's `response`, with every key it may have."""
    completed = run.ended_us // 1_000_000 if run.state == "completed" and run.ended_us else None
    return {
        "id": ids.RESPONSE + run.id,
        "object": "response",
        "created_at": run.created_us // 1_000_000,
        "completed_at": completed,
        "status": run.state,
        "background": run.background,
        "error": {"code": run.error.code, "message": run.error.message} if run.error else None,
        "incomplete_details": {"reason": run.incomplete_reason} if run.incomplete_reason else None,
        "model": run.model,
        "output": outputs,
        **_echoed(run),
        "usage": usage_object(run.usage),
        "antiphon": extension(run),
    }


def _echoed(run: Run) -> dict[str, Any]:
    """Return what the request asked for and what came of it, with OpenAI's defaults."""
    named = run.conversation_id is not None and run.request.get("conversation")
    return _echo(run.request, run.conversation_id if named else None, run.stored, run.metadata)


def _echo(echo: dict[str, Any], conversation_id: str | None, stored: bool, metadata: str) -> dict[str, Any]:
    return {
        "instructions": echo.get("instructions"),
        "max_output_tokens": echo.get("max_output_tokens"),
        "max_tool_calls": echo.get("max_tool_calls"),
        "parallel_tool_calls": echo.get("parallel_tool_calls", True),
        "previous_response_id": echo.get("previous_response_id"),
        "conversation": {"id": f"{ids.CONVERSATION}{conversation_id}"} if conversation_id else None,
        "prompt_cache_key": echo.get("prompt_cache_key"),
        **({"prompt_cache_options": options} if (options := echo.get("prompt_cache_options")) else {}),
        "prompt_cache_retention": echo.get("prompt_cache_retention"),
        "reasoning": echo.get("reasoning") or {"effort": None, "summary": None},
        "safety_identifier": echo.get("safety_identifier"),
        "service_tier": echo.get("service_tier", "default"),
        "store": stored,
        "temperature": echo.get("temperature", 1.0),
        "text": echo.get("text") or {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": echo.get("tool_choice", "auto"),
        "tools": echo.get("tools") or [],
        "top_logprobs": echo.get("top_logprobs", 0),
        "top_p": echo.get("top_p", 1.0),
        "presence_penalty": echo.get("presence_penalty", 0.0),
        "frequency_penalty": echo.get("frequency_penalty", 0.0),
        "truncation": echo.get("truncation", "auto"),
        "user": echo.get("user"),
        "metadata": msgspec.json.decode(metadata),
    }


def extension(run: Run) -> dict[str, Any] | None:
    """Return where a stored run stands in its tree."""
    if run.conversation_id is None:
        return None
    return {
        "conversation_id": ids.CONVERSATION + run.conversation_id,
        "branch_id": ids.BRANCH + run.branch_id if run.branch_id else None,
        "parent_id": run.request.get("parent_id"),
        "input_item_ids": run.request.get("input_item_ids", []),
        **_continues(run),
        **_rated(run),
    }


def _rated(run: Run) -> dict[str, str]:
    """Return what people think of an answer, nothing where they did not say."""
    return {"rating": RATINGS[run.rating]} if run.rating is not None else {}


def _continues(run: Run) -> dict[str, bool]:
    """Return what is told of an answer that goes on with the one before it, nothing of any other."""
    return {"continues": True} if run.continues else {}


_OF_THE_TREE: Final = frozenset({"parent_id", "input_item_ids", "continues"})
_PLAIN_ECHO: Final = {stored: encode_object(_echo({}, None, stored, "{}"))[1:-1] for stored in (True, False)}
"""The echo of a request that asked for nothing special, as most do."""


def response_bytes(run: Run, outputs: bytes, *, began_as: str | None = None) -> bytes:
    """Return `response_object` encoded, byte for byte, from its already encoded outputs.

    With `began_as` it is the response as it was in that state when the run began, whatever it is now.
    """
    over = began_as is None
    plain = run.metadata == "{}" and run.request.keys() <= _OF_THE_TREE
    completed = run.ended_us // 1_000_000 if over and run.state == "completed" and run.ended_us else None
    reason = run.incomplete_reason if over else None
    error = {"code": run.error.code, "message": run.error.message} if over and run.error else None
    return (
        b'{"id":"resp_%b","object":"response","created_at":%d,"completed_at":%b,"status":"%b","background":%b,'
        b'"error":%b,"incomplete_details":%b,"model":%b,"output":%b,%b,"usage":%b,"antiphon":%b}'
        % (
            run.id.encode(),
            run.created_us // 1_000_000,
            b"null" if completed is None else b"%d" % completed,
            (run.state if began_as is None else began_as).encode(),
            b"true" if run.background else b"false",
            b"null" if error is None else encode_object(error),
            b"null" if reason is None else b'{"reason":%b}' % encode_text(reason),
            encode_text(run.model),
            outputs,
            _PLAIN_ECHO[run.stored] if plain else encode_object(_echoed(run))[1:-1],
            _usage_bytes(run.usage if over else None),
            encode_object(extension(run)),
        )
    )


def _usage_bytes(usage: Usage | None) -> bytes:
    if usage is None:
        return b"null"
    return (
        b'{"input_tokens":%d,"input_tokens_details":{"cached_tokens":%d,"cache_write_tokens":0},'
        b'"output_tokens":%d,"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d}'
        % (usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.reasoning_tokens,
           usage.total_tokens)
    )  # fmt: skip
