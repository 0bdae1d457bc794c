"""What every index of passages has in SQL: its catalogue of sources, its marks, and its round of texts.

A source is a row whatever holds its passages, and whether it is seen is decided there, in one transaction
with the member it is of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from antiphon.domain.passages import Cut
from antiphon.ports.passage_index import Unembedded
from antiphon.storage.sql import knowledge_index_reads as reads
from antiphon.storage.sql import knowledge_index_writes as writes
from antiphon.storage.sql.knowledge_store import KnowledgeStore

T = TypeVar("T")

MESSAGES: Final = 512
"""Passages of messages written in one transaction, about 20 ms: they come so many at a time from 500 a
second on, and in smaller batches each costs a quarter more."""

Lacking = list[tuple[int, str, Unembedded]]
"""Passages without a vector: number, owner, text."""


def slices(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield parts of up to `size`."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def portions(cuts: Sequence[Cut], size: int) -> Iterator[list[Cut]]:
    """Yield the cuts in portions of up to `size` passages each; of a source with more, part by part."""
    portion: list[Cut] = []
    room = size
    for source, passages in cuts:
        while passages:
            portion.append((source, passages[:room]))
            passages, room = passages[room:], room - len(portion[-1][1])
            if not room:
                yield portion
                portion, room = [], size
    if portion:
        yield portion


class Catalogue:
    """The verbs of port `PassageIndex` that only change what is seen."""

    def __init__(self, store: KnowledgeStore) -> None:
        self._store = store

    async def publish(self, source_id: str, *, replaces: str | None = None) -> bool:
        """See the port."""
        owners = await self._store.read(reads.owners, [source_id])
        if source_id not in owners:
            return False
        return await self._store.write((owners[source_id],), writes.publish, source_id, replaces)

    async def withdraw(self, source_ids: Sequence[str]) -> None:
        """See the port."""
        owners = await self._store.read(reads.owners, source_ids)
        if owners:
            await self._store.write(tuple(set(owners.values())), writes.withdraw, source_ids)


class CatalogueScopes:
    """What port `IndexScopes` tells of scopes, sources and marks."""

    def __init__(self, store: KnowledgeStore) -> None:
        self._store = store

    async def languages(self, scopes: Sequence[str]) -> tuple[str, ...]:
        """See the port."""
        return await self._store.read(reads.languages, scopes)

    async def staged(self, limit: int, *, free_at_us: int | None = None) -> list[str]:
        """See the port."""
        return await self._store.read(reads.staged, limit, free_at_us)

    async def mark(self, name: str, value: bytes) -> None:
        """See the port."""
        await self._store.write((name,), writes.mark, name, value)

    async def marked(self, name: str) -> bytes | None:
        """See the port."""
        return await self._store.read(reads.marked, name)

    async def marks(self, beginning: str) -> dict[str, bytes]:
        """See the port."""
        return await self._store.read(reads.marks, beginning)

    async def take_mark(self, name: str, value: bytes, into: str, mine: bytes) -> bool:
        """See the port."""
        return await self._store.write((name, into), writes.take_mark, name, value, into, mine)


class VectorRounds:
    """Goes through all texts that lack a vector, of port `Vectors`."""

    def __init__(self) -> None:
        self._looked: dict[str, int] = {}

    async def _missing_after(self, model: str, after: int, limit: int) -> Lacking:
        """Return passages of live sources beyond the number `after` without a vector."""
        raise NotImplementedError

    async def missing_anywhere(self, model: str, limit: int) -> list[tuple[str, Unembedded]]:
        """See the port.

        It goes on where the last call ended and begins anew at the end, so that embedding everything
        reads everything once and not once a batch.
        """
        after = self._looked.pop(model, 0)
        found = await self._missing_after(model, after, limit)
        if not found and after:
            found = await self._missing_after(model, 0, limit)
        if found:
            self._looked[model] = found[-1][0]
        texts = {(owner, one.text_hash): (owner, one) for _, owner, one in found}
        return list(texts.values())
