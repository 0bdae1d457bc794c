"""Accounts, groups, invites, audit entries and settings on the wire. Times are seconds since 1970."""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.api.v1.identity_objects import user_object
from antiphon.domain.accounts import USER, Account, Invite
from antiphon.domain.operations import AuditEntry
from antiphon.services.audit_log import AUDIT_ID
from antiphon.services.groups import GROUP_ID, SizedGroup
from antiphon.services.user_credentials import INVITE_ID

Object = dict[str, Any]


def seconds(time_us: int | None) -> int | None:
    """Return a time of the core in whole seconds."""
    return None if time_us is None else time_us // 1_000_000


def _prefixed(prefix: str, identifier: str | None) -> str | None:
    return prefix + identifier if identifier else None


def managed_user_object(account: Account) -> Object:
    """Return an account as administrators see it; never its password, in whatever form."""
    return {
        **user_object(account),
        "has_password": account.password_hash is not None,
        "retention_days": account.retention_days,
        "updated_at": seconds(max(account.updated_us, account.created_us)),
    }


def group_object(sized: SizedGroup) -> Object:
    """Return a group with the number of its accounts."""
    group = sized.group
    return {
        "id": GROUP_ID + group.id,
        "object": "group",
        "name": group.name,
        "retention_days": group.retention_days,
        "user_count": sized.size,
        "created_at": seconds(group.created_us),
    }


def invite_object(invite: Invite, secret: str | None = None) -> Object:
    """Return an invite; its `token` only where it has just been made."""
    shown: Object = {
        "id": INVITE_ID + invite.id,
        "object": "invite",
        "role": invite.role,
        "group_id": _prefixed(GROUP_ID, invite.group_id),
        "created_by": USER + invite.created_by,
        "created_at": seconds(invite.created_us),
        "expires_at": seconds(invite.expires_us),
        "used_by": _prefixed(USER, invite.used_by),
        "revoked_at": seconds(invite.revoked_us),
    }
    return shown if secret is None else {**shown, "token": secret}


def audit_object(entry: AuditEntry) -> Object:
    """Return an entry of the audit log; `actor_id` is null for the server itself."""
    return {
        "id": AUDIT_ID + entry.id,
        "object": "audit_entry",
        "created_at": seconds(entry.created_us),
        "actor_id": _prefixed(USER, entry.actor_id),
        "credential_id": entry.credential_id,
        "action": entry.action,
        "target": entry.target,
        "detail": msgspec.json.decode(entry.detail),
        "address": entry.address,
    }


def deleted_object(kind: str, wire_id: str, **more: Any) -> Object:
    """Return what a deletion or revocation answers."""
    return {"id": wire_id, "object": kind, "deleted": True, **more}
