"""The commands of `purge_writes` as SQL; see `commands`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from antiphon.ports import purge_writes as wp
from antiphon.storage.sql.commands_blobs import loosen
from antiphon.storage.sql.steps import Compiler, Step

SWEEP_BASE: Final = (
    "INSERT INTO sweeps (conversation_id,owner_id,slot,due)"
    " SELECT o.id,o.owner_id,o.slot,? FROM conversations c JOIN segments s ON s.id=c.base_segment_id"
    " JOIN conversations o ON o.id=s.conversation_id AND o.state='purged' WHERE c.id=?"
    " ON CONFLICT (conversation_id) DO UPDATE SET due=excluded.due"
)
EMPTY_ROW: Final = (
    "UPDATE conversations SET title=NULL, metadata='{}', external_key=NULL, expires=NULL,"
    " base_segment_id=NULL, base_depth=NULL, base_tokens=NULL, base_item_id=NULL WHERE id=?"
)


# A guard is the first statement of its command: what follows it is not undone by it.


def _begin_purge(c: wp.BeginPurge) -> Iterator[Step]:
    yield (
        "UPDATE conversations SET state='purging', deleted=COALESCE(deleted,?), updated=?"
        " WHERE id=? AND state IS NULL",
        (c.now_us, c.now_us, c.conversation_id),
        1,
    )
    yield SWEEP_BASE, (c.now_us, c.conversation_id), None
    yield EMPTY_ROW, (c.conversation_id,), None
    yield "DELETE FROM aliases WHERE target_id=?", (c.conversation_id,), None


DROP_PURGED: Final = (
    "DELETE FROM conversations WHERE id=? AND state='purged'"
    " AND NOT EXISTS (SELECT 1 FROM segments s WHERE s.conversation_id=?)"
)


def _end_purge(c: wp.EndPurge) -> Iterator[Step]:
    yield (
        "UPDATE conversations SET state='purged', revision=1 WHERE id=? AND state='purging'",
        (c.conversation_id,),
        None,
    )
    yield DROP_PURGED, (c.conversation_id, c.conversation_id), None
    yield (
        "DELETE FROM sweeps WHERE conversation_id=?"
        " AND NOT EXISTS (SELECT 1 FROM conversations c WHERE c.id=?)",
        (c.conversation_id, c.conversation_id),
        None,
    )


def _among(values: tuple[str, ...]) -> str:
    return ",".join("?" * len(values))


def _erase_runs(c: wp.EraseRuns) -> Iterator[Step]:
    yield f"DELETE FROM run_chunks WHERE run_id IN ({_among(c.run_ids)})", c.run_ids, None
    yield f"DELETE FROM runs WHERE id IN ({_among(c.run_ids)})", c.run_ids, None


def _erase_keys(c: wp.EraseKeys) -> Iterator[Step]:
    for owner_id, key in c.keys:
        yield "DELETE FROM idempotency WHERE owner_id=? AND key=?", (owner_id, key), None


VIEWS: Final = {
    "branches": "id",
    "conversation_changes": "revision",
    "hidden_items": "item_id",
    "conversation_members": "account_id",
    "share_links": "id",
}
"""Tables that show a conversation, each with what tells its rows apart within one."""


def _erase_views(c: wp.EraseViews) -> Iterator[Step]:
    for table, key in VIEWS.items():
        yield (
            f"DELETE FROM {table} WHERE conversation_id=? AND {key} IN"
            f" (SELECT {key} FROM {table} WHERE conversation_id=? LIMIT ?)",
            (c.conversation_id, c.conversation_id, c.limit),
            None,
        )


NOTHING_STANDS: Final = (
    " AND NOT EXISTS (SELECT 1 FROM segments t WHERE t.parent_id=? AND t.fork_depth>=?)"
    " AND NOT EXISTS (SELECT 1 FROM conversations f WHERE f.base_segment_id=? AND f.base_depth>=?"
    " AND f.deleted IS NULL)"
    " AND NOT EXISTS (SELECT 1 FROM branches b WHERE b.conversation_id=? AND b.head_segment_id=?"
    " AND b.head_depth>=?)"
)


def _standing(conversation_id: str, segment_id: str, depth: int) -> tuple[Any, ...]:
    return (segment_id, depth, segment_id, depth, conversation_id, segment_id, depth)


IF_FREE: Final = "UPDATE segments SET level=level WHERE id=?"


def _erase_items(c: wp.EraseItems) -> Iterator[Step]:
    yield (
        IF_FREE + " AND EXISTS (SELECT 1 FROM items l WHERE l.segment_id=? AND l.depth=?)"
        " AND NOT EXISTS (SELECT 1 FROM items n WHERE n.segment_id=? AND n.depth=?)" + NOTHING_STANDS,
        (c.segment_id, c.segment_id, c.last, c.segment_id, c.last + 1,
         *_standing(c.conversation_id, c.segment_id, c.first)),
        1,
    )  # fmt: skip
    yield from loosen(c.owner_id, c.segment_id, c.first, c.last, c.now_us)
    yield (
        "DELETE FROM hidden_items WHERE conversation_id=? AND item_id IN"
        " (SELECT id FROM items WHERE segment_id=? AND depth BETWEEN ? AND ?)",
        (c.conversation_id, c.segment_id, c.first, c.last),
        None,
    )
    yield (
        "DELETE FROM aliases WHERE target_id IN"
        " (SELECT id FROM items WHERE segment_id=? AND depth BETWEEN ? AND ?)",
        (c.segment_id, c.first, c.last),
        None,
    )
    yield (
        "DELETE FROM items WHERE segment_id=? AND depth BETWEEN ? AND ?",
        (c.segment_id, c.first, c.last),
        None,
    )


SWEEP_ORIGIN: Final = (
    "INSERT INTO sweeps (conversation_id,owner_id,slot,due)"
    " SELECT o.id,o.owner_id,o.slot,CASE WHEN o.state='purged' THEN CAST(? AS BIGINT) ELSE ? END"
    " FROM segments s JOIN segments p ON p.id=s.parent_id JOIN conversations o ON o.id=p.conversation_id"
    " WHERE s.id=? AND p.conversation_id<>s.conversation_id"
    " ON CONFLICT (conversation_id) DO UPDATE SET due=excluded.due"
)


def _erase_segment(c: wp.EraseSegment) -> Iterator[Step]:
    yield (
        IF_FREE + " AND NOT EXISTS (SELECT 1 FROM items i WHERE i.segment_id=?)" + NOTHING_STANDS,
        (c.segment_id, c.segment_id, *_standing(c.conversation_id, c.segment_id, -1)),
        1,
    )
    yield SWEEP_ORIGIN, (c.now_us, c.now_us + c.grace_us, c.segment_id), None
    yield "DELETE FROM segments WHERE id=?", (c.segment_id,), None


REQUIRE_ITEM: Final = (
    "UPDATE segments SET level=level WHERE id=?"
    " AND (fork_depth=? OR EXISTS (SELECT 1 FROM items i WHERE i.segment_id=? AND i.depth=?))"
)


def _require_item(c: wp.RequireItem) -> Iterator[Step]:
    place = (c.position.segment_id, c.position.depth)
    yield REQUIRE_ITEM, (*place, *place), 1


def _sweep(c: wp.Sweep) -> Iterator[Step]:
    yield (
        "INSERT INTO sweeps (conversation_id,owner_id,slot,due) VALUES (?,?,?,?)"
        " ON CONFLICT (conversation_id) DO UPDATE SET due=excluded.due",
        (c.conversation_id, c.owner_id, c.slot, c.due_us),
        None,
    )


def _end_sweep(c: wp.EndSweep) -> Iterator[Step]:
    yield "DELETE FROM sweeps WHERE conversation_id=? AND due<=?", (c.conversation_id, c.now_us), None
    yield DROP_PURGED, (c.conversation_id, c.conversation_id), None


COMPILERS: Final[dict[type, Compiler]] = {
    wp.BeginPurge: _begin_purge, wp.EndPurge: _end_purge, wp.EraseRuns: _erase_runs,
    wp.EraseKeys: _erase_keys, wp.EraseViews: _erase_views, wp.EraseItems: _erase_items,
    wp.EraseSegment: _erase_segment, wp.RequireItem: _require_item, wp.Sweep: _sweep,
    wp.EndSweep: _end_sweep,
}  # fmt: skip
