"""Keyset pages, of anything and of a path's items."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

import msgspec

from antiphon.domain import ids
from antiphon.domain.conversations import Conversation, PathRange
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.items import Item, Position
from antiphon.ports.storage import Tree

T = TypeVar("T")

SLICE: Final = 500
"""Items read at once while a page thinned by hidden items is filled up."""
NO_CONVERSATION: Final = ""
"""Asked for by who wants all items: nothing is hidden in it."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some entries and whether more follow."""

    data: list[T]
    has_more: bool


def use_cursor(conversation: Conversation) -> str:
    """Return what a list by last use goes on after."""
    return f"{conversation.updated_us}:{ids.CONVERSATION}{conversation.id}"


def last_use(after: str | None) -> tuple[int, str] | None:
    """Return the time and id that a cursor of a list by last use names; raises InvalidRequest."""
    if after is None:
        return None
    used, _, wire_id = after.partition(":")
    identifier = ids.parse(wire_id, ids.CONVERSATION)
    if identifier is None or not (used.isascii() and used.isdigit() and len(used) <= 17):
        raise InvalidRequest(f"Invalid cursor '{after}'.", code="invalid_cursor", param="after")
    return int(used), identifier


async def is_on_path(tree: Tree, head: Position, item: Item) -> bool:
    """Return whether an item lies on the path that ends at `head`."""
    if item.depth > head.depth:
        return False
    ranges = await tree.path(head, floor_depth=item.depth)
    return _holds(ranges, item)


def _holds(ranges: list[PathRange], item: Item) -> bool:
    return any(
        part.segment_id == item.segment_id and part.first <= item.depth <= part.last for part in ranges
    )


async def item_page(
    tree: Tree,
    conversation: Conversation,
    head: Position,
    *,
    after: Item | None,
    limit: int,
    descending: bool,
) -> Page[Item]:
    """Return a page of the path that ends at `head`, hidden items left out.

    Descending needs only the segments down to the page's end; ascending the segments from the
    head up to it. Items are read by range, never the whole path.
    """
    if descending:
        top = await tree.before(after) if after is not None else head
        return await _descend(tree, conversation.id, top, limit)
    return await _ascend(tree, conversation.id, head, after, limit)


async def _descend(tree: Tree, conversation_id: str, top: Position, limit: int) -> Page[Item]:
    found: list[Item] = []
    upper, reach = top.depth, limit
    while upper >= 0 and len(found) <= limit:
        floor = max(upper - reach, 0)
        ranges = clip(await tree.path(top, floor_depth=floor), floor, upper)
        for part in ranges:
            found += reversed(await tree.items([part], conversation_id))
        upper, reach = floor - 1, SLICE
    return Page(found[:limit], len(found) > limit)


async def _ascend(
    tree: Tree, conversation_id: str, head: Position, after: Item | None, limit: int
) -> Page[Item]:
    lower = after.depth + 1 if after is not None else 0
    ranges = await tree.path(head, floor_depth=max(lower - 1, 0))
    if after is not None and not _holds(ranges, after):
        raise InvalidRequest(f"Invalid cursor '{after.wire_id}'.", code="invalid_cursor", param="after")
    found: list[Item] = []
    reach = limit
    while lower <= head.depth and len(found) <= limit:
        upper = min(lower + reach, head.depth)
        found += await tree.items(list(reversed(clip(ranges, lower, upper))), conversation_id)
        lower, reach = upper + 1, SLICE
    return Page(found[:limit], len(found) > limit)


def clip(ranges: list[PathRange], first: int, last: int) -> list[PathRange]:
    """Cut ranges (head first) to the depths `first` to `last`."""
    clipped = (PathRange(part.segment_id, max(part.first, first, 0), min(part.last, last)) for part in ranges)
    return [part for part in clipped if part.first <= part.last]
