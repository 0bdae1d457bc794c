"""Where a request comes from: its own page, a page that configuration names, or elsewhere."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from antiphon.api.http import NO_STORE, Message, Scope, Send, header

ALLOWED_METHODS: Final = b"GET, POST, PUT, PATCH, DELETE"
EXPOSED: Final = (
    b"x-request-id, retry-after, link, session-id,"
    b" x-ratelimit-limit-requests, x-ratelimit-remaining-requests,"
    b" x-ratelimit-reset-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens,"
    b" x-ratelimit-reset-tokens"
)
NAMES: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_, ")
MAX_AGE_SECONDS: Final = b"600"

Headers = list[tuple[bytes, bytes]]


def is_own(scope: Scope, allowed: frozenset[str]) -> bool:
    """Whether a request's `Origin` is this server itself or one of `allowed`; False if it has none."""
    origin = header(scope, b"origin")
    if origin is None or origin == "null":
        return False
    return origin in allowed or urlsplit(origin).netloc == header(scope, b"host")


def is_preflight(scope: Scope) -> bool:
    """Whether a browser only asks if it may ask."""
    return (
        scope["method"] == "OPTIONS"
        and header(scope, b"origin") is not None
        and header(scope, b"access-control-request-method") is not None
    )


def preflight_headers(scope: Scope) -> Headers:
    """Return what a page of an allowed origin may send: any method, any header it names."""
    asked = (header(scope, b"access-control-request-headers") or "").lower()
    found = [
        NO_STORE,
        (b"access-control-allow-methods", ALLOWED_METHODS),
        (b"access-control-max-age", MAX_AGE_SECONDS),
    ]
    if asked and len(asked) <= 1024 and NAMES.issuperset(asked):
        found.append((b"access-control-allow-headers", asked.encode()))
    return found


def sharing(scope: Scope, send: Send, allowed: frozenset[str]) -> Send:
    """Return a `send` that names the origin if it is allowed, and tells caches what the answer depends on."""
    origin = header(scope, b"origin")
    extra: Headers = [(b"vary", b"Origin")]
    if origin is not None and origin in allowed:
        extra += [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", EXPOSED),
        ]

    def sending(message: Message) -> object:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *extra]
        return send(message)  # itself a coroutine: a wrapper would cost every event of a stream

    return sending  # type: ignore[return-value]
