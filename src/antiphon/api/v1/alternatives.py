"""Bodies of edit, regenerate and fan-out as turns."""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.api.errors import decoding_error
from antiphon.api.v1.conversation_bodies import Answering
from antiphon.api.v1.response_requests import CreateResponse, Reasoning, TextConfig, turn_request
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.inputs import InputItem, parse_item
from antiphon.domain.items import Item
from antiphon.services.idempotency import Key
from antiphon.services.turn_plans import TurnRequest


def edit_items(item: Item, content: str | list[dict[str, Any]]) -> list[InputItem]:
    """Return the item that replaces `item`, with new content; raises InvalidRequest."""
    if item.type == "message":
        return [parse_item({"type": "message", "role": item.role, "content": content}, "item")]
    if item.type == "function_call_output":
        call_id = item.body()["call_id"]
        return [parse_item({"type": item.type, "call_id": call_id, "output": content}, "item")]
    raise InvalidRequest(
        f"Items of type '{item.type}' cannot be edited.", code="invalid_value", param="item_id"
    )


def answering_request(
    body: Answering, items: list[InputItem], conversation_id: str, key: Key | None
) -> TurnRequest:
    """Return the turn, checked as a create of `/v1/responses` is."""
    shaped = _shaped(body)
    create = CreateResponse(
        model=body.model,
        instructions=body.instructions,
        conversation=conversation_id,
        background=body.background,
        temperature=body.temperature,
        top_p=body.top_p,
        max_output_tokens=body.max_output_tokens,
        tools=body.tools,
        tool_choice=body.tool_choice,
        parallel_tool_calls=body.parallel_tool_calls,
        text=shaped.text,
        reasoning=shaped.reasoning,
        include=body.include,
        metadata=body.metadata,
    )
    turn = turn_request(create)
    return msgspec.structs.replace(turn, items=tuple(items), new_branch=body.branch_name, key=key)


class _Shaped(msgspec.Struct):
    text: TextConfig | None
    reasoning: Reasoning | None


def _shaped(body: Answering) -> _Shaped:
    try:
        return msgspec.convert({"text": body.text, "reasoning": body.reasoning}, _Shaped)
    except msgspec.ValidationError as error:
        raise decoding_error(error) from None
