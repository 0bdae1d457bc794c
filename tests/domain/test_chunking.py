"""Whatever the text: passages are substrings of it, in order, bounded, and lose nothing but white space."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.domain.blocks import MAX_BLOCK, BlockScanner, Shape
from antiphon.domain.chunking import Piece, cut, cut_short, utf8_length
from antiphon.domain.collections import Chunking
from antiphon.domain.usage import estimate_tokens

SHAPES: tuple[Shape, ...] = ("plain", "markdown", "code")

WORDS = ["alpha", "beta", "gamma.", "delta!", "é", "漢字かな", "ภาษาไทยไม่มีช่องว่าง", "e\u0301\u0301"]
WORDS += ["👩\u200d👩\u200d👧", "x" * 900]
BREAKS = [" ", "  ", "\n", "\n\n", "\r\n\r\n", ". ", "。", "\t", "\u3000", " " * 700]
MARKS = ["# Title\n", "## Part\n", "Under\n===\n", "```\n", "| a | b |\n", "- item\n", "def f():\n", "    "]

structured = st.lists(st.sampled_from(WORDS + BREAKS + MARKS), max_size=120).map("".join)
texts = st.one_of(structured, st.text(max_size=3_000))


def chunking_of(least: int, most: int) -> st.SearchStrategy[Chunking]:
    return st.builds(
        lambda tokens, share: Chunking(tokens, int(tokens * share)),
        st.integers(least, most),
        st.floats(0, 0.5),
    )


chunkings = chunking_of(100, 4096)
small = chunking_of(4, 30)


def pieces(text: str, shape: Shape, chunking: Chunking, page_starts: tuple[int, ...] = ()) -> list[Piece]:
    return list(cut([text], shape, chunking, title="T", page_starts=page_starts))


def check(text: str, found: list[Piece], chunking: Chunking) -> None:
    covered = bytearray(len(text))
    for piece in found:
        assert text[piece.start : piece.end] == piece.text
        assert piece.text == piece.text.strip() != ""
        assert estimate_tokens(piece.text) <= chunking.max_tokens
        covered[piece.start : piece.end] = b"\1" * (piece.end - piece.start)
    for at, character in enumerate(text):
        assert covered[at] or character.isspace(), (at, character)
    for one, other in pairwise(found):
        assert one.start < other.start
        assert one.end < other.end or other.page != one.page
        shared = text[other.start : one.end]
        assert utf8_length(shared) <= 4 * chunking.overlap_tokens
        assert utf8_length(shared) <= 2 * chunking.max_tokens


@settings(max_examples=300, deadline=None)
@given(texts, st.sampled_from(SHAPES), st.one_of(chunkings, small))
def test_passages_are_the_text_in_order_and_bounded(text: str, shape: Shape, chunking: Chunking) -> None:
    check(text, pieces(text, shape, chunking), chunking)


@settings(max_examples=200, deadline=None)
@given(texts, st.sampled_from(SHAPES), small, st.lists(st.integers(0, 3_000), max_size=6))
def test_no_passage_crosses_a_page_and_each_knows_its_own(
    text: str, shape: Shape, chunking: Chunking, at: list[int]
) -> None:
    starts = tuple(sorted(min(one, len(text)) for one in at))
    found = pieces(text, shape, chunking, starts)
    check(text, found, chunking)
    for piece in found:
        before = sum(start <= piece.start for start in starts)
        assert piece.page == (before or None)
        assert not any(piece.start < start < piece.end for start in starts)


@settings(max_examples=200, deadline=None)
@given(texts, st.sampled_from(SHAPES), small, st.lists(st.integers(1, 400), min_size=1, max_size=8))
def test_how_a_text_arrives_makes_no_difference(
    text: str, shape: Shape, chunking: Chunking, sizes: list[int]
) -> None:
    parts, at = [], 0
    while at < len(text):
        size = sizes[len(parts) % len(sizes)]
        parts.append(text[at : at + size])
        at += size
    assert list(cut(parts, shape, chunking, title="T")) == pieces(text, shape, chunking)


@given(texts, st.sampled_from(SHAPES))
def test_blocks_are_the_whole_text(text: str, shape: Shape) -> None:
    scanner = BlockScanner(shape)
    blocks = scanner.add(text) + scanner.end()
    assert "".join(block.text for block in blocks) == text
    at = 0
    for block in blocks:
        assert block.start == at
        at += len(block.text)


UNITS = [
    "a",
    "word ",
    "漢",
    "ไทย",
    ". ",
    "a.b",
    "\n",
    " ",
    "e\u0301",
    "|",
    "#",
    "`",
    "= ",
    "x\n",
    "- a\n\n",
    "(((",
]


@pytest.mark.parametrize("unit", UNITS)
def test_time_grows_with_the_text_alone(unit: str) -> None:
    """Ten times the text takes about ten times as long, also if it is one line."""

    def seconds(characters: int) -> float:
        text = unit * (characters // len(unit))
        began = time.thread_time()
        for shape in SHAPES:
            for _ in cut([text], shape, Chunking(200, 20)):
                pass
        return time.thread_time() - began

    seconds(10_000)
    # The collector of a process that has run thousands of tests may come in between.
    short, long = (min(seconds(characters) for _ in range(3)) for characters in (100_000, 1_000_000))
    assert long < 40 * short + 0.5
    assert long < 20


@pytest.mark.slow
def test_a_line_of_ten_million_characters_is_cut_in_seconds() -> None:
    text = "lorem ipsum " * 833_334
    began = time.process_time()
    found = pieces(text, "plain", Chunking())
    assert time.process_time() - began < 15
    assert sum(piece.end - piece.start for piece in found) > 9_000_000


def test_sections_begin_passages_and_name_them() -> None:
    text = "Intro.\n\n# One\n\nText.\n\n## Deep\n\nMore.\n\n# Two\n\nEnd.\n"
    found = pieces(text, "markdown", Chunking())
    assert [(piece.text, piece.heading) for piece in found] == [
        ("Intro.", "T"),
        ("# One\n\nText.", "T > One"),
        ("## Deep\n\nMore.", "T > One > Deep"),
        ("# Two\n\nEnd.", "T > Two"),
    ]


def test_a_title_that_is_the_first_heading_is_said_once() -> None:
    (piece,) = cut(["# Guide\n\nText."], "markdown", Chunking(), title="guide")
    assert piece.heading == "guide"


def test_passages_end_with_sentences_where_they_can() -> None:
    sentence = "This is a sentence of some forty letters. "
    found = pieces(sentence * 200, "plain", Chunking())
    assert all(piece.text.endswith("letters.") and piece.text.startswith("This") for piece in found)
    chinese = "这是一个没有空格的句子。" * 200
    assert all(piece.text.endswith("。") for piece in pieces(chinese, "plain", Chunking()))


def test_paragraphs_stay_whole_and_small_ones_share_a_passage() -> None:
    paragraph = "Some words that belong together, and then some more. " * 6
    text = "\n\n".join([paragraph.strip()] * 10)
    found = pieces(text, "plain", Chunking())
    assert all(piece.text.endswith("some more.") and piece.text.startswith("Some") for piece in found)
    assert len(found) == 5


def test_no_letter_is_parted_from_its_marks() -> None:
    for piece in pieces("e\u0301" * 5_000, "plain", Chunking()):
        assert piece.text.startswith("e")


def test_a_cut_table_carries_its_head_and_a_cut_definition_its_name() -> None:
    table = "| Name | Age |\n| --- | --- |\n" + "".join(f"| Person {n} | {n} |\n" for n in range(200))
    found = pieces(f"# People\n\n{table}", "markdown", Chunking())
    assert len(found) > 3
    assert found[0].heading == "T > People"
    assert all(piece.heading == "T > People > | Name | Age |" for piece in found[1:])
    body = "".join(f"    value_{n} = {n}\n" for n in range(200))
    found = pieces(f"def long(a):\n{body}", "code", Chunking())
    assert [piece.heading for piece in found] == ["T"] + ["T > def long(a):"] * (len(found) - 1)


def test_the_overlap_is_there_when_it_is_asked_for() -> None:
    text = "".join(f"Sentence number {n} says little. " for n in range(400))
    found = pieces(text, "plain", Chunking(800, 400))
    assert len(found) > 3
    for one, other in pairwise(found):
        shared = text[other.start : one.end]
        assert 200 <= estimate_tokens(shared) <= 400
        assert shared.startswith("Sentence")


def test_a_long_block_is_handed_on_in_parts() -> None:
    scanner = BlockScanner("plain")
    blocks = scanner.add("x" * (3 * MAX_BLOCK)) + scanner.end()
    assert [len(block.text) for block in blocks] == [MAX_BLOCK] * 3
    assert [block.begins for block in blocks] == [True, False, False]


SHORT = ["alpha", "漢字", " ", "\n", "\n\n", "# ", "#", "===", "--", "-", "```", "| a |", "   ", "\t", "\r\n"]


@settings(max_examples=400)
@given(st.lists(st.sampled_from(SHORT), max_size=20).map("".join), small)
def test_a_short_text_without_headings_is_the_passage_it_would_be_cut_into(
    text: str, chunking: Chunking
) -> None:
    found = list(cut([text], "markdown", chunking))
    only = cut_short(text, chunking)
    assert only is None or found == [only]


def test_most_messages_are_short_texts_without_headings() -> None:
    for text in ("thanks", "two\n\nparagraphs", "1. one\n2. two", "- one\n- two", " x = #3\n"):
        assert cut_short(text, Chunking()) is not None, text
    for text in ("", " \n", "# Title\ntext", "text\n\n## Part\n", "Title\n===\ntext", "x" * 5_000):
        assert cut_short(text, Chunking()) is None, text
