"""The calls of ChatAI-API."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from fastapi import Request, Response

from antiphon.api.dependencies import App, AsgiResponse, Caller
from antiphon.api.dialects.asking import begin, reply_of
from antiphon.api.dialects.bounded import MOST, Before, Newest, listed, still_there
from antiphon.api.dialects.chatai.wire import (
    Completion,
    conversation_object,
    message_object,
    messages_of,
    reply_object,
)
from antiphon.api.dialects.dialect import Dialect, detail_only, router_of
from antiphon.api.dialects.forms import uuid_text
from antiphon.api.dialects.streaming import first_words, send_events, send_text
from antiphon.api.http import Receive, Scope, Send
from antiphon.api.idempotency import key_of, once
from antiphon.api.v1.pages import answer, raw_answer
from antiphon.api.v1.wire_json import encode_object
from antiphon.application import Application
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Conversation
from antiphon.domain.run_events import RunLog
from antiphon.domain.runs import Run

TAG: Final = "chatai"
router = router_of(TAG)


def _render(made: Conversation) -> bytes:
    return encode_object(conversation_object(made, []))


@router.post("/conversation", summary="Create new conversation")
async def create(application: App, who: Caller, request: Request) -> Response:
    """Make an empty conversation; takes no body."""
    key = key_of(request.scope, await request.body(), _render)
    make = partial(application.conversations.create, who, [], metadata="{}", title=None, key=key)
    return raw_answer(await once(application, who, key, _render, make))


@router.post("/conversation/completion/{conversation_id}", summary="Chat on a conversation")
async def complete(
    application: App, who: Caller, request: Request, conversation_id: str, body: Completion
) -> Response:
    """Store a message, have it answered and return the assistant's message.

    With `stream` the words come as they are made: as plain text, or as events (`delta`, at the end
    `message` or `error`) if `Accept` names `text/event-stream`.
    """
    found = await application.conversations.get(who, conversation_id)
    begun = await begin(application, who, request, found.id, body.message)
    if not body.stream:
        return answer(reply_object(await reply_of(application, who, begun)))
    follower = await first_words(application, who, begun)
    as_events = "text/event-stream" in request.headers.get("accept", "")

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if as_events:
            await send_events(application, who, follower, _last, scope, receive, send)
        else:
            await send_text(application, who, follower, receive, send)

    return AsgiResponse(handle)


def _last(log: RunLog, run: Run) -> dict[str, Any]:
    """Return the whole message at the end of its stream."""
    said = [out for out in log.outputs if out.type == "message" and out.choice == 0]
    text = "".join(part.text for out in said for part in out.parts.values())
    created_us = run.ended_us or run.created_us
    return message_object(said[-1].id if said else run.id, "assistant", text, created_us)


@router.get("/conversation", summary="View previous conversations")
async def view(
    application: App, who: Caller, request: Request, limit: Newest = MOST, after: Before = None
) -> Response:
    """Return conversations with their messages, oldest first: the newest of either, up to a hundred."""
    page = await application.conversations.page(who, after=after, limit=limit, descending=True)
    shown = await still_there(_with_messages(application, who, one) for one in reversed(page.data))
    return listed(request, shown, "id", has_more=page.has_more)


async def _with_messages(application: Application, who: Principal, one: Conversation) -> dict[str, Any]:
    items = await application.conversations.items(
        who, uuid_text(one.id), branch_id=None, after=None, limit=MOST, descending=True
    )
    return conversation_object(one, messages_of(list(reversed(items.data))))


CHATAI: Final = Dialect(
    name="chatai",
    tag=TAG,
    description="ChatAI-API: create a conversation, chat on it, view previous ones.",
    router=router,
    shape=detail_only,
)
