"""What older chat services left in a key-value store: an administrator, and histories of sessions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

ADMINISTRATOR: Final = "admin:credentials"
HASHES: Final = ("password_hash", "hashed_password", "password", "hash")
HISTORIES: Final = ("messages", "history", "memory")
ROLES: Final = {
    "user": "user", "human": "user", "assistant": "assistant", "ai": "assistant", "bot": "assistant",
    "system": "system",
}  # fmt: skip
LANGCHAIN: Final = "message_store:"
"""What LangChain's keys begin with, unless somebody chose otherwise."""
LEFT_OUT: Final = "message without words or of an unknown role left out"
_PREFIX: Final = re.compile(
    rf"(?:sessions?|chats?|memory|history|conversation|chat_history):+|{LANGCHAIN}", re.IGNORECASE
)


class OldAdministrator(msgspec.Struct, frozen=True):
    """A name, and a hash of a password made elsewhere."""

    username: str
    password_hash: str


class OldMessage(msgspec.Struct, frozen=True):
    """Who said what; `role` is one of ours."""

    role: str
    text: str


class OldHistory(msgspec.Struct, frozen=True):
    """The messages of a session; those without words or of another role are `left_out` and only counted."""

    messages: list[OldMessage]
    left_out: int = 0


def administrator_of(value: Any) -> OldAdministrator | None:
    """Return the administrator a value tells of, None if it tells of none."""
    fields = _decoded(value)
    if not isinstance(fields, Mapping):
        return None
    name = fields.get("username") or fields.get("user")
    hashed = next((found for key in HASHES if isinstance(found := fields.get(key), str) and found), None)
    if not isinstance(name, str) or not name or hashed is None:
        return None
    return OldAdministrator(name, hashed)


def session_name_of(key: str) -> str:
    """Return what a session is called whose history lies under a key."""
    while found := _PREFIX.match(key):
        key = key[found.end() :]
    return key.strip()


def history_of(value: Any, key: str = "") -> OldHistory | None:
    """Return the messages of a history from the oldest on, None if a value holds no message.

    A JSON list of messages, a list with one message (or its JSON) an element, or an object that holds
    one of these under `messages`, `history` or `memory`. `key` is where it lay.
    """
    found = _decoded(value)
    if isinstance(found, Mapping):
        found = next((_decoded(found[key]) for key in HISTORIES if key in found), None)
    if not isinstance(found, Sequence) or isinstance(found, str):
        return None
    values = [_decoded(one) for one in found]
    read = [(one, message) for one in values if (message := _message_of(one)) is not None]
    if not read:
        return None
    messages = [message for _, message in read]
    is_list = found is value and all(_is_langchains(one) for one, _ in read)
    if is_list and _is_newest_first(key, messages):
        messages.reverse()
    return OldHistory(messages, len(values) - len(read))


def _is_langchains(value: Any) -> bool:
    return isinstance(value, Mapping) and "type" in value and isinstance(value.get("data"), Mapping)


def _is_newest_first(key: str, messages: Sequence[OldMessage]) -> bool:
    """Whether a list of LangChain's messages begins with the newest, as its own histories in Redis do.

    Under a key that is not LangChain's own the messages tell: an answer begins no conversation.
    """
    if key.lower().startswith(LANGCHAIN):
        return True
    return messages[0].role == "assistant" and messages[-1].role != "assistant"


def _message_of(value: Any) -> OldMessage | None:
    if not isinstance(value, Mapping):
        return None
    data = value.get("data")
    content = value.get("content", value.get("message"))
    if content is None and isinstance(data, Mapping):
        content = data.get("content")
    role = ROLES.get(str(value.get("role") or value.get("type") or "").lower())
    text = _text_of(content)
    return OldMessage(role, text) if role is not None and text else None


def _text_of(content: Any) -> str:
    """Return the words of a content, which may be a list of parts; "" if it has none."""
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
    return "\n".join(text for text in texts if isinstance(text, str) and text)


def _decoded(value: Any) -> Any:
    """Return JSON that came as text as what it says; any other value as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return value
