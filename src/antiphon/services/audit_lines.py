"""Lines for the audit log, written in the same commit as what they tell."""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal, Visit
from antiphon.ports.operation_writes import Audit

_encode = msgspec.json.Encoder().encode


def audit(
    who: Principal,
    action: str,
    now_us: int,
    *,
    target: str | None = None,
    visit: Visit | None = None,
    **detail: Any,
) -> Audit:
    """Return the line that `who` did `action` to `target` (a wire id); details hold no secret, no content."""
    return Audit(
        id=ids.new_id(who.slot, now_us=now_us),
        created_us=now_us,
        actor_id=who.actor_id,
        credential_id=who.credential_id,
        action=action,
        target=target,
        detail=_encode(detail).decode(),
        address=visit.address if visit else None,
    )
