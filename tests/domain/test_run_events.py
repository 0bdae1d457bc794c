"""A finished run is its items plus a script of lengths: nothing of its stream is lost by that."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon.api.v1.chat_events import ChatEvents
from antiphon.api.v1.response_events import ResponseEvents
from antiphon.domain.run_events import (
    ARGUMENTS,
    REASONING,
    REFUSAL,
    SUMMARY,
    TEXT,
    RunLog,
    compact,
    decode_ops,
    encode_ops,
    expand,
    to_script,
)
from antiphon.domain.runs import Run
from tests.domain.hostile_runs import ended, hostile_logs, run_of

HOSTILE = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def stored_items(log: RunLog) -> dict[str, Any]:
    """The outputs as a store gives them back: through JSON text."""
    return {out.id: msgspec.json.decode(msgspec.json.encode(out.payload())) for out in log.outputs}


def restored(log: RunLog) -> RunLog:
    """The log as it is read back long after the end."""
    raw, is_script = compact(log)
    entries = decode_ops(raw)
    return RunLog(expand(entries, stored_items(log)) if is_script else entries)


class Watched:
    """As much of a follower as the chat encoder asks for."""

    def __init__(self, log: RunLog, run: Run) -> None:
        self.log = log
        self.run = run


def rendered(encoder: Any, start: int, end: int, limit: int = 1) -> bytes:
    """All frames, rendered piece by piece as for a client that takes little at a time."""
    pieces: list[bytes] = []
    while start < end:
        piece, start = encoder.render(start, end, limit)
        pieces.append(piece)
    return b"".join(pieces)


def fold_in_words(ops: list[Any]) -> dict[tuple[int, str, int], str]:
    """The text of every channel, by the module's own table and nothing else."""
    texts: dict[tuple[int, str, int], str] = {}
    channel: Any = None
    for op in ops:
        if isinstance(op, str):
            texts[channel] = texts.get(channel, "") + op
        elif op[0] in ("D", "L"):
            channel = (op[1], op[2], op[3])
            texts[channel] = texts.get(channel, "") + op[4]
        elif op[0] == "B":
            channel = (op[1], op[2], op[3])
        elif op[0] == "A" and op[3]["type"] == "function_call":
            channel = (op[1], ARGUMENTS, 0)
    return {channel: text for channel, text in texts.items() if text}


@HOSTILE
@given(hostile_logs())
def test_the_fold_holds_the_text_of_every_channel(log: RunLog) -> None:
    folded = {
        (out.index, kind, part): found.text
        for out in log.outputs
        for (kind, part), found in out.parts.items()
        if found.text
    }
    assert folded == fold_in_words(log.ops)


@HOSTILE
@given(hostile_logs())
def test_a_script_over_the_stored_items_gives_back_every_op(log: RunLog) -> None:
    raw, is_script = compact(log)
    assert is_script, "a run that keeps the grammar needs no raw ops"
    again = expand(decode_ops(raw), stored_items(log))
    assert encode_ops(again) == encode_ops(log.ops)
    assert [out.payload() for out in RunLog(again).outputs] == [out.payload() for out in log.outputs]


@HOSTILE
@given(hostile_logs(), st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_a_replay_from_any_event_is_the_end_of_the_live_stream_byte_for_byte(
    log: RunLog, steps: list[int]
) -> None:
    begun = run_of(log)
    live_log, shown = RunLog(), [begun]
    encoder = ResponseEvents(live_log, lambda: shown[0])
    frames: list[bytes] = []
    while len(frames) < len(log.ops):  # as a follower reads: some ops arrive, then their frames are rendered
        upto = min(len(frames) + steps[len(frames) % len(steps)], len(log.ops))
        for op in log.ops[len(frames) : upto]:
            live_log.append(op)
        if upto == len(log.ops):
            shown[0] = ended(begun)
        frames += encoder.frames(len(frames), upto)
    again = restored(log)
    count = len(log.ops)
    for start in range(0, count, max(1, count // 25)):
        replay = rendered(ResponseEvents(again, lambda: ended(begun)), start, count, limit=1 + 97 * start)
        assert replay == b"".join(frames[start:])


@HOSTILE
@given(hostile_logs())
def test_every_event_is_one_line_of_json_with_its_own_sequence_number(log: RunLog) -> None:
    frames = ResponseEvents(log, lambda: ended(run_of(log))).frames(0, len(log.ops))
    for sequence, frame in enumerate(frames):
        assert frame.endswith(b"\n\n")
        lines = frame.decode().splitlines()  # splits at every character any reader takes for a line end
        assert [line.split(":")[0] for line in lines] == ["event", "data", ""][: len(lines)]
        event = msgspec.json.decode(lines[1].removeprefix("data: "))
        assert event["sequence_number"] == sequence
        assert lines[0] == f"event: {event['type']}"


@HOSTILE
@given(hostile_logs())
def test_the_deltas_of_a_stream_add_up_to_its_finished_items(log: RunLog) -> None:
    frames = ResponseEvents(log, lambda: ended(run_of(log)), framed=False).frames(0, len(log.ops))
    events = [msgspec.json.decode(frame) for frame in frames]
    for event in events:
        if (
            not event["type"].endswith(".done")
            or "output_index" not in event
            or "item" in event
            or "part" in event
        ):
            continue
        place = {name: event.get(name) for name in ("output_index", "content_index", "summary_index")}
        wanted = event["type"].removesuffix(".done") + ".delta"
        pieces = [
            one["delta"] for one in events
            if one["type"] == wanted and {name: one.get(name) for name in place} == place
        ]  # fmt: skip
        whole = next(event[name] for name in ("text", "refusal", "arguments") if name in event)
        assert "".join(pieces) == whole
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    final = {item["id"]: item for item in events[-1]["response"]["output"]}
    assert {item["id"]: item for item in done} == final


@HOSTILE
@given(hostile_logs(), st.integers(1, 7))
def test_the_chat_encoder_says_the_same_in_pieces_as_in_one(log: RunLog, step: int) -> None:
    run = ended(run_of(log, surface="chat"))
    encoder = ChatEvents(Watched(log, run), include_usage=True)  # type: ignore[arg-type]
    whole = rendered(encoder, 0, len(log.ops), limit=1 << 30)
    again = restored(log)
    pieces = ChatEvents(Watched(again, run), include_usage=True)  # type: ignore[arg-type]
    parts = [rendered(pieces, at, min(at + step, len(log.ops)), step) for at in range(0, len(log.ops), step)]
    assert b"".join(parts) == whole
    for line in whole.decode().splitlines():
        assert line == "" or line == "data: [DONE]" or msgspec.json.decode(line.removeprefix("data: "))


def test_a_log_outside_the_grammar_is_kept_raw_and_just_as_exact() -> None:
    log = RunLog([("C",), ("P",), ("A", 0, 0, {"id": "a", "type": "message", "role": "assistant"})])
    log.append(("B", 0, TEXT, 5))  # a part that leaves a gap
    log.delta(0, TEXT, 5, "far")
    log.append(("B", 0, TEXT, 0))
    log.delta(0, TEXT, 0, "near, and longer")
    log.append(("Z", []))
    raw, is_script = compact(log)
    assert not is_script
    assert encode_ops(decode_ops(raw)) == encode_ops(log.ops)


@pytest.mark.parametrize("kind", [TEXT, REFUSAL, REASONING, SUMMARY])
def test_a_delta_goes_to_the_part_it_names_and_then_on_without_naming_it(kind: str) -> None:
    item = "message" if kind in (TEXT, REFUSAL) else "reasoning"
    log = RunLog([("C",), ("P",), ("A", 0, 0, {"id": "a", "type": item}), ("B", 0, kind, 0)])
    log.delta(0, kind, 0, "one ")
    log.delta(0, kind, 0, "two")
    assert log.ops[-2:] == ["one ", "two"]
    assert log.outputs[0].part(kind, 0).text == "one two"


def test_a_text_that_was_forgotten_is_joined_again_with_what_came_since() -> None:
    log = RunLog([("C",), ("P",), ("A", 0, 0, {"id": "a", "type": "message"}), ("B", 0, TEXT, 0)])
    part = log.outputs[0].part(TEXT, 0)
    assert part.text == ""
    for text, whole in [("one ", "one "), ("two ", "one two "), ("", "one two "), ("three", "one two three")]:
        log.text(text)
        assert part.text == whole
        log.forget_texts()
        assert part.text == whole
    before = log.outputs[0].payload()
    log.forget_texts()
    assert log.outputs[0].payload() == before


def test_interleaved_calls_keep_their_arguments_apart() -> None:
    log = RunLog([("C",), ("P",)])
    for index in range(2):
        log.append(
            ("A", index, 0, {"id": f"{index}", "type": "function_call", "call_id": f"c{index}", "name": "f"})
        )
    for piece in ("{", '"a"', ":1}"):
        for index in range(2):
            log.delta(index, ARGUMENTS, 0, piece)
    assert [out.payload()["arguments"] for out in log.outputs] == ['{"a":1}'] * 2
    assert encode_ops(restored(log).ops) == encode_ops(log.ops)


def test_a_plain_answer_costs_at_most_two_bytes_an_event() -> None:
    log = RunLog([("C",), ("P",), ("A", 0, 0, {"id": "a" * 32, "type": "message", "role": "assistant"})])
    log.append(("B", 0, TEXT, 0))
    for number in range(2_000):
        log.delta(0, TEXT, 0, f"word{number % 97} ")
    for op in (("E", 0, TEXT, 0), ("F", 0, TEXT, 0), ("G", 0, "completed"), ("Z", ["stop"])):
        log.append(op)
    raw, is_script = compact(log)
    assert is_script
    assert len(raw) <= 2 * len(log.ops)


def test_a_script_speaks_in_code_points_not_in_bytes_or_code_units() -> None:
    log = RunLog(
        [("C",), ("P",), ("A", 0, 0, {"id": "a", "type": "message", "role": "assistant"}), ("B", 0, TEXT, 0)]
    )
    for piece in ("𝔘", "ü", "e\u0301", "\U0001f468\u200d\U0001f469"):
        log.delta(0, TEXT, 0, piece)
    script = to_script(log.ops)
    assert script[4:] == [1, 1, 2, 3]


def test_nothing_but_the_opening_counts_as_not_emitted() -> None:
    assert not RunLog([("C",), ("Q",), ("P",)]).emitted
    assert RunLog([("C",), ("P",), ("A", 0, 0, {"id": "a", "type": "message"})]).emitted
    assert RunLog([("C",), ("P",), ("R", '{"type":"x"}')]).emitted
