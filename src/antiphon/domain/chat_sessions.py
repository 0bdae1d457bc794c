"""Chat sessions: conversations that a client calls by a name of its own."""

from __future__ import annotations

from typing import Final

import msgspec

from antiphon.domain.conversations import EPHEMERAL, Conversation

MAX_NAME: Final = 256
RESERVED: Final = frozenset({"history", "search", "response", "llm", "memory", "sessions"})
"""Names that are segments of paths under `/chat`."""


class ChatSession(msgspec.Struct, frozen=True):
    """A conversation by the name its client uses: the client's own, else the conversation's UUID."""

    name: str
    conversation: Conversation

    @property
    def is_ephemeral(self) -> bool:
        """Whether it ends some time after its last use."""
        return self.conversation.kind == EPHEMERAL


class SessionMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What the ephemeral sessions of a server hold now, and what went since it started."""

    sessions: int
    messages: int
    most_sessions: int
    ttl_seconds: int
    evicted: int
    expired: int


def session_name(text: str | None) -> str | None:
    """Return a name as it is kept, without white space around it; None where none was given."""
    name = text.strip() if text is not None else ""
    return name or None


def is_session_name(name: str) -> bool:
    """Whether a session can have this name."""
    return len(name) <= MAX_NAME and name.isprintable() and name.lower() not in RESERVED


def uuid_of(identifier: str) -> str:
    """Return an id's 32 digits as a UUID is written."""
    return "-".join((identifier[:8], identifier[8:12], identifier[12:16], identifier[16:20], identifier[20:]))
