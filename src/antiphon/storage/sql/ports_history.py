"""Port `History` in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.domain.conversations import Conversation
from antiphon.domain.items import Position
from antiphon.ports.history import Said, SaidPage, Shown
from antiphon.storage.sql import reads_history as reads
from antiphon.storage.sql.database import Reads


class SqlHistory:
    """Port `History`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def messages(self, item_ids: Sequence[str]) -> list[Said]:
        """See the port."""
        return await self._read(reads.messages, item_ids)

    async def between(self, first: str, before: str, limit: int, max_bytes: int) -> SaidPage:
        """See the port."""
        return await self._read(reads.between, first, before, limit, max_bytes)

    async def shown(
        self, account_id: str, item_ids: Sequence[str], *, within: str | None = None
    ) -> list[Shown]:
        """See the port."""
        return await self._read(reads.shown, account_id, item_ids, within)

    async def origins(self, conversation_ids: Sequence[str], limit: int) -> list[str]:
        """See the port."""
        return await self._read(reads.origins, conversation_ids, limit)

    async def used(
        self, account_id: str, *, after: tuple[int, str] | None, limit: int
    ) -> list[tuple[Conversation, Position]]:
        """See the port."""
        return await self._read(reads.used, account_id, after, limit)

    async def oldest_open_run_us(self) -> int | None:
        """See the port."""
        return await self._read(reads.oldest_open_run_us)

    async def has_items(self, conversation_id: str) -> bool:
        """See the port."""
        return await self._read(reads.has_items, conversation_id)
