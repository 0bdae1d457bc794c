"""The newest messages of all of an account's own conversations, as they stand on their active branches."""

from __future__ import annotations

import heapq
from typing import Final

import msgspec

from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Conversation
from antiphon.domain.items import Item
from antiphon.ports.storage import Storage
from antiphon.services.paging import item_page

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

    async def messages(self, who: Principal, *, limit: int) -> list[Told]:
        """Return the newest messages, newest first.

        A conversation was last used no earlier than its newest item was made, and ids begin with the
        time: so nothing newer follows once `limit` messages are newer than the next conversation.
        """
        newest: list[tuple[str, Told]] = []
        seen: set[str] = set()  # a fork shows what its origin shows
        after: tuple[int, str] | None = None
        while True:
            found = await self._storage.history.used(who.actor_id, after=after, limit=AT_ONCE)
            for conversation, head in found:
                if len(newest) >= limit and newest[0][1].item.created_us > conversation.updated_us:
                    return _ordered(newest)
                page = await item_page(
                    self._storage.tree, conversation, head, after=None, limit=limit, descending=True
                )
                for item in page.data:
                    if item.type != "message" or item.role not in SPOKEN or item.id in seen:
                        continue
                    seen.add(item.id)
                    heapq.heappush(newest, (item.id, Told(conversation, item)))
                    if len(newest) > limit:
                        heapq.heappop(newest)
            if len(found) < AT_ONCE:
                return _ordered(newest)
            after = (found[-1][0].updated_us, found[-1][0].id)


def _ordered(newest: list[tuple[str, Told]]) -> list[Told]:
    return [told for _, told in sorted(newest, key=lambda pair: pair[0], reverse=True)]
