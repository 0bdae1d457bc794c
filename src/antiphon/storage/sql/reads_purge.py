"""Reads of what may be erased; see port `purging` and `reads`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from antiphon.ports.purging import Owned, Trim, TrimPage
from antiphon.storage.sql.commands_purge import VIEWS
from antiphon.storage.sql.database import Db

NOWHERE: Final = -2
"""Below every depth: nothing stands on the segment."""


def _owned(db: Db, statement: str, *values: Any) -> list[Owned]:
    return [Owned(*row) for row in db.execute(f"SELECT c.id,c.owner_id,c.slot FROM {statement}", values)]


def purging(db: Db, limit: int, after: str) -> list[Owned]:
    """See port `Garbage.purging`."""
    return _owned(
        db, "conversations c WHERE c.state='purging' AND c.id>? ORDER BY c.id LIMIT ?", after, limit
    )


def expired(db: Db, now_us: int, deleted_before_us: int, limit: int) -> list[Owned]:
    """See port `Garbage.expired`."""
    found = _owned(
        db, "conversations c WHERE c.expires IS NOT NULL AND c.expires<=? AND c.state IS NULL LIMIT ?",
        now_us, limit,
    )  # fmt: skip
    found += _owned(
        db, "conversations c WHERE c.deleted IS NOT NULL AND c.deleted<? AND c.state IS NULL LIMIT ?",
        deleted_before_us, limit,
    )  # fmt: skip
    return list(dict.fromkeys(found))[:limit]


def sweeps(db: Db, now_us: int, limit: int) -> list[Owned]:
    """See port `Garbage.sweeps`."""
    found = db.execute(
        "SELECT conversation_id,owner_id,slot FROM sweeps WHERE due<=? ORDER BY due LIMIT ?", (now_us, limit)
    )
    return [Owned(*row) for row in found]


def leftovers(db: Db, owner_id: str, now_us: int, limit: int) -> list[Owned]:
    """See port `Garbage.leftovers`."""
    return _owned(
        db, "sweeps s JOIN conversations c ON c.id=s.conversation_id AND c.state='purged'"
        " WHERE s.due<=? AND s.owner_id=? LIMIT ?",
        now_us, owner_id, limit,
    )  # fmt: skip


def conversations(db: Db, account_id: str, limit: int) -> list[Owned]:
    """See port `Garbage.conversations`."""
    return _owned(
        db, "conversations c WHERE c.owner_id=? AND (c.state IS NULL OR c.state<>'purged') LIMIT ?",
        account_id, limit,
    )  # fmt: skip


def unheld_blobs(db: Db, loose_before_us: int, limit: int, owner_id: str | None) -> list[tuple[str, str]]:
    """See port `Garbage.unheld_blobs`."""
    found = db.execute(
        "SELECT owner_id,digest FROM blobs WHERE state<>'held' AND (state='doomed' OR changed<=?)"
        " AND (CAST(? AS TEXT) IS NULL OR owner_id=?) LIMIT ?",
        (loose_before_us, owner_id, owner_id, limit),
    )
    return [(row[0], row[1]) for row in found]


def runs(db: Db, conversation_id: str, limit: int, deleted_before_us: int | None) -> list[str]:
    """See port `Remains.runs`."""
    found = db.execute(
        "SELECT id FROM runs WHERE conversation_id=? AND (CAST(? AS BIGINT) IS NULL OR deleted<?) LIMIT ?",
        (conversation_id, deleted_before_us, deleted_before_us, limit),
    )
    return [row[0] for row in found]


def keys(db: Db, conversation_id: str, limit: int) -> list[tuple[str, str]]:
    """See port `Remains.keys`.

    A turn's key names its run: looked for among the keys of a day of the run's author, which
    have no index for this. Any other key names the conversation.
    """
    found = db.execute(
        "SELECT owner_id,key FROM idempotency WHERE conversation_id=? UNION"
        " SELECT k.owner_id,k.key FROM (SELECT DISTINCT author_id FROM runs WHERE conversation_id=?) a"
        " CROSS JOIN idempotency k"
        " JOIN runs r ON r.id=k.run_id AND r.conversation_id=? WHERE k.owner_id=a.author_id LIMIT ?",
        (conversation_id, conversation_id, conversation_id, limit),
    )
    return [(row[0], row[1]) for row in found]


def run_keys(db: Db, run_id: str, limit: int) -> list[tuple[str, str]]:
    """See port `Remains.run_keys`."""
    found = db.execute(
        "SELECT k.owner_id,k.key FROM runs r CROSS JOIN idempotency k"
        " WHERE r.id=? AND k.owner_id=r.author_id AND k.run_id=r.id LIMIT ?",
        (run_id, limit),
    )
    return [(row[0], row[1]) for row in found]


def account_keys(db: Db, account_id: str, limit: int) -> list[str]:
    """See port `Remains.account_keys`."""
    found = db.execute("SELECT key FROM idempotency WHERE owner_id=? LIMIT ?", (account_id, limit))
    return [row[0] for row in found]


def has_views(db: Db, conversation_id: str) -> bool:
    """See port `Remains.has_views`."""
    return any(
        db.execute(f"SELECT 1 FROM {table} WHERE conversation_id=? LIMIT 1", (conversation_id,)).fetchone()
        for table in VIEWS
    )


def items(db: Db, segment_id: str, first: int, last: int) -> list[str]:
    """See port `Remains.items`."""
    found = db.execute(
        "SELECT id FROM items WHERE segment_id=? AND depth BETWEEN ? AND ?", (segment_id, first, last)
    )
    return [row[0] for row in found]


def is_purged(db: Db, conversation_id: str) -> bool:
    """See port `Remains.is_purged`."""
    return bool(_owned(db, "conversations c WHERE c.id=? AND c.state='purged'", conversation_id))


ABANDONED: Final = (
    "c.deleted IS NOT NULL AND c.state IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.conversation_id=c.id AND r.deleted IS NULL)"
)


def is_abandoned(db: Db, conversation_id: str) -> bool:
    """See port `Remains.is_abandoned`."""
    return bool(_owned(db, f"conversations c WHERE c.id=? AND {ABANDONED}", conversation_id))


def abandoned_forks(db: Db, conversation_id: str, limit: int) -> list[Owned]:
    """See port `Remains.abandoned_forks`."""
    return _owned(
        db, "conversations c WHERE c.id IN"
        " (SELECT t.conversation_id FROM segments s JOIN segments t ON t.parent_id=s.id"
        f" WHERE s.conversation_id=? AND t.conversation_id<>s.conversation_id) AND {ABANDONED} LIMIT ?",
        conversation_id, limit,
    )  # fmt: skip


def trims(db: Db, conversation_id: str, before: str | None, limit: int) -> TrimPage:
    """See port `Remains.trims`.

    Segments are made after the segments they leave, so newest first is children first; where clocks
    disagreed, the guards refuse and another round finds the rest.
    """
    page = db.execute(
        "SELECT s.id,s.fork_depth,(SELECT MAX(depth) FROM items WHERE segment_id=s.id) FROM segments s"
        f" WHERE s.conversation_id=?{'' if before is None else ' AND s.id<?'} ORDER BY s.id DESC LIMIT ?",
        (conversation_id, *([] if before is None else [before]), limit),
    ).fetchall()
    if not page:
        return TrimPage([], None)
    reached = _reached(db, conversation_id, page[-1][0], page[0][0])
    found: list[Trim] = []
    going: list[str] = []
    for segment_id, fork_depth, end in page:
        last = fork_depth if end is None else end
        keep = max(reached.get(segment_id, NOWHERE), _stood_on(db, segment_id, going))
        if keep < last:
            keep = max(keep, _answered(db, segment_id, keep))
        whole = keep == NOWHERE
        if whole:
            going.append(segment_id)
        if whole or keep < last:
            found.append(Trim(segment_id, max(keep, fork_depth) + 1, last, whole))
    return TrimPage(found, page[-1][0] if len(page) == limit else None)


def _reached(db: Db, conversation_id: str, first: str, last: str) -> dict[str, int]:
    """Return the deepest place of branches and answers in segments from `first` to `last`."""
    found: dict[str, int] = {}
    for statement in (
        "SELECT head_segment_id,MAX(head_depth) FROM branches WHERE conversation_id=?"
        " AND head_segment_id BETWEEN ? AND ? GROUP BY 1",
        "SELECT input_segment_id,MAX(input_depth) FROM runs WHERE conversation_id=?"
        " AND input_segment_id BETWEEN ? AND ? AND deleted IS NULL GROUP BY 1",
        "SELECT output_segment_id,MAX(output_depth) FROM runs WHERE conversation_id=?"
        " AND output_segment_id BETWEEN ? AND ? AND deleted IS NULL GROUP BY 1",
    ):
        for segment_id, depth in db.execute(statement, (conversation_id, first, last)):
            found[segment_id] = max(depth, found.get(segment_id, NOWHERE))
    return found


def _stood_on(db: Db, segment_id: str, going: list[str]) -> int:
    """Return the depth of a segment that other segments, those `going` aside, or living forks need."""
    row = db.execute(
        "SELECT (SELECT MAX(fork_depth) FROM segments WHERE parent_id=? AND id NOT IN"
        " (SELECT value FROM json_each(?))),"
        "(SELECT MAX(base_depth) FROM conversations WHERE base_segment_id=? AND deleted IS NULL)",
        (segment_id, msgspec.json.encode(going).decode(), segment_id),
    ).fetchone()
    return max(NOWHERE if depth is None else int(depth) for depth in row)


def _answered(db: Db, segment_id: str, keep: int) -> int:
    """Return the deepest item below `keep` that belongs to an answer: further choices have no other place."""
    row = db.execute(
        "SELECT i.depth FROM items i JOIN runs r ON r.id=i.run_id AND r.deleted IS NULL"
        " WHERE i.segment_id=? AND i.depth>? ORDER BY i.depth DESC LIMIT 1",
        (segment_id, keep),
    ).fetchone()
    return int(row[0]) if row else NOWHERE
