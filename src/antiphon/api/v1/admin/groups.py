"""`/v1/admin/groups` and `/v1/admin/invites`."""

from __future__ import annotations

from fastapi import APIRouter, Response

from antiphon.api.dependencies import After, IdentityRoute, Limit
from antiphon.api.v1.admin.bodies import CreateGroup, CreateInvite, UpdateGroup
from antiphon.api.v1.admin.caller import Admin, Services
from antiphon.api.v1.admin.objects import deleted_object, group_object, invite_object
from antiphon.api.v1.pages import Order, answer, page_object
from antiphon.services.groups import GROUP_ID
from antiphon.services.user_credentials import INVITE_ID

router = APIRouter(prefix="/v1/admin", tags=["administration"], route_class=IdentityRoute)


@router.get("/groups", summary="List groups")
async def list_groups(
    administration: Services, admin: Admin, after: After = None, limit: Limit = 20, order: Order = "desc"
) -> Response:
    """List groups, newest first, with the number of their accounts."""
    page = await administration.groups.page(admin, after=after, limit=limit, descending=order == "desc")
    return answer(page_object([group_object(one) for one in page.data], has_more=page.has_more))


@router.post("/groups", summary="Create a group", status_code=201)
async def create_group(administration: Services, admin: Admin, body: CreateGroup) -> Response:
    """Create a group; accounts join it by their own `group_id`."""
    made = await administration.groups.create(admin, name=body.name, retention_days=body.retention_days)
    return answer(group_object(made), status=201)


@router.get("/groups/{group_id}", summary="Retrieve a group")
async def retrieve_group(administration: Services, admin: Admin, group_id: str) -> Response:
    """Return a group."""
    return answer(group_object(await administration.groups.get(admin, group_id)))


@router.patch("/groups/{group_id}", summary="Update a group")
async def update_group(administration: Services, admin: Admin, group_id: str, body: UpdateGroup) -> Response:
    """Change a group's name or retention."""
    return answer(group_object(await administration.groups.update(admin, group_id, **body.given())))


@router.delete("/groups/{group_id}", summary="Delete a group")
async def delete_group(administration: Services, admin: Admin, group_id: str) -> Response:
    """Delete a group and its limits; its accounts stay, in no group."""
    gone = await administration.groups.delete(admin, group_id)
    return answer(deleted_object("group", GROUP_ID + gone.id))


@router.get("/invites", summary="List invites")
async def list_invites(
    administration: Services, admin: Admin, after: After = None, limit: Limit = 20, order: Order = "desc"
) -> Response:
    """List invites, newest first: open, used, revoked and expired."""
    page = await administration.invites.page(admin, after=after, limit=limit, descending=order == "desc")
    return answer(page_object([invite_object(one) for one in page.data], has_more=page.has_more))


@router.post("/invites", summary="Create an invite", status_code=201)
async def create_invite(administration: Services, admin: Admin, body: CreateInvite | None = None) -> Response:
    """Create an invite; its `token` is shown this once."""
    body = body or CreateInvite()
    invite, secret = await administration.invites.create(
        admin, role=body.role, group_id=body.group_id, expires_seconds=body.expires_in
    )
    return answer(invite_object(invite, secret), status=201)


@router.delete("/invites/{invite_id}", summary="Revoke an invite")
async def revoke_invite(administration: Services, admin: Admin, invite_id: str) -> Response:
    """Take an invite back; one that was used is not found."""
    return answer(deleted_object("invite", INVITE_ID + await administration.invites.revoke(admin, invite_id)))
