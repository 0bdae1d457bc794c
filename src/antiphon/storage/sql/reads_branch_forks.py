"""Reads of branches that stand for a fork; see `reads`."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.domain.conversations import Branch, BranchFork
from antiphon.domain.items import Item
from antiphon.storage.sql import rows
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.reads import keyset

FOUND = (
    f"SELECT {rows.CONVERSATION},{rows.BRANCH} FROM branches b"
    " JOIN conversations c ON c.id=b.alias_of AND c.owner_id=b.owner_id AND c.deleted IS NULL"
    " WHERE b.conversation_id=?"
)


def _fork(row: rows.Row) -> BranchFork:
    return BranchFork(rows.branch(row[rows.CONVERSATION_FIELDS :]), rows.conversation(row))


def of(db: Db, conversation_id: str, after: str | None, limit: int) -> list[BranchFork]:
    """See port `BranchForks.of`."""
    where, extra = keyset("b.id", after, False)
    found = db.execute(f"{FOUND}{where} ORDER BY b.id LIMIT ?", (conversation_id, *extra, limit))
    return [_fork(row) for row in found]


def named(db: Db, conversation_id: str, fork_id: str) -> BranchFork | None:
    """See port `BranchForks.named`."""
    row = db.execute(f"{FOUND} AND b.alias_of=? LIMIT 1", (conversation_id, fork_id)).fetchone()
    return _fork(row) if row else None


def origin(db: Db, account_id: str, fork_id: str) -> str | None:
    """See port `BranchForks.origin`."""
    row = db.execute(
        "SELECT c.id FROM branches b JOIN conversations c ON c.id=b.conversation_id"
        " WHERE b.alias_of=? AND c.owner_id=? AND c.deleted IS NULL LIMIT 1",
        (fork_id, account_id),
    ).fetchone()
    return row[0] if row else None


def after_items(db: Db, account_id: str, items: Sequence[Item]) -> dict[str, list[str]]:
    """See port `BranchForks.after_items`."""
    segments = sorted({item.segment_id for item in items})
    wanted = {item.id for item in items}
    found = db.execute(
        "SELECT c.base_item_id,c.id FROM conversations c"
        f" WHERE c.base_segment_id IN ({','.join('?' * len(segments))}) AND c.owner_id=?"
        " AND c.deleted IS NULL AND EXISTS (SELECT 1 FROM branches b WHERE b.alias_of=c.id) ORDER BY c.id",
        (*segments, account_id),
    )
    forks: dict[str, list[str]] = {}
    for item_id, fork_id in found:
        if item_id in wanted:
            forks.setdefault(item_id, []).append(fork_id)
    return forks


def trunk(db: Db, conversation_id: str) -> Branch | None:
    """See port `BranchForks.trunk`."""
    row = db.execute(
        f"SELECT {rows.BRANCH} FROM branches b WHERE b.conversation_id=? AND b.alias_of IS NULL"
        " ORDER BY b.id LIMIT 1",
        (conversation_id,),
    ).fetchone()
    return rows.branch(row) if row else None
