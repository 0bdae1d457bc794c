"""`/v1/conversations/{id}/events` over a WebSocket: the same events, one a frame.

A client may say that its user is writing: `{"type": "typing", "typing": true}`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

import msgspec
from fastapi import WebSocket, WebSocketDisconnect

from antiphon.api.errors import decoding_error, describe
from antiphon.api.v1.feed_objects import closed_object, encoded, ready_object, step_object
from antiphon.api.v1.feeds import revision_of
from antiphon.api.websocket_authentication import FORBIDDEN, UNAUTHENTICATED, SocketCaller, token_in
from antiphon.application import Application
from antiphon.domain.errors import AntiphonError, Forbidden, NotFound, Unauthenticated
from antiphon.services.feeds import Feed, Silence

PATH: Final = "/v1/conversations/{conversation_id}/events"
NOT_FOUND: Final = 4404
STOPPING: Final = 1001
MAX_FRAME: Final = 4096
"""Characters of what a client says; a token is the longest."""
HEARTBEAT_SECONDS: Final = 10.0
STALLED_SECONDS: Final = 60.0


class Typing(msgspec.Struct, tag="typing", forbid_unknown_fields=True):
    """Whether the client's user is writing."""

    typing: bool = True


_decode: Final = msgspec.json.Decoder(Typing).decode


async def serve(socket: WebSocket) -> None:
    """Serve one reader until it leaves or may not read any more."""
    application: Application = socket.app.state.front.application
    listener = Listener(application, socket)
    try:
        if await listener.caller.accept():
            await listener.run(socket.path_params["conversation_id"])
    except (WebSocketDisconnect, RuntimeError):
        pass  # gone
    finally:
        listener.caller.release()


class Listener:
    """One connection."""

    def __init__(self, application: Application, socket: WebSocket) -> None:
        self._application = application
        self._socket = socket
        self._ending: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._sending = asyncio.Lock()
        self.caller = SocketCaller(application, socket, lambda: self._end(UNAUTHENTICATED))

    def _end(self, code: int) -> None:
        if not self._ending.done():
            self._ending.set_result(code)

    async def run(self, conversation_id: str) -> None:
        """Relay until one side ends it."""
        query = self._socket.query_params
        try:
            who = await self.caller.caller()
            after = revision_of(query.get("starting_after"))
            deltas = query.get("deltas", "") in ("true", "1")
            feed = await self._application.feeds.open(who, conversation_id, after=after, deltas=deltas)
        except AntiphonError as error:
            await self._error(error)
            await self._socket.close(NOT_FOUND if isinstance(error, NotFound) else 1008)
            return
        tasks: list[asyncio.Future[None]] = [
            asyncio.ensure_future(self._relay(feed)),
            asyncio.ensure_future(self._listen(feed)),
        ]
        try:
            waiting: list[asyncio.Future[Any]] = [*tasks, self._ending]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            feed.close()
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await self._socket.close(self._ending.result() if self._ending.done() else 1000)

    async def _relay(self, feed: Feed) -> None:
        now = asyncio.get_running_loop().time
        await self._send(ready_object(feed))
        sent = now()
        try:
            async for step in feed.steps():
                if isinstance(step, Silence) and now() - sent < HEARTBEAT_SECONDS:
                    continue
                await self._send(step_object(feed, step))
                sent = now()
            self._end(STOPPING)
        except NotFound:
            await self._send(closed_object(feed.conversation_id))
            self._end(NOT_FOUND)

    async def _listen(self, feed: Feed) -> None:
        """Read what the client says, one frame after the other."""
        while True:
            received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            text = received.get("text") or (received.get("bytes") or b"").decode("utf-8", "replace")
            try:
                await self._said(text, feed)
            except (Unauthenticated, Forbidden) as error:
                if token_in(text[:MAX_FRAME]) is not None or isinstance(error, Unauthenticated):
                    self._end(FORBIDDEN if isinstance(error, Forbidden) else UNAUTHENTICATED)
                    return
                await self._error(error)
            except AntiphonError as error:
                await self._error(error)

    async def _said(self, text: str, feed: Feed) -> None:
        text = text[:MAX_FRAME]
        token = token_in(text)
        if token is not None:
            await self.caller.renew(token)
            await self._send({"type": "session.authenticated"})
            return
        try:
            said = _decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise decoding_error(error) from None
        who = await self.caller.caller()
        await self._application.feeds.typing(who, feed.conversation_id, is_typing=said.typing)

    async def _error(self, error: AntiphonError) -> None:
        status, body, _ = describe(error)
        await self._send({"type": "error", "status": status, **body})

    async def _send(self, body: dict[str, Any]) -> None:
        async with self._sending, asyncio.timeout(STALLED_SECONDS):
            await self._socket.send_text(encoded(body).decode())
