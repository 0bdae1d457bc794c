"""The outermost ASGI application: guards, and the short way for the two hot routes.

On loopback without credentials the browser is the attacker's way in, so Host, Origin and
Sec-Fetch-Site are checked before anything is routed (DNS rebinding, cross-site requests).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from urllib.parse import urlsplit

from antiphon.api.http import ClientGone, Handler, Receive, Scope, Send, header, send_error
from antiphon.application import Application
from antiphon.domain.errors import Forbidden

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Front:
    """Checks where a request comes from and dispatches it.

    `hot` maps (method, path) to handlers that skip the framework's routing; everything else,
    and every scope that is not HTTP or WebSocket, goes to `inner`.
    """

    def __init__(self, inner: Handler, hot: Mapping[tuple[str, str], Handler]) -> None:
        self._inner = inner
        self._hot = hot
        self.application: Application | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        try:
            self._guard(scope)
        except Forbidden as error:
            await _refuse(scope, receive, send, error)
            return
        handler = self._hot.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if handler is None:
            await self._inner(scope, receive, send)
            return
        try:
            await handler(scope, receive, send)
        except ClientGone:
            return
        except Exception as error:
            with contextlib.suppress(RuntimeError):  # the answer has begun: it can only break off
                await send_error(send, error)

    def _guard(self, scope: Scope) -> None:
        application = self.application
        allowed = application.policy.allowed_hosts if application is not None else None
        if allowed is None:
            return
        host = header(scope, b"host")
        if host is not None and _name(host) not in allowed:
            raise Forbidden("This host name is not served here.", code="host_not_allowed")
        origin = header(scope, b"origin")
        if origin is not None and (origin == "null" or urlsplit(origin).netloc != host):
            raise Forbidden("Requests from other origins are not served.", code="origin_not_allowed")
        if origin is None and header(scope, b"sec-fetch-site") in ("cross-site", "same-site"):
            navigates = scope.get("method") in SAFE_METHODS and header(scope, b"sec-fetch-mode") == "navigate"
            if not navigates:
                raise Forbidden("Requests from other sites are not served.", code="origin_not_allowed")


def _name(host: str) -> str:
    """Return the name in a Host header: without port, in lower case."""
    if host.startswith("["):
        return host[: host.find("]") + 1].lower()
    return host.partition(":")[0].rstrip(".").lower()


async def _refuse(scope: Scope, receive: Receive, send: Send, error: Forbidden) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
    else:
        await send_error(send, error)
