"""Port `Vectors`: each text is embedded once, whatever file has it; a change of model leaves nothing out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from antiphon.domain.errors import Conflict
from antiphon.domain.passages import IndexQuery
from antiphon.storage.sql import knowledge_index_dense, knowledge_index_matrix
from tests.contracts.index_world import INDEXES, MODEL, NAMES, IndexWorld, new_source, passage, vector

SCOPE, OTHER = "a" * 32, "b" * 32


@pytest.fixture(params=NAMES)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[IndexWorld]:
    async with INDEXES[request.param](tmp_path / "data") as opened:
        yield opened


async def test_only_new_texts_are_missing(world: IndexWorld) -> None:
    """Also after one paragraph of a file changed, and while it is staged."""
    old = await world.file(SCOPE, *(f"text {number}" for number in range(10)))
    new = new_source(SCOPE, ref_id=old.ref_id, version=2)
    texts = [f"text {number}" for number in range(10)]
    texts[4] = "changed"
    await world.put(new, *texts, "changed", publish=False, embed=False)
    (missing,) = await world.vectors.missing(MODEL, new.id, 10)
    assert missing.text == "changed"
    assert len(await world.vectors.missing("other/model", new.id, 100)) == 10
    assert await world.vectors.missing(MODEL, "unknown", 10) == []
    await world.embed("o", ["changed"])
    assert await world.vectors.missing(MODEL, new.id, 10) == []


async def test_a_heading_is_embedded_with_its_text(world: IndexWorld) -> None:
    source = new_source(SCOPE)
    await world.index.add(source, [passage(0, "text", heading="Title > Part"), passage(1, "text")])
    missing = await world.vectors.missing(MODEL, source.id, 10)
    assert [one.text for one in missing] == ["Title > Part\ntext", "text"]
    assert missing[0].text_hash != missing[1].text_hash


async def test_another_owners_vector_of_the_same_text_is_not_used(world: IndexWorld) -> None:
    await world.file(SCOPE, "red fox")
    await world.file(OTHER, "red fox", owner="p", embed=False)
    assert (await world.search([OTHER], "fox")).embedded == 0
    assert [owner for owner, _ in await world.vectors.missing_anywhere(MODEL, 10)] == ["p"]


async def test_vectors_that_come_late_are_searched(world: IndexWorld) -> None:
    await world.file(SCOPE, "red fox", "blue whale", embed=False)
    assert (await world.found([SCOPE], "fox"))[1] == set()
    await world.embed("o", ["red fox"])
    assert (await world.found([SCOPE], "fox"))[1] == {"red fox"}
    await world.embed("o", ["blue whale", "red fox"])
    found = await world.search([SCOPE], "fox")
    assert (found.embedded, len(found.dense)) == (2, 2)


async def test_what_a_killed_process_did_not_drop_goes_with_a_sweep(world: IndexWorld) -> None:
    await world.file(SCOPE, *(f"text {number}" for number in range(25)))
    assert await world.vectors.drop(MODEL, 10) == 10
    assert await world.vectors.models() == {}
    swept = 0
    while gone := await world.index.sweep(100):
        swept += gone
    assert swept == 15
    await world.embed("o", ["text 1"])
    assert await world.index.sweep(100) == 0 and await world.vectors.models() == {MODEL: 1}


async def test_a_change_of_model_reaches_every_text_and_searches_never_mix(world: IndexWorld) -> None:
    """In batches, with a batch that failed on the way, and a file that was added behind the reader."""
    texts = [f"text {number}" for number in range(25)]
    await world.file(SCOPE, *texts)
    staged = new_source(SCOPE)
    await world.put(staged, "staged", publish=False, embed=False)
    done: list[str] = []
    calls = 0
    while batch := await world.vectors.missing_anywhere("new/model", 4):
        calls += 1
        if calls == 2:
            continue  # the provider failed: these must come again
        if calls == 4:
            await world.file(OTHER, "late", embed=False)
        await world.embed("o", [one.text for _, one in batch], "new/model")
        done += [one.text for _, one in batch]
        assert len((await world.search([SCOPE], "text", model="new/model", limit=100)).dense) == sum(
            text in texts for text in done
        )
    assert sorted(done) == sorted([*texts, "late"])
    assert len((await world.search([SCOPE], "text")).dense) == 25
    assert await world.vectors.models() == {"new/model": 26, MODEL: 25}
    dropped = [await world.vectors.drop(MODEL, 10) for _ in range(4)]
    assert dropped == [10, 10, 5, 0]
    assert await world.vectors.models() == {"new/model": 26}
    assert (await world.search([SCOPE], "text")).dense == ()
    await world.embed("o", texts[:1])
    assert len((await world.search([SCOPE], "text")).dense) == 1


async def test_vectors_that_cannot_be_compared_are_refused(world: IndexWorld) -> None:
    await world.file(SCOPE, "red fox")
    for bad in (np.zeros(3, np.float32), np.full(24, np.nan, np.float32), np.full(24, 1e6, np.float32)):
        with pytest.raises(Conflict):
            await world.vectors.put("o", MODEL, [(b"0" * 32, bad.tobytes())])
    found = await world.index.search(
        IndexQuery(scopes=(SCOPE,), terms=("fox",), vector=np.zeros(3, np.float32).tobytes(), model=MODEL)
    )
    assert (len(found.lexical), found.dense) == (1, ())
    await world.vectors.put("o", MODEL, [])


async def test_a_vector_no_passage_needs_is_not_kept(world: IndexWorld) -> None:
    await world.file(SCOPE, "red fox")
    await world.embed("o", ["a text that was withdrawn meanwhile"])
    assert await world.vectors.models() == {MODEL: 1}


@pytest.mark.parametrize("name", NAMES)
async def test_without_room_in_memory_the_store_is_read(name: str, tmp_path: Path) -> None:
    async with INDEXES[name](tmp_path / "data", cache_bytes=100) as world:
        await world.file(SCOPE, *(f"fox {number}" for number in range(30)), "whale")
        found = await world.search([SCOPE], "fox 7", limit=3)
        assert [one.text for one in await world.index.passages([SCOPE], [found.dense[0].passage_id])] == [
            "fox 7"
        ]
        assert (len(found.dense), found.embedded) == (3, 31)


async def test_a_coarse_look_first_finds_the_same(world: IndexWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.file(SCOPE, *(f"fox{number % 7} den{number % 11} {number}" for number in range(300)))
    exact = await world.search([SCOPE], "fox3 den5", limit=5)
    monkeypatch.setattr(knowledge_index_dense, "COARSE_FROM", 10)
    monkeypatch.setattr(knowledge_index_dense, "COARSE_KEPT", 60)
    assert (await world.search([SCOPE], "fox3 den5", limit=5)).dense == exact.dense
    await world.file(SCOPE, "fox3 den5")
    assert (await world.search([SCOPE], "fox3 den5", limit=5)).dense[0].score > exact.dense[0].score


async def test_what_is_least_used_leaves_memory_first(tmp_path: Path) -> None:
    room = 40 * (24 * 4 + knowledge_index_matrix.ROW_BYTES)
    async with INDEXES["sqlite"](tmp_path / "data", cache_bytes=room) as world:
        scopes = [f"{number:032x}" for number in range(6)]
        for scope in scopes:
            await world.file(scope, *(f"fox {scope} {number}" for number in range(15)))
        for scope in [*scopes, *scopes]:
            found = await world.search([scope], f"fox {scope} 3", limit=2)
            best = await world.index.passages([scope], [found.dense[0].passage_id])
            assert best[0].text == f"fox {scope} 3"


async def test_scores_are_cosines(world: IndexWorld) -> None:
    await world.file(SCOPE, "red fox")
    (hit,) = (await world.search([SCOPE], "red whale")).dense
    assert hit.score == pytest.approx(float(vector("red fox") @ vector("red whale")), abs=2e-3)
