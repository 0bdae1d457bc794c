"""Port `ChatSessions` in SQL."""

from __future__ import annotations

from antiphon.domain.conversations import Conversation
from antiphon.ports.retention import Passed
from antiphon.storage.sql import reads_chat_sessions as reads
from antiphon.storage.sql.database import Reads


class SqlChatSessions:
    """Port `ChatSessions`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def by_key(self, account_id: str, key: str) -> Conversation | None:
        """See the port."""
        return await self._read(reads.by_key, account_id, key)

    async def is_taken(self, conversation_id: str) -> bool:
        """See the port."""
        return await self._read(reads.is_taken, conversation_id)

    async def held(self, now_us: int) -> tuple[int, int]:
        """See the port."""
        return await self._read(reads.held, now_us)

    async def longest_unused(self, limit: int) -> list[Passed]:
        """See the port."""
        return await self._read(reads.longest_unused, limit)
