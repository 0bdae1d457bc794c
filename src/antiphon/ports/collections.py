"""Port to collections of files (vector stores), their members, and where collections are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from antiphon.domain.collections import Attributes, Batch, Collection, Counts, Member, MemberState


class Collections(Protocol):
    """Collections themselves."""

    async def put(self, collection: Collection) -> None:
        """Keep a new collection, or a known one's new name, metadata, times and end."""
        ...

    async def get(self, account_id: str, collection_id: str) -> Collection | None:
        """Return a collection, or None."""
        ...

    async def page(
        self, account_id: str, *, after: str | None, limit: int, descending: bool
    ) -> list[Collection]:
        """Return collections by id order, beginning after `after`."""
        ...

    async def touch(self, account_id: str, collection_ids: Sequence[str], now_us: int) -> None:
        """Note that collections were used, which moves their ends."""
        ...

    async def delete(self, account_id: str, collection_id: str) -> bool:
        """Erase a collection with its members; their indexed passages are doomed, the files stay."""
        ...

    async def expired(self, now_us: int, limit: int) -> list[Collection]:
        """Return collections whose end has come and that still have members."""
        ...


class Members(Protocol):
    """Files in collections."""

    async def put(self, members: Sequence[Member], batch: Batch | None = None) -> None:
        """Add files to a collection; one that is there already is indexed again with what is new."""
        ...

    async def get(self, account_id: str, collection_id: str, file_id: str) -> Member | None:
        """Return a member, or None."""
        ...

    async def page(
        self,
        account_id: str,
        collection_id: str,
        *,
        after: str | None,
        limit: int,
        descending: bool,
        state: MemberState | None = None,
        batch_id: str | None = None,
    ) -> list[Member]:
        """Return members by when they were added, beginning after the file `after`."""
        ...

    async def describe(
        self, account_id: str, collection_id: str, file_id: str, attributes: Attributes
    ) -> Member | None:
        """Replace a member's attributes; returns it, or None."""
        ...

    async def settle(self, member: Member) -> None:
        """Write a member's state, error, progress and bytes unless it was removed or cancelled meanwhile."""
        ...

    async def remove(self, account_id: str, collection_id: str, file_id: str) -> bool:
        """Take a file out of a collection; its passages there are doomed."""
        ...

    async def waiting(self, after: str | None, limit: int) -> list[Member]:
        """Return members of all owners whose indexing has not ended, by id; for the indexing job only."""
        ...


class Batches(Protocol):
    """Batches, counts, and standing collections."""

    async def batch(self, account_id: str, collection_id: str, batch_id: str) -> Batch | None:
        """Return a batch, or None."""
        ...

    async def cancel(self, account_id: str, collection_id: str, batch_id: str) -> None:
        """Cancel what of a batch has not ended."""
        ...

    async def counts(self, collection_id: str, batch_id: str | None = None) -> Counts:
        """Count the members of a collection, or of one batch."""
        ...

    async def of_file(self, file_id: str) -> Sequence[Member]:
        """Return the memberships of a file, at most 1,000."""
        ...

    async def standing(self, owner_id: str, target: str) -> tuple[str, ...]:
        """Return ids of the collections every turn of `target` retrieves from.

        `target` is `user:<account>` or `conversation:<id>`.
        """
        ...

    async def stand(self, owner_id: str, target: str, collection_ids: Sequence[str]) -> None:
        """Replace a target's standing collections."""
        ...
