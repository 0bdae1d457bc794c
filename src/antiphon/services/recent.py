"""The newest messages of all of an account's own conversations, as they stand on their active branches."""

from __future__ import annotations

import heapq
from typing import Final

import msgspec

from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Conversation
from antiphon.domain.items import Item, Position
from antiphon.ports.storage import Storage
from antiphon.services.paging import NO_CONVERSATION, clip, item_page

AT_ONCE: Final = 20
"""Conversations that are looked up at once, the last used first."""

SPOKEN: Final = frozenset({"user", "assistant"})


class Told(msgspec.Struct, frozen=True):
    """A message and the conversation it stands in."""

    conversation: Conversation
    item: Item


class Recent:
    """Reads across conversations: no more of each than can be among the newest."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def messages(self, who: Principal, *, limit: int, before: str | None = None) -> list[Told]:
        """Return the newest messages, newest first; those that are older than an item (`before`, its id).

        A conversation was last used no earlier than its newest item was made, and ids begin with the
        time: so nothing newer follows once `limit` messages are newer than the next conversation. What a
        fork shares with its origin comes once.
        """
        newest: list[tuple[str, Told]] = []
        seen: set[str] = set()
        after: tuple[int, str] | None = None
        while True:
            found = await self._storage.history.used(who.actor_id, after=after, limit=AT_ONCE)
            for conversation, head in found:
                if len(newest) >= limit and newest[0][1].item.created_us > conversation.updated_us:
                    return _ordered(newest)
                after_item = await self._first_from(head, before) if before is not None else None
                page = await item_page(
                    self._storage.tree, conversation, head, after=after_item, limit=limit, descending=True
                )
                for item in page.data:
                    if item.type != "message" or item.role not in SPOKEN or item.id in seen:
                        continue
                    if before is not None and item.id >= before:
                        continue  # a copy, whose ids do not follow its path
                    seen.add(item.id)
                    heapq.heappush(newest, (item.id, Told(conversation, item)))
                    if len(newest) > limit:
                        heapq.heappop(newest)
            if len(found) < AT_ONCE:
                return _ordered(newest)
            after = (found[-1][0].updated_us, found[-1][0].id)

    async def _first_from(self, head: Position, item_id: str) -> Item | None:
        """Return the first item of a path that is no older than an item, None if all are; by halving."""
        tree, found = self._storage.tree, None
        ranges = await tree.path(head, floor_depth=0) if head.depth >= 0 else []
        low, high = 0, head.depth + 1
        while low < high:
            middle = (low + high) // 2
            (item,) = await tree.items(clip(ranges, middle, middle), NO_CONVERSATION)
            if item.id < item_id:
                low = middle + 1
            else:
                high, found = middle, item
        return found


def _ordered(newest: list[tuple[str, Told]]) -> list[Told]:
    return [told for _, told in sorted(newest, key=lambda pair: pair[0], reverse=True)]
