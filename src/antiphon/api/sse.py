"""Server-sent events: one follower, one response, each event in one write.

A stream is pushed, not pulled: when a run's ops are committed its frames are rendered and
written within the same call. A task wakes up only when the client's transport is full, so a
token costs no task switch.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from types import CoroutineType
from typing import Any, Protocol

from antiphon.api.http import NO_STORE, Direct, Receive, Send
from antiphon.domain.run_events import RunLog
from antiphon.services.runs.follow import Follower, Interrupted

SLICE_BYTES = 64 * 1024
"""Events go out in one write each up to this size; no reader sees larger ones in one piece anyway."""

RENDER_BYTES = 16 * 1024
"""Rendered at once, but for one event that is larger."""

LOOK_EVERY = 64
"""After so many writes an unwatched client is looked for."""

SLOW_SLICE_BYTES = 8 * 1024
"""Written and rendered at once for a client whose transport was full before."""

PING = b": ping\n\n"
REVOKED = b": the credential no longer holds\n\n"
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    NO_STORE,
    (b"x-accel-buffering", b"no"),
]

log = logging.getLogger(__name__)


Watch = Callable[[Callable[[], None]], Callable[[], None]]
"""Takes what ends a stream when its credential no longer holds; returns what undoes that."""


class Encoder(Protocol):
    """Renders a run's ops in the wire format of a surface."""

    def render(self, start: int, end: int, limit: int) -> tuple[bytes, int]:
        """Return the frames of ops from `start`, and where it stopped: at `end` or about `limit` bytes."""
        ...


async def stream(
    follower: Follower,
    encoder_of: Callable[[RunLog], Encoder],
    receive: Receive,
    send: Send,
    *,
    headers: list[tuple[bytes, bytes]],
    watch: Watch,
    direct: Direct | None = None,
    on_gone: Callable[[], None] | None = None,
) -> None:
    """Send a run's events until its end, or until the client has gone or may not read on.

    `encoder_of` makes an encoder of a log. With `on_gone` the client is watched all the time and
    its going is reported at once; without, it is looked for now and then, which saves a task.
    `direct` is the server's shorter way to write, if it has one.
    """
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS + headers})
    pump = _Pump(follower, encoder_of, receive, send, direct)
    release = watch(pump.revoke)
    try:
        if on_gone is None:
            await pump.run()
            return
        async with watching(receive, follower) as watcher:
            watcher.add_done_callback(lambda _: pump.end())
            await pump.run()
            if (watcher.done() or pump.revoked) and not follower.finished:
                on_gone()
    except Interrupted:
        await send({"type": "http.response.body", "body": b": interrupted, resume later\n\n"})
    finally:
        release()
        pump.close()


class _Pump:
    """Moves committed ops to one client.

    What is rendered and not yet written is at most `RENDER_BYTES` and one event, however far the
    client is behind: it goes on from its follower's cursor.
    """

    __slots__ = (
        "_body", "_direct", "_done", "_encoder", "_encoder_of", "_follower", "_last", "_loop", "_offset",
        "_receive", "_send", "_sent", "_slice", "revoked",
    )  # fmt: skip

    def __init__(
        self,
        follower: Follower,
        encoder_of: Callable[[RunLog], Encoder],
        receive: Receive,
        send: Send,
        direct: Direct | None,
    ) -> None:
        self._follower = follower
        self._encoder_of = encoder_of
        self._encoder: Encoder | None = None
        self._receive = receive
        self._send = send
        self._direct = direct
        self._sent = 0
        self._body = b""
        self._offset = 0
        self._last = False
        self._slice = SLICE_BYTES
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self.revoked = False

    async def run(self) -> None:
        """Write until the end; raises Interrupted if this process lost the run."""
        self._advance()
        if not self._done.done():
            if not self._sent:
                self._write(b"", last=False)  # the head goes out with what comes first
            self._follower.on_silence = self._ping
            self._follower.listen(self._advance)
        await self._done

    def end(self) -> None:
        """Stop, because the client has gone; does nothing after the end."""
        if not self._done.done():
            self._done.set_result(None)

    def revoke(self) -> None:
        """Say that the credential no longer holds, if the client takes anything, and stop."""
        if self._done.done():
            return
        self.revoked = True
        if not self._busy():
            self._write(REVOKED, last=True)
        self.end()

    def close(self) -> None:
        """Let go of the follower and of a write that still waits for its client."""
        self._follower.release()
        self.end()
        if self._follower.task is not None:
            self._follower.task.cancel()

    def _advance(self) -> None:
        """Render and write what is committed, unless an earlier write still waits."""
        try:
            if self._follower.task is not None:
                self._follower.hold_less()
                return
            while not self._busy() and not self._done.done():
                if self._offset >= len(self._body) and not self._render():
                    return
                end = self._offset + self._slice
                whole = self._offset == 0 and end >= len(self._body)
                body = self._body if whole else memoryview(self._body)[self._offset : end].tobytes()
                self._offset += len(body)
                self._write(body, last=self._last and self._offset >= len(self._body))
        except Exception as error:
            self._fail(error)

    def _render(self) -> bool:
        """Render what comes next; False if there is nothing yet, or nothing any more."""
        follower = self._follower
        if self._encoder is None:
            self._encoder = self._encoder_of(follower.log)
        self._body, self._offset = b"", 0
        committed = follower.committed
        if follower.cursor < committed:
            self._body, follower.cursor = self._encoder.render(
                follower.cursor, committed, min(RENDER_BYTES, self._slice)
            )
            self._last = follower.finished
            if not self._body and not self._last:
                return self._render()  # ops that this surface does not show
        elif follower.finished:
            self._body, self._last = b"", True
        else:
            if follower.lost:
                self._done.set_exception(Interrupted(follower.run.id))
            return False
        if not self._body:
            self._write(b"", last=True)
        return bool(self._body)

    def _ping(self) -> None:
        if self._client_gone():
            self.end()
        elif self._follower.task is None:
            self._write(PING, last=False)

    def _write(self, body: bytes, *, last: bool) -> None:
        """Send bytes at once if the transport has room, else go on in a task."""
        self._follower.progress()
        self._sent += 1
        if self._direct is not None and self._direct(body, last):
            if last or (self._sent % LOOK_EVERY == 0 and self._client_gone()):
                self.end()
            return
        sending = self._send({"type": "http.response.body", "body": body, "more_body": not last})
        assert isinstance(sending, CoroutineType)  # noqa: S101 - uvicorn's is, and an ABC check is slow
        try:
            waits_for = sending.send(None)
        except StopIteration:
            if last or (self._sent % LOOK_EVERY == 0 and self._client_gone()):
                self.end()
            return
        self._follower.task = self._loop.create_task(self._finish(sending, waits_for, last=last))

    async def _finish(self, sending: Coroutine[Any, Any, None], waits_for: Any, *, last: bool) -> None:
        """Wait until the transport has room again, holding as little as can be."""
        self._slice = SLOW_SLICE_BYTES
        self._follower.hold_less()
        try:
            await _Rest(sending, waits_for)
        except asyncio.CancelledError:
            self.end()  # nothing was taken for a minute, or the stream is over
            return
        except Exception as error:
            self._fail(error)
            return
        self._follower.task = None
        if last:
            self.end()
        else:
            self._advance()

    def _busy(self) -> bool:
        return self._follower.task is not None

    def _fail(self, error: Exception) -> None:
        log.error("a stream broke off", exc_info=error)
        if not self._done.done():
            self._done.set_exception(error)

    def _client_gone(self) -> bool:
        return has_gone(self._receive)


class _Rest:
    """Awaits the rest of a coroutine that was begun by hand and has yielded once."""

    def __init__(self, begun: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._begun = begun
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        """Hand on what the coroutine waits for, and to it what comes of that."""
        waits_for = self._waits_for
        try:
            while True:
                try:
                    value = yield waits_for
                except BaseException as error:
                    waits_for = self._begun.throw(error)
                else:
                    waits_for = self._begun.send(value)
        except StopIteration:
            return


def has_gone(receive: Receive) -> bool:
    """Return whether the client has closed its connection, without waiting.

    Valid once the whole body was read: then the only message that can come is the disconnect,
    and a `receive` that is not ready is given up again.
    """
    waiting = receive()
    if not isinstance(waiting, CoroutineType):
        return False
    try:
        waiting.send(None)
    except StopIteration as message:
        return bool(message.value["type"] == "http.disconnect")
    waiting.close()
    return False


@contextlib.asynccontextmanager
async def watching(receive: Receive, follower: Follower) -> AsyncIterator[asyncio.Task[None]]:
    """Give a task that is done when the client has gone; its follower is woken then."""
    watcher = asyncio.get_running_loop().create_task(_watch(receive, follower))
    try:
        yield watcher
    finally:
        watcher.cancel()


async def _watch(receive: Receive, follower: Follower) -> None:
    """Return when the client has gone, waking its follower."""
    with contextlib.suppress(asyncio.CancelledError):
        while (await receive())["type"] != "http.disconnect":
            pass
        follower.nudge()
