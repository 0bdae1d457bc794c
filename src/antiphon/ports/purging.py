"""Port to what may be erased: reads of purging and housekeeping, over all owners.

What these tell is decided again by the guards of the commands that erase (`purge_writes`).
"""

from __future__ import annotations

from typing import Protocol

import msgspec


class Owned(msgspec.Struct, frozen=True):
    """A conversation and whose it is."""

    id: str
    owner_id: str
    slot: int


class Trim(msgspec.Struct, frozen=True):
    """What nothing stands on in a segment: items `first` to `last`, none if `last` < `first`.

    `whole` says that the segment goes with them.
    """

    segment_id: str
    first: int
    last: int
    whole: bool


class TrimPage(msgspec.Struct, frozen=True):
    """Trims in the order in which they must be made, and where the next page begins, if there is one."""

    trims: list[Trim]
    before: str | None


class Garbage(Protocol):
    """What is due to be erased."""

    async def purging(self, limit: int, *, after: str = "") -> list[Owned]:
        """Return conversations whose purge has begun and not ended, by id."""
        ...

    async def expired(self, now_us: int, deleted_before_us: int, limit: int) -> list[Owned]:
        """Return conversations that have expired, or were deleted before a time; not those being purged."""
        ...

    async def sweeps(self, now_us: int, limit: int) -> list[Owned]:
        """Return conversations whose sweep is due."""
        ...

    async def leftovers(self, owner_id: str, now_us: int, limit: int) -> list[Owned]:
        """Return an owner's purged conversations, kept for forks only, whose sweep is due."""
        ...

    async def conversations(self, account_id: str, limit: int) -> list[Owned]:
        """Return conversations of an account, deleted ones too, whose purge has not ended."""
        ...

    async def unheld_blobs(
        self, loose_before_us: int, limit: int, *, owner_id: str | None = None
    ) -> list[tuple[str, str]]:
        """Return owner and digest of blobs being erased, or held by nothing since before a time."""
        ...


class Remains(Protocol):
    """What there is of one conversation."""

    async def runs(
        self, conversation_id: str, limit: int, *, deleted_before_us: int | None = None
    ) -> list[str]:
        """Return run ids, deleted or not; with a time only those deleted before it."""
        ...

    async def keys(self, conversation_id: str, limit: int) -> list[tuple[str, str]]:
        """Return idempotency keys of all that concerns a conversation, whosever, each with whose it is."""
        ...

    async def run_keys(self, run_id: str, limit: int) -> list[tuple[str, str]]:
        """Return the idempotency keys that lead to a run, each with whose it is."""
        ...

    async def account_keys(self, account_id: str, limit: int) -> list[str]:
        """Return idempotency keys of an account."""
        ...

    async def has_views(self, conversation_id: str) -> bool:
        """Return whether there are branches, changes, hidden items, members or share links."""
        ...

    async def trims(self, conversation_id: str, *, before: str | None, limit: int) -> TrimPage:
        """Return what nothing stands on in up to `limit` segments, newest first, children first.

        Standing on a segment: segments that leave it, branches, bases of living forks, answers.
        """
        ...

    async def items(self, segment_id: str, first: int, last: int) -> list[str]:
        """Return the ids of the items at depths `first` to `last` of a segment, hidden ones too."""
        ...

    async def is_purged(self, conversation_id: str) -> bool:
        """Return whether a conversation is kept only for what forks stand on in it."""
        ...

    async def is_abandoned(self, conversation_id: str) -> bool:
        """Return whether a conversation is deleted and no answer makes it reachable any more."""
        ...

    async def abandoned_forks(self, conversation_id: str, limit: int) -> list[Owned]:
        """Return deleted forks of a conversation that no answer makes reachable any more."""
        ...
