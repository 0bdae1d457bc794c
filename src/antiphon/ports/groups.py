"""Port to groups of accounts."""

from __future__ import annotations

from typing import Protocol

from antiphon.domain.accounts import Group


class Groups(Protocol):
    """Reads of groups."""

    async def get(self, group_id: str) -> Group | None:
        """Return a group, or None."""
        ...

    async def by_name(self, name: str) -> Group | None:
        """Return the group of that name, or None."""
        ...

    async def page(self, *, after: str | None, limit: int, descending: bool) -> list[Group]:
        """Return groups by id order, beginning after `after`."""
        ...

    async def sizes(self, group_ids: list[str]) -> dict[str, int]:
        """Return how many accounts are in each of some groups; empty ones are left out."""
        ...
