"""Ports of members and share links in SQL: each method is one function of `reads_sharing`."""

from __future__ import annotations

from collections.abc import Iterable

from antiphon.domain.conversations import Conversation
from antiphon.domain.members import Member
from antiphon.domain.shares import ShareLink
from antiphon.storage.sql import reads_sharing
from antiphon.storage.sql.database import Reads


class SqlMembers:
    """Port `Members`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def role(self, account_id: str, conversation_id: str) -> Conversation | None:
        """See the port."""
        return await self._read(reads_sharing.role, account_id, conversation_id)

    async def of_run(self, account_id: str, run_id: str) -> Conversation | None:
        """See the port."""
        return await self._read(reads_sharing.of_run, account_id, run_id)

    async def of_item(self, account_id: str, item_id: str) -> Conversation | None:
        """See the port."""
        return await self._read(reads_sharing.of_item, account_id, item_id)

    async def shared_with(
        self, account_id: str, *, after: str | None, limit: int, descending: bool
    ) -> list[Conversation]:
        """See the port."""
        return await self._read(reads_sharing.shared_with, account_id, after, limit, descending)

    async def latest(
        self, account_id: str, *, after: tuple[int, str] | None, limit: int
    ) -> list[Conversation]:
        """See the port."""
        return await self._read(reads_sharing.latest, account_id, after, limit)

    async def page(self, conversation_id: str, *, after: str | None, limit: int) -> list[Member]:
        """See the port."""
        return await self._read(reads_sharing.members, conversation_id, after, limit)

    async def get(self, conversation_id: str, account_id: str) -> Member | None:
        """See the port."""
        return await self._read(reads_sharing.member, conversation_id, account_id)

    async def left(self, pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """See the port."""
        return await self._read(reads_sharing.left, list(pairs))


class SqlShares:
    """Port `Shares`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def by_digest(self, digest: bytes, now_us: int) -> tuple[ShareLink, Conversation] | None:
        """See the port."""
        return await self._read(reads_sharing.share_by_digest, digest, now_us)

    async def get(self, conversation_id: str, share_id: str) -> ShareLink | None:
        """See the port."""
        return await self._read(reads_sharing.share, conversation_id, share_id)

    async def page(self, conversation_id: str, *, after: str | None, limit: int) -> list[ShareLink]:
        """See the port."""
        return await self._read(reads_sharing.shares, conversation_id, after, limit)
