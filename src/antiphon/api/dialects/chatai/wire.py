"""The shapes of ChatAI-API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from antiphon.api.dialects.forms import moment, uuid_text
from antiphon.domain.conversations import Conversation


def conversation_object(conversation: Conversation, messages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a conversation with its messages."""
    return {
        "id": uuid_text(conversation.id),
        "messages": list(messages),
        "created_at": moment(conversation.created_us),
    }
