"""Who is at the other end of a WebSocket: asked when it opens, and again with every message.

Browsers can set no header on a WebSocket, so a token may also come as a subprotocol
(`antiphon-key.<token>`, or as OpenAI's SDKs write it) or in the first message. Never in the URL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
from fastapi import WebSocket

from antiphon.api.authentication import is_ours, permit, principal_of, shown
from antiphon.application import Application
from antiphon.domain.accounts import Principal
from antiphon.domain.errors import AntiphonError, Forbidden, Unauthenticated
from antiphon.services.tokens import refused

TOKEN_PROTOCOLS: Final = ("antiphon-key.", "openai-insecure-api-key.")
OWN_PROTOCOLS: Final = ("antiphon", "realtime")
FIRST_MESSAGE_SECONDS: Final = 10.0
UNAUTHENTICATED: Final = 4401
FORBIDDEN: Final = 4403


class Authenticate(msgspec.Struct, tag="session.authenticate", forbid_unknown_fields=True):
    """The message that carries a token, first or later to renew it."""

    token: str


_decode: Final = msgspec.json.Decoder(Authenticate).decode


def token_in(message: bytes | str) -> str | None:
    """Return the token of a `session.authenticate` message, or None if it is another message."""
    sent = message.encode() if isinstance(message, str) else message
    if b"session.authenticate" not in sent:
        return None
    try:
        return _decode(sent).token
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


class SocketCaller:
    """The caller of one open socket; `end` is called when the credential no longer holds."""

    def __init__(self, application: Application, socket: WebSocket, end: Callable[[], None]) -> None:
        self._application = application
        self._scope: Any = socket.scope
        self._socket = socket
        self._end = end
        self._token = _offered_token(socket)
        self._who: Principal | None = None
        self._release: Callable[[], None] = lambda: None

    async def accept(self) -> bool:
        """Accept the socket if its caller is known or may still say who it is; False if it was refused."""
        key, cookie = shown(self._scope)
        waits = (key, cookie, self._token) == (None, None, None) and (
            self._application.policy.needs_credentials
        )
        try:
            if not waits:
                await self.caller()
            await self._socket.accept(subprotocol=_chosen_protocol(self._socket))
            if waits:
                await self._wait_for_token()
        except (AntiphonError, TimeoutError) as error:
            await self._socket.close(FORBIDDEN if isinstance(error, Forbidden) else UNAUTHENTICATED)
            return False
        return True

    async def _wait_for_token(self) -> None:
        async with asyncio.timeout(FIRST_MESSAGE_SECONDS):
            message = await self._socket.receive()
        token = token_in(message.get("text") or "")
        if token is None:
            raise refused()
        await self.renew(token)

    async def caller(self) -> Principal:
        """Return who is there now; raises Unauthenticated or Forbidden."""
        who = await self._identify()
        if self._who is None or self._who.credential_id != who.credential_id:
            self._release()
            self._release = self._application.credentials.watch(who, self._end)
        self._who = who
        return who

    async def _identify(self) -> Principal:
        token = self._token
        if token is None or not (self._application.policy.needs_credentials or is_ours(token)):
            return await principal_of(self._application, self._scope)
        who = await self._application.credentials.authenticate(token)
        permit(who, self._scope)
        return who

    async def renew(self, token: str) -> None:
        """Go on with another token of the same account; raises Unauthenticated.

        A local owner by default, who has shown nothing yet, may still say who it is.
        """
        before, self._token = self._who, token
        who = await self.caller()
        if before is not None and before.credential_id and before.account_id != who.account_id:
            raise Unauthenticated("This connection belongs to another account.")

    def release(self) -> None:
        """Stop watching; call when the socket is closed."""
        self._release()
        self._end = _nothing  # its owner's, who has this: both would wait for the garbage collector


def _nothing() -> None:
    """What an ended socket calls."""


def _offered_token(socket: WebSocket) -> str | None:
    for protocol in socket.scope.get("subprotocols", ()):
        for prefix in TOKEN_PROTOCOLS:
            if protocol.startswith(prefix):
                return str(protocol[len(prefix) :])
    return None


def _chosen_protocol(socket: WebSocket) -> str | None:
    """Return the protocol to select: one of ours, else the first that carries no token."""
    offered = [one for one in socket.scope.get("subprotocols", ()) if not one.startswith(TOKEN_PROTOCOLS)]
    return next((one for one in OWN_PROTOCOLS if one in offered), offered[0] if offered else None)
