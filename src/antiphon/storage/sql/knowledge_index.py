"""The index of passages: words, and vectors beside them, one transaction for all.

Writes go in slices, so that nobody waits long for anybody's folder; searches run in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from antiphon.domain.passages import Candidates, Cut, IndexQuery, NewPassage, Passage, Source
from antiphon.ports.passage_index import Unembedded
from antiphon.storage.sql import knowledge_index_reads as reads
from antiphon.storage.sql import knowledge_index_vectors as written
from antiphon.storage.sql import knowledge_index_writes as writes
from antiphon.storage.sql.knowledge_catalogue import (
    MESSAGES,
    Catalogue,
    CatalogueScopes,
    Lacking,
    VectorRounds,
    portions,
    slices,
)
from antiphon.storage.sql.knowledge_index_engine import IndexEngine
from antiphon.storage.sql.knowledge_index_search import Search
from antiphon.storage.sql.knowledge_store import EVERYBODY, KnowledgeStore

CACHE_BYTES: Final = 256 << 20
"""Memory for vectors unless told otherwise: 170,000 passages of 384 dimensions."""

FORGET_ITEMS: Final = 500
"""Messages named in one statement."""

T = TypeVar("T")


def _weighed(rows: Sequence[T], size: int, weight: Callable[[T], int], most: int) -> Iterator[Sequence[T]]:
    """Yield slices of up to `size` rows that weigh up to `most` together; what weighs more alone is alone."""
    start = weighed = 0
    for at, row in enumerate(rows):
        heavy = weight(row)
        if at > start and (at - start == size or weighed + heavy > most):
            yield rows[start:at]
            start, weighed = at, 0
        weighed += heavy
    if start < len(rows):
        yield rows[start:]


def _characters(passage: NewPassage) -> int:
    return len(passage.text)


def _vector_bytes(row: tuple[bytes, bytes]) -> int:
    return len(row[1])


class SqlPassageIndex(Catalogue):
    """Port `PassageIndex`; `cache_bytes` bounds the vectors in memory."""

    def __init__(self, store: KnowledgeStore, engine: IndexEngine, cache_bytes: int = CACHE_BYTES) -> None:
        super().__init__(store)
        self._engine = engine
        self._search = Search(engine, cache_bytes)

    async def add(self, source: Source, passages: Sequence[NewPassage]) -> None:
        """See the port."""
        weighed = _weighed(passages, self._engine.slice, _characters, self._engine.slice_characters)
        for part in list(weighed) or [()]:
            await self._store.write((source.owner_id,), self._engine.add, source, part)

    async def add_messages(self, cuts: Sequence[Cut]) -> None:
        """See the port."""
        for part in portions(cuts, MESSAGES):
            owners = tuple({source.owner_id for source, _ in part})
            await self._store.write(owners, self._engine.add_messages, part)

    async def sweep(self, limit: int) -> int:
        """See the port."""
        return await _sweep(self._store, self._engine, limit)

    async def search(self, query: IndexQuery) -> Candidates:
        """See the port."""
        while (found := await self._store.snapshot(self._search, query)) is None:
            pass
        return found

    async def passages(self, scopes: Sequence[str], ids: Sequence[int]) -> list[Passage]:
        """See the port."""
        return await self._store.read(reads.passages, scopes, ids)

    async def neighbours(self, passage: Passage, before: int, after: int) -> list[Passage]:
        """See the port."""
        return await self._store.read(reads.neighbours, passage, before, after)


async def _sweep(
    store: KnowledgeStore, engine: IndexEngine, limit: int | None, owner_id: str | None = None
) -> int:
    """Erase up to `limit` withdrawn passages (of one owner), all of them for None, slice by slice.

    Where there are none of anybody's, vectors of a retired model go that a dead process had begun to drop.
    """
    gone, more = 0, True
    while more and (limit is None or gone < limit):
        size = writes.SLICE if limit is None else min(writes.SLICE, limit - gone)
        owner = await store.read(reads.doomed_owner) if owner_id is None else owner_id
        if owner is not None:
            erased, more = await store.write((owner,), writes.sweep, engine, size, owner)
        elif await store.read(written.any_retired):
            erased = await store.write(EVERYBODY, written.drop, size)
            more = erased == size
        else:
            break
        gone += erased
    return gone


class SqlIndexScopes(CatalogueScopes):
    """Port `IndexScopes`."""

    def __init__(self, store: KnowledgeStore, engine: IndexEngine) -> None:
        super().__init__(store)
        self._engine = engine

    async def holding(self, messages: Sequence[tuple[str, str]]) -> set[str]:
        """See the port."""
        return await self._store.read(reads.holding, messages)

    async def forget_items(self, source_id: str, item_ids: Sequence[str]) -> int:
        """See the port."""
        gone, owners = 0, await self._store.read(reads.owners, [source_id])
        if source_id not in owners:
            return 0
        for part in slices(item_ids, FORGET_ITEMS):
            more = True
            while more:
                erased, more = await self._store.write(
                    (owners[source_id],), writes.forget_items, self._engine, source_id, part
                )
                gone += erased
        return gone

    async def forget_owner(self, owner_id: str) -> int:
        """See the port."""
        await self._store.write((owner_id,), writes.doom_owner, owner_id)
        return await _sweep(self._store, self._engine, None, owner_id)

    async def erase_traces(self) -> bool:
        """See the port."""
        return await self._store.write(("erased words",), self._engine.erase_traces)


class SqlVectors(VectorRounds):
    """Port `Vectors`."""

    def __init__(self, store: KnowledgeStore, engine: IndexEngine) -> None:
        super().__init__()
        self._store = store
        self._engine = engine

    async def missing(self, model: str, source_id: str, limit: int) -> list[Unembedded]:
        """See the port."""
        return await self._store.read(reads.missing, model, source_id, limit)

    async def _missing_after(self, model: str, after: int, limit: int) -> Lacking:
        """See the base."""
        return await self._store.read(reads.missing_after, model, after, limit)

    async def put(self, owner_id: str, model: str, vectors: Sequence[tuple[bytes, bytes]]) -> None:
        """See the port."""
        if not vectors:
            return
        dimensions, halves = await asyncio.to_thread(written.halves, vectors)
        for part in _weighed(halves, written.BATCH, _vector_bytes, written.BATCH_BYTES):
            await self._store.write((owner_id,), written.put, self._engine, owner_id, model, dimensions, part)

    async def models(self) -> dict[str, int]:
        """See the port."""
        return await self._store.read(reads.models)

    async def drop(self, model: str, limit: int) -> int:
        """See the port."""
        await self._store.write(EVERYBODY, written.retire, model)
        return await self._store.write(EVERYBODY, written.drop, limit)
