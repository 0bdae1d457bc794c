"""Sessions of several people, and those of the chapters that start one first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from fastapi import Request, Response
from pydantic import BaseModel, Field, StrictStr

from antiphon.api.dependencies import App, Caller
from antiphon.api.dialects.book import sessions, wire
from antiphon.api.dialects.book.documented import MADE, asks, takes
from antiphon.api.dialects.book.forms import (
    TAG,
    both_keys,
    fault,
    label_of,
    optional_text,
    text_field,
    text_of,
    told,
)
from antiphon.api.dialects.book.lists import read_list
from antiphon.api.dialects.book.reading import history, history_or_nothing
from antiphon.api.dialects.book.speaking import Call, answer_to, keep, message, say
from antiphon.api.dialects.dialect import router_of
from antiphon.api.dialects.fields import fields_of
from antiphon.api.dialects.forms import uuid_text
from antiphon.domain.chat_sessions import ChatSession
from antiphon.domain.errors import NotFound
from antiphon.domain.items import MAX_LABEL

router = router_of(TAG, both_keys)

MAX_USERS: Final = 100
Label = Annotated[StrictStr, Field(min_length=1, max_length=MAX_LABEL)]


class User(BaseModel):
    """Somebody who takes part, as the client knows them; no account of this server."""

    id: Label
    username: Label
    email: Label | None = None


@router.post(
    "/sessions/", summary="Start a session", responses=MADE,
    openapi_extra=asks(
        {"users": [{"id": "user1", "username": "John"}, {"id": "user2", "username": "Jane"}]},
        [{"id": "user1", "username": "John", "email": "john@example.com"}],
        {"user_id": "user123"},
    ),
)  # fmt: skip
async def start(application: App, who: Caller, request: Request) -> Response:
    """Make a session of several people (201, `users` or a bare list), or of one (200, `user_id`).

    The people are labels. Who has an account of their own is let in with `/v1/conversations/{id}/members`.
    """
    given = await _users_given(request)
    if given is None:
        label = label_of(await text_field(request, "user_id"))
        session = await sessions.made(application, who, label)
        await sessions.becomes_current(application, who, session)
        return told(session, {"id": session.name})
    users = [one.model_dump(exclude_none=True) for one in read_list(given, User, MAX_USERS, "users")]
    metadata = msgspec.json.encode({"users": msgspec.json.encode(users).decode()}).decode()
    conversation = await application.conversations.create(who, [], metadata=metadata, title=None, key=None)
    session = sessions.called(conversation)
    await sessions.becomes_current(application, who, session)
    return told(session, {"id": session.name, "users": users}, status=201)


async def _users_given(request: Request) -> Any:
    """Return the list of people in a body, None if it has none."""
    if not (await request.body()).strip():
        return None
    body = await request.json()
    return body.get("users") if isinstance(body, dict) else body


@router.post(
    "/sessions/{chat_session}/messages/", summary="Send a message to a session", responses=MADE,
    openapi_extra=asks({"text": "Hello, how are you?", "user_id": "user1"}, {"message": "Hello!"}),
)  # fmt: skip
async def send(application: App, who: Caller, request: Request, chat_session: str) -> Response:
    """Keep a message and show it to everybody who follows the session; nobody answers it."""
    fields = await fields_of(request)
    call = Call(application, who, request)
    text = optional_text(fields, "text")
    if text is None:
        said = message(text_of(fields, "message"))
        session = await sessions.opened(application, who, chat_session)
        await keep(call, session, [said])
        return told(session, {"message": "Message received"})
    label = label_of(optional_text(fields, "user_id"))
    said = message(text, label=label, field="text")
    session = await sessions.opened(application, who, chat_session)
    (kept,) = await keep(call, session, [said])
    return told(session, wire.post(wire.message_of(kept)), status=201)


@router.get("/sessions/{chat_session}/messages/", summary="A session's messages")
async def messages(application: App, who: Caller, request: Request, chat_session: str) -> Response:
    """Return a session's newest hundred messages, oldest first."""
    return await history(Call(application, who, request), chat_session, _posts)


def _posts(messages: Sequence[wire.Message], session: ChatSession | None) -> list[dict[str, Any]]:
    return [wire.post(one) for one in messages]


@router.post(
    "/sessions/{chat_session}/responses/", summary="Have the model respond",
    openapi_extra=asks({"message_id": "0199a1b2-…", "user_id": "user1"}, {"prompt": "I am sad today"}),
)  # fmt: skip
async def respond(application: App, who: Caller, request: Request, chat_session: str) -> Response:
    """Answer a message of the session, named by its id, or a new one (`prompt`)."""
    fields = await fields_of(request)
    call = Call(application, who, request)
    message_id = optional_text(fields, "message_id")
    if message_id is None:
        label = label_of(optional_text(fields, "user_id"))
        said = message(text_of(fields, "prompt"), label=label, field="prompt")
        session = await sessions.opened(application, who, chat_session)
        reply = await say(call, session, [said])
        return told(session, {"response": reply.text})
    label_of(optional_text(fields, "user_id"))
    session = await sessions.existing(application, who, chat_session)
    try:
        reply = await answer_to(call, session, message_id)
    except NotFound:
        raise NotFound(
            "Message not found in this session. Use the id that POST …/messages/ returned."
        ) from None
    return told(session, {"response": reply.text, "message_id": message_id, "id": uuid_text(reply.id)})


@router.get("/sessions/{chat_session}/history/", summary="A session's history as one text")
async def as_text(application: App, who: Caller, request: Request, chat_session: str) -> Response:
    """Return the newest hundred messages as one string, each followed by a line break."""
    return await history(Call(application, who, request), chat_session, _one_text)


def _one_text(messages: Sequence[wire.Message], session: ChatSession | None) -> dict[str, Any]:
    return {"conversation_history": "".join(f"{one.text}\n" for one in messages)}


# --- a session that is started first


@router.post("/start_session", summary="Start a session", openapi_extra=asks({"user_id": "user123"}))
async def start_session(application: App, who: Caller, request: Request) -> Response:
    """Make a session of a user, whose label leads to it from now on."""
    label = label_of(await text_field(request, "user_id"))
    if label is None:
        raise fault("user_id", "string_too_short", "The text is empty")
    session = await sessions.made(application, who, label)
    await sessions.becomes_current(application, who, session)
    return told(session, {})


@router.post(
    "/send_message", summary="Keep a message",
    openapi_extra=asks({"session_id": "session123", "message": "Hello, world!"}),
)  # fmt: skip
async def send_message(application: App, who: Caller, request: Request) -> Response:
    """Keep a message in a session, which begins with it if it does not exist yet."""
    fields = await fields_of(request)
    name, said = text_of(fields, "session_id"), message(text_of(fields, "message"))
    session = await sessions.opened(application, who, name)
    await keep(Call(application, who, request), session, [said])
    return told(session, {"message": "Message sent successfully!"})


@router.get("/get_chat_history", summary="A session's texts", openapi_extra=takes("session_id", "session123"))
async def get_chat_history(application: App, who: Caller, request: Request) -> Response:
    """Return the texts of a session's newest hundred messages; of an unknown one none."""
    name = await text_field(request, "session_id")

    async def find() -> list[ChatSession]:
        return await sessions.candidates(application, who, name)

    return await history_or_nothing(Call(application, who, request), ("got", name), find, _texts)


def _texts(messages: Sequence[wire.Message], session: ChatSession | None) -> dict[str, Any]:
    return {"chat_history": wire.texts(messages)}
