"""The log of a run: operations, their fold, and the script they become.

Every op is exactly one event of the Responses stream, so an op's index is its
`sequence_number`. Ops are plain values that msgpack can carry:

    "text"                                  delta on the current channel
    ("D", output, kind, part, text)         delta on another channel, which becomes current
    ("L", output, kind, part, text, list)   delta with token log probabilities
    ("C",) ("Q",) ("P",)                    created, queued, in progress
    ("A", output, choice, item)             output item added; item = its fixed fields
    ("B", output, kind, part)               part added; its channel becomes current
    ("E", output, kind, part)               channel's text is complete
    ("F", output, kind, part)               part is complete
    ("N", output, part, index, annotation)  annotation added
    ("S", output, "in_progress")            a search has begun
    ("S", output, "searching", queries)     it looks for these texts
    ("S", output, "completed")              it has found what there is
    ("G", output, status)                   output item is complete
    ("G", output, status, record)           the same of a search: what it found, and how (see below)
    ("R", json)                             an event nobody foresaw, verbatim
    ("Z", reasons)                          the terminal event; its content is in the run
    ("Z", reasons, citations)               the same of an answer from sources: how many were cited

A channel is (output index, kind, part index), kind one of t text, r refusal, a arguments,
s summary, n reasoning. A search's record is `{"results": […], "trace": {…}}`: it lives here and
nowhere else, so that items stay small, and is read where somebody asks for it. After the end the
deltas shrink to their lengths in code points over the stored items (`to_script`), from which
`from_script` rebuilds the same ops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

Op = Any
"""A str or a sequence whose first element is the code; see the module's table."""

OPENING_OPS: Final = 2
"""Ops implied by a run's row and never journalled: created, then queued or in_progress."""

TEXT: Final = "t"
REFUSAL: Final = "r"
ARGUMENTS: Final = "a"
SUMMARY: Final = "s"
REASONING: Final = "n"

FILE_SEARCH: Final = "file_search_call"
"""Type of the items that stand for searches."""

_PART_TYPE: Final = {
    TEXT: "output_text",
    REFUSAL: "refusal",
    REASONING: "reasoning_text",
    SUMMARY: "summary_text",
}
_PART_FIELD: Final = {REFUSAL: "refusal"}

encode_ops = msgspec.msgpack.Encoder().encode
decode_ops = msgspec.msgpack.Decoder(list[Any]).decode


class Part:
    """One content part of an output, or the arguments of a call."""

    __slots__ = ("_joined", "_text", "annotations", "kind", "logprobs", "pieces")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.pieces: list[str] = []
        self._text = ""
        self._joined = 0
        self.annotations: list[Any] = []
        self.logprobs: list[Any] = []

    @property
    def text(self) -> str:
        """The text so far; joined once, however often it is asked for."""
        if self._joined != len(self.pieces):
            self._text = "".join(self.pieces)
            self._joined = len(self.pieces)
        return self._text

    def forget_text(self) -> None:
        """Keep the pieces alone, which the ops hold too; the text is joined again when asked for."""
        self._text = ""
        self._joined = 0

    def content(self) -> dict[str, Any]:
        """Return the part as it stands in an item's `content`."""
        body: dict[str, Any] = {"type": _PART_TYPE[self.kind], _PART_FIELD.get(self.kind, "text"): self.text}
        if self.kind == TEXT:
            body["annotations"] = self.annotations
            body["logprobs"] = self.logprobs
        return body


class Output:
    """One output item as folded so far. `fixed` holds id, type and what never changes."""

    __slots__ = ("_payload", "choice", "fixed", "index", "parts", "queries", "record", "status")

    def __init__(self, index: int, choice: int, fixed: dict[str, Any]) -> None:
        self.index = index
        self.choice = choice
        self.fixed = fixed
        self.status = "in_progress"
        self.parts: dict[tuple[str, int], Part] = {}
        self.queries: list[str] = []
        self.record: dict[str, Any] | None = None
        self._payload: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        """The item's id, 32 hex digits."""
        identifier: str = self.fixed["id"]
        return identifier

    @property
    def type(self) -> str:
        """The item's type."""
        kind: str = self.fixed["type"]
        return kind

    def part(self, kind: str, index: int) -> Part:
        """Return the part of a channel, making it if it is new."""
        found = self.parts.get((kind, index))
        if found is None:
            found = self.parts[kind, index] = Part(kind)
        return found

    def payload(self) -> dict[str, Any]:
        """Return the item as stored: without id and status. Not to be changed: once complete it is kept."""
        if self._payload is not None:
            return self._payload
        body = {name: value for name, value in self.fixed.items() if name != "id"}
        if self.type == "message":
            body["content"] = [part.content() for part in self.parts.values()]
        elif self.type == "function_call":
            body["arguments"] = self.part(ARGUMENTS, 0).text
        elif self.type == "reasoning":
            body["summary"] = [part.content() for part in self.parts.values() if part.kind == SUMMARY]
            texts = [part.content() for part in self.parts.values() if part.kind == REASONING]
            if texts:
                body["content"] = texts
        elif self.type == FILE_SEARCH:
            body["queries"], body["results"] = self.queries, None
        if self.status != "in_progress":
            self._payload = body
        return body

    def forget_texts(self) -> None:
        """Keep every text once, as its pieces."""
        self._payload = None
        for part in self.parts.values():
            part.forget_text()


class RunLog:
    """The ops of one run and their fold.

    Memory is O(text): a delta costs its string and two list slots. A log that many readers share
    has room in `frames` for what is large and rendered alike for all of them.
    """

    __slots__ = ("__weakref__", "_channel", "_pieces", "frames", "ops", "outputs")

    def __init__(self, ops: Iterable[Op] = (), *, shared: bool = False) -> None:
        self.frames: dict[object, bytes] | None = {} if shared else None
        self.ops: list[Op] = []
        self.outputs: list[Output] = []
        self._channel: tuple[int, str, int] | None = None
        self._pieces: list[str] = []
        for op in ops:
            self.append(op)

    @property
    def answered(self) -> bool:
        """Whether anything was produced that answers: searching alone does not."""
        return any(output.type != FILE_SEARCH for output in self.outputs)

    @property
    def emitted(self) -> bool:
        """Whether anything beyond created, queued and in_progress was produced."""
        return bool(self.outputs) or any(op[0] == "R" for op in self.ops if not isinstance(op, str))

    def delta(self, output: int, kind: str, part: int, text: str) -> None:
        """Append some text to a channel."""
        if self._channel == (output, kind, part):
            self.text(text)
        else:
            self.append(("D", output, kind, part, text))

    def text(self, text: str) -> None:
        """Append some text to the current channel."""
        self.ops.append(text)
        self._pieces.append(text)

    def append(self, op: Op) -> None:
        """Append any op and fold it in."""
        self.ops.append(op)
        if isinstance(op, str):
            self._pieces.append(op)
            return
        code = op[0]
        if code == "D" or code == "L":
            self._select(op[1], op[2], op[3])
            self._pieces.append(op[4])
            if code == "L":
                self.outputs[op[1]].part(op[2], op[3]).logprobs.extend(op[5])
        elif code == "A":
            self.outputs.append(Output(op[1], op[2], op[3]))
            if op[3]["type"] == "function_call":
                self._select(op[1], ARGUMENTS, 0)
        elif code == "B":
            self._select(op[1], op[2], op[3])
        elif code == "N":
            self.outputs[op[1]].part(TEXT, op[2]).annotations.append(op[4])
        elif code == "S":
            if op[2] == "searching":
                self.outputs[op[1]].queries = list(op[3])
        elif code == "G":
            self.outputs[op[1]].status = op[2]
            if len(op) > 3:
                self.outputs[op[1]].record = op[3]

    def _select(self, output: int, kind: str, part: int) -> None:
        self._channel = (output, kind, part)
        self._pieces = self.outputs[output].part(kind, part).pieces

    def forget_texts(self) -> None:
        """Keep every text once, as its ops; for a log that stays in memory behind a slow reader."""
        for output in self.outputs:
            output.forget_texts()

    def part_of(self, op: Op) -> Part:
        """Return the part that a delta, B, E, F or N op speaks of."""
        output: Output = self.outputs[op[1]]
        return output.part(TEXT, op[2]) if op[0] == "N" else output.part(op[2], op[3])


def to_script(ops: Sequence[Op]) -> list[Any]:
    """Return the ops with every delta's text replaced by its length in code points."""
    script: list[Any] = []
    for op in ops:
        if isinstance(op, str):
            script.append(len(op))
        elif op[0] == "D":
            script.append(["D", op[1], op[2], op[3], len(op[4])])
        elif op[0] == "L":
            script.append(["L", op[1], op[2], op[3], len(op[4]), len(op[5])])
        elif op[0] == "A":
            script.append(["A", op[1], op[2], op[3]["id"]])
        elif op[0] == "N":
            script.append(["N", op[1], op[2], op[3]])
        else:
            script.append(op)
    return script


class _Stored:
    """A stored output item and how much of each channel the script has consumed."""

    def __init__(self, identifier: str, payload: Mapping[str, Any]) -> None:
        self.payload = payload
        left_out: tuple[str, ...] = ("content", "arguments", "summary") if "raw" not in payload else ()
        if payload["type"] == FILE_SEARCH:
            left_out = ("queries", "results")
        self.fixed = {"id": identifier} | {k: v for k, v in payload.items() if k not in left_out}
        self.used: dict[tuple[str, int], int] = {}
        self.used_logprobs: dict[int, int] = {}
        self.texts: dict[tuple[str, int], str] = {}

    def take(self, kind: str, part: int, length: int) -> str:
        start = self.used.get((kind, part), 0)
        self.used[kind, part] = start + length
        text = self.texts.get((kind, part))
        if text is None:
            text = self.texts[kind, part] = self._text(kind, part)
        return text[start : start + length]

    def _text(self, kind: str, part: int) -> str:
        if kind == ARGUMENTS:
            arguments: str = self.payload["arguments"]
            return arguments
        field = "summary" if kind == SUMMARY else "content"
        text: str = self.payload[field][part][_PART_FIELD.get(kind, "text")]
        return text

    def take_logprobs(self, part: int, count: int) -> list[Any]:
        start = self.used_logprobs.get(part, 0)
        self.used_logprobs[part] = start + count
        taken: list[Any] = self.payload["content"][part]["logprobs"][start : start + count]
        return taken


def expand(script: Sequence[Any], items: Mapping[str, Mapping[str, Any]]) -> list[Op]:
    """Return the ops a script stands for; `items` maps item ids to stored payloads.

    Raises KeyError or IndexError if the items are not those the script was made of.
    """
    ops: list[Op] = []
    stored: dict[int, _Stored] = {}
    channel: tuple[int, str, int] = (0, TEXT, 0)
    for entry in script:
        if isinstance(entry, int):
            ops.append(stored[channel[0]].take(channel[1], channel[2], entry))
            continue
        code = entry[0]
        if code in ("D", "L", "B"):
            channel = (entry[1], entry[2], entry[3])
        if code == "A":
            item = stored[entry[1]] = _Stored(entry[3], items[entry[3]])
            ops.append(["A", entry[1], entry[2], item.fixed])
            if item.fixed["type"] == "function_call":
                channel = (entry[1], ARGUMENTS, 0)
        elif code == "D":
            ops.append([*entry[:4], stored[entry[1]].take(entry[2], entry[3], entry[4])])
        elif code == "L":
            text = stored[entry[1]].take(entry[2], entry[3], entry[4])
            ops.append([*entry[:4], text, stored[entry[1]].take_logprobs(entry[3], entry[5])])
        elif code == "N":
            ops.append([*entry, stored[entry[1]].payload["content"][entry[2]]["annotations"][entry[3]]])
        else:
            ops.append(entry)
    return ops


def compact(log: RunLog) -> tuple[bytes, bool]:
    """Return what to keep of a finished run's log, and whether it is a script.

    The script is replayed over the items as they will be stored and compared with the ops;
    if anything differs the raw ops are kept, so a replay is byte-exact in either case.
    """
    raw = encode_ops(log.ops)
    items = {output.id: output.payload() for output in log.outputs}
    script = to_script(log.ops)
    try:
        exact = encode_ops(expand(script, items)) == raw
    except (KeyError, IndexError, TypeError):
        exact = False
    return (encode_ops(script), True) if exact else (raw, False)
