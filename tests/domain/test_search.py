"""What a query asks for, and the piece of a message that is shown for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.domain.errors import InvalidRequest
from antiphon.domain.search import MAX_QUERY, SNIPPET, Question, folded, parse_question, snippet_of


@pytest.mark.parametrize(
    ("query", "text", "phrases", "excluded", "prefix"),
    [
        ("two words", "two words", (), (), "words"),
        ("two words ", "two words", (), (), None),
        ('"Red Sky" night', "Red Sky night", ("red sky",), (), "night"),
        ('night "red sky"', "night red sky", ("red sky",), (), None),
        ("sky -dawn", "sky", (), ("dawn",), None),
        ('sky -"at dawn"', "sky", (), ("at dawn",), None),
        ("well-known x-ray", "well-known x-ray", (), (), "ray"),
        ("a - b", "a - b", (), (), None),
        ('say "open', 'say "open', (), (), "open"),
        ("c++ é", "c++ é", (), (), None),
    ],
)
def test_a_query_is_read(
    query: str, text: str, phrases: tuple[str, ...], excluded: tuple[str, ...], prefix: str | None
) -> None:
    assert parse_question(query) == Question(text=text, phrases=phrases, excluded=excluded, prefix=prefix)


@pytest.mark.parametrize("query", ["", " ", "-only", '""', '-""', "...", "—", "x" * (MAX_QUERY + 1)])
def test_a_query_without_a_word_is_refused(query: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_question(query)
    assert refused.value.param == "query"


def test_phrases_are_whole_words_in_order_whatever_case_and_accents() -> None:
    question = parse_question('"red sky" -dawn')
    assert question.allows("the Réd  SKY, at night")
    assert not question.allows("the red skyline")
    assert not question.allows("sky red")
    assert not question.allows("red sky at dawn")
    assert question.allows("red sky at dawns")


def test_a_snippet_stands_where_most_was_found() -> None:
    text = "far " * 100 + "near far near " + "x " * 300
    snippet = snippet_of(text, parse_question("near "), lambda word: word == "near")
    assert [snippet.text[a:b] for a, b in snippet.highlights] == ["near", "near"]
    assert snippet.text.startswith("…") and snippet.text.endswith("…")
    assert "<mark>near</mark> far <mark>near</mark>" in snippet.marked


def test_what_is_marked_cannot_be_taken_for_markup() -> None:
    text = '<script>alert("x")</script> & more'
    snippet = snippet_of(text, parse_question("alert more "), lambda word: word in ("alert", "more"))
    assert snippet.marked == (
        "&lt;script&gt;<mark>alert</mark>(&quot;x&quot;)&lt;/script&gt; &amp; <mark>more</mark>"
    )


@given(st.text(max_size=900), st.text(max_size=40))
def test_highlights_lie_in_order_inside_the_snippet(text: str, query: str) -> None:
    try:
        question = parse_question(query)
    except InvalidRequest:
        return
    wanted = set(folded(question.text).split())
    snippet = snippet_of(text, question, lambda word: folded(word) in wanted)
    assert len(snippet.text) <= SNIPPET + 2
    last = 0
    for start, end in snippet.highlights:
        assert last <= start < end <= len(snippet.text)
        last = end
    assert snippet.text.strip("…") in text or not snippet.text
    assert folded(question.text)


@given(st.text(max_size=200))
def test_whatever_is_asked_is_read_or_refused(query: str) -> None:
    try:
        question = parse_question(query)
    except InvalidRequest:
        return
    question.allows(query)
