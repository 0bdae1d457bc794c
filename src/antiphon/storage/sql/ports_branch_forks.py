"""Port `BranchForks` in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.domain.conversations import Branch, BranchFork
from antiphon.domain.items import Item
from antiphon.storage.sql import reads_branch_forks as reads
from antiphon.storage.sql.database import Reads


class SqlBranchForks:
    """Port `BranchForks`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def of(self, conversation_id: str, *, after: str | None, limit: int) -> list[BranchFork]:
        """See the port."""
        return await self._read(reads.of, conversation_id, after, limit)

    async def named(self, conversation_id: str, fork_id: str) -> BranchFork | None:
        """See the port."""
        return await self._read(reads.named, conversation_id, fork_id)

    async def origin(self, account_id: str, fork_id: str) -> str | None:
        """See the port."""
        return await self._read(reads.origin, account_id, fork_id)

    async def after_items(self, account_id: str, items: Sequence[Item]) -> dict[str, list[str]]:
        """See the port."""
        return await self._read(reads.after_items, account_id, items)

    async def trunk(self, conversation_id: str) -> Branch | None:
        """See the port."""
        return await self._read(reads.trunk, conversation_id)
