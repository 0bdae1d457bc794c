"""Port `Tree` on documents: a path is walked segment by segment, a segment read as one range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from antiphon.domain.conversations import Conversation, PathRange, Segment
from antiphon.domain.items import Item, Position
from antiphon.ports.storage import SegmentSummary, TurnBase
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo import documents as doc
from antiphon.storage.mongo.database import Database, Document, keyset, ordered

MAX_SEGMENTS: Final = 4096
"""Segments are never changed and are asked for on every path, so the last ones are kept in memory."""


class MongoTree:
    """Port `Tree`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._segments: dict[str, Segment] = {}

    async def segment(self, segment_id: str) -> Segment | None:
        """Return a segment, or None."""
        known = self._segments.get(segment_id)
        if known is None:
            found = await self._database.get(db.SEGMENTS, segment_id)
            if found is None:
                return None
            if len(self._segments) >= MAX_SEGMENTS:
                self._segments.clear()
            known = self._segments[segment_id] = doc.segment(found)
        return known

    async def turn_base(
        self, account_id: str, conversation_id: str, branch_id: str | None, budget_tokens: int
    ) -> TurnBase | None:
        """See the port."""
        found = await self._database.get(db.CONVERSATIONS, conversation_id)
        if found is None or found["owner_id"] != account_id or found["deleted"] is not None:
            return None
        name = doc.pair_id(conversation_id, branch_id or found["active_branch_id"])
        branch = await self._database.get(db.BRANCHES, name)
        if branch is None:
            return None
        base = await self._base(doc.conversation(found), doc.branch(branch).head, budget_tokens)
        return TurnBase(
            base.conversation, doc.branch(branch), base.position, base.parent, base.segment_conversation_id,
            base.context,
        )  # fmt: skip

    async def position_base(
        self, account_id: str, conversation_id: str, position: Position, budget_tokens: int
    ) -> TurnBase | None:
        """See the port."""
        found = await self._database.get(db.CONVERSATIONS, conversation_id)
        if found is None or found["owner_id"] != account_id or found["state"] is not None:
            return None
        return await self._base(doc.conversation(found), position, budget_tokens)

    async def _base(self, conversation: Conversation, position: Position, budget_tokens: int) -> TurnBase:
        owner = await self.segment(position.segment_id)
        items = await self._context(position, budget_tokens)
        parent = items[-1] if items and items[-1].depth == position.depth else None
        if parent is None and position.depth >= 0:
            parent = await self.at(position)
        visible = await self._visible(conversation.id, items)
        home = owner.conversation_id if owner else conversation.id
        return TurnBase(conversation, None, position, parent, home, visible)

    async def _context(self, position: Position, budget_tokens: int) -> list[Item]:
        """Return the path's items within a budget of tokens, root first."""
        if position.depth < 0:
            return []
        floor = max(position.tokens - budget_tokens, 0)
        found: list[Item] = []
        segment, high = await self.segment(position.segment_id), position.tokens
        while segment is not None:
            above = {"$gt": max(segment.fork_tokens, floor), "$lte": high}
            part = await self._database.find(
                db.ITEMS, {"segment_id": segment.id, "path_tokens": above}, sort=ordered("path_tokens")
            )
            found = [doc.item(one) for one in part] + found
            if segment.fork_tokens <= floor or segment.parent_id is None:
                break
            high, segment = segment.fork_tokens, await self.segment(segment.parent_id)
        found.sort(key=lambda item: item.depth)
        return found

    async def item(self, account_id: str, item_id: str) -> tuple[Item, str] | None:
        """See the port."""
        found = await self._database.first(db.ITEMS, {"id": item_id})
        if found is None or found["owner_id"] != account_id:
            return None
        segment = await self.segment(found["segment_id"])
        return (doc.item(found), segment.conversation_id) if segment else None

    async def before(self, item: Item) -> Position:
        """See the port."""
        origin = await self.segment(item.segment_id)
        if origin is not None and origin.parent_id is not None and item.depth == origin.fork_depth + 1:
            return Position(origin.parent_id, origin.fork_depth, origin.fork_tokens)
        return Position(item.segment_id, item.depth - 1, item.path_tokens - item.token_count)

    async def path(self, head: Position, *, floor_depth: int) -> list[PathRange]:
        """See the port."""
        found: list[PathRange] = []
        segment, high = await self.segment(head.segment_id), head.depth
        while segment is not None:
            if high > segment.fork_depth:
                found.append(PathRange(segment.id, segment.fork_depth + 1, high))
            if segment.fork_depth < floor_depth or segment.parent_id is None:
                break
            high, segment = segment.fork_depth, await self.segment(segment.parent_id)
        return found

    async def items(self, ranges: Sequence[PathRange], conversation_id: str) -> list[Item]:
        """See the port."""
        found: list[Item] = []
        for part in ranges:
            found += await between(self._database, part)
        return await self._visible(conversation_id, found)

    async def _visible(self, conversation_id: str, found: list[Item]) -> list[Item]:
        """Leave out hidden items; conversations without any cost one look-up."""
        if await self._database.first(db.HIDDEN, {"conversation_id": conversation_id}) is None:
            return found
        return [item for item in found if not await self.is_hidden(conversation_id, item.id)]

    async def at(self, position: Position) -> Item | None:
        """See the port."""
        if position.item_id:
            found = await self._database.first(db.ITEMS, {"id": position.item_id})
        else:
            found = await self._database.get(db.ITEMS, doc.place_id(position.segment_id, position.depth))
        return doc.item(found) if found else None

    async def is_continued(self, position: Position) -> bool:
        """See the port."""
        after = doc.place_id(position.segment_id, position.depth + 1)
        if await self._database.get(db.ITEMS, after) is not None:
            return True
        leaving = {"parent_id": position.segment_id, "fork_depth": position.depth}
        return await self._database.first(db.SEGMENTS, leaving) is not None

    async def is_hidden(self, conversation_id: str, item_id: str) -> bool:
        """See the port."""
        return await self._database.get(db.HIDDEN, doc.pair_id(conversation_id, item_id)) is not None

    async def segments(self, conversation_id: str, *, after: str | None, limit: int) -> list[SegmentSummary]:
        """See the port."""
        wanted = {"conversation_id": conversation_id, **keyset("_id", after)}
        found = await self._database.find(db.SEGMENTS, wanted, sort=ordered("_id"), limit=limit)
        return [await self._summary(conversation_id, doc.segment(one)) for one in found]

    async def _summary(self, conversation_id: str, segment: Segment) -> SegmentSummary:
        last = await last_item(self._database, segment.id)
        if last is None:
            return SegmentSummary(segment, 0, None, None)
        first = await self.at(Position(segment.id, segment.fork_depth + 1, 0))
        shown = [
            None if item is None or await self.is_hidden(conversation_id, item.id) else item
            for item in (first, doc.item(last))
        ]
        return SegmentSummary(segment, last["depth"] - segment.fork_depth, *shown)

    async def siblings(self, account_id: str, conversation_id: str, item: Item, limit: int) -> list[Item]:
        """See the port: the place's own successor and the first items of segments leaving there."""
        parent = await self.before(item)
        found = {item.id: item}
        straight = await self._database.get(db.ITEMS, doc.place_id(parent.segment_id, item.depth))
        home = await self.segment(parent.segment_id)
        if straight and home and home.conversation_id == conversation_id:
            found |= _own(straight, account_id)
        leaving = {
            "parent_id": parent.segment_id,
            "fork_depth": parent.depth,
            "conversation_id": conversation_id,
        }
        for one in await self._database.find(db.SEGMENTS, leaving, limit=limit):
            first = await self._database.get(db.ITEMS, doc.place_id(one["_id"], one["fork_depth"] + 1))
            found |= _own(first, account_id)
        ordered_ = sorted(found.values(), key=lambda one: one.id)[:limit]
        return await self._visible(conversation_id, ordered_)


def _own(found: Document | None, account_id: str) -> dict[str, Item]:
    return {found["id"]: doc.item(found)} if found is not None and found["owner_id"] == account_id else {}


async def between(database: Database, part: PathRange) -> list[Item]:
    """Return the items of a range, hidden ones too."""
    wanted = {"segment_id": part.segment_id, "depth": {"$gte": part.first, "$lte": part.last}}
    return [doc.item(one) for one in await database.find(db.ITEMS, wanted, sort=ordered("depth"))]


async def last_item(database: Database, segment_id: str) -> Document | None:
    """Return the deepest item of a segment, or None."""
    return await database.first(db.ITEMS, {"segment_id": segment_id}, sort=ordered("depth", descending=True))
