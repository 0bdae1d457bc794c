"""Port `Aliases` in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.storage.sql import reads_aliases as reads
from antiphon.storage.sql.database import Reads


class SqlAliases:
    """Port `Aliases`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def target(self, owner_id: str, alias: str) -> str | None:
        """See the port."""
        return await self._read(reads.target, owner_id, alias)

    async def of(self, owner_id: str, prefix: str, target_ids: Sequence[str]) -> dict[str, str]:
        """See the port."""
        return await self._read(reads.of, owner_id, prefix, target_ids)

    async def last(self, owner_id: str, prefix: str) -> str | None:
        """See the port."""
        return await self._read(reads.last, owner_id, prefix)
