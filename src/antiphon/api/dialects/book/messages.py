"""Messages and conversations with numbers for ids, as the chapters on requirements and design have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import Request, Response
from pydantic import BaseModel, StrictStr

from antiphon.api.dependencies import App, Caller
from antiphon.api.dialects.book import sessions, wire
from antiphon.api.dialects.book.documented import asks
from antiphon.api.dialects.book.forms import TAG, both_keys, fault, label_of, optional_text, text_of, told
from antiphon.api.dialects.book.lists import read_list
from antiphon.api.dialects.book.reading import bounds, link_to
from antiphon.api.dialects.book.speaking import Call, conversation_of, keep, message, newest, say
from antiphon.api.dialects.bounded import MOST, still_there
from antiphon.api.dialects.dialect import router_of
from antiphon.api.dialects.fields import fields_of
from antiphon.api.dialects.forms import uuid_text
from antiphon.api.v1.pages import answer
from antiphon.application import Application
from antiphon.domain import ids
from antiphon.domain.accounts import USER, Principal
from antiphon.domain.chat_sessions import ChatSession
from antiphon.domain.conversations import Conversation
from antiphon.services.conversations import MAX_ITEMS_PER_POST

router = router_of(TAG, both_keys)

MAX_SAVED: Final = 2_000
"""Messages of one conversation that is saved at once."""
SAID_AT: Final = "2023-02-20 14:30:00"
CONVERSATIONS: Final = "conversation"


class Line(BaseModel):
    """A message as it was said somewhere, with the time it was said."""

    text: StrictStr
    timestamp: StrictStr | None = None


@router.post(
    "/messages/", summary="Say something",
    openapi_extra=asks({"text": "Hello, world!", "user_id": 1}, {"text": "Hello", "timestamp": SAID_AT}),
)  # fmt: skip
async def post(application: App, who: Caller, request: Request) -> Response:
    """With a `user_id`, a number, the model answers in the default session; without one the text is kept."""
    fields = await fields_of(request)
    text, call = text_of(fields, "text"), Call(application, who, request)
    if fields.get("user_id") is None:
        said = message(text, sent_at=optional_text(fields, "timestamp"), field="text")
        session = await sessions.opened(application, who, sessions.DEFAULT)
        await keep(call, session, [said])
        return told(session, {"message": "Message sent successfully"})
    user = _number(fields["user_id"])
    said = message(text, label=label_of(user), field="text")
    session = await sessions.opened(application, who, sessions.DEFAULT)
    reply = await say(call, session, [said])
    item = await application.conversations.item(who, conversation_of(session), f"msg_{reply.id}")
    return told(session, {"id": item.depth + 1, "text": reply.text, "user_id": user})


def _number(value: Any) -> int:
    """Return a number, also from a query; raises RequestValidationError."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15:
        return value
    found = wire.number_of(value) if isinstance(value, str) else None
    if found is None:
        raise fault("user_id", "int_type", "Input should be a valid integer")
    return found


@router.get("/messages/", summary="Messages of the default session")
async def messages(application: App, who: Caller, request: Request) -> Response:
    """Return the newest hundred messages of the caller's default session, numbered, oldest first."""
    call = Call(application, who, request)
    session = await sessions.find(application, who, sessions.DEFAULT)
    if session is None:
        return answer([])
    limit, before = bounds(call)
    items = await newest(call, session, limit=limit + 1, before=before)
    shown = wire.messages_of(items[-limit:])
    earlier = await _up_to_question(call, session, shown)
    said = earlier + shown
    authors = list(dict.fromkeys(one.author for one in said if one.author is not None))
    known = await application.aliases.numbers(who, "user", [one.removeprefix(USER) for one in authors])
    headers = link_to(call, shown[0].id, limit) if len(items) > limit and shown else {}
    counted = wire.counted(said, {USER + author: number for author, number in known.items()})
    return answer(counted[len(earlier) :], headers=headers)


async def _up_to_question(
    call: Call, session: ChatSession, shown: Sequence[wire.Message]
) -> list[wire.Message]:
    """Return what was said before an answer that comes first, from its question on; nothing before others."""
    if not shown or shown[0].role == "user":
        return []
    said = wire.messages_of(await newest(call, session, limit=MOST, before=shown[0].id))
    asked = next((at for at in range(len(said) - 1, -1, -1) if said[at].role == "user"), len(said))
    return said[asked:]


@router.get("/conversations", summary="Conversations")
async def conversations(application: App, who: Caller, request: Request) -> Response:
    """Return the caller's newest conversations, oldest first, each with a number and its newest messages."""
    call = Call(application, who, request)
    limit, after = bounds(call)
    page = await application.conversations.page(who, after=after, limit=limit, descending=True)
    found = list(reversed(page.data))
    numbers = await application.aliases.numbers(who, CONVERSATIONS, [one.id for one in found])
    shown = await still_there(_shown(application, who, one, numbers[one.id]) for one in found)
    headers = link_to(call, uuid_text(shown[0][0]), limit) if page.has_more and shown else {}
    return answer([body for _, body in shown], headers=headers)


async def _shown(
    application: Application, who: Principal, one: Conversation, number: int
) -> tuple[str, dict[str, Any]]:
    page = await application.conversations.items(
        who, ids.CONVERSATION + one.id, branch_id=None, after=None, limit=100, descending=True
    )
    messages = wire.dated(wire.messages_of(reversed(page.data)))
    return one.id, {"id": number, "messages": messages, "session_id": sessions.called(one).name}


@router.post(
    "/save_conversation", summary="Save a conversation",
    openapi_extra=asks([{"text": "Hello", "timestamp": SAID_AT}]),
)  # fmt: skip
async def save(application: App, who: Caller, request: Request) -> Response:
    """Make a conversation of messages that were said before; their times stay as they are."""
    given = await request.json() if (await request.body()).strip() else None
    if isinstance(given, dict):
        given = given.get("conversation")
    lines = read_list(given, Line, MAX_SAVED, "conversation")
    said = [message(one.text, sent_at=one.timestamp, field="text") for one in lines]
    first, rest = said[:MAX_ITEMS_PER_POST], said[MAX_ITEMS_PER_POST:]
    made = await application.conversations.create(who, first, metadata="{}", title=None, key=None)
    session = sessions.called(made)
    for start in range(0, len(rest), MAX_ITEMS_PER_POST):
        part = rest[start : start + MAX_ITEMS_PER_POST]
        await application.conversations.add_items(who, conversation_of(session), part)
    await sessions.becomes_current(application, who, session)
    return told(session, {"message": "Conversation saved successfully"})
