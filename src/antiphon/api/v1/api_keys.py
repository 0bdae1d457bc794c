"""API keys of one's own account."""

from __future__ import annotations

from fastapi import APIRouter, Response

from antiphon.api.dependencies import After, App, Caller, IdentityRoute, Limit, Visitor
from antiphon.api.v1.identity_bodies import CreateApiKey
from antiphon.api.v1.identity_objects import api_key_object
from antiphon.api.v1.pages import Order, answer, page_object
from antiphon.domain.accounts import KEY

router = APIRouter(prefix="/v1/api_keys", tags=["identity"], route_class=IdentityRoute)


@router.post("", summary="Create an API key", status_code=201)
async def create_api_key(application: App, who: Caller, visit: Visitor, body: CreateApiKey) -> Response:
    """Make a key; `key` holds it this once, and nobody can read it again."""
    key, secret = await application.api_keys.create(
        who, body.name, scopes=body.scopes, expires_seconds=body.expires_in, visit=visit
    )
    return answer(api_key_object(key, secret), status=201)


@router.get("", summary="List API keys")
async def list_api_keys(
    application: App, who: Caller, after: After = None, limit: Limit = 20, order: Order = "desc"
) -> Response:
    """List the caller's keys that are not revoked."""
    page = await application.api_keys.page(who, after=after, limit=limit, descending=order == "desc")
    return answer(page_object([api_key_object(one) for one in page.data], has_more=page.has_more))


@router.delete("/{key_id}", summary="Revoke an API key")
async def revoke_api_key(application: App, who: Caller, visit: Visitor, key_id: str) -> Response:
    """End a key at once, with the streams it has open."""
    ended = await application.api_keys.revoke(who, key_id, visit)
    return answer({"id": KEY + ended, "object": "api_key", "deleted": True})
