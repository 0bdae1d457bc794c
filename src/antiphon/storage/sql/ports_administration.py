"""Ports `Operations`, `Groups` and `Retention` in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.domain.accounts import Group, Role
from antiphon.domain.operations import AuditEntry, AuditFilter
from antiphon.ports.retention import Passed
from antiphon.storage.sql import reads_administration as reads
from antiphon.storage.sql.database import Reads


class SqlOperations:
    """Port `Operations`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def audit(
        self, wanted: AuditFilter, *, after: str | None, limit: int, descending: bool
    ) -> list[AuditEntry]:
        """See the port."""
        return await self._read(reads.audit, wanted, after, limit, descending)

    async def runtime_settings(self) -> dict[str, str]:
        """See the port."""
        return await self._read(reads.runtime_settings)


class SqlGroups:
    """Port `Groups`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def get(self, group_id: str) -> Group | None:
        """See the port."""
        return await self._read(reads.group, group_id)

    async def by_name(self, name: str) -> Group | None:
        """See the port."""
        return await self._read(reads.group_by_name, name)

    async def page(self, *, after: str | None, limit: int, descending: bool) -> list[Group]:
        """See the port."""
        return await self._read(reads.groups, after, limit, descending)

    async def sizes(self, group_ids: list[str]) -> dict[str, int]:
        """See the port."""
        return await self._read(reads.group_sizes, group_ids) if group_ids else {}


class SqlRetention:
    """Port `Retention`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def expired(self, now_us: int, limit: int) -> list[Passed]:
        """See the port."""
        return await self._read(reads.expired, now_us, limit)

    async def outdated(
        self, now_us: int, days_by_role: dict[Role, int], *, after: str, limit: int
    ) -> tuple[list[Passed], str]:
        """See the port."""
        return await self._read(reads.outdated, now_us, days_by_role, after, limit)

    async def deleting(self, before_us: int, limit: int) -> Sequence[str]:
        """See the port."""
        return await self._read(reads.deleting, before_us, limit)
