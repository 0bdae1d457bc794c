"""Chat messages as items, and the hashes by which a resent history is recognised.

Clients of chat completions resend everything at every turn. Storing each call whole would be
O(n²); instead every item carries the hash of its whole path, the longest known prefix is found
by it, and only the tail is appended. A client that knows nothing of us gets a branching history.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.errors import InvalidRequest
from antiphon.domain.inputs import MAX_INPUT_ITEMS, InputItem, parse_item

HASH_BYTES: Final = 16
ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})

_canonical = msgspec.json.Encoder(order="deterministic").encode


def check_messages(messages: Sequence[Any]) -> None:
    """Refuse what cannot be a list of chat messages; raises InvalidRequest naming the field."""
    if not messages:
        raise InvalidRequest("[] is too short - 'messages'", code="empty_array", param="messages")
    if len(messages) > MAX_INPUT_ITEMS:
        message = f"At most {MAX_INPUT_ITEMS} messages at once."
        raise InvalidRequest(message, code="array_above_max_length", param="messages")
    for index, message in enumerate(messages):
        param = f"messages[{index}]"
        if not isinstance(message, dict):
            raise InvalidRequest("A message must be an object.", code="invalid_type", param=param)
        role = message.get("role")
        if not isinstance(role, str) or role not in ROLES:
            raise InvalidRequest(
                f"Invalid value: {role!r}. Supported values are: {', '.join(sorted(ROLES))}.",
                code="invalid_value",
                param=f"{param}.role",
            )
        _check_content(message, param)


def _check_content(message: dict[str, Any], param: str) -> None:
    content = message.get("content")
    if isinstance(content, list):
        if not all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in content):
            raise InvalidRequest(
                "Every content part needs a 'type'.", code="invalid_type", param=f"{param}.content"
            )
    elif content is None and message["role"] != "assistant":
        raise InvalidRequest(
            "Missing required parameter: 'content'.",
            code="missing_required_parameter",
            param=f"{param}.content",
        )
    elif content is not None and not isinstance(content, str):
        raise InvalidRequest(
            "'content' must be a string or a list of parts.", code="invalid_type", param=f"{param}.content"
        )


def items_of(messages: Sequence[dict[str, Any]]) -> list[InputItem]:
    """Return the items that chat messages stand for; raises InvalidRequest.

    What kinds of parts there are is for the provider to say, who is sent the messages as they are.
    """
    items: list[InputItem] = []
    for index, message in enumerate(messages):
        for body in _bodies(message):
            items.append(parse_item(body, f"messages[{index}]", any_part=True))
    return items


def _bodies(message: dict[str, Any]) -> list[dict[str, Any]]:
    role, content = message["role"], message.get("content")
    if role in ("tool", "function"):
        call_id = message.get("tool_call_id") or message.get("name") or "call"
        return [{"type": "function_call_output", "call_id": call_id, "output": _output(content)}]
    if role != "assistant":
        parts = content if isinstance(content, str) else [_input_part(part) for part in content or []]
        return [{"type": "message", "role": role, "content": parts} | _speaker(message)]
    bodies: list[dict[str, Any]] = []
    if said := _answer(message):
        bodies.append({"type": "message", "role": role, "content": said} | _speaker(message))
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise InvalidRequest("'tool_calls' must be a list.", code="invalid_type", param="messages")
    bodies += [_call(call) for call in calls]
    if message.get("function_call") is not None:
        bodies.append(_old_call(message["function_call"]))
    return bodies or [{"type": "message", "role": role, "content": ""}]


def _speaker(message: dict[str, Any]) -> dict[str, Any]:
    """Return the name by which participants of one role are told apart, if there is one."""
    return {"name": message["name"]} if isinstance(message.get("name"), str) else {}


def _call(call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        message = "A tool call needs a 'function'; calls of custom tools are not stored."
        raise InvalidRequest(message, code="invalid_type", param="messages")
    return {
        "type": "function_call",
        "call_id": call.get("id"),
        "name": function.get("name"),
        "arguments": function.get("arguments", ""),
    }


def _old_call(function: Any) -> dict[str, Any]:
    """Return a call in the form from before there were tools, whose output names the function only."""
    if not isinstance(function, dict):
        raise InvalidRequest("'function_call' must be an object.", code="invalid_type", param="messages")
    return _call({"id": function.get("name"), "function": function})


def _answer(message: dict[str, Any]) -> str | list[dict[str, Any]]:
    """Return what an assistant's message says and refuses to say, as the items of answers have it."""
    content, refusal = message.get("content"), message.get("refusal")
    told = [{"type": "refusal", "refusal": refusal}] if isinstance(refusal, str) else []
    if isinstance(content, list):
        parts = [_answer_part(part) for part in content if part != {"type": "text", "text": ""}]
        return parts + [part for part in told if part not in parts]
    if not told:
        return content or ""
    return [_answer_part({"type": "text", "text": content}), *told] if content else told


def _answer_part(part: dict[str, Any]) -> dict[str, Any]:
    return {"type": "output_text", "text": part.get("text")} if part["type"] == "text" else part


def _output(content: Any) -> str | list[dict[str, Any]]:
    """Return what a tool said: one text is the same as a string or in a list."""
    if not isinstance(content, list):
        return content or ""
    parts = [_input_part(part) for part in content]
    if len(parts) == 1 and parts[0]["type"] == "input_text" and isinstance(parts[0]["text"], str):
        return str(parts[0]["text"])
    return parts or ""


def _input_part(part: dict[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        return {"type": "input_text", "text": part.get("text")}
    if kind == "image_url" and isinstance(part.get("image_url"), dict):
        image = part["image_url"]
        return {"type": "input_image", "image_url": image.get("url"), "detail": image.get("detail", "auto")}
    if kind == "file" and isinstance(part.get("file"), dict) and part["file"].get("file_id") is not None:
        return {"type": "input_file", **part["file"]}
    return part


def path_hashes(owner_id: str, items: Sequence[InputItem]) -> tuple[bytes, ...]:
    """Return the path hash of every item of a history that begins at the root."""
    hashes: list[bytes] = []
    last = b""
    for item in items:
        last = chain_hash(owner_id, last, item.type, item.payload)
        hashes.append(last)
    return tuple(hashes)


def chain_hash(owner_id: str, parent: bytes, item_type: str, payload: dict[str, Any]) -> bytes:
    """Return BLAKE2b over the parent's hash and the item's role and content, keyed by the owner.

    The key keeps equal texts of two people from having equal hashes.
    """
    found = hashlib.blake2b(parent, digest_size=HASH_BYTES, key=owner_id.encode())
    found.update(_canonical([item_type, *_content(item_type, payload)]))
    return found.digest()


def _content(item_type: str, payload: dict[str, Any]) -> list[Any]:
    if item_type == "message":
        return [
            payload["role"],
            payload.get("name"),
            [_essence(part) for part in payload.get("content") or []],
        ]
    if item_type == "function_call":
        return [payload["call_id"], payload["name"], payload["arguments"]]
    if item_type == "function_call_output":
        return [payload["call_id"], payload["output"]]
    return [payload]


def _essence(part: dict[str, Any]) -> list[Any]:
    for field in ("text", "refusal", "image_url"):
        if field in part:
            return [field, part[field]]
    return [part]
