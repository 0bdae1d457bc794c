"""Reads of accounts and credentials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from antiphon.domain.accounts import SCOPES, Account, ApiKey, Credential, Invite, LoginSession
from antiphon.domain.external_logins import LinkedIdentity
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.reads import keyset
from antiphon.storage.sql.rows import Row

ACCOUNT: Final = (
    "a.id,a.slot,a.name,a.role,a.email,a.password_hash,a.state,a.group_id,a.epoch,a.retention_days,"
    "a.created,a.updated"
)
ACCOUNT_FIELDS: Final = 12
KEY: Final = "k.id,k.owner_id,k.slot,k.name,k.prefix,k.scopes,k.created,k.expires,k.used,k.revoked"
SESSION: Final = (
    "s.id,s.owner_id,s.slot,s.method,s.generation,s.user_agent,s.address,s.created,s.used,s.expires,s.revoked"
)
INVITE: Final = "i.id,i.created_by,i.role,i.group_id,i.created,i.expires,i.used_by,i.revoked"

OF_KEY: Final = (
    f"SELECT {ACCOUNT},k.id,k.expires,k.scopes FROM api_keys k JOIN accounts a ON a.id=k.owner_id"
    " WHERE k.revoked IS NULL AND a.state='active' AND a.deleted IS NULL AND "
)
OF_SESSION: Final = (
    f"SELECT {ACCOUNT},s.id,s.expires,s.generation FROM login_sessions s JOIN accounts a ON a.id=s.owner_id"
    " WHERE s.revoked IS NULL AND a.state='active' AND a.deleted IS NULL AND "
)


def _account(row: Row) -> Account:
    return Account(
        id=row[0], slot=row[1], name=row[2], role=row[3], email=row[4], password_hash=row[5], state=row[6],
        group_id=row[7], epoch=row[8], retention_days=row[9], created_us=row[10], updated_us=row[11],
    )  # fmt: skip


def _of_key(row: Row) -> Credential:
    identifier, expires, scopes = row[ACCOUNT_FIELDS:]
    return Credential(
        id=identifier, account=_account(row), scopes=frozenset(scopes.split()), expires_us=expires
    )


def _of_session(row: Row) -> Credential:
    identifier, expires, generation = row[ACCOUNT_FIELDS:]
    return Credential(
        id=identifier, account=_account(row), scopes=SCOPES, expires_us=expires, generation=generation
    )


def account(db: Db, account_id: str) -> Account | None:
    """See port `Accounts.get`."""
    return _one_account(db, "a.id=?", account_id)


def account_by_name(db: Db, name: str) -> Account | None:
    """See port `Accounts.by_name`."""
    return _one_account(db, "a.name=?", name)


def account_by_email(db: Db, email: str) -> Account | None:
    """See port `Accounts.by_email`."""
    return _one_account(db, "a.email=?", email)


def account_by_identity(db: Db, issuer: str, subject: str) -> Account | None:
    """See port `Accounts.by_identity`."""
    linked = "a.id=(SELECT e.owner_id FROM external_identities e WHERE e.issuer=? AND e.subject=?)"
    return _one_account(db, linked, issuer, subject)


def identities(db: Db, account_id: str) -> list[LinkedIdentity]:
    """See port `Accounts.identities`."""
    found = db.execute(
        "SELECT issuer,subject,provider,email,created FROM external_identities WHERE owner_id=?"
        " ORDER BY created,issuer,subject",
        (account_id,),
    )
    return [
        LinkedIdentity(issuer=row[0], subject=row[1], provider=row[2], email=row[3], created_us=row[4])
        for row in found
    ]


def _one_account(db: Db, condition: str, *values: str) -> Account | None:
    row = db.execute(
        f"SELECT {ACCOUNT} FROM accounts a WHERE {condition} AND a.deleted IS NULL", values
    ).fetchone()
    return _account(row) if row else None


def accounts(
    db: Db, after: str | None, limit: int, descending: bool, prefix: str, group_id: str | None
) -> list[Account]:
    """See port `Accounts.page`."""
    where, values = keyset("a.id", after, descending)
    if prefix:
        where, values = f"{where} AND substr(a.name,1,?)=?", [*values, len(prefix), prefix]
    if group_id is not None:
        where, values = f"{where} AND a.group_id=?", [*values, group_id]
    found = db.execute(
        f"SELECT {ACCOUNT} FROM accounts a WHERE a.deleted IS NULL{where}"
        f" ORDER BY a.id {'DESC' if descending else 'ASC'} LIMIT ?",
        (*values, limit),
    )
    return [_account(row) for row in found]


def preferences(db: Db, account_id: str) -> bytes | None:
    """See port `Accounts.preferences`."""
    row = db.execute("SELECT content FROM preferences WHERE account_id=?", (account_id,)).fetchone()
    return bytes(row[0]) if row else None


def has_administrator(db: Db) -> bool:
    """See port `Accounts.has_administrator`."""
    found = db.execute(
        "SELECT 1 FROM accounts WHERE role='admin' AND state='active' AND deleted IS NULL"
        " AND password_hash IS NOT NULL LIMIT 1"
    ).fetchone()
    return found is not None


def key(db: Db, digest: bytes) -> Credential | None:
    """See port `Credentials.key`."""
    row = db.execute(f"{OF_KEY} k.digest=?", (digest,)).fetchone()
    return _of_key(row) if row else None


def session(db: Db, session_id: str) -> Credential | None:
    """See port `Credentials.session`."""
    row = db.execute(f"{OF_SESSION} s.id=?", (session_id,)).fetchone()
    return _of_session(row) if row else None


def holding(db: Db, credential_ids: Sequence[str]) -> dict[str, Credential]:
    """See port `Credentials.holding`: the ids go over as one JSON list, however many they are."""
    given = (msgspec.json.encode(list(credential_ids)).decode(),)
    among = "IN (SELECT value FROM json_each(?))"
    keys = [_of_key(row) for row in db.execute(f"{OF_KEY} k.id {among}", given)]
    sessions = [_of_session(row) for row in db.execute(f"{OF_SESSION} s.id {among}", given)]
    return {found.id: found for found in (*keys, *sessions)}


def keys(db: Db, account_id: str, after: str | None, limit: int, descending: bool) -> list[ApiKey]:
    """See port `Credentials.keys`."""
    where, values = keyset("k.id", after, descending)
    found = db.execute(
        f"SELECT {KEY} FROM api_keys k WHERE k.owner_id=? AND k.revoked IS NULL{where}"
        f" ORDER BY k.id {'DESC' if descending else 'ASC'} LIMIT ?",
        (account_id, *values, limit),
    )
    return [
        ApiKey(
            id=row[0], account_id=row[1], slot=row[2], name=row[3], prefix=row[4],
            scopes=frozenset(row[5].split()), created_us=row[6], expires_us=row[7], used_us=row[8],
            revoked_us=row[9],
        )
        for row in found
    ]  # fmt: skip


def sessions(
    db: Db, account_id: str, now_us: int, after: str | None, limit: int, descending: bool
) -> list[LoginSession]:
    """See port `Credentials.sessions`."""
    where, values = keyset("s.id", after, descending)
    found = db.execute(
        f"SELECT {SESSION} FROM login_sessions s WHERE s.owner_id=? AND s.revoked IS NULL AND s.expires>?"
        f"{where} ORDER BY s.id {'DESC' if descending else 'ASC'} LIMIT ?",
        (account_id, now_us, *values, limit),
    )
    return [
        LoginSession(
            id=row[0], account_id=row[1], slot=row[2], method=row[3], generation=row[4], user_agent=row[5],
            address=row[6], created_us=row[7], used_us=row[8], expires_us=row[9], revoked_us=row[10],
        )
        for row in found
    ]  # fmt: skip


def invite(db: Db, digest: bytes) -> Invite | None:
    """See port `Credentials.invite`."""
    row = db.execute(f"SELECT {INVITE} FROM invites i WHERE i.digest=?", (digest,)).fetchone()
    return _invite(row) if row else None


def invites(db: Db, after: str | None, limit: int, descending: bool) -> list[Invite]:
    """See port `Credentials.invites`."""
    where, values = keyset("i.id", after, descending)
    found = db.execute(
        f"SELECT {INVITE} FROM invites i WHERE 1=1{where} ORDER BY i.id {'DESC' if descending else 'ASC'}"
        " LIMIT ?",
        (*values, limit),
    )
    return [_invite(row) for row in found]


def _invite(row: Row) -> Invite:
    return Invite(
        id=row[0], created_by=row[1], role=row[2], group_id=row[3], created_us=row[4], expires_us=row[5],
        used_by=row[6], revoked_us=row[7],
    )  # fmt: skip
