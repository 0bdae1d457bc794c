"""`/v1/admin/users`: accounts, and what they log in with."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from antiphon.api.dependencies import After, IdentityRoute, Limit
from antiphon.api.v1.admin.bodies import CreateUser, UpdateUser
from antiphon.api.v1.admin.caller import Admin, Services
from antiphon.api.v1.admin.objects import deleted_object, managed_user_object
from antiphon.api.v1.identity_objects import api_key_object, session_object
from antiphon.api.v1.pages import Order, answer, page_object
from antiphon.domain.accounts import USER
from antiphon.services.users import UserChanges

router = APIRouter(prefix="/v1/admin/users", tags=["administration"], route_class=IdentityRoute)

Prefix = Annotated[str, Query(max_length=64, description="Only names that begin with this.")]
Named = Annotated[str | None, Query(max_length=64, description="The account of this name.")]
InGroup = Annotated[str | None, Query(description="Only accounts of this group.")]


@router.get("", summary="List users")
async def list_users(
    administration: Services,
    admin: Admin,
    after: After = None,
    limit: Limit = 20,
    order: Order = "desc",
    name: Named = None,
    prefix: Prefix = "",
    group_id: InGroup = None,
) -> Response:
    """List accounts, newest first; `prefix` searches by the beginning of the name."""
    page = await administration.users.page(
        admin,
        after=after,
        limit=limit,
        descending=order == "desc",
        name=name,
        prefix=prefix,
        group_id=group_id,
    )
    return answer(page_object([managed_user_object(one) for one in page.data], has_more=page.has_more))


@router.post("", summary="Create a user", status_code=201)
async def create_user(administration: Services, admin: Admin, body: CreateUser) -> Response:
    """Create an account, with a password or without."""
    given = UserChanges(
        role=body.role, email=body.email, group_id=body.group_id, retention_days=body.retention_days,
        password=body.password,
    )  # fmt: skip
    return answer(managed_user_object(await administration.users.create(admin, body.name, given)), status=201)


@router.get("/{user_id}", summary="Retrieve a user")
async def retrieve_user(administration: Services, admin: Admin, user_id: str) -> Response:
    """Return an account."""
    return answer(managed_user_object(await administration.users.get(admin, user_id)))


@router.patch("/{user_id}", summary="Update a user")
async def update_user(administration: Services, admin: Admin, user_id: str, body: UpdateUser) -> Response:
    """Change role, state, password, address, group or retention; 409 for the last administrator.

    A new role, state or password ends all of the account's sessions.
    """
    changed = await administration.users.update(admin, user_id, UserChanges(**body.given()))
    return answer(managed_user_object(changed))


@router.delete("/{user_id}", summary="Delete a user")
async def delete_user(administration: Services, admin: Admin, user_id: str) -> Response:
    """Delete an account: unreachable at once, `"data": "purging"` until its data is erased too."""
    deleted = await administration.users.delete(admin, user_id)
    return answer(deleted_object("user", USER + deleted.id, data="purging"))


@router.get("/{user_id}/sessions", summary="List a user's sessions")
async def list_sessions(
    administration: Services,
    admin: Admin,
    user_id: str,
    after: After = None,
    limit: Limit = 20,
    order: Order = "desc",
) -> Response:
    """List the open login sessions of an account."""
    page = await administration.user_credentials.sessions(
        admin, user_id, after=after, limit=limit, descending=order == "desc"
    )
    return answer(
        page_object(
            [session_object(one, admin.who.credential_id) for one in page.data], has_more=page.has_more
        )
    )


@router.delete("/{user_id}/sessions", summary="Revoke a user's sessions")
async def revoke_sessions(administration: Services, admin: Admin, user_id: str) -> Response:
    """End all login sessions of an account; its keys stay."""
    await administration.user_credentials.revoke_sessions(admin, user_id)
    return answer(deleted_object("session", user_id, all=True))


@router.delete("/{user_id}/sessions/{session_id}", summary="Revoke a session")
async def revoke_session(administration: Services, admin: Admin, user_id: str, session_id: str) -> Response:
    """End one login session of an account."""
    await administration.user_credentials.revoke_sessions(admin, user_id, session_id)
    return answer(deleted_object("session", session_id))


@router.get("/{user_id}/keys", summary="List a user's API keys")
async def list_keys(
    administration: Services,
    admin: Admin,
    user_id: str,
    after: After = None,
    limit: Limit = 20,
    order: Order = "desc",
) -> Response:
    """List the API keys of an account that are not revoked: how they begin, never the keys."""
    page = await administration.user_credentials.keys(
        admin, user_id, after=after, limit=limit, descending=order == "desc"
    )
    return answer(page_object([api_key_object(one) for one in page.data], has_more=page.has_more))


@router.delete("/{user_id}/keys/{key_id}", summary="Revoke a user's API key")
async def revoke_key(administration: Services, admin: Admin, user_id: str, key_id: str) -> Response:
    """End an API key of an account."""
    await administration.user_credentials.revoke_key(admin, user_id, key_id)
    return answer(deleted_object("api_key", key_id))
