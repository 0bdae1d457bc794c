"""Ports `Quotas` and `Ledger` in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.domain.limits import Limit
from antiphon.domain.usage import UsageBucket, UsageLine, UsageSum, UserUsage
from antiphon.ports.quotas import Counter, CounterKey
from antiphon.storage.sql import reads_quotas as reads
from antiphon.storage.sql import reads_usage
from antiphon.storage.sql.database import Reads


class SqlQuotas:
    """Port `Quotas`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def limits_for(self, scopes: Sequence[str]) -> list[Limit]:
        """See the port."""
        return await self._read(reads.limits_for, scopes)

    async def limits(self, scope: str | None, *, after: str | None, limit: int) -> list[Limit]:
        """See the port."""
        return await self._read(reads.limits, scope, after, limit)

    async def knows(self, scope: str) -> bool:
        """See the port."""
        return await self._read(reads.knows, scope)

    async def counters(self, keys: Sequence[CounterKey]) -> list[Counter]:
        """See the port."""
        return await self._read(reads.counters, keys)

    async def abandoned(self, before_us: int, *, after: str, limit: int) -> list[str]:
        """See the port."""
        return await self._read(reads.abandoned, before_us, after, limit)


class SqlLedger:
    """Port `Ledger`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def by_day(
        self, author_id: str, since_us: int, until_us: int, *, after: tuple[int, str] | None, limit: int
    ) -> list[UsageSum]:
        """See the port."""
        return await self._read(reads.by_day, author_id, since_us, until_us, after, limit)

    async def line(self, owner_id: str, run_id: str) -> UsageLine | None:
        """See the port."""
        return await self._read(reads_usage.line, owner_id, run_id)

    async def series(
        self, author_id: str | None, since_us: int, until_us: int, *, bucket_us: int, model: str | None,
        after: tuple[int, str] | None, limit: int, together: bool = False,
    ) -> list[UsageBucket]:  # fmt: skip
        """See the port."""
        return await self._read(
            reads_usage.series, author_id, since_us, until_us, bucket_us, model, after, limit, together
        )

    async def by_model(self, author_id: str, since_us: int, until_us: int) -> list[UsageSum]:
        """See the port."""
        return await self._read(reads.by_model, author_id, since_us, until_us)

    async def by_user(
        self, since_us: int, until_us: int, *, after: str | None, limit: int
    ) -> list[UserUsage]:
        """See the port."""
        return await self._read(reads.by_user, since_us, until_us, after, limit)
