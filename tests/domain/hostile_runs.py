"""Runs as nasty as the grammar allows: every op an emitter may make, in every order it may make them."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from antiphon.domain.run_events import ARGUMENTS, REASONING, REFUSAL, SUMMARY, TEXT, RunLog
from antiphon.domain.runs import Run
from antiphon.domain.usage import Usage

SLOT = 7
NASTY = (
    "",
    "\0",
    "\u2028",
    "\u2029",
    "\x85",
    "\r\n",
    "\n\n",
    "data: [DONE]\n\n",
    '"}',
    "\\u0000",
    "𝔘𝔫𝔦",
    "e\u0301",
)

texts = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.text("ab ", max_size=400),
)
json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53), 2**53),
        st.floats(allow_nan=False, allow_infinity=False, width=32),
        texts,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(texts, inner, max_size=2)),
    max_leaves=4,
)
actions = st.lists(
    st.tuples(
        st.sampled_from(
            (
                "message",
                "search",
                "call",
                "reasoning",
                "part",
                "part",
                "text",
                "text",
                "text",
                "text",
                "more",
                "more",
                "more",
                "logprobs",
                "annotation",
                "raw",
                "end part",
                "end item",
            )
        ),
        st.integers(0, 7),
        texts,
    ),
    min_size=1,
    max_size=120,
)


class Player:
    """Interprets actions; what an action cannot do now it leaves undone."""

    def __init__(self, log: RunLog, annotation: Any) -> None:
        self.log = log
        self.annotation = annotation
        self.open: list[int] = []
        self.parts: dict[int, list[tuple[str, int]]] = {}
        self.counts: dict[int, dict[str, int]] = {}
        self.last: tuple[int, str, int] | None = None

    def play(self, kind: str, which: int, text: str) -> None:
        handler = getattr(self, "do_" + kind.replace(" ", "_"), None)
        if handler is not None:
            handler(which, text)

    def _item(self, fixed: dict[str, Any], choice: int) -> None:
        index = len(self.log.outputs)
        self.log.append(("A", index, choice, {"id": f"{index:032x}", **fixed}))
        self.open.append(index)
        self.parts[index] = []
        self.counts[index] = {}

    def do_message(self, which: int, text: str) -> None:
        self._item({"type": "message", "role": "assistant"}, which % 3)

    def do_call(self, which: int, text: str) -> None:
        self._item({"type": "function_call", "call_id": f"call_{which}", "name": text or "f"}, which % 3)

    def do_reasoning(self, which: int, text: str) -> None:
        self._item({"type": "reasoning"}, which % 3)

    def do_search(self, which: int, text: str) -> None:
        self._item({"type": "file_search_call"}, 0)
        index = self.open.pop()
        steps = [("S", index, "in_progress"), ("S", index, "searching", [text]), ("S", index, "completed")]
        for step in steps[: which + 1]:
            self.log.append(step)
        record = {"results": [{"text": text, "attributes": self.annotation}], "trace": {"what": text}}
        status = ("failed", "incomplete", "completed")[which % 3]
        self.log.append(("G", index, status, record) if which > 2 else ("G", index, status))

    def _pick(self, which: int) -> int | None:
        return self.open[which % len(self.open)] if self.open else None

    def do_part(self, which: int, text: str) -> None:
        output = self._pick(which)
        if output is None or self.log.outputs[output].type == "function_call":
            return
        message = self.log.outputs[output].type == "message"
        kind = ((TEXT, REFUSAL) if message else (REASONING, SUMMARY))[len(text) % 2]
        counter = "content" if message else kind
        number = self.counts[output].get(counter, 0)
        self.counts[output][counter] = number + 1
        self.parts[output].append((kind, number))
        self.log.append(("B", output, kind, number))

    def _channel(self, which: int) -> tuple[int, str, int] | None:
        output = self._pick(which)
        if output is None:
            return None
        if self.log.outputs[output].type == "function_call":
            return (output, ARGUMENTS, 0)
        parts = self.parts[output]
        return (output, *parts[(which // 2) % len(parts)]) if parts else None

    def do_text(self, which: int, text: str) -> None:
        channel = self._channel(which)
        if channel is not None:
            self.last = channel
            self.log.delta(*channel, text)

    def do_more(self, which: int, text: str) -> None:
        if self.last is not None and self._is_open(self.last):
            self.log.delta(*self.last, text)

    def _is_open(self, channel: tuple[int, str, int]) -> bool:
        output, kind, part = channel
        return output in self.open and (kind == ARGUMENTS or (kind, part) in self.parts[output])

    def do_logprobs(self, which: int, text: str) -> None:
        channel = self._channel(which)
        if channel is not None and channel[1] == TEXT:
            found = [{"token": text, "logprob": -0.5, "bytes": list(text.encode()), "top_logprobs": []}] * (
                which % 3
            )
            self.log.append(("L", *channel, text, found))

    def do_annotation(self, which: int, text: str) -> None:
        channel = self._channel(which)
        if channel is not None and channel[1] == TEXT:
            part = self.log.outputs[channel[0]].part(TEXT, channel[2])
            self.log.append(
                ("N", channel[0], channel[2], len(part.annotations), {"text": text, "x": self.annotation})
            )

    def do_raw(self, which: int, text: str) -> None:
        event = {"type": "response.unforeseen", "what": text, "more": self.annotation, "sequence_number": -1}
        self.log.append(("R", msgspec.json.encode(event).decode()))

    def do_end_part(self, which: int, text: str) -> None:
        channel = self._channel(which)
        if channel is None or channel[1] == ARGUMENTS:
            return
        self.log.append(("E", *channel))
        self.log.append(("F", *channel))
        self.parts[channel[0]].remove((channel[1], channel[2]))

    def do_end_item(self, which: int, text: str, status: str = "completed") -> None:
        output = self._pick(which)
        if output is None:
            return
        if self.log.outputs[output].type == "function_call":
            self.log.append(("E", output, ARGUMENTS, 0))
        for kind, part in self.parts[output]:
            self.log.append(("E", output, kind, part))
            self.log.append(("F", output, kind, part))
        self.log.append(("G", output, status))
        self.open.remove(output)

    def end(self, status: str) -> None:
        while self.open:
            self.do_end_item(0, "", status)
        self.log.append(("Z", ["stop"]))


@st.composite
def hostile_logs(draw: st.DrawFn) -> RunLog:
    """The finished log of a run."""
    background = draw(st.booleans())
    log = RunLog([("C",), ("Q",), ("P",)] if background else [("C",), ("P",)])
    player = Player(log, draw(json_values))
    player.do_message(0, "")
    player.do_part(0, "")
    for action in draw(actions):
        player.play(*action)
    player.end(draw(st.sampled_from(("completed", "incomplete"))))
    return log


def run_of(log: RunLog, **changes: Any) -> Run:
    """The run that a log belongs to, as it was when it began."""
    fields = {
        "id": "0190a1b2c3d47007" + "8" * 16,
        "owner_id": "a" * 32,
        "slot": SLOT,
        "conversation_id": "c" * 32,
        "branch_id": "b" * 32,
        "author_id": "a" * 32,
        "credential_id": None,
        "surface": "responses",
        "parent": None,
        "input_end": None,
        "state": "in_progress",
        "background": ("Q",) in log.ops,
        "stored": True,
        "request": {"instructions": "be \u2028 brief", "temperature": 0.5},
        "model": "m",
        "created_us": 1_700_000_000_000_000,
    }
    return Run(**(fields | changes))


def ended(run: Run, state: str = "completed") -> Run:
    """The same run after its end."""
    return msgspec.structs.replace(
        run,
        state=state,
        usage=Usage(3, 5),
        provider="p",
        ended_us=run.created_us + 2_000_000,
        output_end=None,
    )
