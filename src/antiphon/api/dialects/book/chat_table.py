"""`POST /chat`: fifteen chapters, one table. The first row that fits a body and its headers decides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Response

from antiphon.api.dialects.book import sessions
from antiphon.api.dialects.book.forms import SESSION_HEADER, fault, label_of, optional_text, told
from antiphon.api.dialects.book.speaking import Call, keep, message, newest, say
from antiphon.api.dialects.book.wire import messages_of, pairs
from antiphon.api.dialects.bounded import MOST
from antiphon.api.dialects.dialect import Asked, Claim
from antiphon.domain.chat_sessions import ChatSession, session_name

Row = tuple[str, Callable[[Asked], bool], Callable[[Asked], Awaitable[Response]]]
PATHS: Final = ("/chat", "/chat/")
FIELDS: Final = ("session_id", "user_input", "response", "message", "text", "user_id", "timestamp")
SAID: Final = ("message", "text", "user_input")
COOKIE_SECONDS: Final = 30 * 24 * 3600


def _call(asked: Asked) -> Call:
    return Call(asked.application, asked.who, asked.request)


def _has(*names: str) -> Callable[[Asked], bool]:
    return lambda asked: all(asked.fields.get(name) is not None for name in names)


def _text(asked: Asked, name: str) -> str:
    value = optional_text(asked.fields, name)
    if value is None:
        raise fault(name, "missing", "Field required")
    return value


def _require_texts(asked: Asked) -> None:
    """Raise RequestValidationError unless all there is are strings that say something."""
    for name in FIELDS:
        value = optional_text(asked.fields, name)
        if value == "" and name in SAID:
            raise fault(name, "string_too_short", "The text is empty")
    _label(asked)


async def _opened(asked: Asked, name: str | None) -> ChatSession:
    return await sessions.opened(asked.application, asked.who, name)


# --- the rows


async def _both_halves(asked: Asked) -> Response:
    session, at = await _opened(asked, _text(asked, "session_id")), optional_text(asked.fields, "timestamp")
    halves = [
        message(_text(asked, "user_input"), sent_at=at),
        message(_text(asked, "response"), role="assistant", sent_at=at),
    ]
    await keep(_call(asked), session, halves)
    return told(session, {"message": "Chat history saved successfully"}, status=201)


async def _input(asked: Asked) -> Response:
    session = await _opened(asked, _text(asked, "session_id"))
    at = optional_text(asked.fields, "timestamp")
    reply = await say(_call(asked), session, [message(_text(asked, "user_input"), sent_at=at)])
    body = {"message": "Chat history saved successfully", "response": reply.text}
    return told(session, body, status=201)


async def _message_in_session(asked: Asked) -> Response:
    call, session = _call(asked), await _opened(asked, _text(asked, "session_id"))
    reply = await say(call, session, [message(_text(asked, "message"), label=_label(asked))])
    history = pairs(messages_of(await newest(call, session, limit=MOST)))
    body = {"response": reply.text, "chat_history": history, "message": "Chat message created successfully"}
    return told(session, body)


def _label(asked: Asked) -> str | None:
    return label_of(optional_text(asked.fields, "user_id"))


def _names_session(asked: Asked) -> bool:
    named = asked.request.headers.get(SESSION_HEADER) or asked.fields.get("session_id")
    return _has("text")(asked) and named is not None


async def _text_in_session(asked: Asked) -> Response:
    name = asked.request.headers.get(SESSION_HEADER) or _text(asked, "session_id")
    session = await _opened(asked, name)
    reply = await say(_call(asked), session, [message(_text(asked, "text"), label=_label(asked))])
    return told(session, {"response": reply.text})


async def _text_of_user(asked: Asked) -> Response:
    session = await _opened(asked, sessions.DEFAULT)
    reply = await say(_call(asked), session, [message(_text(asked, "text"), label=_label(asked))])
    body = {"message": "Message created successfully", "response": reply.text}
    return told(session, body, status=201)


async def _text_alone(asked: Asked) -> Response:
    session = await _opened(asked, sessions.DEFAULT)
    reply = await say(_call(asked), session, [message(_text(asked, "text"))])
    return told(session, {"response": reply.text})


def _has_header(*names: str) -> Callable[[Asked], bool]:
    def fits(asked: Asked) -> bool:
        return _has("message")(asked) and any(asked.request.headers.get(name) for name in names)

    return fits


async def _message_of_user(asked: Asked) -> Response:
    label = label_of(asked.request.headers.get("user-id"), "User-ID")
    session = await sessions.made(asked.application, asked.who, label)
    reply = await say(_call(asked), session, [message(_text(asked, "message"), label=label)])
    return told(session, {"message": reply.text}, status=201)


async def _kept_message(asked: Asked) -> Response:
    headers = asked.request.headers
    session = await _opened(asked, session_name(headers.get("session_id")) or sessions.DEFAULT)
    label = label_of(headers.get("username"), "username")
    await keep(_call(asked), session, [message(_text(asked, "message"), label=label)])
    return told(session, {"message": "Chat message saved successfully"})


async def _message_with_token(asked: Asked) -> Response:
    session = await _opened(asked, sessions.DEFAULT)
    await keep(_call(asked), session, [message(_text(asked, "message"))])
    return told(session, {"message": "Chat created successfully"})


async def _message_alone(asked: Asked) -> Response:
    cookie = asked.request.cookies.get(sessions.COOKIE)
    found = await sessions.find(asked.application, asked.who, cookie) if cookie else None
    session = found or await sessions.made(asked.application, asked.who, None)
    reply = await say(_call(asked), session, [message(_text(asked, "message"))])
    response = told(session, {"message": "Message received!", "response": reply.text})
    if found is None:
        response.set_cookie(
            sessions.COOKIE, session.name, max_age=COOKIE_SECONDS, httponly=True, samesite="lax"
        )
    return response


async def _input_alone(asked: Asked) -> Response:
    first = message(_text(asked, "user_input"))
    session = await sessions.made(asked.application, asked.who, None)
    await keep(_call(asked), session, [first])
    return told(session, {})


async def _user_alone(asked: Asked) -> Response:
    session = await sessions.made(asked.application, asked.who, _label(asked))
    await sessions.becomes_current(asked.application, asked.who, session)
    return told(session, {"chat_session_id": session.name}, status=201)


def _is_empty(asked: Asked) -> bool:
    return not asked.fields


async def _nothing(asked: Asked) -> Response:
    session = await sessions.made(asked.application, asked.who, None)
    await sessions.becomes_current(asked.application, asked.who, session)
    return told(session, {})


ROWS: Final[tuple[Row, ...]] = (
    ("session_id, user_input and response: both are kept as given",
     _has("session_id", "user_input", "response"), _both_halves),
    ("session_id and user_input: answered in the session", _has("session_id", "user_input"), _input),
    ("session_id and message: answered in the session", _has("session_id", "message"), _message_in_session),
    ("text with a Session-ID header or session_id: answered in the session", _names_session,
     _text_in_session),
    ("text and user_id: answered in the caller's default session", _has("text", "user_id"), _text_of_user),
    ("text: answered in the caller's default session", _has("text"), _text_alone),
    ("message with a User-ID header: answered in a new session, found again as /chat/<User-ID>",
     _has_header("user-id"), _message_of_user),
    ("message with a username or session_id header: kept", _has_header("username", "session_id"),
     _kept_message),
    ("message with an Authorization header: kept in the default session; POST /chat/response answers",
     _has_header("authorization"), _message_with_token),
    ("message: answered in the session of the cookie, else a new one", _has("message"), _message_alone),
    ("user_input: the first message of a new session", _has("user_input"), _input_alone),
    ("user_id: a new session", _has("user_id"), _user_alone),
    ("nothing: a new session", _is_empty, _nothing),
)  # fmt: skip


def _checked(answer: Callable[[Asked], Awaitable[Response]]) -> Callable[[Asked], Awaitable[Response]]:
    async def respond(asked: Asked) -> Response:
        _require_texts(asked)
        return await answer(asked)

    return respond


CLAIMS: Final = tuple(
    Claim(
        operation=("POST", path), accepts=accepts, knows=frozenset(FIELDS), fits=fits, answer=_checked(answer)
    )
    for path in PATHS
    for accepts, fits, answer in ROWS
)
