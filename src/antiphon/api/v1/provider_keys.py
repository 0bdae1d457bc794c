"""Model providers for administrators: how they do, and their keys, which are written and never read."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field

from antiphon.api.dependencies import App, Caller, IdentityRoute, Visitor
from antiphon.api.v1.conversation_bodies import Body
from antiphon.api.v1.pages import answer, page_object
from antiphon.services.provider_keys import ProviderView

router = APIRouter(prefix="/v1/admin/providers", route_class=IdentityRoute, tags=["administration"])


class NewKey(Body):
    """The key that new calls are to carry."""

    key: Annotated[str, Field(min_length=8, max_length=4096, json_schema_extra={"writeOnly": True})]


@router.get("", summary="List providers")
async def list_providers(application: App, who: Caller) -> Response:
    """List the model providers with their state and where their keys come from."""
    data = [provider_object(view) for view in application.provider_keys.list(who)]
    return answer(page_object(data, has_more=False))


@router.put("/{provider}/key", summary="Set a provider's key")
async def put_key(application: App, who: Caller, visit: Visitor, provider: str, body: NewKey) -> Response:
    """Store a provider's key, encrypted; calls that begin from now on carry it."""
    view = await application.provider_keys.put(who, provider, body.key, visit)
    return answer(provider_object(view))


@router.delete("/{provider}/key", summary="Delete a provider's key")
async def delete_key(application: App, who: Caller, visit: Visitor, provider: str) -> Response:
    """Forget a stored key and go back to the environment's, if it has one."""
    view = await application.provider_keys.delete(who, provider, visit)
    return answer(provider_object(view))


@router.post("/{provider}/probe", summary="Ask a provider whether it answers")
async def probe(application: App, who: Caller, provider: str) -> Response:
    """Ask a provider for its models now, unless that was done in the last 10 s."""
    found = await application.provider_keys.probe(who, provider)
    return answer(
        {
            "object": "provider.probe",
            "provider": provider,
            "healthy": found.healthy,
            "latency_ms": round(found.latency_seconds * 1000, 1),
            "detail": found.detail,
        }
    )


def provider_object(view: ProviderView) -> dict[str, Any]:
    """Return a provider on the wire; nothing of its key is in it."""
    health = view.health
    return {
        "id": view.name,
        "object": "provider",
        "base_url": view.base_url,
        "default_model": view.default_model,
        "key": {"set": view.key_source is not None, "source": view.key_source, "settable": view.takes_key},
        "state": health.state,
        "retry_in_seconds": round(health.retry_in_seconds, 1),
        "failures_in_a_row": health.failures_in_a_row,
        "last_error": health.last_error,
        "calls": health.counts.calls,
        "failures": health.counts.failures,
        "retries": health.counts.retries,
        "refused": health.counts.refused,
        "fallbacks": health.counts.fallbacks,
    }
