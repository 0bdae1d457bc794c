"""The audit log: who changed what, read by administrators and kept for a while."""

from __future__ import annotations

from typing import Final

from antiphon.domain.operations import AuditEntry, AuditFilter
from antiphon.ports.clock import Clock
from antiphon.ports.operation_writes import ForgetAudit
from antiphon.ports.storage import Storage
from antiphon.services.administration import Administrator
from antiphon.services.conversations import cursor_of
from antiphon.services.pacing import Round, erase_slices
from antiphon.services.paging import Page

AUDIT_ID: Final = "audit_"
FORGET_ROWS: Final = 1_000
DAY_US: Final = 24 * 3600 * 1_000_000


class AuditLog:
    """Reads entries, and erases those older than `days`; 0 keeps them for ever."""

    def __init__(self, storage: Storage, clock: Clock, *, days: int) -> None:
        self._storage = storage
        self._clock = clock
        self._days = days

    async def page(
        self, admin: Administrator, wanted: AuditFilter, *, after: str | None, limit: int, descending: bool
    ) -> Page[AuditEntry]:
        """Return entries by time, newest first if `descending`."""
        cursor = cursor_of(after, AUDIT_ID)
        found = await self._storage.operations.audit(
            wanted, after=cursor, limit=limit + 1, descending=descending
        )
        return Page(found[:limit], len(found) > limit)

    async def forget(self) -> None:
        """Erase what is too old, slice by slice."""
        if not self._days:
            return
        cut = max(0, self._clock.now_us() - self._days * DAY_US)
        slices = ForgetAudit(before_id=f"{cut // 1000:012x}", limit=FORGET_ROWS)
        await erase_slices(self._storage.unit_of_work.commit, slices, Round(self._clock))
