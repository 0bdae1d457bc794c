"""Port to collections of files (vector stores), their members, and where collections are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from antiphon.domain.collections import Attributes, Batch, Collection, Counts, Member, MemberState
from antiphon.ports.kept_answers import KeptAnswer


class Collections(Protocol):
    """Collections themselves."""

    async def put(
        self, collection: Collection, members: Sequence[Member] = (), *, key: KeptAnswer | None = None
    ) -> None:
        """Keep a new collection with its first members; raises Conflict `PutKey`."""
        ...

    async def change(self, collection: Collection) -> bool:
        """Write a known collection's name, metadata, last use and end; returns whether it is there."""
        ...

    async def get(self, account_id: str, collection_id: str) -> Collection | None:
        """Return a collection, or None."""
        ...

    async def page(
        self, account_id: str, *, after: str | None, limit: int, descending: bool, before: str | None = None
    ) -> list[Collection]:
        """Return collections by id order, beginning after `after`, or those that end just before `before`."""
        ...

    async def touch(self, account_id: str, collection_ids: Sequence[str], now_us: int) -> None:
        """Note that collections were used, which moves their ends."""
        ...

    async def delete(self, account_id: str, collection_id: str) -> bool:
        """Erase a collection with its members; their indexed passages are doomed, the files stay."""
        ...

    async def empty(self, account_id: str, collection_id: str) -> None:
        """Take out all members, as `delete` does; the collection itself stays."""
        ...

    async def expired(self, now_us: int, limit: int) -> list[Collection]:
        """Return collections whose end has come and that still have members."""
        ...


class Members(Protocol):
    """Files in collections."""

    async def put(
        self, members: Sequence[Member], batch: Batch | None = None, *, key: KeptAnswer | None = None
    ) -> None:
        """Add files to a collection; one that is there already is indexed again with what is new.

        One of which nothing but attributes or batch is new keeps its state. Raises Conflict:
        `PutMembers` if the collection or a file is gone, `PutKey`.
        """
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
        before: str | None = None,
        state: MemberState | None = None,
        batch_id: str | None = None,
    ) -> list[Member]:
        """Return members by when they were added, after the file `after` or just before `before`."""
        ...

    async def describe(
        self, account_id: str, collection_id: str, file_id: str, attributes: Attributes
    ) -> Member | None:
        """Replace a member's attributes; returns it, or None.

        Those that stand for each other as duplicates are looked at again: equal they must be in both.
        """
        ...

    async def settle(self, member: Member) -> bool:
        """Write what a job has come to: state, error, progress, bytes, attempts, next attempt, duplicate.

        Writes nothing and returns False if the member was removed, cancelled or is to be indexed in
        another way meanwhile.
        """
        ...

    async def remove(self, account_id: str, collection_id: str, file_id: str) -> bool:
        """Take a file out of a collection; its passages there are doomed."""
        ...


class Waiting(Protocol):
    """Members whose indexing has not ended; for the indexing job only, which works for all owners."""

    async def owner(self, after: str, now_us: int) -> str | None:
        """Return the first owner above `after` who has a member that can be begun now, or None."""
        ...

    async def next(self, owner_id: str, now_us: int, *, until_us: int = 0) -> Member | None:
        """Return an owner's oldest member that can be begun now, one attempt counted; None if none can.

        It is held until `until_us`, before which nobody else begins it; with 0 there is nobody else.
        """
        ...

    async def hold(self, member: Member, until_us: int) -> bool:
        """Hold a member that was begun for longer.

        False if it is not to be indexed any more as it was, or somebody else has begun it.
        """
        ...

    async def twin(self, member: Member, digest: str) -> Member | None:
        """Return another member of the collection that has the same content, cut alike, and is indexed.

        Its attributes are equal too: a filter finds both or neither.
        """
        ...


class Batches(Protocol):
    """Batches, counts, and standing collections."""

    async def batch(self, account_id: str, collection_id: str, batch_id: str) -> Batch | None:
        """Return a batch, or None."""
        ...

    async def cancel(self, account_id: str, collection_id: str, batch_id: str) -> None:
        """Cancel what of a batch has not ended; a member that was indexed before keeps its passages."""
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

    async def forget_owner(self, owner_id: str) -> None:
        """Erase what is left of an owner without files and collections: standing ones, batches, keys."""
        ...
