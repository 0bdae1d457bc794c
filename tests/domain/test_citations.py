"""Markers leave a text while it streams, however it is cut; what is no marker stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.domain.citations import MAX_MARKER, Marker, MarkerFilter, Quotable

KNOWN = 4
Found = tuple[str, list[tuple[int, tuple[int, ...], int]]]


def filtered(*pieces: str, known: int = KNOWN) -> Found:
    """The text that is shown, and of every marker its offset, its numbers and how many were never given."""
    taken = MarkerFilter(known)
    text = ""
    markers: list[tuple[int, tuple[int, ...], int]] = []
    for out in [*(taken.feed(piece) for piece in pieces), taken.finish()]:
        for one in out:
            if isinstance(one, Marker):
                markers.append((len(text), one.numbers, one.unknown))
            else:
                text += one
    return text, markers


CITED: list[tuple[str, str, list[tuple[int, tuple[int, ...], int]]]] = [
    ("The sky is blue [1].", "The sky is blue.", [(15, (1,), 0)]),
    ("The sky is blue.[1] So is water.", "The sky is blue. So is water.", [(16, (1,), 0)]),
    ("The sky is blue. [1] So is water.", "The sky is blue. So is water.", [(16, (1,), 0)]),
    ("blue [1]and green", "blue and green", [(4, (1,), 0)]),
    ("blue [1, 3] and", "blue and", [(4, (1, 3), 0)]),
    ("blue [1][2] [3], and", "blue, and", [(4, (1,), 0), (4, (2,), 0), (4, (3,), 0)]),
    ("blue [2-4].", "blue.", [(4, (2, 3, 4), 0)]),
    ("blue [2–4].", "blue.", [(4, (2, 3, 4), 0)]),
    ("blue [^1]", "blue", [(4, (1,), 0)]),
    ("blue [[2]]!", "blue!", [(4, (2,), 0)]),
    ("blue [Source 1] is", "blue is", [(4, (1,), 0)]),
    ("blue [sources: 1, 2]", "blue", [(4, (1, 2), 0)]),
    ("blue 【1】", "blue", [(4, (1,), 0)]),
    ("blue【2†L1-L9】.", "blue.", [(4, (2,), 0)]),
    ("blue【4:0†file.pdf】.", "blue.", [(4, (), 1)]),
    ("空は青い【1】。", "空は青い。", [(4, (1,), 0)]),
    ("𝔘𝔫𝔦 [1]", "𝔘𝔫𝔦", [(3, (1,), 0)]),
    ("blue [9].", "blue.", [(4, (), 1)]),
    ("blue [1, 9].", "blue.", [(4, (1,), 1)]),
    ("**blue [1]**", "**blue**", [(6, (1,), 0)]),
    ("[1] says so", "says so", [(0, (1,), 0)]),
    ("Sources:\n[1]: a.pdf\n[2] b.pdf", "Sources:\na.pdf\nb.pdf", [(9, (1,), 0), (15, (2,), 0)]),
    ("[1]", "", [(0, (1,), 0)]),
    ("a `b` c [1]", "a `b` c", [(7, (1,), 0)]),
    ("```\nx[1]\n```\nblue [1]", "```\nx[1]\n```\nblue", [(17, (1,), 0)]),
    ("it`s blue\nand [1]", "it`s blue\nand", [(13, (1,), 0)]),
]

ORDINARY = [
    "[0, 255]", "in [0, 1] or [1,000]", "since [2019]", "[3-1]", "[1](https://example.org)", "![1](a.png)",
    "see [the manual](x) and [text]", "- [ ] todo\n- [x] done", "[[1, 2], [3, 4]]", r"\[1\] and \[ 1 \]",
    "`x[1]`", "``a ` x[1]``", "```python\nx[1] = y[2]\n```", "~~~\nx[1]\n~~~", "   ```\nx[1]\n   ```",
    "```\nx[1]\n``\ny[2]", "【重要】 【2024年】", "[", "[1", "[[1]", "a [so", "[1" + " " * MAX_MARKER + "]",
    "[1.5]", "[1a]", "[-1]", "【1", "[[1]](x)", "[]", "trailing  ", "\t",
]  # fmt: skip


@pytest.mark.parametrize(("said", "shown", "markers"), CITED)
def test_markers_are_taken_out_and_their_places_kept(
    said: str, shown: str, markers: list[tuple[int, tuple[int, ...], int]]
) -> None:
    assert filtered(said) == (shown, markers)


@pytest.mark.parametrize("said", ORDINARY)
def test_what_is_no_marker_stays_as_it_is(said: str) -> None:
    assert filtered(said) == (said, [])


@pytest.mark.parametrize("said", [*(said for said, _, _ in CITED), *ORDINARY])
def test_it_does_not_matter_where_a_text_is_cut(said: str) -> None:
    whole = filtered(said)
    assert filtered(*said) == whole
    for first in range(len(said) + 1):
        for second in range(first, len(said) + 1):
            assert filtered(said[:first], said[first:second], said[second:]) == whole


pieces_of_text = st.lists(
    st.one_of(
        st.sampled_from(
            ["[1]", "[9]", "[[2]]", "[", "]", "【1】", "【", "`", "```", "~~~", "\n", " ", "  ", "\t", "[1](",
             "[1,", " 2]", "word", ". ", ":", "\\", "[0, 255]", "[Source ", "3]", "source", "1"]
        ),
        st.text(max_size=4),
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=600, deadline=None, derandomize=True)
@given(pieces_of_text, st.lists(st.integers(0, 120), max_size=8))
def test_any_text_cut_anywhere_gives_the_same(pieces: list[str], cuts: list[int]) -> None:
    said = "".join(pieces)
    marks = sorted({min(cut, len(said)) for cut in cuts})
    parts = [said[a:b] for a, b in zip([0, *marks], [*marks, len(said)], strict=True)]
    shown, markers = filtered(*parts)
    assert (shown, markers) == filtered(said) == filtered(*said)
    assert all(0 <= offset <= len(shown) for offset, _, _ in markers)
    assert not markers or len(shown) < len(said)
    if not markers:
        assert shown == said


@settings(max_examples=300, deadline=None, derandomize=True)
@given(pieces_of_text)
def test_little_is_held_back(pieces: list[str]) -> None:
    taken = MarkerFilter(KNOWN)
    for piece in pieces:
        taken.feed(piece)
        assert len(taken._held) <= MAX_MARKER + 4


def test_a_marker_knows_what_of_its_sentence_stands_before_it() -> None:
    taken = MarkerFilter(KNOWN)
    out = taken.feed("Water is wet. The sky is blue [1]. Grass is green. [2]\nAs [3] says") + taken.finish()
    claims = [one.claim for one in out if isinstance(one, Marker)]
    assert claims == ["The sky is blue", "Grass is green.", "As"]


def test_a_full_stop_that_ends_nothing_does_not_cut_a_claim() -> None:
    taken = MarkerFilter(KNOWN)
    out = taken.feed("“It rains.”\n“Dr. Smith, e.g. in Fig. 3, saw it” [1]\n") + taken.finish()
    assert [one.claim for one in out if isinstance(one, Marker)] == ["“Dr. Smith, e.g. in Fig. 3, saw it”"]


TEXT = "Preface.  Bees live in hives. Honey is made by bees in summer! It keeps for years.\n\nWasps do not."


@pytest.mark.parametrize(
    ("claims", "quote"),
    [
        (["Bees make honey in summer"], "Honey is made by bees in summer!"),
        (["Wasps"], "Wasps do not."),
        (["xyzzy", "years"], "It keeps for years."),
        (["xyzzy"], "Preface."),
        ([], "Preface."),
    ],
)
def test_the_sentence_that_a_claim_rests_on_is_quoted(claims: list[str], quote: str) -> None:
    start, end = Quotable(TEXT).best(*claims)
    assert TEXT[start:end] == quote


def test_two_sentences_are_quoted_where_both_carry_the_claim() -> None:
    text = "The fee is 12 euros. The fee is due in March. Nothing else matters here."
    start, end = Quotable(text).best("The fee is 12 euros and the fee is due in March")
    assert text[start:end] == "The fee is 12 euros. The fee is due in March."


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text("ab .!?\n。é𝔘", max_size=1500), st.text("ab .", max_size=20))
def test_a_quote_is_a_piece_of_its_text_without_white_space_around_it(text: str, claim: str) -> None:
    start, end = Quotable(text).best(claim)
    assert 0 <= start <= end <= len(text) and end - start <= 300
    if text.strip():
        assert text[start:end].strip() == text[start:end] != ""
