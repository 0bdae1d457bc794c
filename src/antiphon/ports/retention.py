"""Port to what has passed its time, for housekeeping: it tells ids of all owners, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from antiphon.domain.accounts import Role


class Passed(msgspec.Struct, frozen=True):
    """A conversation of some kind whose time has passed, as it was last changed at `updated_us`."""

    conversation_id: str
    owner_id: str
    slot: int
    updated_us: int
    kind: str


class Retention(Protocol):
    """Reads of conversations past their time, and of accounts being deleted."""

    async def expired(self, now_us: int, limit: int) -> list[Passed]:
        """Return conversations whose own time has come, the oldest first."""
        ...

    async def outdated(
        self, now_us: int, days_by_role: dict[Role, int], *, after: str, limit: int
    ) -> tuple[list[Passed], str]:
        """Look at the next `limit` conversations by id, and return those kept for long enough.

        How many days one is kept since it last changed is for the account to say, then for its
        group, then for its role; 0 is for ever. Also returns the id of the last one looked at, ""
        after the last of all.
        """
        ...

    async def deleting(self, before_us: int, limit: int) -> Sequence[str]:
        """Return accounts that were deleted before a time and whose data is not all purged yet."""
        ...
