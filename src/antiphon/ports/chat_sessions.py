"""Port to chat sessions: conversations by their owner's name for them, and the ephemeral ones of all."""

from __future__ import annotations

from typing import Protocol

from antiphon.domain.conversations import Conversation
from antiphon.ports.retention import Passed


class ChatSessions(Protocol):
    """Reads of conversations that have an external key, or are of the kind `ephemeral`."""

    async def by_key(self, account_id: str, key: str) -> Conversation | None:
        """Return the account's own conversation of that external key, or None."""
        ...

    async def is_taken(self, conversation_id: str) -> bool:
        """Whether a conversation of that id is there, whosever it is: only to refuse the id as a name."""
        ...

    async def held(self, now_us: int) -> tuple[int, int]:
        """Return how many ephemeral conversations there are, and the items on their active branches.

        Of all owners; those whose time has passed do not count.
        """
        ...

    async def longest_unused(self, limit: int) -> list[Passed]:
        """Return the ephemeral conversations, of all owners, that would end first."""
        ...
