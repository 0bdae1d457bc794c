"""The cache of answers on the wire: `Cache-Control` in requests, `x-antiphon-cache` in answers."""

from __future__ import annotations

import msgspec

from antiphon.api.http import Scope
from antiphon.application import Application
from antiphon.services.response_cache import CacheUse
from antiphon.services.turn_plans import TurnRequest
from antiphon.services.turns import Begun

Headers = list[tuple[bytes, bytes]]


def with_cache_use(application: Application, scope: Scope, request: TurnRequest) -> TurnRequest:
    """Return the turn with what its caller allows the cache; as it is where there is none."""
    if application.turns.cache_in_use is None:
        return request
    use = cache_use(scope)
    return request if use == "use" else msgspec.structs.replace(request, cache=use)


def cache_use(scope: Scope) -> CacheUse:
    """Return what `Cache-Control` allows: `no-store` nothing at all, `no-cache` to keep the new answer.

    Browsers send `no-cache` with every WebSocket, so there it means nothing.
    """
    said = [value for name, value in scope["headers"] if name == b"cache-control"]
    directives = {part.strip().lower() for value in said for part in value.split(b",")}
    if b"no-store" in directives:
        return "off"
    return "refresh" if b"no-cache" in directives and scope["type"] == "http" else "use"


def cache_header(begun: Begun) -> Headers:
    """Return the header that tells whether an answer is from the cache; none where there is no cache."""
    memo = begun.live.memo if begun.live is not None else None
    return [(b"x-antiphon-cache", b"hit" if memo.hit else b"miss")] if memo is not None else []
