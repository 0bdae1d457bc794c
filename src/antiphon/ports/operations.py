"""Port to what operating the server needs to read: the audit log and the runtime settings."""

from __future__ import annotations

from typing import Protocol

from antiphon.domain.operations import AuditEntry, AuditFilter


class Operations(Protocol):
    """Reads for administrators and for the server itself."""

    async def audit(
        self, wanted: AuditFilter, *, after: str | None, limit: int, descending: bool
    ) -> list[AuditEntry]:
        """Return entries by id order, which is that of time, beginning after `after`."""
        ...

    async def runtime_settings(self) -> dict[str, str]:
        """Return the stored settings, name to JSON."""
        ...
