"""The embedded index's writer is held only for short: by large documents, by long passages, by merging."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from antiphon.domain.ids import new_id
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_index_fts import FtsIndex
from antiphon.storage.sql.knowledge_index_vectors import BATCH, BATCH_BYTES
from antiphon.storage.sql.knowledge_index_writes import SLICE, SLICE_CHARACTERS
from antiphon.storage.sql.sqlite_writer import SqliteWriter
from tests.contracts.index_world import IndexWorld, new_source, passage, sqlite
from tests.contracts.test_passage_index_port import SCOPE

MOST_CHANGES = 500
"""Rows, and pages of the word index, that one transaction may change: 300 were seen, 1,034 if FTS5 merges."""

MOST_SEGMENTS = 32
"""Twice what was seen: each is looked into by every search, and of 16 on one level all are merged at once."""


def words(rng: random.Random, count: int) -> str:
    """Words of a large vocabulary, the first ones more often."""
    return " ".join(f"w{int(rng.paretovariate(0.4)) % 40_000}x" for _ in range(count))


def segments(world: IndexWorld) -> int:
    """How many segments the words lie in."""
    return int(world.execute("SELECT COUNT(DISTINCT segid) FROM words_idx")[0][0])


async def test_words_are_merged_in_small_portions_by_whoever_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: list[int] = []
    plain = SqliteWriter._transaction

    def counted(self: SqliteWriter, batch: list[Any], *, careful: bool) -> None:
        before = self._connection.total_changes
        plain(self, batch, careful=careful)
        changes.append(self._connection.total_changes - before)

    monkeypatch.setattr(SqliteWriter, "_transaction", counted)
    rng = random.Random(1)
    async with sqlite(tmp_path) as world:
        for _ in range(60):
            await world.file(SCOPE, *(words(rng, 100) for _ in range(100)), embed=False)
            assert segments(world) <= MOST_SEGMENTS
        assert max(changes) <= MOST_CHANGES
        await world.scopes.forget_owner("o")
        assert segments(world) <= MOST_SEGMENTS
        while await world.scopes.erase_traces():
            pass
        assert world.words_of("w1x") == segments(world) == 0


LENGTHS = {"short": 200, "long": 5_000, "longer than a transaction takes": SLICE_CHARACTERS + 1}


@pytest.mark.parametrize("length", LENGTHS.values(), ids=LENGTHS)
async def test_a_transaction_takes_so_many_passages_and_so_much_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    taken: list[int] = []
    add, erase = FtsIndex.add, FtsIndex.erase

    def added(self: FtsIndex, db: Db, source: Any, passages: Sequence[Any]) -> None:
        taken.append(len(passages))
        add(self, db, source, passages)

    def erased(self: FtsIndex, db: Db, numbers: Sequence[int]) -> None:
        taken.append(len(numbers))
        erase(self, db, numbers)

    monkeypatch.setattr(FtsIndex, "add", added)
    monkeypatch.setattr(FtsIndex, "erase", erased)
    most = max(1, min(SLICE, SLICE_CHARACTERS // length))
    text = ("x" * 9 + " ") * (length // 10) + "y" * (length % 10)
    async with sqlite(tmp_path) as world:
        source = await world.file(SCOPE, *[text] * 70, embed=False)
        assert (sum(taken), max(taken)) == (70, most)
        taken.clear()
        await world.index.withdraw([source.id])
        assert await world.index.sweep(1000) == 70
        assert (sum(taken), max(taken)) == (70, most)
        conversation = new_source(SCOPE, kind="conversation")
        items = [new_id(1) for _ in range(40)]
        messages = [passage(no, text, item_id=item) for no, item in enumerate(items)]
        await world.index.add_messages([(conversation, messages)])
        taken.clear()
        assert await world.scopes.forget_items(conversation.id, items) == 40
        assert (sum(taken), max(taken)) == (40, most)


@pytest.mark.parametrize("dimensions", [8, 3072])
async def test_a_transaction_takes_so_many_vectors_and_so_many_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dimensions: int
) -> None:
    taken: list[int] = []
    put = FtsIndex.put_vectors

    def kept(self: FtsIndex, db: Db, owner_id: str, model_no: int, vectors: Sequence[Any]) -> None:
        taken.append(len(vectors))
        put(self, db, owner_id, model_no, vectors)

    monkeypatch.setattr(FtsIndex, "put_vectors", kept)
    async with sqlite(tmp_path) as world:
        rows = [(new_id(1).encode(), b"\0\0\x80?" * dimensions) for _ in range(300)]
        await world.vectors.put("o", "a/model", rows)
    assert (sum(taken), max(taken)) == (300, min(BATCH, BATCH_BYTES // (2 * dimensions)))
