"""What the model sees: stored items as chat messages."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from antiphon.domain.attached_files import names_files
from antiphon.domain.errors import InvalidRequest

Message = dict[str, Any]


class Body(Protocol):
    """What is needed of an item here."""

    @property
    def type(self) -> str: ...

    @property
    def status(self) -> str: ...

    def body(self) -> dict[str, Any]: ...


def chat_messages(
    items: Sequence[Body], instructions: str | None = None, *, continues: bool = False,
    naming: list[Body] | None = None,
) -> list[Message]:  # fmt: skip
    """Return chat messages for a path of items, root first.

    Function calls that are incomplete or never answered are left out, and so are outputs whose
    call is not in view: providers refuse either. With `continues` they must end with an answer's text;
    raises InvalidRequest otherwise. What names files by their ids is put into `naming`, as it is
    decoded here anyway.
    """
    answered = _answered_calls(items)
    messages: list[Message] = []
    if instructions:
        messages.append({"role": "system", "content": instructions})
    for item in items:
        body = item.body()
        if naming is not None and body.get("role") != "assistant" and names_files(body):
            naming.append(item)
        if item.type == "message":
            messages.append(_message(body))
        elif item.type == "function_call":
            if body["call_id"] in answered:
                _add_call(messages, body)
        elif item.type == "function_call_output":
            if body["call_id"] in answered:
                messages.append(
                    {"role": "tool", "tool_call_id": body["call_id"], "content": _output_text(body["output"])}
                )
        elif item.type == "compaction":
            messages.append({"role": "system", "content": open_compaction(body.get("encrypted_content"))})
    if continues:
        _require_answer(messages)
    return messages


def _require_answer(messages: Sequence[Message]) -> None:
    last = messages[-1] if messages else {}
    if last.get("role") != "assistant" or not last.get("content") or last.get("tool_calls"):
        raise InvalidRequest(
            "There is no answer to go on with: what stands there is not an answer's text.",
            param="antiphon.continues",
            code="nothing_to_continue",
        )


def _answered_calls(items: Iterable[Body]) -> set[str]:
    calls: set[str] = set()
    answered: set[str] = set()
    for item in items:
        if item.type == "function_call" and item.status != "incomplete":
            calls.add(item.body()["call_id"])
        elif item.type == "function_call_output":
            answered.add(item.body()["call_id"])
    return calls & answered


def _message(body: dict[str, Any]) -> Message:
    role, content = body["role"], body.get("content")
    head = {"role": role, "name": body["name"]} if isinstance(body.get("name"), str) else {"role": role}
    if isinstance(content, str):
        return {**head, "content": content}
    parts = [_part(part) for part in content or [] if isinstance(part, dict)]
    if role == "assistant" or all(part["type"] == "text" for part in parts):
        return {**head, "content": "".join(part.get("text", "") for part in parts)}
    return {**head, "content": [part for part in parts if part["type"] != "text" or part["text"]]}


def _part(part: dict[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("input_image", "input_file") and not (part.get("image_url") or part.get("file_data")):
        # Its bytes lie elsewhere, or are lost; a model is told that there was something.
        return {"type": "text", "text": f"[attached: {part.get('filename') or 'a file'}]"}
    if kind == "input_image":
        image = {"url": part.get("image_url")}
        if part.get("detail"):
            image["detail"] = part["detail"]
        return {"type": "image_url", "image_url": image}
    if kind == "input_file":
        return {"type": "file", "file": {k: part[k] for k in ("filename", "file_data") if part.get(k)}}
    if kind in ("image_url", "input_audio", "file"):
        return part
    return {"type": "text", "text": part.get("text") or part.get("refusal") or ""}


def _add_call(messages: list[Message], body: dict[str, Any]) -> None:
    call = {
        "id": body["call_id"],
        "type": "function",
        "function": {"name": body["name"], "arguments": body.get("arguments", "")},
    }
    last = messages[-1] if messages else None
    if last is not None and last["role"] == "assistant":
        last.setdefault("tool_calls", []).append(call)
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})


def _output_text(output: Any) -> Any:
    if isinstance(output, list):
        return "\n".join(part.get("text", "") for part in output if isinstance(part, dict))
    return output


def seal_compaction(text: str) -> str:
    """Return the opaque content of a compaction item that stands for `text`."""
    return base64.b64encode(text.encode("utf-8", "replace")).decode()


def open_compaction(content: Any) -> str:
    """Return the text a compaction item stands for; empty if it is not one of ours."""
    try:
        return base64.b64decode(content, validate=True).decode()
    except (TypeError, ValueError, binascii.Error):
        return ""
