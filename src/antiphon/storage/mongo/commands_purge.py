"""The commands of `purge_writes` on documents; see `commands`."""

from __future__ import annotations

from typing import Final

from antiphon.ports import purge_writes as wp
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo import documents as doc
from antiphon.storage.mongo.commands_sharing import loosen
from antiphon.storage.mongo.database import Document
from antiphon.storage.mongo.draft import Draft
from antiphon.storage.mongo.handlers import Handler, erase_all

PURGING, PURGED = "purging", "purged"
VIEWS: Final = (db.BRANCHES, db.CHANGES, db.HIDDEN, db.MEMBERS, db.SHARES)
"""Collections that show a conversation."""


async def _sweep_at(d: Draft, origin: Document, due_us: int) -> None:
    sweep = {
        "_id": origin["_id"], "conversation_id": origin["_id"], "owner_id": origin["owner_id"],
        "slot": origin["slot"], "due": due_us,
    }  # fmt: skip
    await d.get(db.SWEEPS, origin["_id"])
    d.put(db.SWEEPS, sweep, origin["owner_id"])


async def _origin(d: Draft, segment_id: str | None) -> Document | None:
    """Return the conversation that a segment belongs to."""
    segment = await d.get(db.SEGMENTS, segment_id) if segment_id else None
    return await d.get(db.CONVERSATIONS, segment["conversation_id"]) if segment else None


async def _begin_purge(d: Draft, c: wp.BeginPurge) -> bool:
    found = await d.get(db.CONVERSATIONS, c.conversation_id)
    if found is None or found["state"] is not None:
        return False
    base = found["base"]
    origin = await _origin(d, base["segment_id"] if base else None)
    if origin is not None and origin["state"] == PURGED:
        await _sweep_at(d, origin, c.now_us)
    d.change(
        db.CONVERSATIONS, found, state=PURGING, deleted=found["deleted"] or c.now_us, updated_us=c.now_us,
        title=None, metadata="{}", external_key=None, expires_us=None, base=None,
    )  # fmt: skip
    await erase_all(d, db.ALIASES, {"target_id": c.conversation_id})
    return True


async def _drop_purged(d: Draft, conversation_id: str) -> None:
    """Erase a purged conversation's document once nothing of its tree is left."""
    found = await d.get(db.CONVERSATIONS, conversation_id)
    if found is None or found["state"] != PURGED:
        return
    if not await d.has(db.SEGMENTS, {"conversation_id": conversation_id}):
        d.drop(db.CONVERSATIONS, found)


async def _end_purge(d: Draft, c: wp.EndPurge) -> bool:
    found = await d.get(db.CONVERSATIONS, c.conversation_id)
    if found is not None and found["state"] == PURGING:
        d.change(db.CONVERSATIONS, found, state=PURGED, revision=1)
    await _drop_purged(d, c.conversation_id)
    if await d.get(db.CONVERSATIONS, c.conversation_id) is None:
        await erase_all(d, db.SWEEPS, {"conversation_id": c.conversation_id})
    return True


async def _erase_runs(d: Draft, c: wp.EraseRuns) -> bool:
    for run_id in c.run_ids:
        found = await d.get(db.RUNS, run_id)
        if found is not None:
            d.drop(db.RUNS, found)
            await erase_all(d, db.CHUNKS, {"run_id": run_id}, owner_id=found["owner_id"])
    return True


async def _erase_keys(d: Draft, c: wp.EraseKeys) -> bool:
    for owner_id, key in c.keys:
        found = await d.get(db.KEYS, doc.pair_id(owner_id, key))
        if found is not None:
            d.drop(db.KEYS, found)
    return True


async def _erase_views(d: Draft, c: wp.EraseViews) -> bool:
    for collection in VIEWS:
        await erase_all(d, collection, {"conversation_id": c.conversation_id}, limit=c.limit)
    return True


async def _is_stood_on(d: Draft, conversation_id: str, segment_id: str, depth: int) -> bool:
    """Whether a segment, a living fork or a branch stands on a segment at a depth or below it."""
    if await d.has(db.SEGMENTS, {"parent_id": segment_id, "fork_depth": {"$gte": depth}}):
        return True
    forks = {"base.segment_id": segment_id, "base.depth": {"$gte": depth}, "deleted": None}
    if await d.has(db.CONVERSATIONS, forks):
        return True
    heads = {
        "conversation_id": conversation_id, "head.segment_id": segment_id, "head.depth": {"$gte": depth}
    }  # fmt: skip
    return await d.has(db.BRANCHES, heads)


async def _erase_items(d: Draft, c: wp.EraseItems) -> bool:
    last = await d.get(db.ITEMS, doc.place_id(c.segment_id, c.last))
    after = await d.get(db.ITEMS, doc.place_id(c.segment_id, c.last + 1))
    if last is None or after is not None or await d.get(db.SEGMENTS, c.segment_id) is None:
        return False
    if await _is_stood_on(d, c.conversation_id, c.segment_id, c.first):
        return False
    await loosen(d, c.owner_id, c.segment_id, c.first, c.last, c.now_us)
    erased: list[str] = []
    for depth in range(c.first, c.last + 1):
        item = await d.get(db.ITEMS, doc.place_id(c.segment_id, depth))
        if item is None:
            continue
        erased.append(item["id"])
        hidden = await d.get(db.HIDDEN, doc.pair_id(c.conversation_id, item["id"]))
        if hidden is not None:
            d.drop(db.HIDDEN, hidden)
        d.drop(db.ITEMS, item)
    await erase_all(d, db.ALIASES, {"target_id": {"$in": erased}})
    return True


async def _erase_segment(d: Draft, c: wp.EraseSegment) -> bool:
    found = await d.get(db.SEGMENTS, c.segment_id)
    if found is None or await d.has(db.ITEMS, {"segment_id": c.segment_id}):
        return False
    if await _is_stood_on(d, c.conversation_id, c.segment_id, -1):
        return False
    origin = await _origin(d, found["parent_id"])
    if origin is not None and origin["_id"] != found["conversation_id"]:
        grace = 0 if origin["state"] == PURGED else c.grace_us
        await _sweep_at(d, origin, c.now_us + grace)
    d.drop(db.SEGMENTS, found)
    return True


async def _require_item(d: Draft, c: wp.RequireItem) -> bool:
    segment = await d.get(db.SEGMENTS, c.position.segment_id)
    if segment is None:
        return False
    if segment["fork_depth"] == c.position.depth:
        return True
    return await d.get(db.ITEMS, doc.place_id(c.position.segment_id, c.position.depth)) is not None


async def _sweep(d: Draft, c: wp.Sweep) -> bool:
    await _sweep_at(d, {"_id": c.conversation_id, "owner_id": c.owner_id, "slot": c.slot}, c.due_us)
    return True


async def _end_sweep(d: Draft, c: wp.EndSweep) -> bool:
    found = await d.get(db.SWEEPS, c.conversation_id)
    if found is not None and found["due"] <= c.now_us:
        d.drop(db.SWEEPS, found)
    await _drop_purged(d, c.conversation_id)
    return True


HANDLERS: Final[dict[type, Handler]] = {
    wp.BeginPurge: _begin_purge, wp.EndPurge: _end_purge, wp.EraseRuns: _erase_runs,
    wp.EraseKeys: _erase_keys, wp.EraseViews: _erase_views, wp.EraseItems: _erase_items,
    wp.EraseSegment: _erase_segment, wp.RequireItem: _require_item, wp.Sweep: _sweep,
    wp.EndSweep: _end_sweep,
}  # fmt: skip
