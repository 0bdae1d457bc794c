"""Both engines put passages in the same order by words, and score them alike."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from antiphon.domain.passages import IndexQuery, NewPassage
from tests import mongo
from tests.contracts.index_world import INDEXES, IndexWorld, new_source

SCOPE = "a" * 32
PASSAGES = 120
WORDS = [f"w{number}" for number in range(60)]


async def filled(world: IndexWorld, seed: int) -> None:
    """Passages of words as frequent as in language, some of them with a heading."""
    draw = random.Random(seed)
    weights = [1 / (number + 3) for number in range(len(WORDS))]
    for _ in range(6):
        source = new_source(SCOPE)
        world.member(SCOPE, source.ref_id)
        passages = []
        for ordinal in range(PASSAGES // 6):
            body = draw.choices(WORDS, weights, k=draw.randrange(5, 60))
            title = draw.choices(WORDS, weights, k=draw.randrange(0, 4))
            passages.append(
                NewPassage(
                    ordinal=ordinal, start=0, end=1, text=f"{source.id}.{ordinal}",
                    title_terms=" ".join(title), body_terms=" ".join(body),
                )
            )  # fmt: skip
        await world.index.add(source, passages)
        assert await world.index.publish(source.id)


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_order_by_words_is_the_same_on_every_engine(tmp_path: Path, seed: int) -> None:
    found: dict[str, list[list[tuple[int, float]]]] = {}
    for name, index in INDEXES.items():
        if name.startswith("mongo") and not mongo.is_there():
            continue
        async with index(tmp_path / name) as world:
            await filled(world, seed)
            draw = random.Random(seed)
            questions = [" ".join(draw.sample(WORDS, draw.randrange(1, 6))) for _ in range(40)]
            found[name] = [
                [
                    (hit.passage_id, round(hit.score, 4))
                    for hit in (
                        await world.index.search(IndexQuery(scopes=(SCOPE,), terms=(question,), limit=50))
                    ).lexical
                ]
                for question in questions
            ]
    first, *others = found.values()
    assert sum(map(len, first)) > 500
    assert others and all(other == first for other in others)
