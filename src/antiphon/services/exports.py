"""What a person can take along: conversations with their whole trees, a slice at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Branch, Conversation, PathRange, Segment
from antiphon.domain.errors import RateLimited
from antiphon.domain.items import Item, Position
from antiphon.domain.runs import Run
from antiphon.ports.storage import Storage
from antiphon.services.access import Access
from antiphon.services.followed import followed
from antiphon.services.paging import clip

SLICE: Final = 100
"""Items, segments, branches or conversations read at once."""


class Taken(msgspec.Struct, frozen=True):
    """An item with the wire id of the one it follows, and the answer it belongs to."""

    item: Item
    parent_id: str | None
    run: Run | None


class Exports:
    """Reads conversations from end to end; what was hidden stays behind."""

    def __init__(self, storage: Storage, access: Access) -> None:
        self._storage = storage
        self._access = access
        self._under_way: set[str] = set()

    async def conversation(self, who: Principal, wire_id: str) -> tuple[Principal, Conversation]:
        """Return a conversation and who reads it there; raises NotFound."""
        return await self._access.enter(who, wire_id)

    @contextmanager
    def whole(self, who: Principal) -> Iterator[None]:
        """Let a person's whole export go on in the block; raises RateLimited while another does."""
        if who.actor_id in self._under_way:
            raise RateLimited("An export of yours is under way.", retry_after_seconds=5.0)
        self._under_way.add(who.actor_id)
        try:
            yield
        finally:
            self._under_way.discard(who.actor_id)

    async def own(self, who: Principal) -> AsyncIterator[Conversation]:
        """Yield the caller's own conversations, oldest first."""
        after: str | None = None
        while True:
            page = await self._storage.conversations.page(
                who.actor_id, after=after, limit=SLICE, descending=False
            )
            for one in page:
                yield one
            if len(page) < SLICE:
                return
            after = page[-1].id

    async def branches(self, conversation: Conversation) -> AsyncIterator[Branch]:
        """Yield the branches of a conversation that was entered, oldest first."""
        after: str | None = None
        while True:
            page = await self._storage.conversations.branches(conversation.id, after=after, limit=SLICE)
            for one in page:
                yield one
            if len(page) < SLICE:
                return
            after = page[-1].id

    async def items(self, conversation: Conversation) -> AsyncIterator[Taken]:
        """Yield every item of a conversation that was entered, each after the one it follows.

        What a fork shares with its origin comes first.
        """
        if conversation.base is not None:
            async for one in self._line(conversation, conversation.base):
                yield one
        after: str | None = None
        while True:
            page = await self._storage.tree.segments(conversation.id, after=after, limit=SLICE)
            for summary in page:
                if summary.count:
                    async for one in self._segment(conversation, summary.segment, summary.count):
                        yield one
            if len(page) < SLICE:
                return
            after = page[-1].segment.id

    async def path(self, who: Principal, conversation: Conversation) -> AsyncIterator[Taken]:
        """Yield the items of the active branch, root first."""
        base = await self._storage.tree.turn_base(conversation.owner_id, conversation.id, None, 0)
        if base is None:
            return
        base = await followed(self._storage, who, base, 0)
        async for one in self._line(base.conversation, base.position):
            yield one

    async def _line(self, conversation: Conversation, head: Position) -> AsyncIterator[Taken]:
        if head.depth < 0:
            return
        parent: str | None = None
        ranges = await self._storage.tree.path(head, floor_depth=0)
        for first in range(0, head.depth + 1, SLICE):
            some = list(reversed(clip(ranges, first, first + SLICE - 1)))
            async for one in self._slice(conversation, some, parent):
                parent = one.item.wire_id
                yield one

    async def _segment(
        self, conversation: Conversation, segment: Segment, count: int
    ) -> AsyncIterator[Taken]:
        parent: str | None = None
        if segment.parent_id is not None:
            left = Position(segment.parent_id, segment.fork_depth, 0)
            parent = await self._shown_before(conversation, left)
        first = segment.fork_depth + 1
        for start in range(first, first + count, SLICE):
            part = PathRange(segment.id, start, min(start + SLICE, first + count) - 1)
            async for one in self._slice(conversation, [part], parent):
                parent = one.item.wire_id
                yield one

    async def _shown_before(self, conversation: Conversation, position: Position) -> str | None:
        """Return the last item up to a place that the conversation shows: an export has no other."""
        ranges = await self._storage.tree.path(position, floor_depth=0)
        for end in range(position.depth, -1, -SLICE):
            some = list(reversed(clip(ranges, max(end - SLICE + 1, 0), end)))
            if found := await self._storage.tree.items(some, conversation.id):
                return found[-1].wire_id
        return None

    async def _slice(
        self, conversation: Conversation, ranges: list[PathRange], parent: str | None
    ) -> AsyncIterator[Taken]:
        runs: dict[str, Run | None] = {}
        for item in await self._storage.tree.items(ranges, conversation.id):
            if item.run_id is not None and item.run_id not in runs:
                runs[item.run_id] = await self._storage.runs.get(conversation.owner_id, item.run_id)
            yield Taken(item, parent, runs.get(item.run_id or ""))
            parent = item.wire_id
