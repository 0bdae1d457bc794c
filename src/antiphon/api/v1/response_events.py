"""Ops as the event stream of OpenAI's Responses: a pure function of (run, items, ops).

One op is one event and its index the `sequence_number`, so any part of a stream can be
rendered again, byte for byte, from any start. Version 1 of these bytes; a release that changes
them raises `domain.runs.WIRE_VERSION` and keeps this encoder for older runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from antiphon.api.v1.response_objects import output_item, response_bytes, shows_results
from antiphon.api.v1.wire_json import encode_object, encode_text
from antiphon.domain import ids
from antiphon.domain.run_events import ARGUMENTS, REASONING, REFUSAL, SUMMARY, TEXT, Op, Output, RunLog
from antiphon.domain.runs import Run

_DELTA: Final = {
    TEXT: b"response.output_text.delta",
    REFUSAL: b"response.refusal.delta",
    ARGUMENTS: b"response.function_call_arguments.delta",
    SUMMARY: b"response.reasoning_summary_text.delta",
    REASONING: b"response.reasoning_text.delta",
}
_DONE: Final = {kind: name.removesuffix(b".delta") + b".done" for kind, name in _DELTA.items()}
_TERMINAL: Final = {
    "completed": b"response.completed",
    "failed": b"response.failed",
    "incomplete": b"response.incomplete",
    "cancelled": b"response.incomplete",
}
FEW_OPS: Final = 16
MANY_OPS: Final = 512
LARGE_FRAME: Final = 16 * 1024
SMALL_ITEM: Final = 4 * 1024
"""An item up to this size is kept from its own last event for the answer's, a moment later."""

_SPOKEN: Final = ["id", "type", "role"]
_SUFFIX: Final = b',"sequence_number":'
_TEXT_SUFFIX: Final = b',"logprobs":[],"sequence_number":'
_NO_TEXT: Final = b'{"type":"output_text","text":"","annotations":[],"logprobs":[]}'


class ResponseEvents:
    """Encoder of one run for one or many readers; `run` returns the run as it may be shown."""

    __slots__ = (
        "_began", "_channel", "_framed", "_head", "_item", "_log", "_next", "_place", "_plain", "_prefix",
        "_results", "_run", "_suffix", "_with_ids",
    )  # fmt: skip

    def __init__(
        self,
        log: RunLog,
        run: Callable[[], Run],
        *,
        with_ids: bool = False,
        framed: bool = True,
        results: bool = False,
    ) -> None:
        self._log = log
        self._run = run
        self._with_ids = with_ids
        self._plain = framed and not with_ids
        self._head = b""
        self._framed = framed
        self._results = results or shows_results(run())
        self._channel: tuple[int, str, int] | None = None
        self._prefix = b""
        self._place = b""
        self._suffix = b""
        self._next = -1
        self._began: tuple[str, bytes] | None = None
        self._item: tuple[int, bytes] | None = None

    def render(self, start: int, end: int, limit: int) -> tuple[bytes, int]:
        """Return the SSE frames of ops `start` to `end` (excluded), and where it stopped.

        It stops behind the op with which the frames reach `limit` bytes.
        """
        if start == self._next == end - 1 and self._plain:
            op = self._log.ops[start]
            if isinstance(op, str):  # the next token, which is what streams are made of
                self._next = end
                return b"%b%b%b%d}\n\n" % (self._head, encode_text(op), self._suffix, start), end
        if end - start <= FEW_OPS and len(self._log.ops) < MANY_OPS:
            frames = self.frames(start, end)
            if sum(map(len, frames)) <= limit:
                return b"".join(frames), end
        parts: list[bytes] = []
        size = 0
        while start < end and size < limit:
            parts += self.frames(start, start + 1)
            size += len(parts[-1])
            start += 1
        return b"".join(parts), start

    def frames(self, start: int, end: int) -> list[bytes]:
        """Return one frame for each op `start` to `end` (excluded)."""
        ops = self._log.ops
        if start != self._next:
            self._select(_channel_at(ops, start))
        self._next = end
        frames: list[bytes] = []
        for sequence in range(start, end):
            op = ops[sequence]
            if isinstance(op, str):
                if self._plain:
                    frames.append(b"%b%b%b%d}\n\n" % (self._head, encode_text(op), self._suffix, sequence))
                else:
                    body = b"%b%b%b%d}" % (self._prefix, encode_text(op), self._suffix, sequence)
                    frames.append(self._frame(_DELTA[self._kind], body, sequence))
            elif self._plain and self._log.frames is None:
                frames.append(b"event: %b\ndata: %b\n\n" % self._event(op, sequence))
            else:
                frames.append(self._shared_frame(op, sequence))
        return frames

    def _shared_frame(self, op: Op, sequence: int) -> bytes:
        """Return the frame of an op; large ones are rendered once for all readers of a shared log."""
        shared = self._log.frames
        key = (sequence, self._with_ids, self._framed, self._results)
        if shared is not None and key in shared:
            return shared[key]
        frame = self._frame(*self._event(op, sequence), sequence)
        if shared is not None and len(frame) > LARGE_FRAME:
            shared[key] = frame
        return frame

    @property
    def _kind(self) -> str:
        return self._channel[1] if self._channel else TEXT

    def _frame(self, name: bytes, body: bytes, sequence: int) -> bytes:
        if not self._framed:
            return body
        if self._with_ids:
            return b"id: %d\nevent: %b\ndata: %b\n\n" % (sequence, name, body)
        return b"event: %b\ndata: %b\n\n" % (name, body)

    def _select(self, channel: tuple[int, str, int] | None) -> None:
        self._channel = channel
        if channel is None:
            return
        index, kind, part = channel
        place = self._place = _place(self._log.outputs[index], kind, part)
        self._prefix = b'{"type":"%b",%b,"delta":' % (_DELTA[kind], place)
        self._head = b"event: %b\ndata: %b" % (_DELTA[kind], self._prefix) if self._plain else b""
        self._suffix = _TEXT_SUFFIX if kind == TEXT else _SUFFIX

    def _place_of(self, op: Op) -> bytes:
        """Return where the channel of an op is; mostly it is the current one."""
        if (op[1], op[2], op[3]) == self._channel:
            return self._place
        return _place(self._log.outputs[op[1]], op[2], op[3])

    def _event(self, op: Op, sequence: int) -> tuple[bytes, bytes]:
        code = op[0]
        if code == "R":
            return _raw(op[1], sequence)
        if code in ("D", "L", "B") or (code == "A" and op[3]["type"] == "function_call"):
            self._select((op[1], ARGUMENTS, 0) if code == "A" else (op[1], op[2], op[3]))
        if code == "D":
            body = b"%b%b%b%d}" % (self._prefix, encode_text(op[4]), self._suffix, sequence)
            return _DELTA[op[2]], body
        name, fields = _RENDER[code](self, op)
        return name, b'{"type":"%b",%b,"sequence_number":%d}' % (name, fields, sequence)

    # Each returns an event's name, and its fields between type and number.

    def _created(self, op: Op) -> tuple[bytes, bytes]:
        state = "queued" if self._run().background else "in_progress"
        return b"response.created", self._snapshot(state)

    def _queued(self, op: Op) -> tuple[bytes, bytes]:
        return b"response.queued", self._snapshot("queued")

    def _in_progress(self, op: Op) -> tuple[bytes, bytes]:
        response = self._snapshot("in_progress")
        self._began = None  # the last event that shows it; a stream may stay open for long
        return b"response.in_progress", response

    def _snapshot(self, state: str) -> bytes:
        """Return the encoded response as it began; two events in a row usually hold the same."""
        if self._began is None or self._began[0] != state:
            self._began = (state, b'"response":' + response_bytes(self._run(), b"[]", began_as=state))
        return self._began[1]

    def _item_added(self, op: Op) -> tuple[bytes, bytes]:
        if op[3]["type"] == "message" and list(op[3]) == _SPOKEN and op[3]["role"] == "assistant":
            fields = (
                b'"output_index":%d,"item":{"id":"msg_%b","type":"message","status":"in_progress",'
                b'"role":"assistant","content":[]}' % (op[1], op[3]["id"].encode())
            )
        else:
            new = Output(op[1], op[2], op[3])
            item = output_item(new.id, new.type, "in_progress", new.payload())
            fields = b'"output_index":%d,"item":%b' % (op[1], encode_object(item))
        return b"response.output_item.added", fields

    def _item_done(self, op: Op) -> tuple[bytes, bytes]:
        item = self._output_bytes(self._log.outputs[op[1]], op[2])
        self._item = (op[1], item) if len(item) <= SMALL_ITEM else None
        return b"response.output_item.done", b'"output_index":%d,"item":%b' % (op[1], item)

    def _output_bytes(self, output: Output, status: str) -> bytes:
        record = output.record if self._results else None
        return encode_object(output_item(output.id, output.type, status, output.payload(), record))

    def _search(self, op: Op) -> tuple[bytes, bytes]:
        output = self._log.outputs[op[1]]
        name = f"response.{output.type}.{op[2]}".encode()
        item_id = encode_text(ids.item_wire_id(output.type, output.id))
        return name, b'"item_id":%b,"output_index":%d' % (item_id, output.index)

    def _part_added(self, op: Op) -> tuple[bytes, bytes]:
        if op[2] == TEXT:
            return b"response.content_part.added", b'%b,"part":%b' % (self._place_of(op), _NO_TEXT)
        part = self._log.part_of(op).content()
        empty = {field: "" if isinstance(value, str) else [] for field, value in part.items()}
        return self._part_event(op, b"added", empty | {"type": part["type"]})

    def _part_done(self, op: Op) -> tuple[bytes, bytes]:
        return self._part_event(op, b"done", self._log.part_of(op).content())

    def _part_event(self, op: Op, ending: bytes, part: dict[str, Any]) -> tuple[bytes, bytes]:
        name = b"response.reasoning_summary_part" if op[2] == SUMMARY else b"response.content_part"
        return b"%b.%b" % (name, ending), b'%b,"part":%b' % (self._place_of(op), encode_object(part))

    def _logprobs_delta(self, op: Op) -> tuple[bytes, bytes]:
        place = self._place_of(op)
        return _DELTA[op[2]], b'%b,"delta":%b,"logprobs":%b' % (
            place, encode_text(op[4]), encode_object(op[5]),
        )  # fmt: skip

    def _channel_done(self, op: Op) -> tuple[bytes, bytes]:
        output, kind = self._log.outputs[op[1]], op[2]
        part = self._log.part_of(op)
        text = encode_text(part.text)
        if kind == ARGUMENTS:
            rest = b'"name":%b,"arguments":%b' % (encode_text(output.fixed["name"]), text)
        elif kind == REFUSAL:
            rest = b'"refusal":' + text
        elif kind == TEXT:
            rest = b'"text":%b,"logprobs":%b' % (text, encode_object(part.logprobs))
        else:
            rest = b'"text":' + text
        return _DONE[kind], b"%b,%b" % (self._place_of(op), rest)

    def _annotation(self, op: Op) -> tuple[bytes, bytes]:
        place = _place(self._log.outputs[op[1]], TEXT, op[2])
        return b"response.output_text.annotation.added", b'%b,"annotation_index":%d,"annotation":%b' % (
            place, op[3], encode_object(op[4]),
        )  # fmt: skip

    def _end(self, op: Op) -> tuple[bytes, bytes]:
        run = self._run()
        known, self._item = self._item, None
        items = [
            known[1] if known is not None and known[0] == out.index else self._output_bytes(out, out.status)
            for out in self._log.outputs
        ]
        return _TERMINAL[run.state], b'"response":' + response_bytes(run, b"[%b]" % b",".join(items))


_RENDER: Final[dict[str, Callable[[ResponseEvents, Op], tuple[bytes, bytes]]]] = {
    "C": ResponseEvents._created,
    "Q": ResponseEvents._queued,
    "P": ResponseEvents._in_progress,
    "A": ResponseEvents._item_added,
    "B": ResponseEvents._part_added,
    "L": ResponseEvents._logprobs_delta,
    "E": ResponseEvents._channel_done,
    "F": ResponseEvents._part_done,
    "N": ResponseEvents._annotation,
    "S": ResponseEvents._search,
    "G": ResponseEvents._item_done,
    "Z": ResponseEvents._end,
}


def _place(output: Output, kind: str, part: int) -> bytes:
    """Return the fields that say where a channel is."""
    item_id = encode_text(ids.item_wire_id(output.type, output.id))
    if kind == ARGUMENTS:
        return b'"item_id":%b,"output_index":%d' % (item_id, output.index)
    field = b"summary_index" if kind == SUMMARY else b"content_index"
    return b'"item_id":%b,"output_index":%d,"%b":%d' % (item_id, output.index, field, part)


def _raw(event: str, sequence: int) -> tuple[bytes, bytes]:
    body = msgspec.json.decode(event)
    body["sequence_number"] = sequence
    return str(body["type"]).encode(), encode_object(body)


def _channel_at(ops: Sequence[Op], start: int) -> tuple[int, str, int] | None:
    """Return the channel that is current before op `start`."""
    for index in range(start - 1, -1, -1):
        op = ops[index]
        if isinstance(op, str):
            continue
        if op[0] in ("D", "L", "B"):
            return (op[1], op[2], op[3])
        if op[0] == "A" and op[3]["type"] == "function_call":
            return (op[1], ARGUMENTS, 0)
    return None
