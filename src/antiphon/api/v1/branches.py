"""The tree extension: branches, forks, alternatives, the view of the whole and its changes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from antiphon.api.caching import with_cache_use
from antiphon.api.dependencies import After, App, AsgiResponse, Caller, JsonRoute, Limit
from antiphon.api.downloads import download
from antiphon.api.http import Receive, Scope, Send, direct_of
from antiphon.api.idempotency import key_of, once
from antiphon.api.v1 import fan_out as fan_out_stream
from antiphon.api.v1.alternatives import answering_request, edit_items
from antiphon.api.v1.conversation_bodies import CreateBranch, Edit, FanOut, Fork, Regenerate, UpdateBranch
from antiphon.api.v1.conversation_objects import (
    branch_object,
    comparison_object,
    conversation_object,
    segment_object,
)
from antiphon.api.v1.items import Include, shown_items
from antiphon.api.v1.pages import answer, included, page_object, raw_answer
from antiphon.api.v1.response_objects import stored_item
from antiphon.api.v1.responses import send_answer, stream_begun, wait_for
from antiphon.api.v1.wire_json import encode_object
from antiphon.application import Application
from antiphon.domain.accounts import Principal
from antiphon.domain.inputs import parse_input
from antiphon.services.turns import Begun

router = APIRouter(prefix="/v1/conversations/{conversation_id}", tags=["tree"], route_class=JsonRoute)


def _render_branch(made: Any) -> bytes:
    return encode_object(branch_object(*made))


def _render_items(made: Any) -> bytes:
    return encode_object(page_object([stored_item(item) for item in made], has_more=False))


def _render_conversation(made: Any) -> bytes:
    return encode_object(conversation_object(made))


@router.get("/tree", summary="View the tree")
async def tree(
    application: App, who: Caller, conversation_id: str, after: After = None, limit: Limit = 100
) -> Response:
    """Return the conversation's segments by pages, with counts and previews; never all items."""
    _, page = await application.branches.tree(who, conversation_id, after=after, limit=limit)
    return answer(page_object([segment_object(one) for one in page.data], has_more=page.has_more))


@router.get("/branches", summary="List branches")
async def list_branches(
    application: App, who: Caller, conversation_id: str, after: After = None, limit: Limit = 20
) -> Response:
    """List branches, oldest first."""
    conversation, page = await application.branches.page(who, conversation_id, after=after, limit=limit)
    data = [branch_object(conversation, branch) for branch in page.data]
    return answer(page_object(data, has_more=page.has_more))


@router.post("/branches", summary="Create a branch")
async def create_branch(
    application: App, who: Caller, request: Request, conversation_id: str, body: CreateBranch
) -> Response:
    """Create a branch whose head is any item of the tree; copies nothing."""
    key = key_of(request.scope, await request.body(), _render_branch)

    async def make() -> Any:
        return await application.branches.create(
            who, conversation_id, name=body.name, item_id=body.item_id, activate=body.activate, key=key
        )

    return raw_answer(await once(application, who, key, _render_branch, make, within=conversation_id))


@router.get("/branches/{branch_id}", summary="Retrieve a branch")
async def retrieve_branch(application: App, who: Caller, conversation_id: str, branch_id: str) -> Response:
    """Return a branch."""
    return answer(branch_object(*await application.branches.get(who, conversation_id, branch_id)))


@router.post("/branches/{branch_id}", summary="Rename a branch")
async def rename_branch(
    application: App, who: Caller, conversation_id: str, branch_id: str, body: UpdateBranch
) -> Response:
    """Rename a branch."""
    renamed = await application.branches.rename(who, conversation_id, branch_id, body.name)
    return answer(branch_object(*renamed))


@router.put("/branches/{branch_id}/activate", summary="Activate a branch")
async def activate_branch(application: App, who: Caller, conversation_id: str, branch_id: str) -> Response:
    """Make a branch the one that linear views show."""
    return answer(branch_object(*await application.branches.activate(who, conversation_id, branch_id)))


@router.delete("/branches/{branch_id}", summary="Delete a branch")
async def delete_branch(application: App, who: Caller, conversation_id: str, branch_id: str) -> Response:
    """Delete a branch's pointer; its items stay. The active branch is refused."""
    await application.branches.delete(who, conversation_id, branch_id)
    return answer({"id": branch_id, "object": "conversation.branch.deleted", "deleted": True})


@router.post("/fork", summary="Fork the conversation")
async def fork(
    application: App, who: Caller, request: Request, conversation_id: str, body: Fork | None = None
) -> Response:
    """Return a new conversation that shares everything up to an item."""
    body = body or Fork()
    key = key_of(request.scope, await request.body(), _render_conversation)

    async def make() -> Any:
        return await application.branches.fork(
            who, conversation_id, item_id=body.item_id, title=body.title, key=key
        )

    return raw_answer(await once(application, who, key, _render_conversation, make))


@router.get("/compare", summary="Compare two branches")
async def compare(
    application: App,
    who: Caller,
    request: Request,
    conversation_id: str,
    left: str,
    right: str,
    limit: Limit = 20,
    include: Include = None,
) -> Response:
    """Return what two branches share last, and the first items of either line after that."""
    named = included(request, include)
    found = await application.branches.compare(who, conversation_id, left, right, limit=limit)
    lines = [
        await shown_items(application, who, conversation_id, items, named)
        for items in (found.left, found.right)
    ]
    return answer(comparison_object(found, (left, lines[0]), (right, lines[1])))


@router.get("/items/{item_id}/siblings", summary="List alternatives of an item")
async def siblings(
    application: App, who: Caller, conversation_id: str, item_id: str, limit: Limit = 20
) -> Response:
    """Return the items that follow the same place, this one included, oldest first."""
    found = await application.branches.siblings(who, conversation_id, item_id, limit)
    return answer(page_object([stored_item(item) for item in found], has_more=False))


@router.get("/changes", summary="List changes")
async def changes(
    application: App,
    who: Caller,
    conversation_id: str,
    after_revision: Annotated[int, Query(ge=0, le=10**15)] = 0,
    limit: Limit = 100,
) -> Response:
    """Return what changed after a revision, the conversation's resumable feed."""
    find = application.conversations.changes
    found = await find(who, conversation_id, after=after_revision, limit=limit + 1)
    data = [
        {
            "id": str(one.revision),
            "revision": one.revision,
            "type": one.kind,
            "created_at": one.created_us // 10**6,
        }
        | {"data": one.json()}
        for one in found[:limit]
    ]
    return answer(page_object(data, has_more=len(found) > limit))


@router.get("/items/{item_id}/pictures/{picture_id}", summary="Retrieve a picture of an item")
async def picture(
    application: App, who: Caller, request: Request, conversation_id: str, item_id: str, picture_id: str
) -> Response:
    """Return a picture that an item names by its file's id, to everybody in the conversation."""
    pictures = application.pictures
    file = await pictures.get(who, conversation_id, item_id, picture_id)
    return download(
        request.scope, lambda start, end: pictures.read(file, start, end), size=file.bytes,
        filename=file.filename, digest=file.digest,
    )  # fmt: skip


@router.post("/items/{item_id}/edit", summary="Edit an item")
async def edit(
    application: App, who: Caller, request: Request, conversation_id: str, item_id: str, body: Edit
) -> Response:
    """Put new content beside an item, on a new active branch, and answer it."""
    item = await application.conversations.item(who, conversation_id, item_id)
    items = edit_items(item, body.content)
    if not body.respond:
        silent = key_of(request.scope, await request.body(), _render_items)

        async def make() -> Any:
            edit_only = application.alternatives.edit_only
            return await edit_only(who, conversation_id, item_id, items, key=silent)

        return raw_answer(await once(application, who, silent, _render_items, make, within=conversation_id))
    key = key_of(request.scope, await request.body())
    turn = answering_request(body, items, conversation_id, key)
    turn = with_cache_use(application, request.scope, turn)
    return begun_response(application, who, await application.alternatives.edit(who, item_id, turn), body)


@router.post("/items/{item_id}/regenerate", summary="Answer again")
async def regenerate(
    application: App,
    who: Caller,
    request: Request,
    conversation_id: str,
    item_id: str,
    body: Regenerate | None = None,
) -> Response:
    """Make another answer to the same question, on a new active branch."""
    body = body or Regenerate()
    key = key_of(request.scope, await request.body())
    turn = answering_request(body, [], conversation_id, key)
    turn = with_cache_use(application, request.scope, turn)
    begun = await application.alternatives.regenerate(who, item_id, turn)
    return begun_response(application, who, begun, body)


@router.post("/fan_out", summary="Ask several models")
async def fan_out(
    application: App, who: Caller, request: Request, conversation_id: str, body: FanOut
) -> Response:
    """Put one question to several models; the answers are siblings, streamed together."""
    key = key_of(request.scope, await request.body())
    turn = answering_request(body, parse_input(body.input), conversation_id, key)
    turn = with_cache_use(application, request.scope, turn)
    begun = await application.alternatives.fan_out(who, body.models, turn)

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if body.stream:
            await fan_out_stream.stream(application, who, begun, receive, send)
        else:
            await fan_out_stream.send(application, who, begun, send, wait=not body.background)

    return AsgiResponse(handle)


def begun_response(
    application: Application, who: Principal, begun: Begun, body: Edit | Regenerate
) -> AsgiResponse:
    """Return a turn that has begun as a stream or as an object, as asked."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if body.stream:
            await stream_begun(application, who, begun, receive, send, direct_of(scope))
            return
        if not body.background:
            await wait_for(application, who, begun)
        await send_answer(application, who, begun, send)

    return AsgiResponse(handle)
