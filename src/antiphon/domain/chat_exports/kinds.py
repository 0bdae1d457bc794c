"""Which application a value of a file comes from, told by its keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from antiphon.domain.chat_exports import antiphon, book, branching, chatgpt, claude, librechat, open_webui
from antiphon.domain.chat_exports.chats import Kind
from antiphon.domain.old_chats import ADMINISTRATOR, history_of


def kind_of(value: Any) -> Kind | None:
    """Return the kind of a conversation, document or entry; None if it is none that is known."""
    if not isinstance(value, Mapping):
        return None
    if antiphon.is_chat(value):
        return "antiphon"
    if chatgpt.is_chat(value):
        return "chatgpt"
    if claude.is_chat(value):
        return "claude"
    if open_webui.is_chat(value):
        return "open-webui"
    if librechat.is_chat(value) or librechat.is_document(value):
        return "librechat"
    if branching.is_document(value):
        return "branching"
    if "key" in value and "value" in value:
        return "redis"
    return "book" if book.is_document(value) else None


def is_history(key: str, value: Any) -> bool:
    """Whether a key and its value are what a Redis of an older chat service holds."""
    return key == ADMINISTRATOR or history_of(value) is not None
