"""Which sentence answers: words in the language of the text, whole sentences, and the search's order."""

from __future__ import annotations

import pytest

from antiphon.domain.relevance import quotes


def best(question: str, *texts: str) -> str:
    found = quotes(question, texts, 3)
    return texts[found[0].text][found[0].start : found[0].end] if found else ""


GERMAN = "Die Wärmepumpe wird jährlich gewartet. Dabei prüft der Techniker den Kreislauf."
LEASE = "Der Mietvertrag kann mit einer Frist von drei Monaten gekündigt werden. Er ist unbefristet."
RUSSIAN = "Байкал является самым глубоким озером в мире. Кошки спят около шестнадцати часов в сутки."


@pytest.mark.parametrize(
    ("question", "texts", "expected"),
    [
        ("Wie kündige ich den Mietvertrag?", [GERMAN, LEASE],
         "Der Mietvertrag kann mit einer Frist von drei Monaten gekündigt werden."),
        ("Какое озеро самое глубокое?", [RUSSIAN], "Байкал является самым глубоким озером в мире."),
        ("When is the filter changed?", ["# When is the filter changed?\n\nThe filter is changed in March."],
         "The filter is changed in March."),
        ("What are the opening hours of the museum?",
         ["The museum stands by the river, and its opening hours are nine to\nfive on weekdays.", "Hours."],
         "The museum stands by the river, and its opening hours are nine to\nfive on weekdays."),
        ("xyzzy", [GERMAN, LEASE], ""),
        ("what is it?", ["It is what it is."], ""),
    ],
)  # fmt: skip
def test_the_sentence_that_answers_is_quoted(question: str, texts: list[str], expected: str) -> None:
    assert best(question, *texts) == expected


def test_between_equals_the_text_that_the_search_put_first_is_quoted() -> None:
    texts = ["Nothing. The fee is 12 euros.", "The fee is 15 euros. Nothing."]
    assert best("How much is the fee?", *texts) == "The fee is 12 euros."
    assert best("How much is the fee?", *reversed(texts)) == "The fee is 15 euros."


def test_the_same_sentence_is_quoted_once() -> None:
    assert len(quotes("How much is the fee?", ["The fee is 12 euros."] * 3, 3)) == 1
