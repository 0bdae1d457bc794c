"""Exported conversations, piece by piece: as JSON the whole tree, as Markdown the active branch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from antiphon.api.v1.conversation_objects import branch_object, conversation_object
from antiphon.api.v1.response_objects import placed_item
from antiphon.api.v1.wire_json import encode_object
from antiphon.domain.accounts import Principal
from antiphon.domain.chat_exports.antiphon import FORMAT, OBJECT
from antiphon.domain.conversations import Conversation
from antiphon.domain.items import Item, text_of
from antiphon.services.exports import Exports, Taken

WRITTEN = frozenset({"message", "function_call", "function_call_output"})
"""What is written of a conversation: thoughts and searches are not."""

SPEAKERS = {"user": "User", "assistant": "Assistant", "system": "System", "developer": "Developer"}


async def as_json(exports: Exports, conversation: Conversation) -> AsyncIterator[bytes]:
    """Yield a conversation with its branches and all its items as one JSON object."""
    head = {
        "object": OBJECT,
        "format": FORMAT,
        "conversation": conversation_object(conversation),
    }
    yield encode_object(head)[:-1] + b',"branches":['
    between = b""
    async for branch in exports.branches(conversation):
        yield between + encode_object(branch_object(conversation, branch))
        between = b",\n"
    yield b'],"items":['
    between = b""
    async for taken in exports.items(conversation):
        yield between + encode_object(_item_object(taken))
        between = b",\n"
    yield b"]}\n"


def _item_object(taken: Taken) -> dict[str, Any]:
    shown = placed_item(taken.item, taken.run)
    shown["antiphon"]["parent_id"] = taken.parent_id
    return shown


async def as_markdown(exports: Exports, who: Principal, conversation: Conversation) -> AsyncIterator[bytes]:
    """Yield the active branch as text: who said what, in order; quotes of documents below."""
    yield f"# {_line(conversation.title or 'Conversation')}\n".encode()
    held: list[Taken] = []
    async for taken in exports.path(who, conversation):
        if taken.item.type not in WRITTEN:
            continue
        if held and not _goes_on(held[-1], taken):
            yield _block(held).encode("utf-8", "surrogatepass")
            held = []
        held.append(taken)
    if held:
        yield _block(held).encode("utf-8", "surrogatepass")


def _goes_on(before: Taken, taken: Taken) -> bool:
    """Whether a message is the rest of the answer before it, which was cut off, maybe within a word."""
    if taken.item.type != "message" or before.item.type != "message" or before.item.role != "assistant":
        return False
    run = taken.run
    return run is not None and run.id != before.item.run_id and run.continues


def _block(parts: Sequence[Taken]) -> str:
    """Return an item as text, or an answer and all that goes on with it."""
    item, run = parts[0].item, parts[0].run
    text = "".join(text_of(part.item.body()) for part in parts)
    if item.type == "message":
        model = f" ({_line(run.model)})" if item.role == "assistant" and run is not None else ""
        speaker = SPEAKERS.get(item.role or "", "Message")
        return f"\n## {speaker}{model}\n\n{text}\n{_quotes([part.item for part in parts])}"
    if item.type == "function_call":
        return f"\n## Tool call: {_line(str(item.body().get('name', '')))}\n\n{_fenced(text)}"
    return f"\n## Tool output\n\n{_fenced(text)}"


def _quotes(items: Sequence[Item]) -> str:
    contents = [item.body().get("content") for item in items]
    parts = [part for one in contents if isinstance(one, list) for part in one if isinstance(part, dict)]
    notes = [note for part in parts for note in part.get("annotations") or () if isinstance(note, dict)]
    lines = []
    for note in notes:
        place = note.get("antiphon")
        if note.get("type") == "file_citation" and isinstance(place, dict):
            page = f", page {place['page']}" if place.get("page") else ""
            lines.append(
                f"> {_line(str(place.get('quote', '')))}\n> — {_line(str(note.get('filename')))}{page}\n"
            )
    return "\n" + "\n".join(lines) if lines else ""


def _fenced(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}\n"


def _line(text: str) -> str:
    return " ".join(text.split())
