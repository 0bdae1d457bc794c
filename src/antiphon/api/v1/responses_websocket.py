"""WebSocket mode of `/v1/responses`: turns one after another on one connection.

Every frame is one event, the same object as in the stream; exactly one terminal frame or one
error envelope ends a turn, and the connection stays open. An answer with `store: false` lives
with its socket: the last one can be continued there and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, NamedTuple

import msgspec
from fastapi import WebSocket, WebSocketDisconnect

from antiphon.api.caching import with_cache_use
from antiphon.api.errors import decoding_error, describe
from antiphon.api.http import require_few_values
from antiphon.api.v1.response_events import ResponseEvents
from antiphon.api.v1.response_requests import WebSocketCreate, turn_request
from antiphon.api.v1.responses import closed_to
from antiphon.api.v1.wire_json import encode_object
from antiphon.api.websocket_authentication import FORBIDDEN, UNAUTHENTICATED, SocketCaller, token_in
from antiphon.application import Application
from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.errors import AntiphonError, Forbidden, InvalidRequest, TooLarge, Unauthenticated
from antiphon.domain.inputs import InputItem
from antiphon.services.runs.follow import Interrupted
from antiphon.services.runs.live import LiveRun
from antiphon.services.turn_plans import TurnRequest
from antiphon.services.turns import Begun

MAX_WAITING = 64
LIFETIME_SECONDS = 3600.0

_decode = msgspec.json.Decoder(WebSocketCreate).decode


async def serve(socket: WebSocket) -> None:
    """Serve one connection until its client closes it."""
    application: Application = socket.app.state.front.application
    session = Session(application, socket)
    try:
        if await session.caller.accept():
            await session.run()
    except (WebSocketDisconnect, RuntimeError):
        pass  # gone before it said who it is
    finally:
        session.caller.release()


class Ephemeral(NamedTuple):
    """An answer that is not stored, with all that it answers; `size` is the bytes of all of it."""

    response: str
    items: list[InputItem]
    size: int


class Inbox:
    """What was sent and is not taken yet, in order.

    Bytes, since a text costs four times its own where it has one rare character. No more than
    `MAX_WAITING` messages lie here, and while they hold more than `most_bytes` no further one is read.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_WAITING)
        self._room = asyncio.Event()

    async def put(self, message: bytes) -> None:
        """Put a message last; returns when there is room for another."""
        self._bytes += len(message)
        await self._messages.put(message)
        while self._bytes > self._most:
            self._room.clear()
            await self._room.wait()

    async def get(self) -> bytes | None:
        """Take the first, None where no more will come."""
        message = await self._messages.get()
        if message is not None:
            self._bytes -= len(message)
            self._room.set()
        return message

    def end(self) -> None:
        """No more will come."""
        with contextlib.suppress(asyncio.QueueFull):
            self._messages.put_nowait(None)


class Session:
    """One connection: requests wait in order, one answer runs at a time."""

    def __init__(self, application: Application, socket: WebSocket) -> None:
        self._application = application
        self.caller = SocketCaller(application, socket, self._end)
        self._ending: asyncio.Task[None] | None = None
        self._socket = socket
        self._most = application.policy.max_body_bytes
        self._waiting = Inbox(self._most)
        self._last: Ephemeral | None = None
        self._running: LiveRun | None = None

    async def run(self) -> None:
        """Read requests and answer them in order."""
        reader = asyncio.create_task(self._read())
        try:
            async with asyncio.timeout(LIFETIME_SECONDS):
                while (message := await self._waiting.get()) is not None:
                    if not await self._renewed(message):
                        await self._answer(message)
        except TimeoutError:
            expired = InvalidRequest(
                "This connection is 60 minutes old.", code="websocket_connection_limit_reached"
            )
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self._error(expired)
                await self._socket.close()
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            reader.cancel()

    def _end(self, code: int = UNAUTHENTICATED) -> None:
        """Close, because the credential no longer holds; a running answer fares as with a lost client."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._close(code))

    async def _close(self, code: int) -> None:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await self._socket.close(code)

    async def _renewed(self, message: bytes) -> bool:
        """Whether a message was about who is there, and no turn may come of it; asked of every message."""
        token = token_in(message)
        try:
            if token is not None:
                await self.caller.renew(token)
                await self._socket.send_text('{"type":"session.authenticated"}')
                return True
            await self.caller.caller()
        except (Unauthenticated, Forbidden) as error:
            self._end(FORBIDDEN if isinstance(error, Forbidden) else UNAUTHENTICATED)
            return True
        return False

    async def _read(self) -> None:
        try:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                await self._waiting.put((message.get("text") or "").encode() or message.get("bytes") or b"")
        finally:
            if self._running is not None:
                self._application.answers.abandon(self._running)
            self._waiting.end()

    async def _answer(self, message: bytes) -> None:
        previous = stream_id = None
        try:
            body = self._parse(message)
            previous, stream_id = body.previous_response_id, body.stream_id
            request, size = self._continued(turn_request(body), previous, len(message))
            request = with_cache_use(self._application, self._socket.scope, request)
            if body.generate is False:
                request = msgspec.structs.replace(request, generate=False)
            who = await self.caller.caller()
            begun = await self._application.turns.begin(who, request)
            if await self._relay(who, begun, body.stream_id):
                self._remember(begun, request, size)
        except AntiphonError as error:
            if self._last is not None and previous == self._last.response:
                self._last = None  # a failed continuation evicts what it continued
            await self._error(error, stream_id)

    def _parse(self, message: bytes) -> WebSocketCreate:
        require_few_values(message)
        try:
            body = _decode(message)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise decoding_error(error) from None
        if body.background:
            raise InvalidRequest(
                "'background' is not available on a WebSocket.",
                code="unsupported_parameter",
                param="background",
            )
        return body

    def _continued(self, request: TurnRequest, previous: str | None, size: int) -> tuple[TurnRequest, int]:
        """Put the socket's own last ephemeral answer before the input that continues it, if it does.

        Returns the request and its size in bytes; raises TooLarge if it is above what a body may have.
        """
        if previous is None or self._last is None or self._last.response != previous:
            return request, size
        size += self._last.size
        if size > self._most:
            raise TooLarge(f"What this connection keeps of answers not stored is above {self._most} bytes.")
        items = (*self._last.items, *request.items)
        return msgspec.structs.replace(request, previous_response_id=None, items=items), size

    async def _relay(self, who: Principal, begun: Begun, stream_id: str | None) -> bool:
        """Send the events of an answer; returns whether all were sent."""
        live = begun.live
        assert live is not None  # noqa: S101 - no idempotency keys on a socket
        self._running = live
        follower = self._application.followers.follow_live(live, reader=who.actor_id)
        encoder = ResponseEvents(follower.log, lambda: follower.run, framed=False)
        mark = b'{"stream_id":%b,' % msgspec.json.encode(stream_id) if stream_id is not None else None
        try:
            while not follower.finished:
                end = follower.committed
                frames = encoder.frames(follower.cursor, end)
                follower.cursor = end
                for frame in frames:
                    await self._socket.send_text((frame.replace(b"{", mark, 1) if mark else frame).decode())
                if not follower.finished:
                    await follower.more()
        except Interrupted:
            if follower.revoked:
                raise closed_to(follower) from None
            return False
        except (WebSocketDisconnect, RuntimeError):
            self._application.answers.abandon(live)
            raise
        finally:
            self._running = None
            follower.release()
        return True

    def _remember(self, begun: Begun, request: TurnRequest, size: int) -> None:
        if request.store or begun.live is None:
            self._last = None
            return
        answer = self._application.answers.of_live(begun.live)
        if answer.run.state == "failed":
            return
        made = [
            InputItem(type=out.type, role=out.payload.get("role"), status=out.status, payload=out.payload)
            for out in answer.outputs
        ]
        size += sum(len(msgspec.json.encode(one.payload)) for one in made)
        self._last = Ephemeral(ids.RESPONSE + begun.run_id, [*request.items, *made], size)

    async def _error(self, error: AntiphonError, stream_id: str | None = None) -> None:
        status, body, _ = describe(error)
        envelope: dict[str, Any] = {"type": "error", "status": status, **body}
        if stream_id is not None:
            envelope["stream_id"] = stream_id
        envelope["error"]["code"] = envelope["error"]["code"] or envelope["error"]["type"]
        await self._socket.send_text(encode_object(envelope).decode())
