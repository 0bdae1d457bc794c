"""Account commands as SQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import UNSET

from antiphon.ports import account_writes as aw
from antiphon.storage.sql.commands_quotas import forget_scope
from antiphon.storage.sql.steps import Compiler, Step

NEW_ACCOUNT: Final = (
    "INSERT INTO accounts (id,slot,name,role,email,password_hash,state,group_id,epoch,retention_days,"
    "created,updated) VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING"
)


def _new_account(c: aw.NewAccount) -> Iterator[Step]:
    a = c.account
    yield (
        NEW_ACCOUNT,
        (a.id, a.slot, a.name, a.role, a.email, a.password_hash, a.state, a.group_id, a.epoch,
         a.retention_days, a.created_us, a.updated_us),
        1,
    )  # fmt: skip


CHANGEABLE: Final = ("name", "email", "password_hash", "role", "state", "group_id", "retention_days")


def _update_account(c: aw.UpdateAccount) -> Iterator[Step]:
    given = {name: value for name in CHANGEABLE if (value := getattr(c, name)) is not UNSET}
    changes = ["updated=?", *(f"{name}=?" for name in given)]
    if c.ends_sessions:
        changes.append("epoch=epoch+1")
    where = "id=? AND deleted IS NULL"
    values: list[Any] = [c.account_id]
    if c.expected_epoch is not None:
        where += " AND epoch=?"
        values.append(c.expected_epoch)
    for unique in ("name", "email"):
        if given.get(unique) is not None:
            where += f" AND NOT EXISTS (SELECT 1 FROM accounts o WHERE o.{unique}=? AND o.id<>?)"
            values += [given[unique], c.account_id]
    yield (
        f"UPDATE accounts SET {', '.join(changes)} WHERE {where}",
        (c.now_us, *given.values(), *values),
        1,
    )
    if c.ends_sessions:
        yield _revoke(c.account_id, c.now_us, kept=c.kept_session_id)


def _revoke(account_id: str, now_us: int, *, one: str | None = None, kept: str | None = None) -> Step:
    where: list[tuple[str, Any]] = [("owner_id=?", account_id)]
    if one is not None:
        where.append(("id=?", one))
    if kept is not None:
        where.append(("id<>?", kept))
    return (
        f"UPDATE login_sessions SET revoked=? WHERE revoked IS NULL AND {' AND '.join(s for s, _ in where)}",
        (now_us, *(value for _, value in where)),
        None,
    )


ACTIVE_ADMIN: Final = "role='admin' AND state='active' AND deleted IS NULL"


def _keep_administrator(c: aw.KeepAdministrator) -> Iterator[Step]:
    # Locks all of them on engines that lock rows: two who demote each other must take turns.
    yield f"UPDATE accounts SET updated=updated WHERE {ACTIVE_ADMIN}", (), None
    yield (
        f"UPDATE accounts SET updated=updated WHERE id=? AND (NOT ({ACTIVE_ADMIN}) OR EXISTS"
        " (SELECT 1 FROM accounts o WHERE o.role='admin' AND o.state='active' AND o.deleted IS NULL"
        " AND o.id<>accounts.id AND o.id<>?))",
        (c.account_id, c.unreachable_id or ""),
        1,
    )


def _delete_account(c: aw.DeleteAccount) -> Iterator[Step]:
    yield (
        "UPDATE accounts SET state='deleting', deleted=?, updated=?, epoch=epoch+1, name='deleted:' || id,"
        " email=NULL, password_hash=NULL WHERE id=? AND deleted IS NULL",
        (c.now_us, c.now_us, c.account_id),
        1,
    )
    yield _revoke(c.account_id, c.now_us)
    yield (
        "UPDATE api_keys SET revoked=? WHERE owner_id=? AND revoked IS NULL",
        (c.now_us, c.account_id),
        None,
    )
    yield "DELETE FROM external_identities WHERE owner_id=?", (c.account_id,), None


LIMITS_OF_KEYS: Final = (
    "DELETE FROM limits WHERE scope IN (SELECT 'key:' || k.id FROM api_keys k WHERE k.owner_id=?)"
)
COUNTERS_OF_KEYS: Final = (
    "DELETE FROM quota_counters WHERE (counter,window_start) IN (SELECT q.counter,q.window_start"
    " FROM api_keys k JOIN quota_counters q ON q.counter>='key:' || k.id || '|'"
    " AND q.counter<'key:' || k.id || '}' WHERE k.owner_id=?)"
)


def _erase_account(c: aw.EraseAccount) -> Iterator[Step]:
    gone = "AND EXISTS (SELECT 1 FROM accounts a WHERE a.id=? AND a.state='deleting')"
    yield from forget_scope(f"user:{c.account_id}", gone, c.account_id)
    for statement in (
        LIMITS_OF_KEYS,
        COUNTERS_OF_KEYS,
        "DELETE FROM login_sessions WHERE owner_id=?",
        "DELETE FROM api_keys WHERE owner_id=?",
        "DELETE FROM preferences WHERE account_id=?",
        "DELETE FROM conversation_members WHERE account_id=?",
        "DELETE FROM idempotency WHERE owner_id=?",
        "DELETE FROM aliases WHERE owner_id=?",
        "DELETE FROM aliases WHERE target_id=?",
    ):
        yield f"{statement} {gone}", (c.account_id, c.account_id), None
    yield "DELETE FROM accounts WHERE id=? AND state='deleting'", (c.account_id,), None


def _put_preferences(c: aw.PutPreferences) -> Iterator[Step]:
    yield (
        "INSERT INTO preferences (account_id,content,updated)"
        " SELECT id,?,? FROM accounts WHERE id=? AND deleted IS NULL"
        " ON CONFLICT (account_id) DO UPDATE SET content=excluded.content, updated=excluded.updated",
        (c.content, c.updated_us, c.account_id),
        None,
    )


NEW_SESSION: Final = (
    "INSERT INTO login_sessions (id,owner_id,slot,method,generation,user_agent,address,created,used,expires)"
    " SELECT ?,?,?,?,?,?,?,?,?,? WHERE EXISTS"
    " (SELECT 1 FROM accounts a WHERE a.id=? AND a.state='active' AND a.epoch=? AND a.deleted IS NULL)"
)


def _new_session(c: aw.NewSession) -> Iterator[Step]:
    s = c.session
    yield (
        NEW_SESSION,
        (s.id, s.account_id, s.slot, s.method, s.generation, s.user_agent, s.address, s.created_us,
         s.used_us, s.expires_us, s.account_id, c.epoch),
        1,
    )  # fmt: skip


def _rotate_session(c: aw.RotateSession) -> Iterator[Step]:
    yield (
        "UPDATE login_sessions SET generation=generation+1, used=?, expires=?"
        " WHERE id=? AND generation=? AND revoked IS NULL AND expires>?",
        (c.now_us, c.expires_us, c.session_id, c.generation, c.now_us),
        1,
    )


def _touch_session(c: aw.TouchSession) -> Iterator[Step]:
    yield "UPDATE login_sessions SET used=? WHERE id=? AND used<?", (c.now_us, c.session_id, c.now_us), None


def _revoke_sessions(c: aw.RevokeSessions) -> Iterator[Step]:
    yield _revoke(c.account_id, c.now_us, one=c.session_id, kept=c.kept_session_id)


NEW_API_KEY: Final = (
    "INSERT INTO api_keys (id,owner_id,slot,name,digest,prefix,scopes,created,expires)"
    " SELECT ?,?,?,?,?,?,?,?,? WHERE EXISTS"
    " (SELECT 1 FROM accounts a WHERE a.id=? AND a.state='active' AND a.deleted IS NULL)"
)


def _new_api_key(c: aw.NewApiKey) -> Iterator[Step]:
    k = c.key
    yield (
        NEW_API_KEY,
        (k.id, k.account_id, k.slot, k.name, c.digest, k.prefix, " ".join(sorted(k.scopes)), k.created_us,
         k.expires_us, k.account_id),
        1,
    )  # fmt: skip


def _revoke_api_key(c: aw.RevokeApiKey) -> Iterator[Step]:
    yield (
        "UPDATE api_keys SET revoked=? WHERE id=? AND owner_id=? AND revoked IS NULL",
        (c.now_us, c.key_id, c.account_id),
        1,
    )
    yield from forget_scope(f"key:{c.key_id}")


def _touch_api_keys(c: aw.TouchApiKeys) -> Iterator[Step]:
    for key_id, used_us in c.used:
        yield (
            "UPDATE api_keys SET used=? WHERE id=? AND (used IS NULL OR used<?)",
            (used_us, key_id, used_us),
            None,
        )


def _link_identity(c: aw.LinkIdentity) -> Iterator[Step]:
    yield (
        "INSERT INTO external_identities (issuer,subject,owner_id,slot,provider,email,created)"
        " SELECT ?,?,?,?,?,?,? WHERE (SELECT COUNT(*) FROM external_identities WHERE owner_id=?)<?"
        " ON CONFLICT (issuer,subject) DO NOTHING",
        (c.issuer, c.subject, c.account_id, c.slot, c.provider, c.email, c.created_us, c.account_id, c.most),
        1,
    )


def _unlink_identity(c: aw.UnlinkIdentity) -> Iterator[Step]:
    yield (
        "DELETE FROM external_identities WHERE issuer=? AND subject=? AND owner_id=?"
        " AND (EXISTS (SELECT 1 FROM accounts a WHERE a.id=? AND a.password_hash IS NOT NULL)"
        " OR EXISTS (SELECT 1 FROM external_identities o WHERE o.owner_id=?"
        " AND (o.issuer<>? OR o.subject<>?)"
        " AND o.provider IN (SELECT value FROM json_each(?))))",
        (c.issuer, c.subject, c.account_id, c.account_id, c.account_id, c.issuer, c.subject,
         msgspec.json.encode(c.providers).decode()),
        1,
    )  # fmt: skip


def _new_invite(c: aw.NewInvite) -> Iterator[Step]:
    i = c.invite
    yield (
        "INSERT INTO invites (id,digest,created_by,role,group_id,created,expires) VALUES (?,?,?,?,?,?,?)",
        (i.id, c.digest, i.created_by, i.role, i.group_id, i.created_us, i.expires_us),
        None,
    )


def _use_invite(c: aw.UseInvite) -> Iterator[Step]:
    yield (
        "UPDATE invites SET used_by=? WHERE id=? AND used_by IS NULL AND revoked IS NULL AND expires>?",
        (c.account_id, c.invite_id, c.now_us),
        1,
    )


def _revoke_invite(c: aw.RevokeInvite) -> Iterator[Step]:
    yield (
        "UPDATE invites SET revoked=? WHERE id=? AND used_by IS NULL AND revoked IS NULL",
        (c.now_us, c.invite_id),
        1,
    )


def _forget_sessions(c: aw.ForgetSessions) -> Iterator[Step]:
    yield (
        "DELETE FROM login_sessions WHERE id IN (SELECT id FROM login_sessions WHERE expires<? LIMIT ?)",
        (c.before_us, c.limit),
        c.limit if c.full else None,
    )


COMPILERS: Final[dict[type, Compiler]] = {
    aw.NewAccount: _new_account, aw.UpdateAccount: _update_account,
    aw.KeepAdministrator: _keep_administrator, aw.DeleteAccount: _delete_account,
    aw.EraseAccount: _erase_account, aw.PutPreferences: _put_preferences, aw.NewSession: _new_session,
    aw.RotateSession: _rotate_session, aw.TouchSession: _touch_session,
    aw.RevokeSessions: _revoke_sessions, aw.NewApiKey: _new_api_key, aw.RevokeApiKey: _revoke_api_key,
    aw.TouchApiKeys: _touch_api_keys, aw.LinkIdentity: _link_identity, aw.UnlinkIdentity: _unlink_identity,
    aw.NewInvite: _new_invite,
    aw.UseInvite: _use_invite, aw.RevokeInvite: _revoke_invite, aw.ForgetSessions: _forget_sessions,
}  # fmt: skip
