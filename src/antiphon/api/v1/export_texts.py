"""Exported conversations, piece by piece: as JSON the whole tree, as Markdown the active branch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from antiphon.api.v1.conversation_objects import branch_object, conversation_object
from antiphon.api.v1.response_objects import placed_item
from antiphon.api.v1.wire_json import encode_object
from antiphon.domain.accounts import Principal
from antiphon.domain.chat_exports.antiphon import FORMAT, OBJECT
from antiphon.domain.conversations import Conversation
from antiphon.domain.items import Item, text_of
from antiphon.services.exports import Exports, Taken

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
    async for taken in exports.path(who, conversation):
        if block := _block(taken):
            yield block.encode("utf-8", "surrogatepass")


def _block(taken: Taken) -> str:
    item, text = taken.item, text_of(taken.item.body())
    if item.type == "message":
        model = f" ({_line(taken.run.model)})" if item.role == "assistant" and taken.run is not None else ""
        speaker = SPEAKERS.get(item.role or "", "Message")
        return f"\n## {speaker}{model}\n\n{text}\n{_quotes(item)}"
    if item.type == "function_call":
        return f"\n## Tool call: {_line(str(item.body().get('name', '')))}\n\n{_fenced(text)}"
    if item.type == "function_call_output":
        return f"\n## Tool output\n\n{_fenced(text)}"
    return ""


def _quotes(item: Item) -> str:
    content = item.body().get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
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
