"""Erasing what nothing stands on in a conversation's tree, from the leaves down."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Final

from antiphon.domain.errors import Conflict
from antiphon.ports import purge_writes as wp
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.purging import Owned, Trim
from antiphon.ports.storage import Storage
from antiphon.services.erasure import Erasures, Purged

ITEMS: Final = 64
"""Items one write set erases: about a millisecond of the writer."""
SEGMENTS: Final = 100
ROUNDS: Final = 1000

GRACE_US: Final = 3600 * 1_000_000
"""What nothing reaches stays so long, before a sweep erases it."""


class Trimming:
    """Erases in slices; whoever holds something of the items hears of every slice first."""

    def __init__(self, storage: Storage, erasures: Erasures, clock: Clock) -> None:
        self._storage = storage
        self._erasures = erasures
        self._clock = clock

    async def trim(self, conversation: Owned, purged: Purged) -> None:
        """Erase what nothing stands on, children before their parents, until a round finds nothing."""
        for _ in range(ROUNDS):
            before, found = None, False
            while True:
                page = await self._storage.remains.trims(conversation.id, before=before, limit=SEGMENTS)
                found = found or bool(page.trims)
                with contextlib.suppress(
                    Conflict
                ):  # somebody came to stand there; the next round looks again
                    await self._erase_trims(conversation, page.trims, purged)
                before = page.before
                if before is None:
                    break
            if not found:
                return

    async def _erase_trims(self, conversation: Owned, trims: Iterable[Trim], purged: Purged) -> None:
        """Erase in slices of about `ITEMS` items, each segment from its end."""
        batch: list[ws.Command] = []
        items = 0
        now = self._clock.now_us()
        for trim in trims:
            last = trim.last
            while last >= trim.first:
                first = max(trim.first, last - (ITEMS - items) + 1)
                batch.append(
                    wp.EraseItems(
                        conversation_id=conversation.id, owner_id=conversation.owner_id,
                        segment_id=trim.segment_id, first=first, last=last, now_us=now,
                    )
                )  # fmt: skip
                items, last = items + last - first + 1, first - 1
                if items >= ITEMS:
                    await self._write(conversation, batch, items, purged)
                    batch, items = [], 0
            if trim.whole:
                batch.append(
                    wp.EraseSegment(
                        conversation_id=conversation.id, segment_id=trim.segment_id, now_us=now,
                        grace_us=GRACE_US,
                    )
                )  # fmt: skip
            if len(batch) >= ITEMS:
                await self._write(conversation, batch, items, purged)
                batch, items = [], 0
        if batch:
            await self._write(conversation, batch, items, purged)

    async def _write(self, conversation: Owned, batch: list[ws.Command], items: int, purged: Purged) -> None:
        going = await self._items_of(batch) if self._erasures else []
        async with self._erasures.forgetting_items(conversation.owner_id, conversation.id, going, purged):
            await self._storage.unit_of_work.commit(*batch)
        purged.items += items

    async def _items_of(self, batch: list[ws.Command]) -> list[str]:
        """Return the ids of the items that a write set erases."""
        return [
            item_id
            for command in batch
            if isinstance(command, wp.EraseItems)
            for item_id in await self._storage.remains.items(command.segment_id, command.first, command.last)
        ]
