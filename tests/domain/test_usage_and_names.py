"""Token estimates, prices and the names of branches."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.domain.conversations import free_name, may_continue, open_segment, segment_start
from antiphon.domain.items import Item, Position
from antiphon.domain.usage import (
    Price,
    Usage,
    estimate_file_tokens,
    estimate_item_tokens,
    estimate_request_tokens,
    estimate_tokens,
)

DETERMINISTIC = settings(derandomize=True, deadline=None)


@DETERMINISTIC
@given(st.text(), st.text())
def test_an_estimate_grows_with_the_text_and_is_at_least_one(one: str, two: str) -> None:
    assert (estimate_tokens(one) >= 1) == bool(one)
    assert estimate_tokens(one) <= estimate_tokens(one + two) <= estimate_tokens(one) + estimate_tokens(two)


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("", 0, 0),
        ("The quick brown fox jumps over the lazy dog.", 9, 14),
        ("敏捷的棕色狐狸跳过了懒狗。", 9, 20),
        ("x" * 4000, 1000, 1000),
    ],
)
def test_an_estimate_is_near_what_vocabularies_count(text: str, least: int, most: int) -> None:
    assert least <= estimate_tokens(text) <= most


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"type": "message", "content": None},
        {"type": "message", "content": []},
        {"type": "thing", "content": {"deep": [1]}},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": ""}]},
    ],
)
def test_every_item_counts_at_least_one_token(payload: dict[str, Any]) -> None:
    assert estimate_item_tokens(payload) >= 1


def test_all_an_item_says_counts() -> None:
    text = "word " * 100
    plain = estimate_item_tokens({"content": text})
    assert plain > 100
    assert estimate_item_tokens({"content": [{"type": "input_text", "text": text}]}) == plain
    assert estimate_item_tokens({"arguments": text}) == plain
    assert estimate_item_tokens({"output": text}) == plain
    assert estimate_item_tokens({"content": [{"type": "input_image", "image_url": "data:…"}]}) > 500


def test_whatever_the_model_is_sent_counts() -> None:
    """Else one item could fill a whole context and count as four tokens."""
    text = "word " * 1000
    for payload in (
        {"type": "message", "content": [{"type": "input_file", "file_data": text}]},
        {"type": "compaction", "encrypted_content": text},
    ):
        assert estimate_item_tokens(payload) > 500, payload["type"]


def base64_of(content: bytes, head: str = "") -> str:
    return head + base64.b64encode(content).decode()


MB = 1 << 20
FILES = {
    "a page of text": (b"word " * 800, 1_000, 1_001),
    "a small PDF": (b"%PDF-1.7\n" + b"x" * 30_000, 7_500, 7_510),
    "a manual of 36 pages": (b"%PDF-1.5\n" + b"x" * 262_952, 15_000, 36 * 2_000),
    "a PDF of 10 MiB": (b"%PDF-1.7\n" + b"x" * 10 * MB, 90_000, 100_000),
    "an office file of 10 MiB": (b"PK\x03\x04" + b"x" * 10 * MB, 90_000, 100_000),
    "text of 10 MiB": (b"x" * 10 * MB, 10 * MB // 4, 10 * MB // 4 + 1),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("head", ["", "data:application/pdf;base64,", "data:text/plain;base64,"])
def test_a_file_counts_by_its_decoded_size_whatever_it_is_called(name: str, head: str) -> None:
    content, least, most = FILES[name]
    data = base64_of(content, head)
    assert least <= estimate_file_tokens(data) <= most
    for part in (
        {"type": "input_file", "filename": "a.pdf", "file_data": data},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": data}},
    ):
        whole = estimate_item_tokens({"type": "message", "role": "user", "content": [part]})
        assert 0 <= whole - estimate_file_tokens(data) <= 4
        output = estimate_item_tokens({"type": "function_call_output", "call_id": "c", "output": [part]})
        assert output == whole
        assert estimate_request_tokens([{"role": "user", "content": [part]}]) == whole


@DETERMINISTIC
@given(st.binary(max_size=2000), st.sampled_from([b"", b"%PDF-", b"PK\x03\x04"]))
def test_a_longer_file_never_counts_less(content: bytes, magic: bytes) -> None:
    size = len(magic + content)
    counted = [estimate_file_tokens(base64_of((magic + content) * times)) for times in (1, 2, 90)]
    assert counted == sorted(counted)
    assert counted[0] >= size // 4


def test_a_data_url_that_is_not_base64_counts_as_it_is_written() -> None:
    assert estimate_file_tokens("data:text/plain," + "word " * 800) == 1_000
    assert estimate_file_tokens("data:" + "x" * 3_995) == 750, "no head: taken for base64"


def test_speech_counts_by_its_length() -> None:
    minute = base64_of(bytes(60 * 8_000))
    part = {"type": "input_audio", "input_audio": {"data": minute, "format": "mp3"}}
    assert estimate_item_tokens({"type": "message", "content": [part]}) == 600 + 4


@pytest.mark.parametrize("odd", [None, 5, [], {}, {"file_data": 5}, {"data": None}])
def test_odd_parts_count_nothing_and_break_nothing(odd: Any) -> None:
    for field in ("file", "input_audio", "file_data", "text"):
        assert estimate_item_tokens({"type": "message", "content": [{"type": "x", field: odd}]}) == 4


def test_a_price_is_rounded_up_to_whole_micro_units() -> None:
    price = Price(150_000, 600_000)
    assert price.cost(Usage()) == 0
    assert price.cost(Usage(1, 0)) == 1
    assert price.cost(Usage(1_000_000, 1_000_000)) == 750_000
    assert Usage(3, 4).total_tokens == 7


@DETERMINISTIC
@given(
    st.sampled_from(["main", "a-2", "x"]),
    st.sets(st.sampled_from(["main", "main-2", "main-3", "x", "a-2", "a-2-2"])),
)
def test_a_free_name_is_free_and_near_the_wanted_one(wanted: str, taken: set[str]) -> None:
    found = free_name(wanted, taken)
    assert found not in taken
    assert found == wanted or found.startswith(wanted + "-")
    assert (found == wanted) == (wanted not in taken)


def test_names_are_numbered_from_two() -> None:
    assert free_name("main", {"main"}) == "main-2"
    assert free_name("main", {"main", "main-2", "main-4"}) == "main-3"


def item(**changes: Any) -> Item:
    fields = {
        "id": "i",
        "segment_id": "s",
        "depth": 3,
        "path_tokens": 30,
        "token_count": 5,
        "type": "message",
        "role": "user",
        "status": "completed",
        "author_id": "a",
        "run_id": None,
        "payload": "{}",
        "created_us": 1,
    }
    return Item(**(fields | changes))


@pytest.mark.parametrize(
    ("parent", "owner", "continues"),
    [
        (None, "c", True),
        (item(), "c", True),
        (item(author_id=None, run_id="r"), "c", True),
        (item(run_id="r"), "c", False),
        (item(), "origin", False),
        (None, "origin", False),
    ],
)
def test_a_segment_is_continued_within_its_conversation_and_never_behind_a_runs_input(
    parent: Item | None, owner: str, continues: bool
) -> None:
    assert may_continue(parent, owner, "c") is continues


def test_a_segment_begins_where_it_leaves_its_parent() -> None:
    after = Position("s", 3, 30, "i")
    opened = open_segment("t", "c", after)
    assert (opened.parent_id, opened.fork_depth, opened.fork_tokens) == ("s", 3, 30)
    assert segment_start(opened) == Position("t", 3, 30)
    root = open_segment("r", "c", None)
    assert (root.parent_id, root.fork_depth, root.fork_tokens) == (None, -1, 0)
    assert segment_start(root) == Position("r", -1, 0)
