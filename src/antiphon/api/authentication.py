"""From a request's credential to a Principal.

A credential comes as a bearer token, in `x-api-key`, or as a browser's cookie; never in the URL.
Open on loopback, everybody without one is the local owner, whatever key an SDK makes up; what
looks like a credential of ours is verified there too, and refused if it is bad.
"""

from __future__ import annotations

import time
from typing import Final

from antiphon.api.http import Receive, Scope, header, read_body
from antiphon.api.origins import is_own
from antiphon.application import Application
from antiphon.domain.accounts import KEY_PREFIX, READ, SCOPES, WRITE, Principal
from antiphon.domain.errors import Forbidden
from antiphon.services.tokens import refused

COOKIE: Final = "__Host-antiphon"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
ADMIN_PATH: Final = "/v1/admin"

UNWATCHED_SECONDS: Final = 1.0
"""A body that took longer may have outlived its credential, which is looked at again."""


async def principal_of(application: Application, scope: Scope) -> Principal:
    """Return who asks, if the credential allows the request.

    Raises Unauthenticated with one message for every kind of bad credential, and Forbidden for a
    good one that may not do this.
    """
    key, cookie = shown(scope)
    if key is not None and (application.policy.needs_credentials or is_ours(key)):
        who = application.credentials.find(key) or await application.credentials.authenticate(key)
    elif key is None and cookie is not None:
        _require_own_page(application, scope)
        who = await application.credentials.authenticate(cookie, cookie=True)
    elif application.policy.needs_credentials:
        raise refused()
    else:
        who = application.local.principal
    permit(who, scope)
    return who


async def caller_and_body(
    application: Application, scope: Scope, receive: Receive, limit: int
) -> tuple[Principal, bytes]:
    """Return who asks, and the body of at most `limit` bytes, of which a stranger's is not read.

    Raises what `principal_of` and `read_body` do, Unauthenticated also for a credential that
    ended while a slow body arrived.
    """
    who = await principal_of(application, scope)
    began = time.monotonic()
    body = await read_body(scope, receive, limit)
    if time.monotonic() - began > UNWATCHED_SECONDS:
        who = await principal_of(application, scope)
    return who, body


def shown(scope: Scope) -> tuple[str | None, str | None]:
    """Return the key or token of a request's headers, and its cookie's; the first of each that there is."""
    bearer = key = cookie = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if bearer is None and value[:7].lower() == b"bearer ":
                bearer = value[7:].decode("latin-1")
        elif name == b"x-api-key":
            key = key or value.decode("latin-1")
        elif name == b"cookie":
            cookie = cookie or _cookie(value.decode("latin-1"))
    return bearer if bearer is not None else key, cookie


def is_ours(token: str) -> bool:
    """Whether a token has the form of those that this server gives out."""
    return token.startswith(KEY_PREFIX) or token.count(".") == 2


def permit(who: Principal, scope: Scope) -> None:
    """Raise Forbidden unless the caller's credential is good for the method and the path."""
    if who.scopes is not SCOPES:
        safe = scope["type"] == "http" and scope["method"] in SAFE_METHODS
        needed = READ if safe else WRITE
        if needed not in who.scopes:
            raise Forbidden(f"This key has no scope '{needed}'.", code="insufficient_scope")
    path: str = scope["path"]
    if path.startswith(ADMIN_PATH) and path[len(ADMIN_PATH) :][:1] in ("", "/") and not who.is_admin:
        raise Forbidden("This is for administrators.", code="insufficient_scope")


def _require_own_page(application: Application, scope: Scope) -> None:
    """A browser sends its cookie whoever asks it to: what changes something must come from our page."""
    if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
        return
    if is_own(scope, application.policy.cors_origins):
        return
    site = header(scope, b"sec-fetch-site")
    if scope["type"] == "http" and header(scope, b"origin") is None and site == "same-origin":
        return
    raise Forbidden("With a cookie, requests come from this server's own pages only.", code="csrf")


def _cookie(text: str) -> str | None:
    for part in text.split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return None
