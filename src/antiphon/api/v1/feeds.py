"""`/v1/conversations/{id}/events`: what happens in a conversation, as it happens; and who is writing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from antiphon.api import event_stream
from antiphon.api.dependencies import App, AsgiResponse, Caller, IdentityRoute, JsonRoute, Limit
from antiphon.api.http import Receive, Scope, Send, header
from antiphon.api.v1.conversation_bodies import Body
from antiphon.api.v1.feed_objects import closed_object, encoded, happened_object, ready_object, step_object
from antiphon.api.v1.pages import answer, page_object
from antiphon.domain.errors import InvalidRequest, NotFound
from antiphon.services.feeds import Feed, Gap, Happened, Silence

PATH = "/v1/conversations/{conversation_id}"
MAX_DIGITS = 15

router = APIRouter(prefix=PATH, tags=["live"], route_class=JsonRoute)
typing = APIRouter(prefix=PATH, tags=["live"], route_class=IdentityRoute)

After = Annotated[
    str | None, Query(description="The revision after which to begin; `Last-Event-ID` says the same.")
]
Deltas = Annotated[bool, Query(description="Tell the texts of running answers, too, piece by piece.")]


class Typing(Body):
    """Whether the caller is writing; to be said again every few seconds while it holds."""

    typing: bool


def revision_of(text: str | None) -> int | None:
    """Return a revision that a client names, None for none; raises InvalidRequest."""
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise InvalidRequest(
            "'starting_after' is a conversation's revision.", code="invalid_value", param="starting_after"
        )
    return int(text)


@router.get(
    "/events", summary="Follow a conversation",
    responses={
        200: {
            "description": "A page of what happened; to `Accept: text/event-stream` a stream of it.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)  # fmt: skip
async def follow(
    application: App,
    who: Caller,
    request: Request,
    conversation_id: str,
    starting_after: After = None,
    limit: Limit = 100,
    deltas: Deltas = False,
) -> Response:
    """Return what happened after a revision, or stream what happens, to whoever accepts events."""
    after = revision_of(starting_after)
    if after is None:
        after = revision_of(header(request.scope, b"last-event-id"))
    if not event_stream.accepts(request.scope):
        page = await application.feeds.page(who, conversation_id, after=after or 0, limit=limit)
        data = [happened_object(conversation_id, one) for one in page.data]
        return answer(page_object(data, has_more=page.has_more))

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        feed = await application.feeds.open(who, conversation_id, after=after, deltas=deltas)
        try:
            watch = partial(application.credentials.watch, who)
            await event_stream.stream(_events(feed), receive, send, watch=watch)
        finally:
            feed.close()

    return AsgiResponse(handle)


async def _events(feed: Feed) -> AsyncIterator[bytes | None]:
    yield event_stream.frame("ready", encoded(ready_object(feed)), number=feed.revision)
    try:
        async for step in feed.steps():
            if isinstance(step, Silence):
                yield None
                continue
            body = step_object(feed, step)
            number = feed.revision if isinstance(step, Happened | Gap) else None
            yield event_stream.frame(body["type"], encoded(body), number=number)
    except NotFound:
        yield event_stream.frame("closed", encoded(closed_object(feed.conversation_id)))


@typing.post("/typing", summary="Say that you are writing")
async def say_typing(application: App, who: Caller, conversation_id: str, body: Typing) -> Response:
    """Tell whoever follows the conversation; kept for six seconds and stored nowhere."""
    await application.feeds.typing(who, conversation_id, is_typing=body.typing)
    return answer({"object": "conversation.typing", "typing": body.typing})
