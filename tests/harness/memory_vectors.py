"""Port `Vectors`, and the marks of `IndexScopes`, in memory: what the services of embedding are tested on.

Sources are put in by hand. It outlives the service above it, as a store does.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from antiphon.domain.errors import Conflict
from antiphon.ports.passage_index import Unembedded


def hash_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@dataclass
class MemorySource:
    owner_id: str
    texts: list[str]
    live: bool = True


@dataclass
class MemoryVectors:
    """`kept` are vectors by owner, model and text; `puts` counts calls of `put`."""

    sources: dict[str, MemorySource] = field(default_factory=dict)
    kept: dict[tuple[str, str, bytes], bytes] = field(default_factory=dict)
    marks: dict[str, bytes] = field(default_factory=dict)
    puts: int = 0
    _looked: dict[str, int] = field(default_factory=dict)

    def add(self, source_id: str, owner_id: str, texts: Sequence[str], *, live: bool = True) -> None:
        self.sources[source_id] = MemorySource(owner_id, list(texts), live)

    def whole(self, model: str) -> bool:
        """Whether every text has a vector of a model."""
        return all(
            (source.owner_id, model, hash_of(text)) in self.kept
            for source in self.sources.values()
            for text in source.texts
        )

    async def missing(self, model: str, source_id: str, limit: int) -> list[Unembedded]:
        source = self.sources.get(source_id)
        return [] if source is None else self._of(source, model)[:limit]

    async def missing_anywhere(self, model: str, limit: int) -> list[tuple[str, Unembedded]]:
        """Go on where the last call ended, and begin anew at the end, as the index does."""
        live = [source for source in self.sources.values() if source.live]
        places = [(source.owner_id, one) for source in live for one in self._of(source, model)]
        behind = [one for one in places if self._place(one) > self._looked.get(model, -1)]
        found = (behind or places)[:limit]
        self._looked[model] = self._place(found[-1]) if found else -1
        return found

    def _place(self, item: tuple[str, Unembedded]) -> int:
        texts = [(source.owner_id, text) for source in self.sources.values() for text in source.texts]
        return texts.index((item[0], item[1].text))

    def _of(self, source: MemorySource, model: str) -> list[Unembedded]:
        return [
            Unembedded(hash_of(text), text)
            for text in source.texts
            if (source.owner_id, model, hash_of(text)) not in self.kept
        ]

    async def put(self, owner_id: str, model: str, vectors: Sequence[tuple[bytes, bytes]]) -> None:
        known = {len(vector) for (_, kept, _), vector in self.kept.items() if kept == model}
        if known and {len(vector) for _, vector in vectors} != known:
            raise Conflict("Vectors of one model have one length.")
        self.puts += 1
        self.kept |= {(owner_id, model, text_hash): vector for text_hash, vector in vectors}

    async def models(self) -> dict[str, int]:
        return dict(Counter(model for _, model, _ in self.kept))

    async def drop(self, model: str, limit: int) -> int:
        gone = [key for key in self.kept if key[1] == model][:limit]
        for key in gone:
            del self.kept[key]
        return len(gone)

    async def mark(self, name: str, value: bytes) -> None:
        self.marks[name] = value

    async def marked(self, name: str) -> bytes | None:
        return self.marks.get(name)
