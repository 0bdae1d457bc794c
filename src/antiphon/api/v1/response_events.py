"""Ops as the event stream of OpenAI's Responses: a pure function of (run, items, ops).

One op is one event and its index the `sequence_number`, so any part of a stream can be
rendered again, byte for byte, from any start. Version 1 of these bytes; a release that changes
them raises `domain.runs.WIRE_VERSION` and keeps this encoder for older runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from antiphon.api.v1.response_objects import output_item, response_object, shows_results, snapshot
from antiphon.domain import ids
from antiphon.domain.run_events import ARGUMENTS, REASONING, REFUSAL, SUMMARY, TEXT, Op, Output, RunLog
from antiphon.domain.runs import Run

_encode = msgspec.json.Encoder().encode

_DELTA: Final = {
    TEXT: "response.output_text.delta",
    REFUSAL: "response.refusal.delta",
    ARGUMENTS: "response.function_call_arguments.delta",
    SUMMARY: "response.reasoning_summary_text.delta",
    REASONING: "response.reasoning_text.delta",
}
_DONE: Final = {kind: name.removesuffix(".delta") + ".done" for kind, name in _DELTA.items()}
_TERMINAL: Final = {
    "completed": "response.completed",
    "failed": "response.failed",
    "incomplete": "response.incomplete",
    "cancelled": "response.incomplete",
}
_LINE_SEPARATORS: Final = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
)


def encode_text(text: str) -> bytes:
    """Return a JSON string in which no reader can see a line end.

    U+2028, U+2029 and U+0085 are legal in JSON, but some line readers split at them.
    """
    encoded = _encode(text)
    if not text.isascii():
        for raw, escaped in _LINE_SEPARATORS:
            if raw in encoded:
                encoded = encoded.replace(raw, escaped)
    return encoded


def encode_object(value: Any) -> bytes:
    """Return a JSON object, with the same care for line ends."""
    encoded = _encode(value)
    if not encoded.isascii():
        for raw, escaped in _LINE_SEPARATORS:
            encoded = encoded.replace(raw, escaped)
    return encoded


FEW_OPS: Final = 16
MANY_OPS: Final = 512
LARGE_FRAME: Final = 16 * 1024


class ResponseEvents:
    """Encoder of one run for one or many readers; `run` returns the run as it may be shown."""

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
        self._suffix = b""
        self._next = -1
        self._began: tuple[str, msgspec.Raw] | None = None

    def render(self, start: int, end: int, limit: int) -> tuple[bytes, int]:
        """Return the SSE frames of ops `start` to `end` (excluded), and where it stopped.

        It stops behind the op with which the frames reach `limit` bytes.
        """
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
            else:
                frames.append(self._event_frame(op, sequence))
        return frames

    def _event_frame(self, op: Op, sequence: int) -> bytes:
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

    def _frame(self, name: str, body: bytes, sequence: int) -> bytes:
        if not self._framed:
            return body
        if self._with_ids:
            return b"id: %d\nevent: %b\ndata: %b\n\n" % (sequence, name.encode(), body)
        return b"event: %b\ndata: %b\n\n" % (name.encode(), body)

    def _select(self, channel: tuple[int, str, int] | None) -> None:
        self._channel = channel
        if channel is None:
            return
        index, kind, part = channel
        output = self._log.outputs[index]
        fields = _place(output, kind, part)
        head = {"type": _DELTA[kind], **fields}
        self._prefix = _encode(head)[:-1] + b',"delta":'
        self._head = b"event: %b\ndata: %b" % (_DELTA[kind].encode(), self._prefix)
        self._suffix = (b',"logprobs":[]' if kind == TEXT else b"") + b',"sequence_number":'

    def _event(self, op: Op, sequence: int) -> tuple[str, bytes]:
        code = op[0]
        if code == "R":
            return _raw(op[1], sequence)
        if code in ("D", "L", "B") or (code == "A" and op[3]["type"] == "function_call"):
            self._select((op[1], ARGUMENTS, 0) if code == "A" else (op[1], op[2], op[3]))
        if code == "D":
            body = b"%b%b%b%d}" % (self._prefix, encode_text(op[4]), self._suffix, sequence)
            return _DELTA[op[2]], body
        name, fields = _RENDER[code](self, op)
        return name, encode_object({"type": name, **fields, "sequence_number": sequence})

    def _created(self, op: Op) -> tuple[str, dict[str, Any]]:
        state = "queued" if self._run().background else "in_progress"
        return "response.created", {"response": self._snapshot(state)}

    def _queued(self, op: Op) -> tuple[str, dict[str, Any]]:
        return "response.queued", {"response": self._snapshot("queued")}

    def _in_progress(self, op: Op) -> tuple[str, dict[str, Any]]:
        response = self._snapshot("in_progress")
        self._began = None  # the last event that shows it; a stream may stay open for long
        return "response.in_progress", {"response": response}

    def _snapshot(self, state: str) -> msgspec.Raw:
        """Return the encoded response as it began; two events in a row usually hold the same."""
        if self._began is None or self._began[0] != state:
            self._began = (state, msgspec.Raw(encode_object(snapshot(self._run(), state))))
        return self._began[1]

    def _item_added(self, op: Op) -> tuple[str, dict[str, Any]]:
        item = Output(op[1], op[2], op[3])
        return "response.output_item.added", {
            "output_index": op[1],
            "item": output_item(item.id, item.type, "in_progress", item.payload()),
        }

    def _item_done(self, op: Op) -> tuple[str, dict[str, Any]]:
        output = self._log.outputs[op[1]]
        return "response.output_item.done", {
            "output_index": op[1],
            "item": self._shown(output, op[2]),
        }

    def _shown(self, output: Output, status: str) -> dict[str, Any]:
        record = output.record if self._results else None
        return output_item(output.id, output.type, status, output.payload(), record)

    def _search(self, op: Op) -> tuple[str, dict[str, Any]]:
        output = self._log.outputs[op[1]]
        place = {"item_id": ids.item_wire_id(output.type, output.id), "output_index": output.index}
        return f"response.{output.type}.{op[2]}", place

    def _part_added(self, op: Op) -> tuple[str, dict[str, Any]]:
        return _part_event(self._log, op, "added")

    def _part_done(self, op: Op) -> tuple[str, dict[str, Any]]:
        return _part_event(self._log, op, "done")

    def _logprobs_delta(self, op: Op) -> tuple[str, dict[str, Any]]:
        fields = _place(self._log.outputs[op[1]], op[2], op[3])
        return _DELTA[op[2]], {**fields, "delta": op[4], "logprobs": op[5]}

    def _channel_done(self, op: Op) -> tuple[str, dict[str, Any]]:
        output, kind = self._log.outputs[op[1]], op[2]
        part = self._log.part_of(op)
        fields = _place(output, kind, op[3])
        if kind == ARGUMENTS:
            fields |= {"name": output.fixed["name"], "arguments": part.text}
        elif kind == REFUSAL:
            fields["refusal"] = part.text
        else:
            fields["text"] = part.text
            if kind == TEXT:
                fields["logprobs"] = part.logprobs
        return _DONE[kind], fields

    def _annotation(self, op: Op) -> tuple[str, dict[str, Any]]:
        fields = _place(self._log.outputs[op[1]], TEXT, op[2])
        return "response.output_text.annotation.added", {
            **fields, "annotation_index": op[3], "annotation": op[4],
        }  # fmt: skip

    def _end(self, op: Op) -> tuple[str, dict[str, Any]]:
        run = self._run()
        outputs = [self._shown(out, out.status) for out in self._log.outputs]
        return _TERMINAL[run.state], {"response": response_object(run, outputs)}


_RENDER: Final[dict[str, Callable[[ResponseEvents, Op], tuple[str, dict[str, Any]]]]] = {
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


def _place(output: Output, kind: str, part: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "item_id": ids.item_wire_id(output.type, output.id),
        "output_index": output.index,
    }
    if kind == SUMMARY:
        fields["summary_index"] = part
    elif kind != ARGUMENTS:
        fields["content_index"] = part
    return fields


def _part_event(log: RunLog, op: Op, ending: str) -> tuple[str, dict[str, Any]]:
    kind = op[2]
    name = "response.reasoning_summary_part" if kind == SUMMARY else "response.content_part"
    part = log.part_of(op).content()
    if ending == "added":
        part = {field: "" if isinstance(value, str) else [] for field, value in part.items()} | {
            "type": part["type"]
        }
    return f"{name}.{ending}", {**_place(log.outputs[op[1]], kind, op[3]), "part": part}


def _raw(event: str, sequence: int) -> tuple[str, bytes]:
    body = msgspec.json.decode(event)
    body["sequence_number"] = sequence
    return str(body["type"]), encode_object(body)


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
