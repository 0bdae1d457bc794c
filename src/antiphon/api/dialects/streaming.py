"""An answer's words as they come: as plain text, or as server-sent events."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from antiphon.api import sse
from antiphon.api.dialects.asking import require_answer
from antiphon.api.http import NO_STORE, Receive, Scope, Send, direct_of
from antiphon.api.v1.responses import follower_of
from antiphon.api.v1.wire_json import encode_object
from antiphon.application import Application
from antiphon.domain.accounts import Principal
from antiphon.domain.run_events import REFUSAL, TEXT, Op, RunLog
from antiphon.domain.runs import Run
from antiphon.services.runs.follow import Follower, Interrupted
from antiphon.services.turns import Begun

PLAIN: Final = [
    (b"content-type", b"text/plain; charset=utf-8"),
    NO_STORE,
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]
PIECE_OPS: Final = 2_000
"""Rendered into one write at most."""

Last = Callable[[RunLog, Run], dict[str, Any]]
"""Makes a stream's last object of an answer that has ended."""


class Words:
    """Reads the words of the first choice out of a run's ops, one after the other."""

    def __init__(self, log: RunLog) -> None:
        self._log = log
        self._shown = False

    def of(self, op: Op) -> str:
        """Return what an op adds to the text."""
        if isinstance(op, str):
            return op if self._shown else ""
        if op[0] in ("B", "D", "L"):
            self._shown = op[2] in (TEXT, REFUSAL) and self._log.outputs[op[1]].choice == 0
            return op[4] if self._shown and op[0] != "B" else ""
        return ""


class WordEvents:
    """Encoder of `delta` events and, at the end, one `message` or one `error`."""

    def __init__(self, log: RunLog, run: Callable[[], Run], last: Last) -> None:
        self._log = log
        self._words = Words(log)
        self._run = run
        self._last = last

    def render(self, start: int, end: int, limit: int) -> tuple[bytes, int]:
        """See `sse.Encoder`."""
        frames: list[bytes] = []
        size = 0
        while start < end and size < limit:
            frame = self._frame(self._log.ops[start])
            frames.append(frame)
            size += len(frame)
            start += 1
        return b"".join(frames), start

    def _frame(self, op: Op) -> bytes:
        if text := self._words.of(op):
            return _event(b"delta", {"content": text})
        if isinstance(op, str) or op[0] != "Z":
            return b""
        run = self._run()
        if run.error is not None:
            return _event(b"error", {"detail": run.error.message})
        return _event(b"message", self._last(self._log, run))


def _event(name: bytes, body: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name, encode_object(body))


async def first_words(application: Application, who: Principal, begun: Begun) -> Follower:
    """Wait until an answer has begun to speak, and return who follows it from its first event.

    Until then no status is sent, so that an answer that fails before its first word is an error like
    any other: raises HTTPException 502, 503 or 504.
    """
    follower = await follower_of(application, who, begun)
    words, seen = Words(follower.log), 0
    try:
        while True:
            committed = follower.committed
            if any(words.of(op) for op in follower.log.ops[seen:committed]):
                break
            follower.cursor = seen = committed
            if follower.finished:
                require_answer(follower.run, follower.failure)
                break
            await follower.more()
    except Interrupted:
        require_answer(follower.run, follower.failure)
    except BaseException:
        follower.release()
        raise
    follower.cursor = 0
    return follower


async def send_events(
    application: Application, who: Principal, follower: Follower, last: Last, scope: Scope, receive: Receive,
    send: Send,
) -> None:  # fmt: skip
    """Send an answer as events."""

    def encoder_of(log: RunLog) -> WordEvents:
        return WordEvents(log, lambda: follower.run, last)

    await sse.stream(
        follower, encoder_of, receive, send, headers=[], direct=direct_of(scope),
        watch=partial(application.credentials.watch, who),
    )  # fmt: skip


async def send_text(
    application: Application, who: Principal, follower: Follower, receive: Receive, send: Send
) -> None:
    """Send an answer's words and nothing else.

    An answer that breaks off ends without the body's own end, so that a client cannot take a part for the
    whole. Whoever leaves stops nothing.
    """
    release = application.credentials.watch(who, follower.revoke)
    try:
        await send({"type": "http.response.start", "status": 200, "headers": PLAIN})
        if await _send_words(follower, receive, send):
            await send({"type": "http.response.body", "body": b""})
    except Interrupted:
        return  # the connection is cut
    finally:
        release()
        follower.release()


async def _send_words(follower: Follower, receive: Receive, send: Send) -> bool:
    """Send what comes until the end; False if it broke off or nobody reads it any more."""
    words = Words(follower.log)
    while True:
        end = min(follower.committed, follower.cursor + PIECE_OPS)
        piece = "".join(words.of(op) for op in follower.log.ops[follower.cursor : end])
        follower.cursor = end
        if piece:
            follower.progress()
            await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})
        if follower.finished:
            return follower.run.error is None
        if follower.cursor >= follower.committed and not await follower.more() and sse.has_gone(receive):
            return False
