"""Who else holds content of conversations and people: all of them hear of it when it is erased.

Purges, retention, sweeps and the deletion of accounts go through here. Whatever is asked may be
asked again: after a crash the purge goes on, and begins with what it cannot know to be done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol


class Erasing(Protocol):
    """Holds something besides the store, and erases it along with what it came from.

    Every method returns how many of its things went; what is gone already counts for nothing.
    """

    @property
    def counted(self) -> str:
        """The name under which the answer to a purge counts them."""
        ...

    def forgetting_items(
        self, owner_id: str, conversation_id: str, item_ids: Sequence[str]
    ) -> AbstractAsyncContextManager[int]:
        """Forget items; the store erases them inside the block, and nothing takes them in meanwhile.

        They are forgotten before the block begins, so that a kill leaves none behind. If the block
        raises, they stay after all.
        """
        ...

    async def forget_conversation(self, owner_id: str, conversation_id: str) -> int:
        """Forget what there is of a conversation besides items that the store still has.

        It is purged: only living forks may share some. Asked again when the last of them goes.
        """
        ...

    async def forget_owner(self, owner_id: str) -> int:
        """Forget all that belongs to an account; nothing of it comes in any more."""
        ...


class Purged:
    """What went, counted."""

    def __init__(self) -> None:
        self.conversations = 0
        self.items = 0
        self.responses = 0
        self.blobs = 0
        self.beside: Counter[str] = Counter()

    def counts(self) -> dict[str, int]:
        """Return the counts by name."""
        return {
            "conversations": self.conversations,
            "items": self.items,
            "responses": self.responses,
            "blobs": self.blobs,
            **self.beside,
        }


class Erasures:
    """Tells everybody who holds something; without any it does nothing."""

    def __init__(self, holders: Sequence[Erasing] = ()) -> None:
        self.holders = tuple(holders)

    def __bool__(self) -> bool:
        return bool(self.holders)

    def begin(self) -> Purged:
        """Return counts of nothing, with a name for everybody."""
        purged = Purged()
        purged.beside.update({holder.counted: 0 for holder in self.holders})
        return purged

    @asynccontextmanager
    async def forgetting_items(
        self, owner_id: str, conversation_id: str, item_ids: Sequence[str], purged: Purged
    ) -> AsyncIterator[None]:
        """See `Erasing`; counts when the block has ended well."""
        async with AsyncExitStack() as stack:
            counts = {
                holder.counted: await stack.enter_async_context(
                    holder.forgetting_items(owner_id, conversation_id, item_ids)
                )
                for holder in self.holders
                if item_ids
            }
            yield
        purged.beside.update(counts)

    async def forget_conversation(self, owner_id: str, conversation_id: str, purged: Purged) -> None:
        """See `Erasing`."""
        for holder in self.holders:
            purged.beside[holder.counted] += await holder.forget_conversation(owner_id, conversation_id)

    async def forget_owner(self, owner_id: str, purged: Purged) -> None:
        """See `Erasing`."""
        for holder in self.holders:
            purged.beside[holder.counted] += await holder.forget_owner(owner_id)
