"""What operating the server leaves behind: the audit log."""

from __future__ import annotations

import msgspec


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change that somebody made; never a secret or a content.

    `action` is a verb of a kind of object, e.g. `session.revoke`; `target` its wire id, `detail`
    JSON. `actor_id` is None for the server itself.
    """

    id: str
    created_us: int
    actor_id: str | None
    action: str
    credential_id: str | None = None
    target: str | None = None
    detail: str = "{}"
    address: str | None = None


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries are wanted; None means all. `since_us` is included, `until_us` is not."""

    since_us: int | None = None
    until_us: int | None = None
    actor_id: str | None = None
    action: str | None = None
    target: str | None = None
