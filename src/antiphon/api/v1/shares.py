"""Share links: `/v1/conversations/{id}/shares` for the owner, `/v1/shared/{token}` for everybody else.

The second needs no credential and looks at none. What it answers is for one pair of eyes: no cache
keeps it, no search engine lists it, no link on the page tells where the reader came from.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Container
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from antiphon.api import event_stream
from antiphon.api.dependencies import After, App, AsgiResponse, Caller, IdentityRoute, JsonRoute, Limit
from antiphon.api.downloads import download
from antiphon.api.errors import describe
from antiphon.api.http import Receive, Scope, Send
from antiphon.api.idempotency import key_of, once
from antiphon.api.v1.conversation_bodies import Body
from antiphon.api.v1.pages import Order, answer, page_object, raw_answer
from antiphon.api.v1.response_objects import stored_item
from antiphon.api.v1.wire_json import encode_object
from antiphon.domain import ids
from antiphon.domain.errors import AntiphonError, NotFound
from antiphon.domain.items import Item
from antiphon.domain.shares import SHARE, ShareLink
from antiphon.services.shares import Shared

PRIVATE = {"referrer-policy": "no-referrer", "x-robots-tag": "noindex"}
PRIVATE_RAW = [(name.encode(), value.encode()) for name, value in PRIVATE.items()]

router = APIRouter(
    prefix="/v1/conversations/{conversation_id}/shares", tags=["sharing"], route_class=IdentityRoute
)
public = APIRouter(prefix="/v1/shared/{token}", tags=["sharing"], route_class=JsonRoute)


class CreateShare(Body):
    """When the link ends (30 days from now if nothing is said), and the branch it shows."""

    expires_in: Annotated[int, Field(ge=1, le=10**10, description="Seconds from now.")] | None = None
    expires_at: Annotated[int, Field(ge=1, le=10**12, description="Seconds since 1970.")] | None = None
    branch_id: str | None = None


def share_object(link: ShareLink, token: str | None = None) -> dict[str, Any]:
    """Return a link; its secret stands in it once, when it is made."""
    return {
        "id": SHARE + link.id,
        "object": "conversation.share",
        "conversation_id": ids.CONVERSATION + link.conversation_id,
        "branch_id": ids.BRANCH + link.branch_id if link.branch_id else None,
        "created_at": link.created_us // 1_000_000,
        "expires_at": link.expires_us // 1_000_000,
        "token": token,
    }


def _render_without_token(made: Any) -> bytes:
    """Render what an idempotency key keeps: a secret is stored nowhere, so a retry does not get it."""
    return encode_object(share_object(made))


def _render(made: Any) -> bytes:
    return encode_object(share_object(made.link, made.token))


@router.get("", summary="List share links")
async def list_shares(
    application: App, who: Caller, conversation_id: str, after: After = None, limit: Limit = 20
) -> Response:
    """List the links that are not revoked, oldest first, without their tokens."""
    page = await application.shares.page(who, conversation_id, after=after, limit=limit)
    return answer(page_object([share_object(one) for one in page.data], has_more=page.has_more))


@router.post("", summary="Create a share link", status_code=201)
async def create_share(
    application: App, who: Caller, request: Request, conversation_id: str, body: CreateShare | None = None
) -> Response:
    """Make a link that shows one branch to whoever holds it; its `token` is shown only now."""
    asked = body or CreateShare()
    key = key_of(request.scope, await request.body(), _render_without_token)

    async def make() -> Any:
        return await application.shares.create(
            who,
            conversation_id,
            branch_id=asked.branch_id,
            expires_in=asked.expires_in,
            expires_at=asked.expires_at,
            key=key,
        )

    made = await once(application, who, key, _render, make, within=conversation_id)
    return raw_answer(made, status=201)


@router.get("/{share_id}", summary="Retrieve a share link")
async def retrieve_share(application: App, who: Caller, conversation_id: str, share_id: str) -> Response:
    """Return a link without its token."""
    return answer(share_object(await application.shares.get(who, conversation_id, share_id)))


@router.delete("/{share_id}", summary="Revoke a share link")
async def revoke_share(application: App, who: Caller, conversation_id: str, share_id: str) -> Response:
    """End a link at once."""
    revoked = await application.shares.revoke(who, conversation_id, share_id)
    return answer({"id": SHARE + revoked, "object": "conversation.share.deleted", "deleted": True})


def shared_object(shared: Shared) -> dict[str, Any]:
    """Return what a link tells of a conversation: nothing of who wrote it, and no id of it."""
    return {
        "object": "conversation.shared",
        "title": shared.conversation.title,
        "item_count": shared.branch.head.depth + 1,
        "updated_at": shared.conversation.updated_us // 1_000_000,
        "expires_at": shared.link.expires_us // 1_000_000,
    }


@public.get("", summary="Read a shared conversation")
async def read_shared(application: App, token: str) -> Response:
    """Return the title of what a link shows; needs no credential."""
    try:
        return answer(shared_object(await application.shares.open(token)), headers=PRIVATE)
    except NotFound as error:
        return _no_link(error)


@public.get("/items", summary="List the items of a shared conversation")
async def list_shared_items(
    application: App,
    token: str,
    after: After = None,
    limit: Limit = 20,
    order: Order = "asc",
) -> Response:
    """List the items on the link's branch as they are now; needs no credential."""
    try:
        page = await application.shares.items(token, after=after, limit=limit, descending=order == "desc")
    except NotFound as error:
        return _no_link(error)
    data = [_shared_item(item, page.rests) for item in page.data]
    return answer(page_object(data, has_more=page.has_more), headers=PRIVATE)


def _shared_item(item: Item, rests: Container[str]) -> dict[str, Any]:
    """Return an item; of one that is the rest of the answer before, that it is."""
    if item.author_id is not None or item.run_id is None or item.run_id not in rests:
        return stored_item(item)
    response = {"id": ids.RESPONSE + item.run_id, "continues": True}
    return {**stored_item(item), "antiphon": {"response": response}}


@public.get("/items/{item_id}/pictures/{picture_id}", summary="Retrieve a picture of a shared item")
async def read_shared_picture(
    application: App, request: Request, token: str, item_id: str, picture_id: str
) -> Response:
    """Return a picture that an item on the link's branch names by its file's id; needs no credential."""
    pictures = application.pictures
    try:
        file = await pictures.get_shared(token, item_id, picture_id)
    except NotFound as error:
        return _no_link(error)
    found = download(
        request.scope, lambda start, end: pictures.read(file, start, end), size=file.bytes,
        filename=file.filename, digest=file.digest,
    )  # fmt: skip
    found.headers.update(PRIVATE)
    return found


@public.get("/events", summary="Follow a shared conversation", tags=["live"])
async def follow_shared(application: App, request: Request, token: str) -> Response:
    """Return what a link shows or, to whoever accepts events, tell it again whenever it changes."""
    if not event_stream.accepts(request.scope):
        return await read_shared(application, token)

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(application.shared_feeds.follow(token)) as following:
            try:
                first = await anext(following)
            except AntiphonError as error:
                await _no_link(error)(scope, receive, send)
                return
            events = _told(first, following)
            watch = event_stream.unwatched
            await event_stream.stream(events, receive, send, watch=watch, headers=PRIVATE_RAW)

    return AsgiResponse(handle)


async def _told(first: Shared | None, following: AsyncIterator[Shared | None]) -> AsyncIterator[bytes | None]:
    shown = first
    try:
        while True:
            told = None if shown is None else encode_object(shared_object(shown))
            yield None if told is None else event_stream.frame("changed", told)
            shown = await anext(following)
    except NotFound:
        yield event_stream.frame("closed", b'{"type":"closed","reason":"not_found"}')
    except StopAsyncIteration:
        return


def _no_link(error: AntiphonError) -> Response:
    status, body, headers = describe(error)
    told = {name.decode(): value.decode() for name, value in headers}
    return answer(body, status=status, headers=told | PRIVATE)
