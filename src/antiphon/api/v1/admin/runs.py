"""`/v1/admin/runs`: the answers that are being made now."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from antiphon.api.dependencies import After, App, IdentityRoute, Limit
from antiphon.api.v1.admin.caller import Admin
from antiphon.api.v1.pages import answer, page_object
from antiphon.domain import ids
from antiphon.services.running import RunningAnswer, user_of

router = APIRouter(prefix="/v1/admin/runs", tags=["administration"], route_class=IdentityRoute)


@router.get("", summary="List running answers")
async def list_runs(application: App, admin: Admin, after: After = None, limit: Limit = 100) -> Response:
    """List the answers that are being made, oldest first: whose, by which model, since when."""
    page = await application.running.page(admin, after=after, limit=limit)
    return answer(page_object([running_object(one) for one in page.data], has_more=page.has_more))


@router.post("/{run_id}/cancel", summary="Cancel a running answer")
async def cancel_run(application: App, admin: Admin, run_id: str) -> Response:
    """End an answer that runs, whoever asked for it; what it has is kept."""
    cancelled = await application.running.cancel(admin, run_id)
    return answer({"id": ids.RESPONSE + cancelled, "object": "run.cancelled", "cancelled": True})


def running_object(one: RunningAnswer) -> dict[str, Any]:
    """Return a running answer; nothing of what is said is in it."""
    run = one.run
    return {
        "id": ids.RESPONSE + run.id,
        "object": "run",
        "user": {"id": user_of(run), "name": one.user_name},
        "model": run.model,
        "status": run.state,
        "surface": run.surface,
        "background": run.background,
        "stored": run.stored,
        "created_at": run.created_us // 1_000_000,
        "age_seconds": round(one.age_seconds, 3),
        "output_tokens": one.output_tokens,
    }
