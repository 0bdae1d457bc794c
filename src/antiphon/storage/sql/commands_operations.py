"""Operation commands as SQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from antiphon.ports import operation_writes as ow
from antiphon.storage.sql.steps import Compiler, Step


def _audit(c: ow.Audit) -> Iterator[Step]:
    yield (
        "INSERT INTO audit (id,created,actor_id,credential_id,action,target,detail,address)"
        " VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (id) DO NOTHING",
        (c.id, c.created_us, c.actor_id, c.credential_id, c.action, c.target, c.detail, c.address),
        None,
    )


def _put_secret(c: ow.PutSecret) -> Iterator[Step]:
    if c.replaces is not None:
        yield (
            "UPDATE secrets SET ciphertext=?, updated=? WHERE name=? AND ciphertext=?",
            (c.ciphertext, c.updated_us, c.name, c.replaces),
            1,
        )
        return
    yield (
        "INSERT INTO secrets (name,ciphertext,updated) VALUES (?,?,?)"
        " ON CONFLICT (name) DO UPDATE SET ciphertext=excluded.ciphertext, updated=excluded.updated",
        (c.name, c.ciphertext, c.updated_us),
        None,
    )


def _delete_secret(c: ow.DeleteSecret) -> Iterator[Step]:
    yield "DELETE FROM secrets WHERE name=?", (c.name,), None


def _forget_audit(c: ow.ForgetAudit) -> Iterator[Step]:
    yield (
        "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE id<? ORDER BY id LIMIT ?)",
        (c.before_id, c.limit),
        c.limit if c.full else None,
    )


def _put_setting(c: ow.PutSetting) -> Iterator[Step]:
    yield (
        "INSERT INTO runtime_settings (name,value,updated) VALUES (?,?,?)"
        " ON CONFLICT (name) DO UPDATE SET value=excluded.value, updated=excluded.updated",
        (c.name, c.value, c.updated_us),
        None,
    )


def _drop_setting(c: ow.DropSetting) -> Iterator[Step]:
    yield "DELETE FROM runtime_settings WHERE name=?", (c.name,), None


COMPILERS: Final[dict[type, Compiler]] = {
    ow.Audit: _audit, ow.PutSecret: _put_secret, ow.DeleteSecret: _delete_secret,
    ow.ForgetAudit: _forget_audit, ow.PutSetting: _put_setting,
    ow.DropSetting: _drop_setting,
}  # fmt: skip
