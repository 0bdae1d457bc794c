"""`/v1/admin/settings` and `/v1/admin/audit`."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Query, Response

from antiphon.api.dependencies import After, IdentityRoute, Limit
from antiphon.api.v1.admin.caller import Admin, Services
from antiphon.api.v1.admin.objects import audit_object
from antiphon.api.v1.pages import Order, answer, page_object
from antiphon.domain import ids
from antiphon.domain.accounts import USER
from antiphon.domain.errors import Unprocessable
from antiphon.domain.operations import AuditFilter
from antiphon.services.runtime_settings import RuntimeSettings

router = APIRouter(prefix="/v1/admin", tags=["administration"], route_class=IdentityRoute)

Seconds = Annotated[int | None, Query(ge=0, le=10**11, description="Seconds since 1970.")]
Word = Annotated[str | None, Query(max_length=128)]
Changes = Annotated[dict[str, Any], Body(description="New values by name; null returns to the default.")]


@router.get("/settings", summary="Runtime settings")
async def read_settings(administration: Services, admin: Admin) -> Response:
    """Return what holds, what the defaults are, and which values are stored."""
    return answer(settings_object(administration.settings))


@router.patch("/settings", summary="Change runtime settings")
async def change_settings(administration: Services, admin: Admin, changes: Changes) -> Response:
    """Change settings, all or none: at once here, within 5 s elsewhere; 422 for an unknown name."""
    await administration.settings.change(admin, changes)
    return answer(settings_object(administration.settings))


def settings_object(settings: RuntimeSettings) -> dict[str, Any]:
    """Return the runtime settings: the values that hold, the defaults and the stored ones' names."""
    return {
        "object": "settings",
        "values": msgspec.structs.asdict(settings.current),
        "defaults": msgspec.structs.asdict(settings.defaults),
        "stored": sorted(settings.stored),
    }


@router.get("/audit", summary="The audit log")
async def list_audit(
    administration: Services,
    admin: Admin,
    after: After = None,
    limit: Limit = 20,
    order: Order = "desc",
    since: Seconds = None,
    until: Seconds = None,
    actor_id: Word = None,
    action: Word = None,
    target: Word = None,
) -> Response:
    """List who changed what, newest first; from `since` to before `until`."""
    actor = ids.parse(actor_id, USER) if actor_id is not None else None
    if actor_id is not None and actor is None:
        raise Unprocessable("That is no user's id.", code="invalid_value", param="actor_id")
    wanted = AuditFilter(
        since_us=None if since is None else since * 1_000_000,
        until_us=None if until is None else until * 1_000_000,
        actor_id=actor, action=action, target=target,
    )  # fmt: skip
    page = await administration.audit_log.page(
        admin, wanted, after=after, limit=limit, descending=order == "desc"
    )
    return answer(page_object([audit_object(one) for one in page.data], has_more=page.has_more))
