"""Token estimates, prices and the names of branches."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.domain.conversations import free_name, may_continue, open_segment, segment_start
from antiphon.domain.items import Item, Position
from antiphon.domain.usage import Price, Usage, estimate_item_tokens, estimate_tokens

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
