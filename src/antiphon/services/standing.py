"""Which collections stand: every turn asks, and nearly every turn is told that there are none."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from antiphon.ports.collections import Batches

CACHED_TARGETS: Final = 10_000
"""Targets that are remembered, some 300 bytes each."""


class Standing:
    """Reads and replaces what stands for a target, remembering it: this process alone writes it.

    A collection that was erased may still be named; whoever searches looks it up anyway.
    """

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._known: OrderedDict[tuple[str, str], tuple[str, ...]] = OrderedDict()
        self._changes = 0

    async def of(self, owner_id: str, target: str) -> tuple[str, ...]:
        """Return the ids of the collections that stand for a target."""
        key = (owner_id, target)
        known = self._known.get(key)
        if known is None:
            before = self._changes
            known = await self._batches.standing(owner_id, target)
            if self._changes != before:
                return known  # what was read may be from before a change
            self._known[key] = known
            if len(self._known) > CACHED_TARGETS:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return known

    async def replace(self, owner_id: str, target: str, collection_ids: Sequence[str]) -> None:
        """Replace what stands for a target."""
        try:
            await self._batches.stand(owner_id, target, collection_ids)
        finally:
            self._changes += 1
            self._known.pop((owner_id, target), None)  # a turn may have asked while it was written


def user_target(account_id: str) -> str:
    """Return the target of what every turn of a person retrieves from."""
    return f"user:{account_id}"


def conversation_target(conversation_id: str) -> str:
    """Return the target of what every turn of a conversation retrieves from."""
    return f"conversation:{conversation_id}"
