"""The messages of a stored completion's request, as its stored items tell them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from antiphon.domain.items import Item

_TEXTS: Final = ("input_text", "output_text", "text")


def message_objects(wire_id: str, asked: Iterable[Item]) -> list[dict[str, Any]]:
    """Return the messages of a stored completion's request.

    Calls belong to the assistant's message that they came with, as providers want it.
    """
    messages: list[dict[str, Any]] = []
    for item in asked:
        body = item.body()
        if item.type == "message":
            messages.append(_said(item.role, body))
        elif item.type == "function_call_output":
            output = body["output"] if isinstance(body["output"], str) else None
            parts = None if output is not None else [_content_part(part) for part in body["output"]]
            messages.append(_message("tool", output, parts, tool_call_id=body["call_id"]))
        elif item.type == "function_call":
            if not messages or messages[-1]["role"] != "assistant":
                messages.append(_message("assistant", None, None))
            function = {"name": body["name"], "arguments": body["arguments"]}
            call = {"id": body["call_id"], "type": "function", "function": function}
            messages[-1].setdefault("tool_calls", []).append(call)
    return [{"id": f"{wire_id}-{index}", **message} for index, message in enumerate(messages)]


def _message(
    role: str | None, content: str | None, parts: list[dict[str, Any]] | None, **more: Any
) -> dict[str, Any]:
    return {"role": role, "content": content, "name": None, "content_parts": parts, **more}


def _said(role: str | None, body: dict[str, Any]) -> dict[str, Any]:
    refusals = [part["refusal"] for part in body["content"] if part.get("type") == "refusal"]
    rest = [part for part in body["content"] if part.get("type") != "refusal"]
    # One text may have come as a string or in a list, which are the same here.
    plain = not rest or (len(rest) == 1 and rest[0].get("type") in _TEXTS)
    content = rest[0]["text"] if plain and rest else None
    parts = None if plain else [_content_part(part) for part in rest]
    more = {"refusal": "".join(refusals) or None} if role == "assistant" else {}
    return _message(role, content, parts, name=body.get("name"), **more)


def _content_part(part: dict[str, Any]) -> dict[str, Any]:
    if part.get("type") == "input_image" and part.get("image_url"):
        return {"type": "image_url", "image_url": {"url": part["image_url"], "detail": part.get("detail")}}
    if part.get("type") in _TEXTS:
        return {"type": "text", "text": part["text"]}
    return part
