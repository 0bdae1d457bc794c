"""What the model sees: stored items as chat messages."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final, Protocol

from antiphon.domain.attached_files import names_files
from antiphon.domain.compaction import open_compaction, record_of
from antiphon.domain.errors import InvalidRequest

Message = dict[str, Any]

NOT_SHOWN: Final = "[attached: something that cannot be shown]"
"""What a model is told of a part that it cannot be shown."""


class Body(Protocol):
    """What is needed of an item here."""

    @property
    def type(self) -> str: ...

    @property
    def status(self) -> str: ...

    def body(self) -> dict[str, Any]: ...


def chat_messages(
    items: Sequence[Body], instructions: str | None = None, *, recalled: str = "", continues: bool = False,
    naming: list[Body] | None = None,
) -> list[Message]:  # fmt: skip
    """Return chat messages for a path of items, root first, behind what is recalled of the time before it.

    Every output stands right behind its call, wherever it came, since providers refuse any other order.
    Function calls that are incomplete or never answered are left out, and so are outputs whose
    call is not in view: providers refuse either. So is a compaction that is not ours, which nobody here
    can read. With `continues` they must end with an answer's text;
    raises InvalidRequest otherwise. What names files by their ids is put into `naming`, as it is
    decoded here anyway.
    """
    bodies = [item.body() for item in items]
    outputs = _outputs(items, bodies)
    messages: list[Message] = []
    answers: list[dict[str, Any]] = []  # to the calls that end `messages`
    if instructions:
        messages.append({"role": "system", "content": instructions})
    if recalled:
        messages.append({"role": "user", "content": record_of(recalled)})
    for index, (item, body) in enumerate(zip(items, bodies, strict=True)):
        if naming is not None and body.get("role") != "assistant" and names_files(body):
            naming.append(item)
        if item.type == "function_call":
            if index in outputs:
                _add_call(messages, body)
                answers.append(outputs[index])
        elif item.type in ("message", "function_call_output", "compaction"):
            _add_answers(messages, answers)
            if item.type == "message":
                messages.append(_message(body))
            elif item.type == "compaction" and (said := open_compaction(body.get("encrypted_content"))):
                messages.append({"role": "user", "content": record_of(said)})
    _add_answers(messages, answers)
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


def _outputs(items: Sequence[Body], bodies: Sequence[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Return the output of every call that has one, by the call's index: the last that came.

    An id may be used again, as some servers number the calls of each answer; the latest call is meant then.
    """
    calls: dict[str, int] = {}
    found: dict[int, dict[str, Any]] = {}
    for index, (item, body) in enumerate(zip(items, bodies, strict=True)):
        if item.type == "function_call":
            calls[body["call_id"]] = index if item.status != "incomplete" else -1
        elif item.type == "function_call_output" and calls.get(body["call_id"], -1) >= 0:
            found[calls[body["call_id"]]] = body
    return found


def _add_answers(messages: list[Message], answers: list[dict[str, Any]]) -> None:
    """Add the outputs of the calls that were just made, and behind them what is no text, from the user."""
    shown: list[Message] = []
    for body in answers:
        text, attached = _output(body["output"])
        messages.append({"role": "tool", "tool_call_id": body["call_id"], "content": text})
        if attached:
            named = {"type": "text", "text": f"[attached to the output of {body['call_id']}]"}
            shown.append({"role": "user", "content": [named, *attached]})
    messages += shown
    answers.clear()


def _message(body: dict[str, Any]) -> Message:
    role, content = body["role"], body.get("content")
    head = {"role": role, "name": body["name"]} if isinstance(body.get("name"), str) else {"role": role}
    if isinstance(content, str):
        return {**head, "content": content}
    parts = [part for part in content or [] if isinstance(part, dict)]
    if role == "assistant":
        return {**head, "content": _answer(parts)}
    made = [_part(part) for part in parts]
    shown = [part for part in made if part["type"] != "text" or part["text"]]
    if all(part["type"] == "text" for part in shown):
        return {**head, "content": "\n".join(part["text"] for part in shown)}
    return {**head, "content": shown}


def _answer(parts: Sequence[dict[str, Any]]) -> str:
    """Return what an answer says: its texts are one text, cut anywhere; all else has lines of its own."""
    lines = (
        ("" if is_text else "\n").join(_part(part).get("text", NOT_SHOWN) for part in some)
        for is_text, some in groupby(parts, lambda part: isinstance(part.get("text"), str))
    )
    return "\n".join(line for line in lines if line)


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
    texts = (part[field] for field in ("text", "refusal") if isinstance(part.get(field), str))
    return {"type": "text", "text": next(texts, NOT_SHOWN)}


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


def _output(output: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Return the text of a tool's output, and its pictures and files: tools say texts in chat completions."""
    if not isinstance(output, list):
        return output, []
    texts: list[str] = []
    attached: list[dict[str, Any]] = []
    for part in output:
        made = _part(part) if isinstance(part, dict) else {"type": "text", "text": NOT_SHOWN}
        if made["type"] == "text":
            texts.append(made["text"])
        else:
            attached.append(made)
    if attached:
        texts.append(f"[attached: {len(attached)}, shown in the next message of the user]")
    return "\n".join(texts), attached
