"""`/v1/conversations`: conversations and their items, in OpenAI's shape, and the list it lacks."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response
from msgspec import UNSET

from antiphon.api.dependencies import After, App, Caller, JsonRoute, Limit, Purge
from antiphon.api.idempotency import key_of, once
from antiphon.api.v1.conversation_bodies import AddItems, CreateConversation, UpdateConversation
from antiphon.api.v1.conversation_objects import conversation_object, deleted_object
from antiphon.api.v1.items import Include, shown_items
from antiphon.api.v1.pages import Order, answer, included, page_object, raw_answer
from antiphon.api.v1.response_objects import known_includes, stored_item
from antiphon.api.v1.wire_json import encode_object
from antiphon.domain.conversations import ALL, MAX_FOLDER, Chosen
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.inputs import parse_input
from antiphon.services.paging import use_cursor

Sort = Literal["created", "used"]
TAKEN_AWAY: Final = {"metadata", "title", "expires_after", "folder"}
"""What an update may also name to take it away, by null."""
NOTHING_TO_CHANGE: Final = (
    "Name what is to change: 'metadata', 'title', 'expires_after', 'pinned', 'archived' or 'folder'."
)

router = APIRouter(prefix="/v1/conversations", tags=["conversations"], route_class=JsonRoute)
folders = APIRouter(prefix="/v1", tags=["tree"], route_class=JsonRoute)


def _render_conversation(made: Any) -> bytes:
    return encode_object(conversation_object(made))


def _render_items(made: Any) -> bytes:
    return encode_object(page_object([stored_item(item) for item in made], has_more=False))


@router.post("", summary="Create a conversation")
async def create(
    application: App, who: Caller, request: Request, body: CreateConversation | None = None
) -> Response:
    """Create a conversation, with up to 20 first items."""
    body = body or CreateConversation()
    key = key_of(request.scope, await request.body(), _render_conversation)
    items = parse_input(body.items or [], "items")
    metadata = msgspec.json.encode(body.metadata or {}).decode()

    async def make() -> Any:
        return await application.conversations.create(
            who, items, metadata=metadata, title=body.title, key=key,
            expires_after_seconds=body.expires_after.seconds if body.expires_after else None,
        )  # fmt: skip

    return raw_answer(await once(application, who, key, _render_conversation, make))


@router.get("", summary="List conversations", tags=["tree"])
async def list_conversations(
    application: App,
    who: Caller,
    after: Annotated[
        str | None, Query(max_length=5_000, description="The last entry's id; sorted by use, `next_cursor`.")
    ] = None,
    limit: Limit = 20,
    order: Order = "desc",
    shared: Annotated[bool, Query(description="Those of others, the caller being a member.")] = False,
    sort: Annotated[Sort, Query(description="By their making, or the last used first.")] = "created",
    pinned: Annotated[bool | None, Query(description="Only pinned ones, or only others.")] = None,
    archived: Annotated[bool | None, Query(description="Only archived ones, or only others.")] = None,
    folder: Annotated[
        str | None, Query(max_length=MAX_FOLDER, description="Only those in a folder; empty: those in none.")
    ] = None,
) -> Response:
    """List the caller's conversations, newest first; with `shared` those of others."""
    chosen = Chosen(pinned, archived, folder)
    if shared and chosen != ALL:
        message = "Of shared ones none is pinned, archived or in a folder."
        raise InvalidRequest(message, code="invalid_value", param="shared")
    mine, theirs = application.conversations, application.members
    if sort == "used" and shared:
        page = await theirs.latest(who, after=after, limit=limit)
    elif sort == "used":
        page = await mine.latest(who, after=after, limit=limit, chosen=chosen)
    elif shared:
        page = await theirs.shared(who, after=after, limit=limit, descending=order == "desc")
    else:
        page = await mine.page(who, after=after, limit=limit, descending=order == "desc", chosen=chosen)
    found = page_object([conversation_object(one) for one in page.data], has_more=page.has_more)
    if sort == "used":
        found["next_cursor"] = use_cursor(page.data[-1]) if page.has_more else None
    return answer(found)


@folders.get("/folders", summary="List folders")
async def list_folders(application: App, who: Caller) -> Response:
    """List the names under which the caller keeps conversations, and how many are in each."""
    found = await application.conversations.folders(who)
    data = [
        {"id": one.name, "object": "folder", "name": one.name, "conversations": one.conversations}
        for one in found
    ]
    return answer(page_object(data, has_more=False))


@router.get("/{conversation_id}", summary="Retrieve a conversation")
async def retrieve(application: App, who: Caller, conversation_id: str) -> Response:
    """Return a conversation; its `ETag` is its revision."""
    found = await application.conversations.get(who, conversation_id)
    return answer(conversation_object(found), headers={"etag": f'"{found.revision}"'})


@router.post("/{conversation_id}", summary="Update a conversation")
async def update(
    application: App,
    who: Caller,
    conversation_id: str,
    body: UpdateConversation,
    if_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Replace the metadata, set title, end or place in lists; `If-Match` refuses a stale change with 412."""
    named = body.model_fields_set
    if not named & TAKEN_AWAY and body.pinned is None and body.archived is None:
        raise InvalidRequest(NOTHING_TO_CHANGE, code="missing_required_parameter", param="metadata")
    metadata = msgspec.json.encode(body.metadata or {}).decode() if "metadata" in named else None
    seconds = body.expires_after.seconds if body.expires_after else None
    found = await application.conversations.update(
        who, conversation_id, title=body.title if "title" in named else UNSET, metadata=metadata,
        revision=_revision(if_match), expires_after_seconds=seconds if "expires_after" in named else UNSET,
        pinned=body.pinned, archived=body.archived, folder=body.folder if "folder" in named else UNSET,
    )  # fmt: skip
    return answer(conversation_object(found), headers={"etag": f'"{found.revision}"'})


def _revision(if_match: str | None) -> int | None:
    """Return the revision that a change is meant for, None for any; raises InvalidRequest."""
    if if_match is None or if_match == "*":
        return None
    digits = if_match.strip('"')
    if not digits.isascii() or not digits.isdigit() or len(digits) > 15:
        raise InvalidRequest("If-Match holds a conversation's ETag.", code="invalid_value", param="if-match")
    return int(digits)


@router.delete("/{conversation_id}", summary="Delete a conversation")
async def delete(application: App, who: Caller, conversation_id: str, purge: Purge = False) -> Response:
    """Make a conversation invisible; its items stay reachable through responses and forks.

    With `purge` its turns are cancelled and everything is erased that no living fork shares.
    """
    deleted = await application.conversations.delete(who, conversation_id, purge=purge)
    return answer(deleted_object(*deleted))


@router.post("/{conversation_id}/items", summary="Add items")
async def add_items(
    application: App,
    who: Caller,
    request: Request,
    conversation_id: str,
    body: AddItems,
    include: Annotated[
        list[str] | None, Query(description="OpenAI's list; adds nothing to new items.")
    ] = None,
) -> Response:
    """Append up to 20 items."""
    known_includes(included(request, include))
    key = key_of(request.scope, await request.body(), _render_items)
    items = parse_input(body.items, "items")

    async def make() -> Any:
        return await application.conversations.add_items(
            who, conversation_id, items, branch_id=body.branch_id, key=key
        )

    return raw_answer(await once(application, who, key, _render_items, make, within=conversation_id))


@router.get("/{conversation_id}/items", summary="List items")
async def list_items(
    application: App,
    who: Caller,
    request: Request,
    conversation_id: str,
    after: After = None,
    limit: Limit = 20,
    order: Order = "desc",
    branch: Annotated[str | None, Query(description="A branch other than the active one.")] = None,
    include: Include = None,
) -> Response:
    """List the items on a branch's path; on demand with their places, answers and results of searches."""
    page = await application.conversations.items(
        who, conversation_id, branch_id=branch, after=after, limit=limit, descending=order == "desc"
    )
    data = await shown_items(application, who, conversation_id, page.data, included(request, include))
    return answer(page_object(data, has_more=page.has_more))


@router.get("/{conversation_id}/items/{item_id}", summary="Retrieve an item")
async def retrieve_item(
    application: App,
    who: Caller,
    request: Request,
    conversation_id: str,
    item_id: str,
    include: Include = None,
) -> Response:
    """Return any item of the conversation's tree; on demand with its place, its answer and its results."""
    item = await application.conversations.item(who, conversation_id, item_id)
    (shown,) = await shown_items(application, who, conversation_id, [item], included(request, include))
    return answer(shown)


@router.delete("/{conversation_id}/items/{item_id}", summary="Delete an item")
async def delete_item(application: App, who: Caller, conversation_id: str, item_id: str) -> Response:
    """Leave an item out of the conversation; returns the conversation."""
    found = await application.conversations.hide_item(who, conversation_id, item_id)
    return answer(conversation_object(found))
