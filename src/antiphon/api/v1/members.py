"""`/v1/conversations/{id}/members`: who else may read or write a conversation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from antiphon.api.dependencies import After, App, Caller, IdentityRoute, Limit
from antiphon.api.idempotency import key_of, once
from antiphon.api.v1.conversation_bodies import Body
from antiphon.api.v1.pages import answer, page_object, raw_answer
from antiphon.api.v1.wire_json import encode_object
from antiphon.domain.accounts import USER
from antiphon.domain.members import Member

router = APIRouter(
    prefix="/v1/conversations/{conversation_id}/members", tags=["sharing"], route_class=IdentityRoute
)


class AddMember(Body):
    """A user, by name or id, and what they may do."""

    user: Annotated[str, Field(min_length=1, max_length=256)]
    role: Literal["viewer", "editor"]


class ChangeMember(Body):
    """What the member may do from now on."""

    role: Literal["viewer", "editor"]


def member_object(member: Member) -> dict[str, Any]:
    """Return a member; its id is the user's."""
    return {
        "id": USER + member.account_id,
        "object": "conversation.member",
        "name": member.name,
        "role": member.role,
        "created_at": member.created_us // 1_000_000,
    }


def _render(made: Any) -> bytes:
    return encode_object(member_object(made))


@router.get("", summary="List members")
async def list_members(
    application: App, who: Caller, conversation_id: str, after: After = None, limit: Limit = 20
) -> Response:
    """List a conversation's members, its owner included."""
    page = await application.members.page(who, conversation_id, after=after, limit=limit)
    return answer(page_object([member_object(one) for one in page.data], has_more=page.has_more))


@router.post("", summary="Add a member", status_code=201)
async def add_member(
    application: App, who: Caller, request: Request, conversation_id: str, body: AddMember
) -> Response:
    """Let somebody read (`viewer`) or also write (`editor`); the owner does this."""
    key = key_of(request.scope, await request.body(), _render)

    async def make() -> Any:
        return await application.members.add(who, conversation_id, body.user, body.role, key=key)

    made = await once(application, who, key, _render, make, within=conversation_id)
    return raw_answer(made, status=201)


@router.get("/{user_id}", summary="Retrieve a member")
async def retrieve_member(application: App, who: Caller, conversation_id: str, user_id: str) -> Response:
    """Return a member, named by id, by name, or as `me`."""
    return answer(member_object(await application.members.get(who, conversation_id, user_id)))


@router.patch("/{user_id}", summary="Change a member's role")
async def change_member(
    application: App, who: Caller, conversation_id: str, user_id: str, body: ChangeMember
) -> Response:
    """Give a member another role; the owner does this."""
    changed = await application.members.set_role(who, conversation_id, user_id, body.role)
    return answer(member_object(changed))


@router.delete("/{user_id}", summary="Remove a member")
async def remove_member(application: App, who: Caller, conversation_id: str, user_id: str) -> Response:
    """End a membership: the owner anybody's, a member its own (`me`)."""
    removed = await application.members.remove(who, conversation_id, user_id)
    return answer({"id": USER + removed, "object": "conversation.member.deleted", "deleted": True})
