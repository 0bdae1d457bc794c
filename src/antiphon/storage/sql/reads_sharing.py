"""Reads of members and share links; see `reads`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from antiphon.domain.conversations import Conversation
from antiphon.domain.members import Member
from antiphon.domain.shares import ShareLink
from antiphon.storage.sql import rows
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.reads import BEFORE, LATEST_FIRST, keyset
from antiphon.storage.sql.rows import Row

SHARE: Final = "l.id,l.owner_id,l.slot,l.conversation_id,l.branch_id,l.created,l.expires,l.revoked"
SHARE_FIELDS: Final = 8

OF_MEMBER: Final = (
    f"SELECT {rows.CONVERSATION},m.role,a.name FROM conversation_members m"
    " JOIN conversations c ON c.id=m.conversation_id AND c.deleted IS NULL"
    " JOIN accounts a ON a.id=c.owner_id AND a.deleted IS NULL AND a.state IN ('active','disabled')"
    " WHERE m.account_id=?"
)
"""What an account sees as a member, also of an owner who is disabled; conditions may follow."""

FROM_MEMBER: Final = (
    f"SELECT {rows.CONVERSATION},m.role,a.name FROM conversation_members m CROSS JOIN conversations c"
    " CROSS JOIN accounts a WHERE m.account_id=? AND c.id=m.conversation_id AND c.deleted IS NULL"
    " AND a.id=c.owner_id AND a.deleted IS NULL AND a.state IN ('active','disabled')"
)
"""The same in this order of looking, whatever the order of what is shown."""


def _seen(row: Row) -> Conversation:
    role, owner = row[rows.CONVERSATION_FIELDS :]
    return msgspec.structs.replace(rows.conversation(row), role=role, owner_name=owner)


def role(db: Db, account_id: str, conversation_id: str) -> Conversation | None:
    """See port `Members.role`."""
    row = db.execute(f"{OF_MEMBER} AND m.conversation_id=?", (account_id, conversation_id)).fetchone()
    return _seen(row) if row else None


def of_run(db: Db, account_id: str, run_id: str) -> Conversation | None:
    """See port `Members.of_run`."""
    run = "SELECT r.conversation_id FROM runs r WHERE r.id=? AND r.deleted IS NULL"
    row = db.execute(f"{OF_MEMBER} AND m.conversation_id=({run})", (account_id, run_id)).fetchone()
    return _seen(row) if row else None


def of_item(db: Db, account_id: str, item_id: str) -> Conversation | None:
    """See port `Members.of_item`."""
    item = "SELECT s.conversation_id FROM items i JOIN segments s ON s.id=i.segment_id WHERE i.id=?"
    row = db.execute(f"{OF_MEMBER} AND m.conversation_id=({item})", (account_id, item_id)).fetchone()
    return _seen(row) if row else None


def shared_with(
    db: Db, account_id: str, after: str | None, limit: int, descending: bool
) -> list[Conversation]:
    """See port `Members.shared_with`."""
    where, extra = keyset("m.conversation_id", after, descending)
    order = "DESC" if descending else "ASC"
    found = db.execute(
        f"{OF_MEMBER}{where} ORDER BY m.conversation_id {order} LIMIT ?", (account_id, *extra, limit)
    )
    return [_seen(row) for row in found]


def latest(db: Db, account_id: str, after: tuple[int, str] | None, limit: int) -> list[Conversation]:
    """See port `Members.latest`."""
    found = db.execute(
        f"{FROM_MEMBER}{BEFORE if after else ''}{LATEST_FIRST}", (account_id, *(after or ()), limit)
    )
    return [_seen(row) for row in found]


EVERYBODY: Final = (
    "SELECT m.id,a.name,m.role,m.created FROM ("
    "SELECT owner_id AS id,'owner' AS role,created FROM conversations WHERE id=? UNION ALL"
    " SELECT account_id,role,created FROM conversation_members WHERE conversation_id=?) m"
    " JOIN accounts a ON a.id=m.id AND a.deleted IS NULL WHERE 1=1"
)


def _member(row: Row) -> Member:
    return Member(account_id=row[0], name=row[1], role=row[2], created_us=row[3])


def members(db: Db, conversation_id: str, after: str | None, limit: int) -> list[Member]:
    """See port `Members.page`."""
    where, extra = keyset("m.id", after, False)
    found = db.execute(
        f"{EVERYBODY}{where} ORDER BY m.id LIMIT ?", (conversation_id, conversation_id, *extra, limit)
    )
    return [_member(row) for row in found]


def member(db: Db, conversation_id: str, account_id: str) -> Member | None:
    """See port `Members.get`."""
    row = db.execute(f"{EVERYBODY} AND m.id=?", (conversation_id, conversation_id, account_id)).fetchone()
    return _member(row) if row else None


def left(db: Db, pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """See port `Members.left`."""
    return {pair for pair in pairs if role(db, *pair) is None}


def _share(row: Row) -> ShareLink:
    return ShareLink(
        id=row[0], owner_id=row[1], slot=row[2], conversation_id=row[3], branch_id=row[4],
        created_us=row[5], expires_us=row[6], revoked_us=row[7],
    )  # fmt: skip


def share_by_digest(db: Db, digest: bytes, now_us: int) -> tuple[ShareLink, Conversation] | None:
    """See port `Shares.by_digest`."""
    row = db.execute(
        f"SELECT {SHARE},{rows.CONVERSATION} FROM share_links l"
        " JOIN conversations c ON c.id=l.conversation_id AND c.deleted IS NULL"
        " JOIN accounts a ON a.id=c.owner_id AND a.deleted IS NULL AND a.state='active'"
        " WHERE l.digest=? AND l.revoked IS NULL AND l.expires>?",
        (digest, now_us),
    ).fetchone()
    return (_share(row), rows.conversation(row[SHARE_FIELDS:])) if row else None


def share(db: Db, conversation_id: str, share_id: str) -> ShareLink | None:
    """See port `Shares.get`."""
    row = db.execute(
        f"SELECT {SHARE} FROM share_links l WHERE l.id=? AND l.conversation_id=? AND l.revoked IS NULL",
        (share_id, conversation_id),
    ).fetchone()
    return _share(row) if row else None


def shares(db: Db, conversation_id: str, after: str | None, limit: int) -> list[ShareLink]:
    """See port `Shares.page`."""
    where, extra = keyset("l.id", after, False)
    found = db.execute(
        f"SELECT {SHARE} FROM share_links l WHERE l.conversation_id=? AND l.revoked IS NULL{where}"
        " ORDER BY l.id LIMIT ?",
        (conversation_id, *extra, limit),
    )
    return [_share(row) for row in found]
