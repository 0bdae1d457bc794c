"""A search finds exactly what is asked for: against brute force, for any filter, scope and limit.

And whoever asks with whatever scopes, filters and limits: another owner's text never appears.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon.domain.filters import COMPARISONS, Comparison, Filter, Join, matches
from antiphon.domain.passages import HistoryFilter
from antiphon.storage.sql import knowledge_index_fts
from tests.contracts.index_world import (
    IN_MONGODB,
    IN_SQL,
    INDEXES,
    IndexWorld,
    new_source,
    passage,
    run,
    vector,
)

SCOPES = tuple(letter * 32 for letter in "abc")
WORDS = ("fox", "whale", "owl", "den", "sea", "red")
KEYS = ("kind", "year", "draft", "absent")
VALUES: tuple[Any, ...] = ("report", "letter", "", 2019, 2020, 2020.5, True, False)

attributes = st.dictionaries(st.sampled_from(KEYS[:3]), st.sampled_from(VALUES), max_size=3)
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join)
files = st.lists(
    st.tuples(st.sampled_from(SCOPES), attributes, st.lists(texts, min_size=1, max_size=3)),
    min_size=1,
    max_size=14,
)


def comparison(kind: str, key: str, value: Any, values: tuple[Any, ...]) -> Comparison:
    return Comparison(kind, key, values=values) if kind in ("in", "nin") else Comparison(kind, key, value)


comparisons = st.builds(
    comparison, st.sampled_from(COMPARISONS), st.sampled_from(KEYS), st.sampled_from(VALUES),
    st.lists(st.sampled_from(VALUES), max_size=3).map(tuple),
)  # fmt: skip
filters = st.recursive(
    comparisons,
    lambda parts: st.builds(
        Join, st.sampled_from(("and", "or")), st.lists(parts, min_size=1, max_size=3).map(tuple)
    ),
    max_leaves=5,
)


async def fill(world: IndexWorld, put: list[tuple[str, dict[str, Any], list[str]]]) -> list[dict[str, Any]]:
    """Index files; returns every passage with what it is to be filtered by, by the index's number."""
    for scope, described, passages in put:
        await world.file(scope, *passages, attributes=described, owner=f"owner of {scope[0]}")
    known: list[dict[str, Any]] = []
    for scope, described, passages in put:
        known += [{"id": len(known) + 1 + at, "scope": scope, "attributes": described, "text": text}
                  for at, text in enumerate(passages)]  # fmt: skip
    return known


asked = given(
    put=files,
    filter_=st.none() | filters,
    scopes=st.sets(st.sampled_from(SCOPES), min_size=1),
    question=texts,
    limit=st.integers(1, 12),
)


@pytest.mark.parametrize("name", IN_SQL)
@pytest.mark.parametrize("few", [1, 64])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@asked
def test_both_legs_find_what_brute_force_finds(
    tmp_path_factory: pytest.TempPathFactory, name: str, few: int, **case: Any
) -> None:
    compare(tmp_path_factory, name, few, **case)


@pytest.mark.parametrize("name", IN_MONGODB)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@asked
def test_in_mongodb_they_find_it_too(
    tmp_path_factory: pytest.TempPathFactory, name: str, **case: Any
) -> None:
    compare(tmp_path_factory, name, 64, **case)


def compare(
    tmp_path_factory: pytest.TempPathFactory, name: str, few: int, put: list[Any], filter_: Filter | None,
    scopes: set[str], question: str, limit: int,
) -> None:  # fmt: skip
    """Ask the index and look through everything by hand."""

    async def work(world: IndexWorld) -> None:
        known = await fill(world, put)
        asked_of = [one for one in known if one["scope"] in scopes]
        passing = {
            one["id"]: one for one in asked_of if filter_ is None or matches(filter_, one["attributes"])
        }
        found = await world.search(sorted(scopes), question, filter=filter_, limit=limit)

        everything = await world.search(SCOPES, question, limit=200)
        scores = {hit.passage_id: hit.score for hit in everything.lexical}
        best = sorted((number for number in passing if number in scores), key=lambda one: (-scores[one], one))
        assert [hit.passage_id for hit in found.lexical] == best[:limit]

        asked = vector(question)
        close = {
            number: float(vector(one["text"]).astype(np.float16).astype(np.float32) @ asked)
            for number, one in passing.items()
        }
        least = sorted(close.values(), reverse=True)[:limit]
        assert [hit.score for hit in found.dense] == pytest.approx(least, abs=1e-5)
        assert all(close[hit.passage_id] == pytest.approx(hit.score, abs=1e-5) for hit in found.dense)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knowledge_index_fts, "FEW_SOURCES", few)
        run(tmp_path_factory.mktemp("filters"), name, work)


questions_ = given(
    questions=st.lists(
        st.tuples(
            st.sets(st.sampled_from([*SCOPES, "d" * 32, "h", "%", "", "a"]), max_size=5),
            st.none() | filters,
            texts,
            st.integers(1, 200),
            st.none() | st.builds(HistoryFilter, author_id=st.just("owner of a")),
        ),
        min_size=1,
        max_size=6,
    )
)


@pytest.mark.parametrize("name", IN_SQL)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@questions_
def test_nobody_finds_a_canary(
    tmp_path_factory: pytest.TempPathFactory, name: str, questions: list[Any]
) -> None:
    search_for_it(tmp_path_factory, name, questions)


@pytest.mark.parametrize("name", IN_MONGODB)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@questions_
def test_nobody_finds_a_canary_in_mongodb(
    tmp_path_factory: pytest.TempPathFactory, name: str, questions: list[Any]
) -> None:
    search_for_it(tmp_path_factory, name, questions)


def search_for_it(tmp_path_factory: pytest.TempPathFactory, name: str, questions: list[Any]) -> None:
    """Owner A's collection and conversations hold a word; whoever does not name A's scopes never sees it."""
    mine, chats = SCOPES[0], "h" + "a" * 32

    async def work(world: IndexWorld) -> None:
        put = [
            (mine, {"kind": "report"}, [f"canary {word}" for word in WORDS]),
            (SCOPES[1], {"kind": "report"}, list(WORDS)),
            (SCOPES[2], {}, ["fox whale"]),
        ]
        await fill(world, put)
        said = new_source(chats, owner=f"owner of {mine[0]}", kind="history")
        canary = passage(0, "canary fox", item_id="i", author_id="owner of a")
        await world.index.add_messages([(said, [canary])])
        await world.embed(f"owner of {mine[0]}", ["canary fox"])
        for scopes, filter_, text, limit, history in questions:
            allowed = sorted(scopes - {mine})
            found = await world.search(
                allowed, f"canary {text}", filter=filter_, limit=limit, history=history
            )
            ids = [hit.passage_id for hit in (*found.lexical, *found.dense)]
            for one in await world.index.passages(allowed, [*ids, *range(40)]):
                assert "canary" not in one.text
                for near in await world.index.neighbours(one, 50, 50):
                    assert "canary" not in near.text
            assert len(await world.index.passages(allowed, ids)) == len(ids)

    run(tmp_path_factory.mktemp("canary"), name, work)


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_SQL)
async def test_the_one_file_of_thousands_that_passes_is_found(name: str, tmp_path: Path) -> None:
    """Though every other file has more of the words and is as near."""
    count = 10_000 if name == "sqlite" else 2_000  # which takes as long
    hidden = count * 7 // 9
    async with INDEXES[name](tmp_path / "data") as world:
        sources = [new_source(SCOPES[0]) for _ in range(count)]
        world.execute("BEGIN")
        for number, source in enumerate(sources):
            world.member(SCOPES[0], source.ref_id, {"number": number})
        world.execute("COMMIT")
        kept = "fox den far away"
        for start in range(0, len(sources), 500):
            part = sources[start : start + 500]
            texts = [kept if source is sources[hidden] else f"fox fox {source.id}" for source in part]
            adding = zip(part, texts, strict=True)
            await asyncio.gather(*(world.index.add(source, [passage(0, text)]) for source, text in adding))
            assert all(await asyncio.gather(*(world.index.publish(source.id) for source in part)))
        missing = await world.vectors.missing_anywhere("test/model", 20_000)
        await world.vectors.put(
            "o", "test/model", [(one.text_hash, vector("fox").tobytes()) for _, one in missing]
        )
        found = await world.search(SCOPES[:1], "fox", filter=Comparison("eq", "number", hidden), limit=1)
        assert (found.total, found.embedded) == (count, count)
        assert found.lexical[0].passage_id == found.dense[0].passage_id
        (one,) = await world.index.passages(SCOPES, [found.dense[0].passage_id])
        assert (one.text, one.attributes) == (kept, {"number": hidden})
        most = await world.search(SCOPES[:1], "fox", filter=Comparison("ne", "number", hidden), limit=200)
        assert found.dense[0].passage_id not in {hit.passage_id for hit in (*most.lexical, *most.dense)}
