"""Values as other chat applications export them, and what is looked at of what they become."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from antiphon.domain.chat_exports.chats import Chat, Message, Text


def words(message: Message) -> str:
    return "\n".join(part.text for part in message.draft.parts if isinstance(part, Text))


def told(chat: Chat) -> list[tuple[str, str]]:
    """Who said what, in order; thoughts and tools by their kinds."""
    return [
        (one.draft.role if one.draft.kind == "message" else one.draft.kind, words(one))
        for one in chat.messages
    ]


def edges(chat: Chat) -> set[tuple[str | None, str]]:
    return {(one.parent, one.key) for one in chat.messages}


def of_key(chat: Chat, key: str) -> Message:
    return next(one for one in chat.messages if one.key == key)


def node(
    key: str, parent: str | None, role: str, *parts: Any, time: float | None = None, **message: Any
) -> dict[str, Any]:
    body = {
        "id": key,
        "author": {"role": role, "name": message.pop("name", None), "metadata": {}},
        "create_time": time,
        "content": message.pop("content", {"content_type": "text", "parts": list(parts)}),
        "metadata": message.pop("metadata", {}),
        "recipient": message.pop("recipient", "all"),
    }
    return {"id": key, "message": body | message, "parent": parent}


def exported(*nodes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "title": "A talk", "create_time": 1_700_000_000.25, "update_time": 1_700_000_100,
        "mapping": {one["id"]: one for one in nodes}, "conversation_id": "c1",
        "current_node": nodes[-1]["id"], **fields,
    }  # fmt: skip


ROOT = {"id": "root", "message": None, "parent": None, "children": ["u1"]}


def webui(messages: Mapping[str, Any], current: str, **fields: Any) -> dict[str, Any]:
    chat = {"title": "T", "models": ["llama3"], "history": {"currentId": current, "messages": messages}}
    return {
        "id": "w",
        "title": "T",
        "chat": chat,
        "created_at": 1_700_000_000,
        "updated_at": 1_700_000_010,
        **fields,
    }
