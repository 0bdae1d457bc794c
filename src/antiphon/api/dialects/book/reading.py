"""Reading a session's history: kept for a minute while nothing changes, the newest hundred, oldest first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from fastapi import Response

from antiphon.api.dialects.book import sessions
from antiphon.api.dialects.book.forms import SESSION_HEADER, header_text
from antiphon.api.dialects.book.speaking import Call, newest
from antiphon.api.dialects.book.wire import Message, messages_of
from antiphon.api.dialects.bounded import MOST
from antiphon.api.v1.pages import raw_answer
from antiphon.api.v1.wire_json import encode_object
from antiphon.domain.chat_sessions import ChatSession
from antiphon.domain.errors import InvalidRequest
from antiphon.services.readings import Reading, told_of

Body = Callable[[Sequence[Message], ChatSession | None], Any]
Find = Callable[[], Awaitable[list[ChatSession]]]
"""Returns the sessions that a call may mean, first the one it does: a change of any may change the answer."""

MAX_DIGITS: Final = 3


def bounds(call: Call) -> tuple[int, str | None]:
    """Return how many messages are wanted, 1 to 100, and before which one; raises InvalidRequest."""
    query = call.request.query_params
    text = query.get("limit", str(MOST))
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS and 1 <= int(text) <= MOST):
        raise InvalidRequest(f"'limit' is a number from 1 to {MOST}.", code="invalid_value", param="limit")
    return int(text), query.get("after")


def link_to(call: Call, after: str, limit: int, session: str | None = None) -> dict[str, str]:
    """Return the header that leads to what is older than the entries up to `after`.

    It names the session too, which a body, a cookie or a header may have named.
    """
    named = {"session_id": session} if session is not None else {}
    query = urlencode({**call.request.query_params, **named, "limit": limit, "after": after})
    return {"link": f'<{call.request.url.path}?{query}>; rel="next"'}


async def history(call: Call, name: str, body: Body, *, latest: bool = False) -> Response:
    """Return a session's history in a chapter's shape; raises NotFound."""

    async def find() -> list[ChatSession]:
        found = await sessions.candidates(call.application, call.who, name, latest=latest)
        if not found:
            raise sessions.UnknownSession
        return found

    return await _read(call, ("session", name, latest), find, body)


async def history_or_nothing(call: Call, key: tuple[Any, ...], find: Find, body: Body) -> Response:
    """Return the same where an unknown session has an empty history."""
    return await _read(call, key, find, body)


async def _read(call: Call, key: tuple[Any, ...], find: Find, body: Body) -> Response:
    limit, before = bounds(call)
    path = call.request.url.path

    async def load() -> Reading:
        found = await find()
        session = found[0] if found else None
        items = await newest(call, session, limit=limit + 1, before=before) if session is not None else []
        shown = messages_of(items[-limit:])
        rendered = encode_object(body(shown, session))
        headers = {SESSION_HEADER.lower(): header_text(session.name)} if session is not None else {}
        if len(items) > limit and shown:
            named = session.name if session is not None and not call.request.path_params else None
            headers |= link_to(call, shown[0].id, limit, named)
        if session is None:
            return Reading(rendered, (), head=msgspec.json.encode(headers))
        of = told_of(call.who.actor_id, [one.conversation.id for one in found])
        return Reading(rendered, of, session.conversation.expires_us, msgspec.json.encode(headers))

    whole = (call.who.actor_id, *key, path, limit, before, body.__qualname__, call.request.url.query)
    reading = await call.application.readings.read(whole, load)
    return raw_answer(reading.body, headers=msgspec.json.decode(reading.head, type=dict[str, str]))
