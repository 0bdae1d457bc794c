"""Which session a call means: by its name, a label of its user, the default one, or the one used last.

All are looked up among what the caller may see; none of them grants anything.
"""

from __future__ import annotations

import contextlib
from typing import Final

from fastapi import Request

from antiphon.api.authentication import is_ours, shown
from antiphon.application import Application
from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.chat_sessions import ChatSession, session_name, uuid_of
from antiphon.domain.conversations import Conversation
from antiphon.domain.errors import NotFound

DEFAULT: Final = "session_id"
"""The session of calls that name none and belong together, as one chapter calls it literally."""

COOKIE: Final = "session"
USER: Final = "user"
CURRENT: Final = "current"


class UnknownSession(NotFound):
    """The caller has no session of that name."""

    def __init__(self) -> None:
        super().__init__(
            "Chat session not found. Create one with POST /chat, or use the session_id of an earlier answer."
        )


async def candidates(
    application: Application, who: Principal, name: str, *, latest: bool = False
) -> list[ChatSession]:
    """Return the sessions that a name may mean, first the one it does mean.

    A name is the client's own or a conversation's id; then a label of its user, which leads to the latest
    session opened under it. With `latest` the one of both that was used last comes first.
    """
    named = await _named(application, who, name)
    labelled = await _labelled(application, who, USER, name)
    found = [one for one in (named, labelled) if one is not None]
    if latest:
        found.sort(key=lambda one: one.conversation.updated_us, reverse=True)
    return found


async def find(application: Application, who: Principal, name: str) -> ChatSession | None:
    """Return the session that a name means, None if there is none."""
    named = await _named(application, who, name)
    return named if named is not None else await _labelled(application, who, USER, name)


async def _named(application: Application, who: Principal, name: str) -> ChatSession | None:
    named: ChatSession | None = None
    with contextlib.suppress(NotFound):
        named = await application.chat_sessions.get(who, name)
    identifier = ids.parse(name.strip(), ids.CONVERSATION)
    if named is not None and identifier in (None, named.conversation.id):
        return named
    # An id leads to what has it, also past a session that was called so before its caller was let in.
    try:
        shared = await application.conversations.get(who, name.strip())
    except NotFound:
        return named
    return ChatSession(uuid_of(shared.id), shared)


async def _labelled(application: Application, who: Principal, kind: str, label: str) -> ChatSession | None:
    target = await application.aliases.target(who, kind, label.strip())
    if target is None:
        return None
    try:
        return called(await application.conversations.get(who, ids.CONVERSATION + target))
    except NotFound:
        return None  # deleted since


def called(conversation: Conversation) -> ChatSession:
    """Return a conversation by its client's name for it, if it has one."""
    return ChatSession(conversation.external_key or uuid_of(conversation.id), conversation)


async def existing(
    application: Application, who: Principal, name: str, *, latest: bool = False
) -> ChatSession:
    """Return the session that a name means; raises NotFound."""
    found = await candidates(application, who, name, latest=latest)
    if not found:
        raise UnknownSession
    return found[0]


async def opened(application: Application, who: Principal, name: str | None) -> ChatSession:
    """Return the session of a name, made by its first message if there is none; a new one without a name.

    Raises NotFound for an id that is not theirs: a session that is called so would hide the one that has it.
    A UUID that is nobody's is a name like any other, since clients choose such.
    """
    wanted = session_name(name)
    found = await find(application, who, wanted) if wanted is not None else None
    if found is None and wanted is not None and await _is_foreign(application, wanted):
        raise UnknownSession
    if found is None:
        return await application.chat_sessions.open(who, wanted, ephemeral=False)
    await application.chat_sessions.renew(found)
    return found


async def _is_foreign(application: Application, name: str) -> bool:
    """Whether a name that leads its caller nowhere is an id of ours, or a UUID that is somebody's."""
    if name.startswith(ids.CONVERSATION) and ids.parse(name, ids.CONVERSATION) is not None:
        return True
    return await application.chat_sessions.is_somebodys(name)


async def made(application: Application, who: Principal, label: str | None) -> ChatSession:
    """Return a new session, which a label of its user leads to from now on."""
    session = await application.chat_sessions.open(who, None, ephemeral=False)
    if label is not None:
        await application.aliases.lead(who, USER, label, session.conversation.id)
    return session


async def becomes_current(application: Application, who: Principal, session: ChatSession) -> None:
    """Note that the caller uses this session now."""
    await application.aliases.lead(who, CURRENT, "", session.conversation.id)


async def current(application: Application, who: Principal, request: Request) -> ChatSession | None:
    """Return the session in the cookie, else the one that the caller used last here."""
    cookie = request.cookies.get(COOKIE)
    found = await find(application, who, cookie) if cookie else None
    return found or await _labelled(application, who, CURRENT, "")


def named_by_bearer(request: Request) -> str | None:
    """Return a bearer value that is no credential of ours: an open server's client names a session so."""
    if "authorization" not in request.headers:
        return None
    bearer, _ = shown(request.scope)
    return bearer if bearer and not is_ours(bearer) else None
