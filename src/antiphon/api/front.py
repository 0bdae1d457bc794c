"""The outermost ASGI application: guards, and the short way for the two hot routes.

On loopback without credentials the browser is the attacker's way in, so Host, Origin and
Sec-Fetch-Site are checked before anything is routed (DNS rebinding, cross-site requests).
A WebSocket's Origin is checked on every server, since browsers let any page open one. Pages of
the origins that configuration names may call from elsewhere (CORS).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial

from antiphon.api.authentication import SAFE_METHODS
from antiphon.api.head_requests import head_only
from antiphon.api.http import (
    ClientGone,
    Handler,
    Message,
    Receive,
    Scope,
    Send,
    client_of,
    header,
    name_request,
    new_request_id,
    request_id_of,
    send_error,
)
from antiphon.api.origins import is_own, is_preflight, preflight_headers, sharing
from antiphon.application import Application
from antiphon.domain.errors import Forbidden

METHODS = SAFE_METHODS | {"POST", "PUT", "PATCH", "DELETE"}
UNKNOWN_ROUTE = "unknown"
WATCHED = frozenset({"/metrics", "/health", "/health/live", "/health/ready"})
"""What machines ask that know a server by its address alone."""
NAMED = "/v1/"
"""Where every answer has an `x-request-id`."""
FOREIGN = "Requests from other origins are not served; the setting CORS_ORIGINS names those that are."
CLIENT_GONE = 499
"""What is counted for a client that left before it had all of an answer; nginx's number for it."""


class Front:
    """Checks where a request comes from and dispatches it.

    `hot` maps (method, path) to handlers that skip the framework's routing; everything else,
    and every scope that is not HTTP or WebSocket, goes to `inner`, its path as `respell` writes it.
    `refusing` returns what tells of a refusal where that is told in another shape than OpenAI's.
    """

    def __init__(
        self, inner: Handler, hot: Mapping[tuple[str, str], Handler], respell: Callable[[str], str],
        refusing: Callable[[Scope, Exception], Handler | None],
    ) -> None:  # fmt: skip
        self._inner = inner
        self._hot = hot
        self._respell = respell
        self._refusing = refusing
        self.application: Application | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        application = self.application
        shared = application.policy.cors_origins if application is not None else None
        if shared and scope["type"] == "http":
            send = sharing(scope, send, shared)
        try:
            self._guard(scope)
            if scope["type"] == "http" and is_preflight(scope):
                _require_leave(scope, shared or frozenset())
                await _answer_preflight(scope, send)
                return
        except Forbidden as error:
            refusing = self._refusing(scope, error) if scope["type"] == "http" else None
            await (refusing(scope, receive, send) if refusing else _refuse(scope, receive, send, error))
            return
        if scope["type"] != "http":
            scope["path"] = self._respell(scope["path"])
            await self._inner(scope, receive, send)
            return
        handler = self._hot.get((scope["method"], scope["path"]))
        if handler is None:
            await self._serve_counted(scope, receive, send)
            return
        status, method, path, client = 200, scope["method"], scope["path"], client_of(scope)
        answering = handler(scope, receive, send)
        del scope  # a stream may stay open for long, and thousands beside it
        try:
            await answering
        except ClientGone:
            status = CLIENT_GONE
        except Exception as error:
            with contextlib.suppress(RuntimeError):  # the answer has begun: it can only break off
                status = await send_error(send, error, new_request_id())
        finally:
            gone = client is not None and client.disconnected
            self._count(method, path, CLIENT_GONE if gone else status)

    async def _serve_counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Leave a request to the framework, and count what it answered."""
        status, method, inner = CLIENT_GONE, scope["method"], self._inner
        if method == "HEAD":
            inner = partial(head_only, inner)
        scope["path"] = self._respell(scope["path"])

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if scope["path"].startswith(NAMED):
                    name_request(scope, message)
            await send(message)

        try:
            await inner(scope, receive, noting)
        finally:
            route = scope.get("route")
            self._count(method, getattr(route, "path", UNKNOWN_ROUTE), status)

    def _count(self, method: str, route: str, status: int) -> None:
        if self.application is not None:
            known = method if method in METHODS else "OTHER"
            self.application.counters.request_ended(known, route, status)

    def _guard(self, scope: Scope) -> None:
        application = self.application
        if application is None:
            return
        policy = application.policy
        host, origin = header(scope, b"host"), header(scope, b"origin")
        foreign = host is not None and not _is_named(host, policy.allowed_hosts)
        if foreign and not (policy.needs_credentials and scope["path"] in WATCHED):
            raise Forbidden("This host name is not served here.", code="host_not_allowed")
        if policy.needs_credentials and scope["type"] == "http":
            return  # other origins cannot read answers, and a cookie alone changes nothing for them
        if origin is not None and not is_own(scope, policy.cors_origins):
            raise Forbidden(FOREIGN, code="origin_not_allowed")
        if origin is None and header(scope, b"sec-fetch-site") in ("cross-site", "same-site"):
            navigates = scope.get("method") in SAFE_METHODS and header(scope, b"sec-fetch-mode") == "navigate"
            if not navigates:
                raise Forbidden("Requests from other sites are not served.", code="origin_not_allowed")


def _is_named(host: str, allowed: frozenset[str] | None) -> bool:
    return allowed is None or _name(host) in allowed


def _name(host: str) -> str:
    """Return the name in a Host header: without port, in lower case."""
    if host.startswith("["):
        return host[: host.find("]") + 1].lower()
    return host.partition(":")[0].rstrip(".").lower()


def _require_leave(scope: Scope, allowed: frozenset[str]) -> None:
    """Raise Forbidden for a page that asks for leave and has none."""
    if header(scope, b"origin") not in allowed:
        raise Forbidden(FOREIGN, code="origin_not_allowed")


async def _answer_preflight(scope: Scope, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": preflight_headers(scope)})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(scope: Scope, receive: Receive, send: Send, error: Forbidden) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
    else:
        await send_error(send, error, request_id_of(scope))
