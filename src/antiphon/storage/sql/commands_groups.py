"""Group commands as SQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import UNSET

from antiphon.ports import group_writes as gw
from antiphon.storage.sql.commands_quotas import forget_scope
from antiphon.storage.sql.steps import Compiler, Step


def _new_group(c: gw.NewGroup) -> Iterator[Step]:
    g = c.group
    yield (
        "INSERT INTO groups (id,name,retention_days,created) VALUES (?,?,?,?) ON CONFLICT (name) DO NOTHING",
        (g.id, g.name, g.retention_days, g.created_us),
        1,
    )


def _update_group(c: gw.UpdateGroup) -> Iterator[Step]:
    changes: list[str] = ["id=id"]
    values: list[object] = []
    if c.retention_days is not UNSET:
        changes.append("retention_days=?")
        values.append(c.retention_days)
    where, keys = "id=?", [c.group_id]
    if c.name is not UNSET:
        changes.append("name=?")
        values.append(c.name)
        where += " AND NOT EXISTS (SELECT 1 FROM groups o WHERE o.name=? AND o.id<>?)"
        keys += [c.name, c.group_id]
    yield f"UPDATE groups SET {', '.join(changes)} WHERE {where}", (*values, *keys), 1


def _delete_group(c: gw.DeleteGroup) -> Iterator[Step]:
    yield "DELETE FROM groups WHERE id=?", (c.group_id,), 1
    yield "UPDATE accounts SET group_id=NULL WHERE group_id=?", (c.group_id,), None
    yield "UPDATE invites SET group_id=NULL WHERE group_id=?", (c.group_id,), None
    yield from forget_scope(f"group:{c.group_id}")


def _require_group(c: gw.RequireGroup) -> Iterator[Step]:
    yield "UPDATE groups SET id=id WHERE id=?", (c.group_id,), 1


COMPILERS: Final[dict[type, Compiler]] = {
    gw.NewGroup: _new_group, gw.UpdateGroup: _update_group, gw.DeleteGroup: _delete_group,
    gw.RequireGroup: _require_group,
}  # fmt: skip
