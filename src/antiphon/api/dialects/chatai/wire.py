"""The shapes of ChatAI-API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from antiphon.api.dialects.asking import Reply, spoken
from antiphon.api.dialects.forms import moment, uuid_text
from antiphon.domain.conversations import Conversation
from antiphon.domain.items import Item


class Completion(BaseModel):
    """A message to a conversation; `stream` is a boolean or what stands for one, like `"true"`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"message": "What is the current day?", "stream": "false"}]}
    )

    message: str
    stream: bool = Field(default=False, description="Also as a string: true, false, yes, no, on, off, 1, 0.")


def conversation_object(conversation: Conversation, messages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a conversation with its messages."""
    return {
        "id": uuid_text(conversation.id),
        "messages": list(messages),
        "created_at": moment(conversation.created_us),
    }


def message_object(identifier: str, author: str, content: str, created_us: int) -> dict[str, Any]:
    """Return a message; `author` is `user` or `assistant`."""
    return {
        "id": uuid_text(identifier),
        "author": author,
        "content": content,
        "created_at": moment(created_us),
    }


def reply_object(reply: Reply) -> dict[str, Any]:
    """Return an answer as the assistant's message."""
    return message_object(reply.id, "assistant", reply.text, reply.created_us)


def messages_of(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Return those items of a path that are messages of a user or of the assistant."""
    return [
        message_object(item.id, item.role, spoken(item.body()), item.created_us)
        for item in items
        if item.type == "message" and item.role in ("user", "assistant")
    ]
