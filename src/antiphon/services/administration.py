"""Who administers: the type of a parameter that only administrators can fill."""

from __future__ import annotations

import msgspec

from antiphon.domain.accounts import Principal, Visit
from antiphon.domain.errors import Forbidden
from antiphon.ports.clock import Clock
from antiphon.ports.operation_writes import Audit
from antiphon.services import audit_lines


class Administrator(msgspec.Struct, frozen=True):
    """An administrator at work, and from where; made by `administrator` alone."""

    who: Principal
    visit: Visit


def administrator(who: Principal, visit: Visit) -> Administrator:
    """Return a caller as administrator; raises Forbidden for everybody else."""
    if not who.is_admin:
        raise Forbidden("This is for administrators.", code="admin_required")
    return Administrator(who, visit)


def audit(
    admin: Administrator, clock: Clock, action: str, target: str | None = None, **detail: object
) -> Audit:
    """Return the line that an administrator changed something; details hold no secret, no content."""
    now = clock.now_us()
    return audit_lines.audit(admin.who, action, now, target=target, visit=admin.visit, **detail)
