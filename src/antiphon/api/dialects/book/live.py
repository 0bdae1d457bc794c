"""`/sessions/{session_id}/live`: everybody in a session sees what the others and the model say, as it comes.

A WebSocket. Frames are JSON objects with a `type`: `message` (somebody or the model has said something),
`started`, `delta` (a piece of the model's text), `ended`, `change`, `error`. A client may speak, too:
`{"text": …, "user_id": …}` is kept and shown to all, `{"prompt": …}` is answered by the model.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

import msgspec
from fastapi import WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from antiphon.api.dialects.asking import STOPPED
from antiphon.api.dialects.book import sessions, wire
from antiphon.api.dialects.book.forms import both_keys, label_of, optional_text, text_of
from antiphon.api.dialects.book.speaking import conversation_of, message
from antiphon.api.v1.wire_json import encode_object
from antiphon.api.websocket_authentication import FORBIDDEN, UNAUTHENTICATED, SocketCaller, token_in
from antiphon.application import Application
from antiphon.domain.chat_sessions import ChatSession
from antiphon.domain.errors import AntiphonError, Forbidden, InvalidRequest, NotFound, Unauthenticated
from antiphon.services.feeds import Began, Changed, Delta, Ended, Feed, Heard, Said
from antiphon.services.turn_plans import TurnRequest

PATH: Final = "/sessions/{session_id}/live"
NOT_FOUND: Final = 4404
MAX_WAITING: Final = 16
"""Frames of one client that wait while it speaks; then it is not read."""

MAX_FRAME_BYTES: Final = 1024 * 1024

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


async def serve(socket: WebSocket) -> None:
    """Serve one reader until it leaves or may not read any more."""
    application: Application = socket.app.state.front.application
    connection = Connection(application, socket)
    try:
        if await connection.caller.accept():
            await connection.run(socket.path_params["session_id"])
    except (WebSocketDisconnect, RuntimeError):
        pass  # gone
    finally:
        connection.caller.release()


class Connection:
    """One client: what it hears, and what it says one after the other."""

    def __init__(self, application: Application, socket: WebSocket) -> None:
        self._application = application
        self._socket = socket
        self._ending: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.caller = SocketCaller(application, socket, lambda: self._end(UNAUTHENTICATED))

    def _end(self, code: int) -> None:
        if not self._ending.done():
            self._ending.set_result(code)

    async def run(self, name: str) -> None:
        """Relay until one side ends it; a session that is not there is made by its first message."""
        who = await self.caller.caller()
        try:
            session = await sessions.existing(self._application, who, name)
            feed = await self._application.feeds.open(who, conversation_of(session), after=self._after())
        except NotFound as error:
            await self._send({"type": "error", **both_keys(error.message)})
            await self._socket.close(NOT_FOUND)
            return
        tasks: list[asyncio.Future[Any]] = [
            asyncio.create_task(self._relay(feed, session)),
            asyncio.create_task(self._listen(session)),
        ]
        try:
            await asyncio.wait([*tasks, self._ending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            feed.close()
        code = self._ending.result() if self._ending.done() else 1000
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await self._socket.close(code)

    def _after(self) -> int | None:
        """Return the revision after which to begin, as a client that was here before knows it."""
        text = self._socket.query_params.get("after", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None

    async def _relay(self, feed: Feed, session: ChatSession) -> None:
        await self._send({"type": "joined", "session_id": session.name, "revision": feed.revision})
        try:
            async for heard in feed.heard():
                await self._send({**frame(heard), "session_id": session.name, "revision": feed.revision})
        except NotFound:
            self._end(NOT_FOUND)

    async def _listen(self, session: ChatSession) -> None:
        """Read what the client says; while one thing is being said the next wait, and then the client."""
        waiting: asyncio.Queue[str] = asyncio.Queue(MAX_WAITING)
        speaking = asyncio.create_task(self._speak(waiting, session))
        try:
            while True:
                received = await self._socket.receive()
                if received["type"] == "websocket.disconnect":
                    return
                text = received.get("text") or (received.get("bytes") or b"").decode("utf-8", "replace")
                await waiting.put(text[:MAX_FRAME_BYTES])
        finally:
            speaking.cancel()

    async def _speak(self, waiting: asyncio.Queue[str], session: ChatSession) -> None:
        while True:
            text = await waiting.get()
            try:
                await self._said(text, session)
            except (Unauthenticated, Forbidden) as error:
                self._end(FORBIDDEN if isinstance(error, Forbidden) else UNAUTHENTICATED)
            except AntiphonError as error:
                await self._send({"type": "error", **both_keys(error.message)})
            except RequestValidationError as error:
                await self._send({"type": "error", **both_keys(str(error.errors()[0]["msg"]))})
            except HTTPException as error:
                await self._send({"type": "error", **both_keys(error.detail)})

    async def _said(self, text: str, session: ChatSession) -> None:
        token = token_in(text)
        if token is not None:
            await self.caller.renew(token)
            await self._send({"type": "authenticated"})
            return
        who = await self.caller.caller()
        fields = _fields(text)
        label, prompt = label_of(optional_text(fields, "user_id")), optional_text(fields, "prompt")
        said = message(prompt if prompt is not None else text_of(fields, "text"), label=label)
        order, wire_id = self._application.turn_order, conversation_of(session)
        if prompt is None:
            await order.add_items(who, wire_id, [said])
            return
        turn = TurnRequest(
            surface="responses", items=(said,), echo={"conversation": True}, conversation_id=wire_id,
            keeps_question=True,
        )  # fmt: skip
        await order.begin(who, await self._application.recall.with_earlier(who, turn))

    async def _send(self, body: dict[str, Any]) -> None:
        await self._socket.send_text(encode_object(body).decode())


def _fields(text: str) -> dict[str, Any]:
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise InvalidRequest(
            'Send JSON: {"text": "…", "user_id": "…"} to speak, {"prompt": "…"} to ask the model.',
            code="invalid_json",
        ) from None


def frame(heard: Heard) -> dict[str, Any]:
    """Return what is heard as a frame."""
    if isinstance(heard, Said):
        return {"type": "message", **wire.post(wire.message_of(heard.item)), "response_id": heard.run_id}
    if isinstance(heard, Began):
        return {"type": "started", "response_id": heard.run_id, "model": heard.model}
    if isinstance(heard, Delta):
        return {"type": "delta", "response_id": heard.run_id, "text": heard.text}
    if isinstance(heard, Ended):
        return {"type": "ended", "response_id": heard.run_id, "status": heard.state, **_why(heard)}
    assert isinstance(heard, Changed)  # noqa: S101 - the last of the kinds
    return {"type": "change", "change": heard.kind, "data": heard.body}


def _why(ended: Ended) -> dict[str, str]:
    """Return why an answer ended without being one, in the words in which a call is told."""
    error = ended.error or (STOPPED if ended.state == "cancelled" else None)
    return {"error": error} if error is not None else {}
