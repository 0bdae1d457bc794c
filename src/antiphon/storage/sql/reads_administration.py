"""Reads for administrators: the audit log, settings, groups, retention; see `reads`."""

from __future__ import annotations

from typing import Any

from antiphon.domain.accounts import Group, Role
from antiphon.domain.operations import AuditEntry, AuditFilter
from antiphon.ports.retention import Passed
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.reads import keyset

AUDIT = "id,created,actor_id,action,credential_id,target,detail,address"
GROUP = "id,name,retention_days,created"
DAY_US = 24 * 3600 * 1_000_000


def audit(db: Db, wanted: AuditFilter, after: str | None, limit: int, descending: bool) -> list[AuditEntry]:
    """See port `Operations.audit`: ids begin with their time, so the key is also the index by time."""
    where, values = keyset("id", after, descending)
    conditions: list[tuple[str, Any]] = [
        ("id>=?", None if wanted.since_us is None else _first_id(wanted.since_us)),
        ("id<?", None if wanted.until_us is None else _first_id(wanted.until_us)),
        ("created>=?", wanted.since_us),
        ("created<?", wanted.until_us),
        ("actor_id=?", wanted.actor_id),
        ("action=?", wanted.action),
        ("target=?", wanted.target),
    ]
    for condition, value in conditions:
        if value is not None:
            where += f" AND {condition}"
            values.append(value)
    found = db.execute(
        f"SELECT {AUDIT} FROM audit WHERE 1=1{where} ORDER BY id {'DESC' if descending else 'ASC'} LIMIT ?",
        (*values, limit),
    )
    return [
        AuditEntry(
            id=row[0], created_us=row[1], actor_id=row[2], action=row[3], credential_id=row[4],
            target=row[5], detail=row[6], address=row[7],
        )
        for row in found
    ]  # fmt: skip


def _first_id(now_us: int) -> str:
    """Return what no id made at a time or later is below."""
    return f"{max(now_us, 0) // 1000:012x}"


def runtime_settings(db: Db) -> dict[str, str]:
    """See port `Operations.runtime_settings`."""
    return dict(db.execute("SELECT name,value FROM runtime_settings").fetchall())


def group(db: Db, group_id: str) -> Group | None:
    """See port `Groups.get`."""
    row = db.execute(f"SELECT {GROUP} FROM groups WHERE id=?", (group_id,)).fetchone()
    return _group(row) if row else None


def group_by_name(db: Db, name: str) -> Group | None:
    """See port `Groups.by_name`."""
    row = db.execute(f"SELECT {GROUP} FROM groups WHERE name=?", (name,)).fetchone()
    return _group(row) if row else None


def groups(db: Db, after: str | None, limit: int, descending: bool) -> list[Group]:
    """See port `Groups.page`."""
    where, values = keyset("id", after, descending)
    found = db.execute(
        f"SELECT {GROUP} FROM groups WHERE 1=1{where} ORDER BY id {'DESC' if descending else 'ASC'} LIMIT ?",
        (*values, limit),
    )
    return [_group(row) for row in found]


def _group(row: Any) -> Group:
    return Group(id=row[0], name=row[1], retention_days=row[2], created_us=row[3])


def group_sizes(db: Db, group_ids: list[str]) -> dict[str, int]:
    """See port `Groups.sizes`."""
    among = ",".join("?" * len(group_ids))
    found = db.execute(
        f"SELECT group_id, COUNT(*) FROM accounts WHERE deleted IS NULL AND group_id IN ({among})"
        " GROUP BY group_id",
        group_ids,
    )
    return dict(found.fetchall())


def expired(db: Db, now_us: int, limit: int) -> list[Passed]:
    """See port `Retention.expired`."""
    found = db.execute(
        "SELECT id,owner_id,slot,updated,kind FROM conversations WHERE expires IS NOT NULL AND expires<=?"
        " AND deleted IS NULL ORDER BY expires LIMIT ?",
        (now_us, limit),
    )
    return [Passed(*row) for row in found]


def outdated(
    db: Db, now_us: int, days_by_role: dict[Role, int], after: str, limit: int
) -> tuple[list[Passed], str]:
    """See port `Retention.outdated`: a slice of the ids, then a look at each one's account and group."""
    last = db.execute(
        "SELECT MAX(id), COUNT(*) FROM (SELECT id FROM conversations WHERE id>? ORDER BY id LIMIT ?)",
        (after, limit),
    ).fetchone()
    if not last[1]:
        return [], ""
    days = (
        "COALESCE(a.retention_days, g.retention_days,"
        " CASE a.role WHEN 'admin' THEN CAST(? AS BIGINT) ELSE ? END)"
    )
    found = db.execute(
        "SELECT c.id,c.owner_id,c.slot,c.updated,c.kind FROM conversations c"
        " JOIN accounts a ON a.id=c.owner_id"
        " LEFT JOIN groups g ON g.id=a.group_id WHERE c.id>? AND c.id<=? AND c.deleted IS NULL"
        f" AND {days}>0 AND c.updated < ?-{days}*{DAY_US}",
        (after, last[0], *(role := (days_by_role["admin"], days_by_role["user"])), now_us, *role),
    )
    return [Passed(*row) for row in found], last[0] if last[1] == limit else ""


def deleting(db: Db, before_us: int, limit: int) -> list[str]:
    """See port `Retention.deleting`."""
    found = db.execute(
        "SELECT id FROM accounts WHERE deleted IS NOT NULL AND deleted<? ORDER BY deleted LIMIT ?",
        (before_us, limit),
    )
    return [row[0] for row in found]
