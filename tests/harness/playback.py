"""Plays an answer to a connection: one write per token, at its pace, with the fault it was told to have."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

from tests.harness.script import Call, event, json_answer, script_for, total_tokens
from tests.harness.wheel import TimerWheel
from tests.harness.wire import Wire

_SLICE: Final = 64  # writes of an unpaced stream between two turns of the event loop
_END: Final = b"0\r\n\r\n"
_FAILURE: Final = {"error": {"message": "scripted failure", "type": "server_error", "code": "server_error"}}


class StreamPlayback:
    """One streamed answer under way. ``finished`` once nothing more will be said."""

    __slots__ = (
        "_call",
        "_count",
        "_deltas",
        "_due",
        "_fault_after",
        "_headers",
        "_idle",
        "_interval",
        "_loop",
        "_paused",
        "_room",
        "_sent",
        "_tail",
        "_wheel",
        "_wire",
        "finished",
    )

    def __init__(self, call: Call, wire: Wire, wheel: TimerWheel, loop: asyncio.AbstractEventLoop) -> None:
        behaviour = call.behaviour
        script = script_for(call)
        self._call = call
        self._wire = wire
        self._wheel = wheel
        self._loop = loop
        self._deltas = script.deltas
        self._count = script.count
        self._tail = script.tail
        self._headers = b""
        self._sent = 0
        self._interval = behaviour.interval_ms / 1000
        self._due = monotonic() + behaviour.delay_ms / 1000
        self._room = behaviour.fault_at if behaviour.fault == "cut" else None
        self._fault_after = behaviour.fault_at if behaviour.fault not in ("", "cut") else -1
        self._paused = False
        self._idle = False
        self.finished = False

    def start(self, headers: bytes) -> None:
        """Begin. The headers leave together with the first event."""
        self._headers = headers
        if self._call.behaviour.delay_ms:
            self._wheel.add(self._due, self._advance)
        else:
            self._advance()

    def pause(self) -> None:
        """The peer does not read: say nothing more until :meth:`resume`."""
        self._paused = True

    def resume(self) -> None:
        """Go on at once where :meth:`pause` took effect."""
        self._paused = False
        if self._idle:
            self._idle = False
            self._loop.call_soon(self._advance)

    def _advance(self) -> None:
        """Say what is due and file the next step."""
        if self.finished or self._wire.closing:
            return
        if self._paused:
            self._idle = True
        elif self._call.behaviour.burst:
            self._burst()
        elif self._interval:
            self._step()
            if not self.finished:
                self._due += self._interval
                self._wheel.add(self._due, self._advance)
        else:
            self._run_slice()

    def _run_slice(self) -> None:
        """Say as much of an unpaced stream as is fair to the others."""
        for _ in range(_SLICE):
            self._step()
            if self.finished:
                return
            if self._paused:
                break
        self._loop.call_soon(self._advance)

    def _step(self) -> None:
        """Say one token, and right after the last one the tail; or fail where told to."""
        if self._sent == self._fault_after:
            self._fail()
            return
        if self._sent < self._count:
            self._emit(next(self._deltas))
            self._sent += 1
            self._call.billed += 1
        if self._sent == self._count != self._fault_after and not self.finished:
            self._emit(self._tail, last=True)

    def _burst(self) -> None:
        """Say everything in one write; a fault strikes after that many tokens."""
        payloads = list(self._deltas)
        whole = self._fault_after < 0
        payloads = payloads if whole else payloads[: self._fault_after]
        self._call.billed += len(payloads)
        if self._room is not None:
            self._emit(b"".join(payloads) + self._tail, last=True)
            return
        framed = b"".join([b"%x\r\n%b\r\n" % (len(payload), payload) for payload in payloads])
        headers, self._headers = self._headers, b""
        if whole:
            self._wire.send(b"%b%b%x\r\n%b\r\n%b" % (headers, framed, len(self._tail), self._tail, _END))
            self._over("done")
        else:
            self._wire.send(headers + framed)
            self._fail()

    def _emit(self, payload: bytes, *, last: bool = False) -> None:
        """Send one event; the rest of it and of the answer is lost where the connection is to be cut."""
        if self._room is None:
            self._send(payload, _END if last else b"")
        else:
            self._send(payload[: self._room], _END if last and len(payload) < self._room else b"")
            self._room -= len(payload)
            if self._room <= 0:
                self._wire.close()
                self._over("fault")
                return
        if last:
            self._over("done")

    def _send(self, payload: bytes, end: bytes = b"") -> None:
        """Write ``payload`` as one chunk, with the headers if they are still due."""
        headers, self._headers = self._headers, b""
        if self._call.behaviour.split_bytes:
            self._wire.send(headers)
            for byte in payload:
                self._wire.send(b"1\r\n%c\r\n" % byte)
            self._wire.send(end)
        elif payload:
            self._wire.send(b"%b%x\r\n%b\r\n%b" % (headers, len(payload), payload, end))
        else:
            self._wire.send(headers + end)

    def _fail(self) -> None:
        """Do what the behaviour calls for after its tokens. A stall does nothing, for ever."""
        fault = self._call.behaviour.fault
        if self._headers:
            self._send(b"")
        if fault == "rst":
            self._wire.reset()
        elif fault == "halfclose":
            self._wire.half_close()
        elif fault == "error":
            self._send(event(_FAILURE), _END)
        self._over("fault")

    def _over(self, outcome: str) -> None:
        self.finished = True
        self._call.outcome = outcome


class JsonPlayback:
    """One answer that is not streamed: the whole body after the time its stream would have taken."""

    __slots__ = ("_call", "_headers", "_wheel", "_wire", "finished")

    def __init__(self, call: Call, wire: Wire, wheel: TimerWheel) -> None:
        self._call = call
        self._wire = wire
        self._wheel = wheel
        self._headers = b""
        self.finished = False

    def start(self, headers: bytes) -> None:
        """Begin. ``headers`` lack the content length and the empty line after them."""
        self._headers = headers
        behaviour = self._call.behaviour
        wait_ms = behaviour.delay_ms + behaviour.interval_ms * max(behaviour.tokens - 1, 0)
        if wait_ms:
            self._wheel.add(monotonic() + wait_ms / 1000, self._answer)
        else:
            self._answer()

    def pause(self) -> None:
        """Nothing to hold back: the body is one write."""

    def resume(self) -> None:
        """Nothing to take up again."""

    def _answer(self) -> None:
        call = self._call
        fault = call.behaviour.fault
        body = json_answer(call)
        head = b"%bcontent-length: %d\r\n\r\n" % (self._headers, len(body))
        if fault:
            self._wire.send(head + body[: call.behaviour.fault_at if fault == "cut" else len(body) // 2])
        elif call.behaviour.split_bytes:
            for byte in head + body:
                self._wire.send(b"%c" % byte)
        else:
            self._wire.send(head + body)
        call.billed = total_tokens(call)
        if fault in ("cut", "error"):
            self._wire.close()
        elif fault == "rst":
            self._wire.reset()
        elif fault == "halfclose":
            self._wire.half_close()
        self.finished = True
        call.outcome = "fault" if fault else "done"
