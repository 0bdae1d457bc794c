"""A title is the first thing that a question says, on one line and short."""

from __future__ import annotations

import pytest

from antiphon.domain.titles import MAX_TITLE, shortened, title_of


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("how do I change the filter?", "How do I change the filter?"),
        ("Fix this. It does not compile.\n\n```py\nx = \n```", "Fix this"),
        ("```py\nprint(1)\n```\nWhy does it print 1?", "Why does it print 1?"),
        ("# **Plans** for *spring*\nand so on", "Plans for spring"),
        ("  \n\n- first\n- second", "First"),
        ("see [the manual](https://example.org/x) please", "See the manual please"),
        ("なぜ空は青いですか。教えてください。", "なぜ空は青いですか"),
        ("x" * 200, "X" + "x" * 58 + "…"),
        ("Tell me everything there is to know about the history of the railways of Bavaria",
         "Tell me everything there is to know about the history of…"),
        ("right\u202eleft \x00 and \x1b[31m", "Right left and [31m"),
        ("", None), ("?! …", None), ("```\n```", None),
    ],
)  # fmt: skip
def test_the_first_sentence_gives_the_title(question: str, title: str | None) -> None:
    assert title_of(question) == title


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ('"Filter change"', "Filter change"), ("Title: Filter change.", "Filter change"),
        ("**Titel:** Filter wechseln", "Filter wechseln"), ("two\nlines", "Two lines"), ("“”", None),
        ("What is a **harbour**?", "What is a harbour?"), ("Is 2*3*4 `f(x)`", "Is 2*3*4 f(x)"),
        ("2 ** 3 ** 4 and __init__ of it", "2 ** 3 ** 4 and __init__ of it"),
    ],
)  # fmt: skip
def test_what_a_model_says_is_made_a_title(said: str, title: str | None) -> None:
    assert shortened(said) == title


@pytest.mark.parametrize("size", [1, 59, 60, 61, 500, 100_000])
def test_a_title_is_never_long(size: int) -> None:
    for text in ("w " * size, "w" * size, "wörter, und " * size):
        title = title_of(text)
        assert title is not None and len(title) <= MAX_TITLE and "\n" not in title
