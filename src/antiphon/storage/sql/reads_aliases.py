"""Reads of aliases; see `reads`."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.storage.sql.database import Db

END = "\U0010ffff"


def target(db: Db, owner_id: str, alias: str) -> str | None:
    """See port `Aliases.target`."""
    row = db.execute(
        "SELECT target_id FROM aliases WHERE owner_id=? AND alias=?", (owner_id, alias)
    ).fetchone()
    return row[0] if row else None


def of(db: Db, owner_id: str, prefix: str, target_ids: Sequence[str]) -> dict[str, str]:
    """See port `Aliases.of`."""
    among = ",".join("?" * len(target_ids))
    found = db.execute(
        "SELECT target_id,alias FROM aliases"
        f" WHERE target_id IN ({among}) AND owner_id=? AND alias>=? AND alias<?",
        (*target_ids, owner_id, prefix, prefix + END),
    )
    return dict(found)


def last(db: Db, owner_id: str, prefix: str) -> str | None:
    """See port `Aliases.last`."""
    row = db.execute(
        "SELECT MAX(alias) FROM aliases WHERE owner_id=? AND alias>=? AND alias<?",
        (owner_id, prefix, prefix + END),
    ).fetchone()
    return row[0] if row else None
