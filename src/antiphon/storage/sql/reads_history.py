"""Reads of messages across conversations; see port `history` and `reads`.

Ids begin with the time they were made, so the unique index on them is the order of time; no other
index is needed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from antiphon.domain.chat_exports.chats import imported_model
from antiphon.domain.conversations import Conversation
from antiphon.domain.items import Position
from antiphon.ports.history import Said, SaidPage, Shown
from antiphon.storage.sql import reads, reads_sharing, rows
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.rows import Row

SAID: Final = (
    "SELECT i.id,i.owner_id,s.conversation_id,i.role,CASE WHEN i.author_id IS NULL THEN r.model END,"
    "i.author_id,i.created,i.payload FROM items i JOIN segments s ON s.id=i.segment_id"
    " LEFT JOIN runs r ON r.id=i.run_id WHERE i.type='message' AND i.id "
)
ONE: Final = SAID + "=?"
SEVERAL: Final = SAID + "IN (SELECT value FROM json_each(?))"
IDS: Final = "SELECT i.id FROM items i WHERE i.id>=? AND i.id<? ORDER BY i.id DESC LIMIT ?"
MAX_BELOW: Final = 1_000
"""Segments looked at below an item for branches and forks that show it."""

BELOW: Final = (
    "WITH RECURSIVE below(id,first) AS (SELECT :segment,:depth UNION ALL"
    " SELECT t.id,-1 FROM below w CROSS JOIN segments t WHERE t.parent_id=w.id AND t.fork_depth>=w.first"
    f" LIMIT {MAX_BELOW})"
)
"""The segments on whose paths an item lies, each with the depth from which on it does."""

BRANCH_BELOW: Final = (
    f"{BELOW} SELECT b.id FROM branches b JOIN below w ON w.id=b.head_segment_id AND b.head_depth>=w.first"
    " WHERE b.conversation_id=:conversation ORDER BY b.id=:active DESC,b.id LIMIT 1"
)
BY_BASE: Final = "CROSS JOIN conversations c INDEXED BY conversations_base"
FORK_BELOW: Final = (
    f"{BELOW} SELECT c.id FROM below w {BY_BASE}"
    " ON c.base_segment_id=w.id AND c.base_segment_id IS NOT NULL"
    " AND c.base_depth>=w.first AND c.deleted IS NULL AND {condition} AND NOT EXISTS"
    " (SELECT 1 FROM hidden_items h WHERE h.conversation_id=c.id AND h.item_id=:item) LIMIT 1"
)
ORIGINS: Final = (
    "WITH RECURSIVE w(owner,parent) AS (SELECT s.conversation_id,s.parent_id FROM conversations c"
    " CROSS JOIN segments s WHERE c.id=? AND s.id=c.base_segment_id UNION ALL"
    " SELECT s.conversation_id,s.parent_id FROM w CROSS JOIN segments s WHERE s.id=w.parent)"
    " SELECT DISTINCT owner FROM w LIMIT ?"
)


def messages(db: Db, item_ids: Sequence[str]) -> list[Said]:
    """See port `History.messages`."""
    return [_said(row) for row in db.execute(SEVERAL, (json.dumps(list(item_ids)),))]


def _said(row: Row) -> Said:
    return Said(
        item_id=row[0], owner_id=row[1], conversation_id=row[2], role=row[3],
        model=row[4] if row[4] or row[5] else imported_model(row[7]), author_id=row[5], created_us=row[6],
        payload=row[7],
    )  # fmt: skip


def between(db: Db, first: str, before: str, limit: int, max_bytes: int) -> SaidPage:
    """See port `History.between`."""
    found: list[Said] = []
    page = [row[0] for row in db.execute(IDS, (first, before, limit))]
    total = 0
    for item_id in page:
        for row in db.execute(ONE, (item_id,)):
            found.append(_said(row))
            total += len(row[7])
        if total >= max_bytes:
            return SaidPage(found, item_id)
    return SaidPage(found, page[-1] if len(page) == limit else None)


def shown(db: Db, account_id: str, item_ids: Sequence[str], within: str | None) -> list[Shown]:
    """See port `History.shown`."""
    known: dict[str, Conversation | None] = {}
    found = (_shown(db, account_id, item_id, within, known) for item_id in item_ids)
    return [one for one in found if one is not None]


ITEM: Final = (
    "SELECT i.id,i.type,i.segment_id,i.depth,i.path_tokens,s.conversation_id,i.owner_id FROM items i"
    " JOIN segments s ON s.id=i.segment_id WHERE i.id=?"
)


def _shown(
    db: Db, account_id: str, item_id: str, within: str | None, known: dict[str, Conversation | None]
) -> Shown | None:
    row = db.execute(ITEM, (item_id,)).fetchone()
    if row is None:
        return None
    position = Position(row[2], row[3], row[4], row[0])
    seen = None
    if within is None or within == row[5]:
        seen = _seen(db, account_id, row[5], known)
        seen = None if seen is not None and reads.is_hidden(db, seen.id, item_id) else seen
    if seen is None and within != row[5]:
        seen = _fork(db, account_id, position, within, known)
    if seen is None or seen.owner_id != row[6]:
        return None
    return Shown(
        item_id=item_id, type=row[1], position=position, conversation=seen,
        branch_id=_branch(db, seen, position),
    )  # fmt: skip


def _seen(
    db: Db, account_id: str, conversation_id: str, known: dict[str, Conversation | None]
) -> Conversation | None:
    """Return a conversation as the account sees it, or None; each is read once."""
    if conversation_id not in known:
        own = reads.conversation(db, account_id, conversation_id)
        known[conversation_id] = own or reads_sharing.role(db, account_id, conversation_id)
    return known[conversation_id]


FORK_CONDITIONS: Final = (
    "c.owner_id=:account",
    "EXISTS (SELECT 1 FROM conversation_members m WHERE m.account_id=:account AND m.conversation_id=c.id)",
)


def _fork(
    db: Db, account_id: str, position: Position, within: str | None, known: dict[str, Conversation | None]
) -> Conversation | None:
    """Return a living fork that shows an item and that the account sees, `within` alone if it is given."""
    values = {
        "segment": position.segment_id, "depth": position.depth, "item": position.item_id,
        "account": account_id, "within": within,
    }  # fmt: skip
    for condition in ("c.id=:within",) if within else FORK_CONDITIONS:
        row = db.execute(FORK_BELOW.format(condition=condition), values).fetchone()
        if row is not None and (seen := _seen(db, account_id, row[0], known)) is not None:
            return seen
    return None


def _branch(db: Db, conversation: Conversation, position: Position) -> str | None:
    row = db.execute(
        BRANCH_BELOW,
        {
            "segment": position.segment_id, "depth": position.depth, "conversation": conversation.id,
            "active": conversation.active_branch_id,
        },
    ).fetchone()  # fmt: skip
    return row[0] if row else None


def origins(db: Db, conversation_ids: Sequence[str], limit: int) -> list[str]:
    """See port `History.origins`."""
    found: dict[str, None] = {}
    for conversation_id in conversation_ids:
        if len(found) >= limit:
            break
        found |= {row[0]: None for row in db.execute(ORIGINS, (conversation_id, limit))}
    return [one for one in found if one not in set(conversation_ids)][:limit]


def used(
    db: Db, account_id: str, after: tuple[int, str] | None, limit: int
) -> list[tuple[Conversation, Position]]:
    """See port `History.used`; looks at the owner's conversations, whose times of use have no index."""
    where = " AND (c.updated,c.id)<(?,?)" if after is not None else ""
    found = db.execute(
        f"SELECT {rows.CONVERSATION},{rows.BRANCH} FROM conversations c"
        " JOIN branches b ON b.conversation_id=c.id AND b.id=c.active_branch_id"
        f" WHERE c.owner_id=? AND c.deleted IS NULL{where} ORDER BY c.updated DESC, c.id DESC LIMIT ?",
        (account_id, *(after or ()), limit),
    )
    return [(rows.conversation(row), rows.branch(row[rows.CONVERSATION_FIELDS :]).head) for row in found]


def oldest_open_run_us(db: Db) -> int | None:
    """See port `History.oldest_open_run_us`; the partial index holds the open ones, which are few."""
    row = db.execute("SELECT MIN(created) FROM runs WHERE state IN ('queued','in_progress')").fetchone()
    return row[0] if row else None


def has_items(db: Db, conversation_id: str) -> bool:
    """See port `History.has_items`."""
    row = db.execute("SELECT 1 FROM segments WHERE conversation_id=? LIMIT 1", (conversation_id,)).fetchone()
    return row is not None
