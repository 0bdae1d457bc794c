"""Whatever the network cuts and whichever line ends a provider likes, the same events come out."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.providers.sse_reader import DONE, MAX_LINE_BYTES, LineTooLong, SseReader

EVENTS = ['{"a":"é中🎉"}', '{"b":1}', '{"c":"\\n"}']
STREAM = (
    ": a comment\n\nevent: chunk\nid: 1\ndata: " + EVENTS[0] + "\n\n"
    "data:" + EVENTS[1] + "\n\nretry: 10\ndata: " + EVENTS[2] + "\n\ndata: [DONE]\n\n"
).encode()
WANTED = [*(event.encode() for event in EVENTS), DONE]


def read(parts: list[bytes]) -> list[bytes]:
    reader = SseReader()
    found = [payload for part in parts for payload in reader.feed(part)]
    return found + reader.end()


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_cut_at_every_byte(ending: bytes) -> None:
    stream = STREAM.replace(b"\n", ending)
    for at in range(len(stream) + 1):
        assert read([stream[:at], stream[at:]]) == WANTED


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_one_byte_at_a_time(ending: bytes) -> None:
    stream = STREAM.replace(b"\n", ending)
    assert read([stream[i : i + 1] for i in range(len(stream))]) == WANTED


ENDINGS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.lists(st.integers(0, len(STREAM)), max_size=20), st.lists(ENDINGS, min_size=1))
def test_any_cuts_and_mixed_endings(cuts: list[int], endings: list[bytes]) -> None:
    lines = STREAM.split(b"\n")
    mixed = b"".join(line + endings[i % len(endings)] for i, line in enumerate(lines[:-1])) + lines[-1]
    # A bare CR before an LF would read as one end, so a mix may only lose blank lines.
    places = sorted({0, len(mixed), *(cut for cut in cuts if cut < len(mixed))})
    parts = [mixed[a:b] for a, b in itertools.pairwise(places)]
    assert read(parts) == WANTED


def test_whole_objects_count_without_a_blank_line() -> None:
    reader = SseReader()
    assert reader.feed(b'data: {"a":1}\ndata: {"b":2}\n') == [b'{"a":1}', b'{"b":2}']


def test_an_object_over_several_lines() -> None:
    stream = b'data: {\ndata: "a": 1\ndata: }\n\n'
    for at in range(len(stream) + 1):
        assert read([stream[:at], stream[at:]]) == [b'{\n"a": 1\n}']


def test_empty_events_and_unknown_fields_say_nothing() -> None:
    assert read([b"data:\n\ndata: \n\nfoo: bar\nfoo\n\n: ping\n\n"]) == []


def test_a_byte_order_mark_is_passed_over() -> None:
    assert read([b'\xef\xbb\xbfdata: {"a":1}\n\n']) == [b'{"a":1}']


def test_the_end_gives_out_what_is_whole_only() -> None:
    assert read([b'data: {"a":1}']) == [b'{"a":1}']
    assert read([b"data: [DONE]"]) == [DONE]
    assert read([b'data: {"a":1']) == []


def test_a_line_has_a_cap_but_a_read_has_none() -> None:
    reader = SseReader()
    line = b'data: {"a":1}\n'
    assert len(reader.feed(line * 200_000)) == 200_000
    with pytest.raises(LineTooLong):
        for _ in range(MAX_LINE_BYTES // 1000 + 2):
            reader.feed(b"x" * 1000)


def test_the_lines_of_one_event_have_a_cap_too() -> None:
    reader = SseReader()
    with pytest.raises(LineTooLong):
        for _ in range(MAX_LINE_BYTES // 1000 + 2):
            reader.feed(b"data: " + b"x" * 1000 + b"\n")
