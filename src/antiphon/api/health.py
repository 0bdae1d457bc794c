"""Health for load balancers and people at night."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from antiphon.api.dependencies import App
from antiphon.api.v1.pages import answer
from antiphon.domain.errors import Unavailable

router = APIRouter(tags=["health"])


@router.get("/health/live", summary="Is the process alive")
async def live() -> Response:
    """Answer as long as the event loop runs."""
    return answer({"status": "ok"})


@router.get("/health/ready", summary="Can it serve")
async def ready(application: App) -> Response:
    """Answer 200 while the store answers and is written and nothing drains; else 503."""
    if application.draining():
        raise Unavailable("The server is shutting down.", code="draining")
    if not application.store_health.takes_writes:
        raise Unavailable("The store refuses writes: disk full or read-only.", code="storage_full")
    if not application.journal.healthy:
        raise Unavailable("The journal cannot be written.")
    await application.ready()
    return answer({"status": "ok"})


@router.get("/health", summary="Health in short")
async def health(application: App, request: Request) -> Response:
    """Like ready, with what is going on, and with what the dialects tell."""
    await ready(application)
    told = {"status": "ok", "running": len(application.runs), "followers": len(application.followers)}
    for dialect in request.app.state.dialects:
        if dialect.health is not None:
            told |= await dialect.health(application)
    return answer(told)
