"""Sentences of real texts: wrapped lines, lists, tables, code, abbreviations, other scripts."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.domain.sentences import MAX_SENTENCE, is_title, sentences, spans

WRAPPED = (
    "The harbour master keeps the ledger of every ship that enters, and\n"
    "signs it each evening. Nobody else may write in it. Whoever does is\n"
    "asked to leave the town before the next tide."
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (WRAPPED, ["The harbour master keeps the ledger of every ship that enters, and signs it each"
                   " evening.",
                   "Nobody else may write in it.",
                   "Whoever does is asked to leave the town before the next tide."]),
        (WRAPPED.replace("\n", "\r\n").replace("tide.", "tide.\r\n"), sentences(WRAPPED)),
        ("# Care\n\nRinse it.\nDry it.", ["# Care", "Rinse it.", "Dry it."]),
        ("- rinse the filter under water that is neither hot nor\n  cold\n- dry it",
         ["- rinse the filter under water that is neither hot nor cold", "- dry it"]),
        ("| item | price |\n|---|---|\n| gasket of the pump that stands in the cellar | 14 |",
         ["| item | price |", "|---|---|", "| gasket of the pump that stands in the cellar | 14 |"]),
        ("Before.\n```\nx = 1\ny = a_name_long_enough_to_be_wrapped\nz = 2\n```\nAfter.",
         ["Before.", "```", "x = 1", "y = a_name_long_enough_to_be_wrapped", "z = 2", "```", "After."]),
        ("Dr. J. Smith saw it, e.g. in Fig. 3. It was blue.",
         ["Dr. J. Smith saw it, e.g. in Fig. 3.", "It was blue."]),
        ("1. Open it.\n2. Close it.", ["1. Open it.", "2. Close it."]),
        ("It ended in 2019. The next year was quiet.", ["It ended in 2019.", "The next year was quiet."]),
        ("He said “no.” Then he left.", ["He said “no.”", "Then he left."]),
        ("我的猫叫米卡。我住在北京！", ["我的猫叫米卡。", "我住在北京！"]),
        ("租赁合同的期限为一年，租金每月支付一次，并且每次\n都应当在月初支付。押金为两个月。",
         ["租赁合同的期限为一年，租金每月支付一次，并且每次 都应当在月初支付。", "押金为两个月。"]),
        ("أين يعيش؟ يعيش في المحيطات.", ["أين يعيش؟", "يعيش في المحيطات."]),
        (" \n\n ", []),
    ],
)  # fmt: skip
def test_texts_are_cut_into_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_a_sentence_that_is_too_long_is_cut_after_a_pause() -> None:
    text = "word " * 45 + "end; " + "more " * 40
    (first, second) = sentences(text)
    assert first.endswith("end;") and second.startswith("more")


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.text("aB1 .!?\n\r#-|`。é𝔘\t,", max_size=1500))
def test_sentences_hold_everything_but_white_space_in_order(text: str) -> None:
    found = spans(text)
    assert "".join(text[a:b] for a, b in found).split() == text.split() or "".join(
        "".join(text[a:b].split()) for a, b in found
    ) == "".join(text.split())
    assert all(a < b <= a + MAX_SENTENCE and text[a:b].strip() == text[a:b] for a, b in found)
    assert all(one[1] <= two[0] for one, two in pairwise(found))


@pytest.mark.parametrize(
    "text", ["## What happens", "How is it done?", "Care of the filter", "It says:", "***"]
)
def test_titles_say_nothing(text: str) -> None:
    assert is_title(text)


@pytest.mark.parametrize(
    "text", ["It rains.", "age: 42", "| flange | 99 |", "a line of more than five words"]
)
def test_short_things_can_say_something(text: str) -> None:
    assert not is_title(text)


@pytest.mark.parametrize("piece", ["a", " ", "\n", "a.\n", ". ", "e.g. ", "a\n", "```\n", "- a\n", "。"])
def test_no_text_takes_more_than_its_length(piece: str) -> None:
    began = time.process_time()
    spans(piece * (200_000 // len(piece)))
    assert time.process_time() - began < 3
