"""The read ports of operating the server in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.ports.secrets import SealedSecret
from antiphon.storage.sql import reads_operations
from antiphon.storage.sql.database import Reads


class SqlSecrets:
    """Port `SecretReads`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def get(self, name: str) -> SealedSecret | None:
        """See the port."""
        return await self._read(reads_operations.secret, name)

    async def all(self) -> Sequence[SealedSecret]:
        """See the port."""
        return await self._read(reads_operations.secrets)
