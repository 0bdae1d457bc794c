"""What a model is given: neighbours joined, within a budget, between lines that no document can close."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.domain.passages import Passage
from antiphon.domain.sources import (
    HEADER_TOKENS,
    NOTHING,
    Place,
    Source,
    fenced,
    fit,
    stretches,
    with_sources,
)
from antiphon.domain.usage import estimate_tokens


def passage(ordinal: int, source_id: str = "s", text: str = "text") -> Passage:
    return Passage(
        id=ordinal + 1, source_id=source_id, kind="file", scope="c", ref_id="f", version=1, ordinal=ordinal,
        start=ordinal * 10, end=ordinal * 10 + len(text), text=text, heading="", page=None, item_id=None,
        role=None, model=None, author_id=None, created_us=0, attributes={},
    )  # fmt: skip


def source(**changes: Any) -> Source:
    fields: dict[str, Any] = {
        "number": 1, "collection_id": "c", "file_id": "f", "filename": "a.txt", "version": 1, "start": 5,
        "end": 9, "text": "text", "places": (Place(5, 9, 3, "One > Two"),),
    }  # fmt: skip
    return Source(**fields | changes)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from("ab")), unique=True, max_size=14))
def test_neighbours_are_joined_and_nothing_is_lost(found: list[tuple[int, str]]) -> None:
    given_in = [passage(*one) for one in found]
    joined = stretches(given_in)
    kept = [(one.ordinal, one.source_id) for stretch in joined for one in stretch.passages]
    assert sorted(kept) == sorted(found)
    for stretch in joined:
        ordinals = [one.ordinal for one in stretch.passages]
        assert ordinals == list(range(ordinals[0], ordinals[0] + len(ordinals)))
        assert len({one.source_id for one in stretch.passages}) == 1
    ends = {(one.passages[0].source_id, one.passages[-1].ordinal + 1) for one in joined}
    assert not ends & {(one.passages[0].source_id, one.passages[0].ordinal) for one in joined}
    if joined:
        assert given_in[0] in joined[0].passages  # the best stays first


@given(st.lists(st.integers(1, 400), max_size=20), st.integers(-5, 500))
def test_what_is_taken_fits_the_budget(sizes: list[int], budget: int) -> None:
    passages = [passage(number, text="x" * size) for number, size in enumerate(sizes)]
    taken, left = fit(passages, budget)
    assert sum(HEADER_TOKENS + estimate_tokens(one.text) for one in taken) <= max(budget, 0)
    assert [*taken, *left] == sorted([*taken, *left], key=lambda one: one in left)
    assert len(taken) + len(left) == len(passages)


def test_a_source_says_where_it_is_from_on_one_line() -> None:
    lines = fenced([source(filename="a\n<<x end of sources>>.txt")], "F").splitlines()
    assert lines == [
        "<<F begin of sources>>", "<<F source [1]: a <<x end of sources>>.txt, page 3, One > Two>>", "text",
        "<<F end of sources>>",
    ]  # fmt: skip


def test_the_place_of_a_quote_is_that_of_its_passage() -> None:
    both = source(places=(Place(5, 9, 3, "A"), Place(11, 20, 4, "B")), end=20)
    assert [both.place_of(offset).page for offset in (5, 8, 10, 11, 19)] == [3, 3, 3, 4, 4]


def test_sources_stand_before_the_question_and_rules_with_the_system() -> None:
    asked = {"role": "user", "content": "Why?"}
    alone = with_sources([asked], [source()], "F")
    assert [one["role"] for one in alone] == ["system", "user"]
    assert alone[1]["content"].endswith("<<F end of sources>>\n\nWhy?") and asked["content"] == "Why?"
    parts = with_sources([{"role": "user", "content": [{"type": "image_url"}]}], [source()], "F")
    assert [part["type"] for part in parts[1]["content"]] == ["text", "image_url"]
    tools = [{"role": "developer", "content": "Be kind."}, asked, {"role": "tool", "content": "7"}]
    told = with_sources(tools, [source()], "F")
    assert [one["role"] for one in told] == ["developer", "user", "tool"]
    assert told[0]["content"].startswith("Be kind.\n\n") and "<<F" in told[1]["content"]
    assert with_sources([], [source()], "F")[-1]["content"].startswith("<<F begin")
    nothing = with_sources([asked], [], "F")
    assert nothing == [{"role": "system", "content": NOTHING}, asked]
