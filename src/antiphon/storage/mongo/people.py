"""Ports that join what stands in MongoDB with accounts and limits in SQL: `Retention` and `Quotas`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from antiphon.domain.accounts import Account, Role
from antiphon.domain.limits import Limit
from antiphon.ports.quotas import Counter, CounterKey
from antiphon.ports.retention import Passed
from antiphon.ports.storage import Storage
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo import documents as doc
from antiphon.storage.mongo.database import Database, ordered

DAY_US: Final = 24 * 3600 * 1_000_000


class MongoRetention:
    """Port `Retention`."""

    def __init__(self, database: Database, accounts: Storage) -> None:
        self._database = database
        self._accounts = accounts

    async def expired(self, now_us: int, limit: int) -> list[Passed]:
        """See the port."""
        wanted = {"expires_us": {"$gt": 0, "$lte": now_us}, "deleted": None}
        found = await self._database.find(db.CONVERSATIONS, wanted, sort=ordered("expires_us"), limit=limit)
        return [doc.passed(one) for one in found]

    async def outdated(
        self, now_us: int, days_by_role: dict[Role, int], *, after: str, limit: int
    ) -> tuple[list[Passed], str]:
        """See the port."""
        page = await self._database.find(
            db.CONVERSATIONS, {"_id": {"$gt": after}}, sort=ordered("_id"), limit=limit
        )
        days: dict[str, int] = {}
        found: list[Passed] = []
        for one in page:
            if one["deleted"] is not None:
                continue
            owner_id = one["owner_id"]
            if owner_id not in days:
                days[owner_id] = await self._days(owner_id, days_by_role)
            if days[owner_id] > 0 and one["updated_us"] < now_us - days[owner_id] * DAY_US:
                found.append(doc.passed(one))
        return found, page[-1]["_id"] if len(page) == limit else ""

    async def _days(self, owner_id: str, days_by_role: dict[Role, int]) -> int:
        """Return how many days an account's conversations are kept, 0 for ever (also if it is gone)."""
        account = await self._accounts.accounts.get(owner_id)
        if account is None:
            return 0
        days = account.retention_days
        if days is None:
            days = await self._days_of_group(account)
        return days_by_role[account.role] if days is None else days

    async def _days_of_group(self, account: Account) -> int | None:
        group = await self._accounts.groups.get(account.group_id) if account.group_id else None
        return group.retention_days if group else None

    async def deleting(self, before_us: int, limit: int) -> Sequence[str]:
        """See the port."""
        return await self._accounts.retention.deleting(before_us, limit)


class SplitQuotas:
    """Port `Quotas`: all of it is in SQL, but whether a run goes on is known here."""

    def __init__(self, database: Database, accounts: Storage) -> None:
        self._database = database
        self._quotas = accounts.quotas

    async def limits_for(self, scopes: Sequence[str]) -> list[Limit]:
        """See the port."""
        return await self._quotas.limits_for(scopes)

    async def limits(self, scope: str | None, *, after: str | None, limit: int) -> list[Limit]:
        """See the port."""
        return await self._quotas.limits(scope, after=after, limit=limit)

    async def knows(self, scope: str) -> bool:
        """See the port."""
        return await self._quotas.knows(scope)

    async def counters(self, keys: Sequence[CounterKey]) -> list[Counter]:
        """See the port."""
        return await self._quotas.counters(keys)

    async def abandoned(self, before_us: int, *, after: str, limit: int) -> list[str]:
        """See the port."""
        found: list[str] = []
        while len(found) < limit:
            page = await self._quotas.abandoned(before_us, after=after, limit=limit)
            for run_id in page:
                run = await self._database.get(db.RUNS, run_id)
                if run is None or not run["alive"]:
                    found.append(run_id)
            if len(page) < limit:
                break
            after = page[-1]
        return found[:limit]
