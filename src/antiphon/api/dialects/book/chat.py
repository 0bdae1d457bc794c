"""`/chat`, `/chat/{session_id}` and what lies below: histories, messages to a session, edits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import Request, Response

from antiphon.api.dependencies import App, Caller
from antiphon.api.dialects.book import sessions, wire
from antiphon.api.dialects.book.documented import asks
from antiphon.api.dialects.book.forms import (
    TAG,
    both_keys,
    label_of,
    optional_text,
    text_field,
    text_of,
    told,
)
from antiphon.api.dialects.book.reading import Body, bounds, history, history_or_nothing, link_to
from antiphon.api.dialects.book.speaking import Call, acknowledged, message, newest, say, say_again
from antiphon.api.dialects.dialect import router_of
from antiphon.api.dialects.fields import fields_of
from antiphon.api.v1.pages import answer
from antiphon.domain import ids
from antiphon.domain.chat_sessions import ChatSession
from antiphon.domain.errors import InvalidRequest, NotFound
from antiphon.domain.items import Item

router = router_of(TAG, both_keys)

SENT: Final = "Message sent successfully"
HELLO: Final = {"message": "Hello, how are you?"}


@router.get("/chat/", summary="Recent messages, or a session's history")
@router.get("/chat", summary="Recent messages, or a session's history")
async def recent(application: App, who: Caller, request: Request) -> Response:
    """Return the caller's newest hundred messages over all sessions, or with `session_id` that session's.

    `messages` has every message, `chat_history` questions with their answers; oldest first.
    """
    call, name = Call(application, who, request), request.query_params.get("session_id")
    return await _newest(call, ("named", name), name, _recent_object)


async def _newest(call: Call, key: tuple[Any, ...], name: str | None, body: Body) -> Response:
    """Return the newest messages of a session, of all where none is named."""
    if name is None:
        limit, after = bounds(call)
        before = _item_id(after) if after is not None else None
        found = await call.application.recent.messages(call.who, limit=limit + 1, before=before)
        shown = wire.messages_of(one.item for one in reversed(found[:limit]))
        headers = link_to(call, shown[0].id, limit) if len(found) > limit and shown else {}
        return answer(body(shown, None), headers=headers)

    async def find() -> list[ChatSession]:
        return await sessions.candidates(call.application, call.who, name)

    return await history_or_nothing(call, key, find, body)


def _item_id(cursor: str) -> str:
    found = ids.parse_item(cursor)
    if found is None:
        raise InvalidRequest(f"Invalid cursor '{cursor}'.", code="invalid_cursor", param="after")
    return found


def _recent_object(messages: Sequence[wire.Message], session: ChatSession | None) -> dict[str, Any]:
    return {
        "chat_history": wire.pairs(messages),
        "messages": [wire.post(one) for one in messages],
        **({"session_id": session.name} if session is not None else {}),
    }


@router.get("/chat_history", summary="Recent texts")
async def chat_history(application: App, who: Caller, request: Request) -> Response:
    """Return the texts of the caller's newest hundred messages; `session_id`, a header, names one session."""
    call, name = Call(application, who, request), request.headers.get("session_id") or None
    name = name or request.query_params.get("session_id")
    return await _newest(call, ("header", name), name, _texts_object)


def _texts_object(messages: Sequence[wire.Message], session: ChatSession | None) -> dict[str, Any]:
    return {"chat_history": wire.texts(messages)}


@router.get("/chat/history", summary="The current session's history")
async def current_history(application: App, who: Caller, request: Request) -> Response:
    """Return questions with their answers of the session in the cookie, else the one used last.

    On an open server the bearer value may be a session's id.
    """
    call = Call(application, who, request)
    bearer = None if application.policy.needs_credentials else sessions.named_by_bearer(request)
    name = request.headers.get("session-id") or request.query_params.get("session_id") or bearer

    async def find() -> list[ChatSession]:
        found = await sessions.candidates(application, who, name) if name else []
        if found or (name is not None and name != bearer):
            return found
        current = await sessions.current(application, who, request)
        return [current] if current is not None else []

    return await history_or_nothing(call, ("current", name, request.cookies.get("session")), find, _pairs)


def _pairs(messages: Sequence[wire.Message], session: ChatSession | None) -> list[dict[str, Any]]:
    return wire.pairs(messages, "message")


@router.get("/chat/history/{chat_session}", summary="A session's texts")
async def texts_of_session(application: App, who: Caller, request: Request, chat_session: str) -> Response:
    """Return the texts of a session's newest hundred messages, oldest first."""
    return await history(Call(application, who, request), chat_session, _texts_object)


@router.post(
    "/chat/response", summary="Answer in the default session", openapi_extra=asks({"message": "How are you?"})
)
async def respond(application: App, who: Caller, request: Request) -> Response:
    """Have a message answered with everything in mind that the caller has kept in the default session."""
    said = message(await text_field(request, "message"))
    session = await sessions.opened(application, who, sessions.DEFAULT)
    reply = await say(Call(application, who, request), session, [said])
    return told(session, {"response": reply.text})


@router.get("/chat/{chat_session}", summary="A session, or a message")
async def one(application: App, who: Caller, request: Request, chat_session: str) -> Response:
    """Return a session with its newest hundred messages; a message's id leads to that message.

    `history` has messages with their times, `chat_history` texts, `chats` one document each.
    """
    call = Call(application, who, request)
    try:
        return await history(call, chat_session, _session_object, latest=True)
    except sessions.UnknownSession as unknown:
        try:
            conversation, item = await application.conversations.find_item(who, chat_session)
        except NotFound:
            raise unknown from None
        return told(sessions.called(conversation), wire.entry(wire.message_of(item)))


def _session_object(messages: Sequence[wire.Message], session: ChatSession | None) -> dict[str, Any]:
    if session is None:
        return {}
    return wire.session_object(messages, session.name, session.conversation.created_us)


@router.post(
    "/chat/{chat_session}", summary="Say something in a session",
    openapi_extra=asks({"message": "Hello, how are you?"}, {"user_input": "What's the weather like today?"}),
)  # fmt: skip
async def speak(application: App, who: Caller, request: Request, chat_session: str) -> Response:
    """Have a message answered: `user_input` returns the history, `message` an acknowledgement and the answer.

    A session that does not exist yet begins with its first message.
    """
    fields = await fields_of(request)
    typed = optional_text(fields, "user_input")
    if typed is not None:
        said = message(typed, field="user_input")
    else:
        said = message(await text_field(request, "message"))
    call = Call(application, who, request)
    session = await sessions.opened(application, who, chat_session)
    if typed is None:
        reply = await acknowledged(say(call, session, [said]))
        return told(session, {"message": SENT, **reply.fields()})
    await say(call, session, [said])
    shown = wire.messages_of(await newest(call, session, limit=100))
    return told(session, {"chat_history": wire.turns(shown)})


@router.put(
    "/chat/{chat_session}", summary="Change the last message",
    openapi_extra=asks({"message": "Hello, again!"}),
)  # fmt: skip
async def change(application: App, who: Caller, request: Request, chat_session: str) -> Response:
    """Put another message in the place of the user's last one and answer it; the earlier one stays beside.

    It is said by the same participant, unless `user_id` names another.
    """
    fields = await fields_of(request)
    text, label = text_of(fields, "message"), label_of(optional_text(fields, "user_id"))
    message(text)
    call = Call(application, who, request)
    session = await sessions.existing(application, who, chat_session, latest=True)
    last = _last_said(await newest(call, session, limit=100))
    if last is None:
        raise NotFound("Nothing has been said in this session yet; POST a message first.")
    said = message(text, label=label or wire.message_of(last).user_id)
    reply = await say_again(call, session, last, said)
    return told(session, {"message": reply.text})


def _last_said(items: Sequence[Item]) -> Item | None:
    said = [item for item in items if item.type == "message" and item.role == "user"]
    return said[-1] if said else None


@router.post(
    "/chat/{chat_session}/message", summary="Send a message", openapi_extra=asks({"message": "Hello, world!"})
)
async def send(application: App, who: Caller, request: Request, chat_session: str) -> Response:
    """Have a message answered in a session that exists; the answer is in `response`."""
    said = message(await text_field(request, "message"))
    session = await sessions.existing(application, who, chat_session)
    reply = await acknowledged(say(Call(application, who, request), session, [said]))
    return told(session, {"message": SENT, **reply.fields()})


@router.get("/chat/{chat_session}/history", summary="A session's messages")
async def messages_of_session(application: App, who: Caller, request: Request, chat_session: str) -> Response:
    """Return a session's newest hundred messages with their times, oldest first."""
    return await history(Call(application, who, request), chat_session, _entries)


def _entries(messages: Sequence[wire.Message], session: ChatSession | None) -> list[dict[str, Any]]:
    return [wire.entry(one) for one in messages]
