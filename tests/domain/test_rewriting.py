"""A question that leaves something out is searched with the words of the turns before, and says so."""

from __future__ import annotations

import pytest

from antiphon.domain.rewriting import MAX_CARRIED, MAX_QUERY, rewrite

REVENUE = "What was the revenue of Acme in 2018?"


@pytest.mark.parametrize(
    ("question", "earlier", "queries"),
    [
        ("and in 2019?", [REVENUE], ("revenue Acme and in 2019?", "and in 2019?")),
        ("why?", [REVENUE], ("revenue Acme 2018 why?",)),
        ("What about its profit?", [REVENUE],
         ("revenue Acme 2018 What about its profit?", "What about its profit?")),
        ("Does she work there?", ["Who is Ada Lovelace?", "Where is Bremen?"],
         ("Bremen Ada Lovelace Does she work there?", "Does she work there?")),
        ("und warum?", ["Wie hoch war der Umsatz von Siemens?"], ("hoch Umsatz Siemens und warum?",)),
        ("And how do they differ from wasps when winter comes?", ["Tell me of bees"],
         ("bees And how do they differ from wasps when winter comes?",
          "And how do they differ from wasps when winter comes?")),
    ],
)  # fmt: skip
def test_a_follow_up_takes_words_along(question: str, earlier: list[str], queries: tuple[str, ...]) -> None:
    found = rewrite(question, earlier)
    assert found.queries == queries
    assert found.reason is not None and "taken from earlier turns" in found.reason


@pytest.mark.parametrize(
    ("question", "earlier"),
    [
        (REVENUE, []),
        ("and in 2019?", []),
        ("Which rivers flow through Bremen and Hamburg?", [REVENUE]),
        ("What temperature does a hive have in winter?", [REVENUE]),
        ("Acme revenue", ["revenue Acme"]),
        ("why?", ["and?", "so?"]),
    ],
)
def test_a_question_that_stands_by_itself_is_left_alone(question: str, earlier: list[str]) -> None:
    assert rewrite(question, earlier).queries == (question,)
    assert rewrite(question, earlier).reason is None


def test_nothing_asked_is_nothing_searched_and_long_questions_are_cut() -> None:
    assert rewrite("", ["bees"]).queries == ("bees ",)
    assert rewrite("  ", []).queries == ()
    assert len(rewrite("x" * 9_000, []).queries[0]) == MAX_QUERY
    many = rewrite("why?", [" ".join(f"word{number}" for number in range(99))])
    assert len(many.queries[0].split()) == MAX_CARRIED + 1
