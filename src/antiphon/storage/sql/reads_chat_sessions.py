"""Reads of chat sessions; see `reads`."""

from __future__ import annotations

from typing import Final

from antiphon.domain.conversations import EPHEMERAL, Conversation
from antiphon.ports.retention import Passed
from antiphon.storage.sql import rows
from antiphon.storage.sql.database import Db

HELD: Final = "c.kind=? AND c.expires IS NOT NULL AND c.deleted IS NULL"
"""Found by the index of what expires: few conversations of other kinds do."""


def by_key(db: Db, account_id: str, key: str) -> Conversation | None:
    """See port `ChatSessions.by_key`."""
    row = db.execute(
        f"SELECT {rows.CONVERSATION} FROM conversations c"
        " WHERE c.owner_id=? AND c.external_key=? AND c.deleted IS NULL",
        (account_id, key),
    ).fetchone()
    return rows.conversation(row) if row else None


def is_taken(db: Db, conversation_id: str) -> bool:
    """See port `ChatSessions.is_taken`."""
    found = db.execute("SELECT 1 FROM conversations WHERE id=? AND deleted IS NULL", (conversation_id,))
    return found.fetchone() is not None


def held(db: Db, now_us: int) -> tuple[int, int]:
    """See port `ChatSessions.held`."""
    row = db.execute(
        "SELECT COUNT(*), COALESCE(SUM(b.head_depth+1),0) FROM conversations c"
        " JOIN branches b ON b.conversation_id=c.id AND b.id=c.active_branch_id"
        f" WHERE {HELD} AND c.expires>?",
        (EPHEMERAL, now_us),
    ).fetchone()
    return row[0], row[1]


def longest_unused(db: Db, limit: int) -> list[Passed]:
    """See port `ChatSessions.longest_unused`."""
    found = db.execute(
        "SELECT c.id,c.owner_id,c.slot,c.updated,c.kind FROM conversations c"
        f" WHERE {HELD} ORDER BY c.expires LIMIT ?",
        (EPHEMERAL, limit),
    )
    return [Passed(*row) for row in found]
