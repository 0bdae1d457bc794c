"""Input items as callers send them, checked and brought to one form.

What is known is checked; what is not known is kept verbatim, but for a message's parts of unknown kinds,
which no model could be shown. A message's string content becomes a list of one text part, since that is how
OpenAI returns it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from antiphon.domain import ids
from antiphon.domain.compaction import open_compaction
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.items import ROLES, NewItem
from antiphon.domain.usage import estimate_item_tokens

_json = msgspec.json.Encoder().encode
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
MAX_CALL_ID: Final = 256
MAX_INPUT_ITEMS: Final = 4096
"""At some 16 µs each; OpenAI takes 2,048 messages. A conversation may hold any number."""
_TEXTS: Final = frozenset({"input_text", "output_text", "text", "reasoning_text", "summary_text"})
PARTS: Final = _TEXTS | {"refusal", "input_image", "input_file", "input_audio", "image_url", "file"}
"""Kinds of parts that models are shown. The last three are those of chat completions."""
STATUSES: Final = frozenset({"in_progress", "completed", "incomplete"})


class InputItem(msgspec.Struct, frozen=True, kw_only=True):
    """One checked input item; `reference` is the id of an item to take over instead."""

    type: str
    role: str | None = None
    status: str = "completed"
    payload: dict[str, Any] = {}
    reference: str | None = None

    def body(self) -> dict[str, Any]:
        """Return the payload."""
        return self.payload


def parse_input(value: Any, param: str = "input") -> list[InputItem]:
    """Check an `input`: a string, or a list of items. Raises InvalidRequest."""
    if value is None:
        return []
    if isinstance(value, str):
        if not value:
            raise _invalid("The input is empty.", param, "empty_input")
        return [InputItem(type="message", role="user", payload=_text_message("user", value))]
    if not isinstance(value, list):
        raise _invalid("The input must be a string or a list of items.", param, "invalid_type")
    if len(value) > MAX_INPUT_ITEMS:
        raise _invalid(f"At most {MAX_INPUT_ITEMS} items at once.", param, "array_above_max_length")
    return [parse_item(item, f"{param}[{index}]") for index, item in enumerate(value)]


def parse_item(item: Any, param: str, *, any_part: bool = False) -> InputItem:
    """Check one item. Raises InvalidRequest naming the field.

    A message's parts are to be of known kinds, as models are shown no others, but with `any_part`.
    """
    if not isinstance(item, dict):
        raise _invalid("An item must be an object.", param, "invalid_type")
    kind = item.get("type")
    if kind is None:
        kind = "message" if "role" in item else "item_reference" if "id" in item else None
    if not isinstance(kind, str) or not kind or len(kind) > 64:
        raise _invalid("An item needs a 'type'.", f"{param}.type", "missing_required_parameter")
    if kind == "item_reference":
        return _reference(item, param)
    status = item.get("status") or "completed"
    if not isinstance(status, str) or (kind in _CHECKS and status not in STATUSES) or len(status) > 64:
        status = "completed"
    # An id that came along is kept, since providers need it back, and never becomes ours.
    payload: dict[str, Any] = {"type": kind}
    payload |= {name: value for name, value in item.items() if name not in ("type", "status")}
    role = _CHECKS[kind](payload, param) if kind in _CHECKS else None
    if kind == "message" and not any_part:
        _require_known_parts(payload["content"], param)
    return InputItem(type=kind, role=role, status=status, payload=payload)


def _reference(item: dict[str, Any], param: str) -> InputItem:
    identifier = ids.parse_item(item.get("id"))
    if identifier is None:
        raise _invalid(f"Item with id '{item.get('id')}' not found.", f"{param}.id", "item_not_found")
    return InputItem(type="item_reference", reference=identifier)


def _check_message(payload: dict[str, Any], param: str) -> str:
    role = payload.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise _invalid(
            f"Invalid role {role!r}: expected one of {', '.join(sorted(ROLES))}.",
            f"{param}.role",
            "invalid_value",
        )
    content = payload.get("content")
    if isinstance(content, str):
        payload["content"] = _text_message(role, content)["content"]
    elif isinstance(content, list):
        payload["content"] = [
            check_part(part, f"{param}.content[{index}]") for index, part in enumerate(content)
        ]
    else:
        raise _invalid(
            "A message's content must be a string or a list of parts.", f"{param}.content", "invalid_type"
        )
    if payload.get("phase") is None:
        payload.pop("phase", None)
    return role


def _require_known_parts(parts: list[dict[str, Any]], param: str) -> None:
    for index, part in enumerate(parts):
        if part["type"] not in PARTS:
            raise _invalid(
                f"Invalid value: {part['type'][:64]!r}. Supported values are: {', '.join(sorted(PARTS))}.",
                f"{param}.content[{index}].type",
                "invalid_value",
            )


def _text_message(role: str, text: str) -> dict[str, Any]:
    if role == "assistant":
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    else:
        part = {"type": "input_text", "text": text}
    return {"type": "message", "role": role, "content": [part]}


def check_part(part: Any, param: str) -> dict[str, Any]:
    """Check one content part; unknown kinds are kept verbatim. Raises InvalidRequest."""
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise _invalid("A content part must be an object with a 'type'.", param, "invalid_type")
    kind = part["type"]
    if kind in _TEXTS:
        _require_text(part, "text", param)
        if kind == "output_text":
            return part | {
                "annotations": part.get("annotations") or [],
                "logprobs": part.get("logprobs") or [],
            }
    elif kind == "refusal":
        _require_text(part, "refusal", param)
    elif kind in ("input_image", "input_file"):
        return _check_attachment(part, kind, param)
    return part


def _check_attachment(part: dict[str, Any], kind: str, param: str) -> dict[str, Any]:
    inline = "image_url" if kind == "input_image" else "file_data"
    if part.get("file_id") is not None:
        _require_text(part, "file_id", param)
        if part.get(inline) is not None:
            raise _invalid(
                f"'file_id' and '{inline}' exclude each other.",
                f"{param}.file_id",
                "mutually_exclusive_parameters",
            )
        return part | {"detail": part.get("detail") or "auto"} if kind == "input_image" else part
    if kind == "input_image":
        _require_text(part, "image_url", param)
        return part | {"detail": part.get("detail") or "auto"}
    if part.get("file_url") is not None:
        raise _invalid(
            "Files by URL are not supported by this server yet.", f"{param}.file_url", "unsupported"
        )
    _require_text(part, "file_data", param)
    return part


def _check_call(payload: dict[str, Any], param: str) -> None:
    _require_call_id(payload, param)
    name = payload.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _invalid(
            "A function's name is 1 to 64 of a-z, A-Z, 0-9, _ and -.", f"{param}.name", "invalid_value"
        )
    _require_text(payload, "arguments", param)


def _check_output(payload: dict[str, Any], param: str) -> None:
    _require_call_id(payload, param)
    output = payload.get("output")
    if isinstance(output, list):
        payload["output"] = [check_part(part, f"{param}.output[{i}]") for i, part in enumerate(output)]
    elif not isinstance(output, str):
        raise _invalid("'output' must be a string or a list of parts.", f"{param}.output", "invalid_type")


def _check_reasoning(payload: dict[str, Any], param: str) -> None:
    if not isinstance(payload.setdefault("summary", []), list):
        raise _invalid("'summary' must be a list.", f"{param}.summary", "invalid_type")
    for field in ("content", "encrypted_content"):
        if payload.get(field) is None:
            payload.pop(field, None)


def _check_compaction(payload: dict[str, Any], param: str) -> None:
    _require_text(payload, "encrypted_content", param)
    if not open_compaction(payload["encrypted_content"]):
        raise _invalid(
            "The content of this compaction cannot be read: it was not made by this server.",
            f"{param}.encrypted_content",
            "invalid_value",
        )


_CHECKS: Final[dict[str, Callable[[dict[str, Any], str], str | None]]] = {
    "message": _check_message,
    "function_call": _check_call,
    "function_call_output": _check_output,
    "reasoning": _check_reasoning,
    "compaction": _check_compaction,
}


def _require_call_id(payload: dict[str, Any], param: str) -> None:
    call_id = payload.get("call_id")
    if not isinstance(call_id, str) or not 1 <= len(call_id) <= MAX_CALL_ID:
        raise _invalid(
            f"'call_id' must be a string of 1 to {MAX_CALL_ID} characters.",
            f"{param}.call_id",
            "invalid_value",
        )


def _require_text(payload: dict[str, Any], field: str, param: str) -> None:
    if not isinstance(payload.get(field), str):
        raise _invalid(f"'{field}' must be a string.", f"{param}.{field}", "invalid_type")


def _invalid(message: str, param: str, code: str) -> InvalidRequest:
    return InvalidRequest(message, code=code, param=param)


def require_answered_calls(before: set[str], items: list[InputItem]) -> None:
    """Refuse an output whose call is neither in `before` (call ids) nor earlier in `items`."""
    known = set(before)
    for item in items:
        if item.type == "function_call":
            known.add(item.payload["call_id"])
        elif item.type == "function_call_output" and item.payload["call_id"] not in known:
            raise InvalidRequest(
                f"No tool call found for function call output with call_id {item.payload['call_id']}.",
                param="input",
            )


def new_item(item: InputItem, slot: int, path_hash: bytes | None = None) -> NewItem:
    """Give a checked input item an id, ready to be placed."""
    return NewItem(
        id=ids.new_id(slot),
        type=item.type,
        role=item.role,
        status=item.status,
        payload=_json(item.payload).decode(),
        token_count=estimate_item_tokens(item.payload),
        path_hash=path_hash,
    )
