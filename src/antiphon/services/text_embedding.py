"""Calling embedding models for knowledge: carefully, in batches, each kept as soon as it is there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from antiphon.domain.errors import Conflict, ProviderError
from antiphon.domain.usage import estimate_tokens
from antiphon.ports.clock import Clock
from antiphon.ports.embedder import Embedded, Embedder, InputKind
from antiphon.ports.passage_index import Unembedded, Vectors
from antiphon.services.embedding_use import EmbeddingUse
from antiphon.services.model_breaker import Breakers
from antiphon.services.model_routes import ModelRoute

MAX_REFUSED: Final = 10_000
PROBE: Final = "text"

Refused = tuple[str, bytes]


class TextEmbedding:
    """Embeds texts and keeps their vectors. `refused` are texts that a model takes in no form."""

    def __init__(self, vectors: Vectors, use: EmbeddingUse, clock: Clock) -> None:
        self._vectors = vectors
        self._use = use
        self._breakers = Breakers(clock)
        self.refused: OrderedDict[Refused, None] = OrderedDict()

    async def call(self, embedder: Embedder, texts: Sequence[str], kind: InputKind) -> Embedded:
        """Embed texts; raises ProviderError, at once while the model is left alone after failures."""
        breaker = self._breakers.of(embedder.model)
        permit = breaker.admit()
        if permit is None:
            raise ProviderError(
                f"upstream_unavailable: embedding model '{embedder.model}' failed several times in a row.",
                retry_after_seconds=breaker.retry_in_seconds,
                status=503,
            )
        with permit:
            answer = await embedder.embed(texts, kind)
            permit.answered()
            return answer

    def wanted(self, embedder: Embedder, texts: Iterable[Unembedded]) -> list[Unembedded]:
        """Return the texts that the model has not refused, each once."""
        distinct = {one.text_hash: one for one in texts}
        return [one for one in distinct.values() if (embedder.model, one.text_hash) not in self.refused]

    async def keep(
        self, embedder: Embedder, owner_id: str, texts: Sequence[Unembedded], route: ModelRoute | None
    ) -> None:
        """Embed an owner's texts and store the vectors; raises ProviderError.

        With a route the use is the owner's; then it raises RateLimited where its limits leave too little.
        A batch that the model refuses is tried text by text, so that a text it takes in no form harms
        no other.
        """
        for start in range(0, len(texts), embedder.max_batch):
            batch = texts[start : start + embedder.max_batch]
            try:
                await self._keep_batch(embedder, owner_id, batch, route)
            except ProviderError as error:
                if error.code != "invalid_prompt":
                    raise
                await self._keep_singly(embedder, owner_id, batch, route)

    async def _keep_singly(
        self, embedder: Embedder, owner_id: str, batch: Sequence[Unembedded], route: ModelRoute | None
    ) -> None:
        refused: list[Unembedded] = []
        for one in batch:
            try:
                await self._keep_batch(embedder, owner_id, [one], route)
            except ProviderError as error:
                if error.code != "invalid_prompt":
                    raise
                if not refused:
                    await self.call(embedder, [PROBE], "document")  # raises if not the text is at fault
                refused.append(one)
        for one in refused:
            self.refused[embedder.model, one.text_hash] = None
        while len(self.refused) > MAX_REFUSED:
            self.refused.popitem(last=False)

    async def _keep_batch(
        self, embedder: Embedder, owner_id: str, batch: Sequence[Unembedded], route: ModelRoute | None
    ) -> None:
        texts = [one.text for one in batch]
        if route is None:
            await self._put(embedder, owner_id, batch, await self.call(embedder, texts, "document"))
            return
        async with self._use.indexing(owner_id, route, sum(map(estimate_tokens, texts))) as meter:
            answer = await self.call(embedder, texts, "document")
            meter.tokens = answer.tokens
            await self._put(embedder, owner_id, batch, answer)

    async def _put(
        self, embedder: Embedder, owner_id: str, batch: Sequence[Unembedded], answer: Embedded
    ) -> None:
        pairs = [(one.text_hash, vector) for one, vector in zip(batch, answer.vectors, strict=True)]
        try:
            await self._vectors.put(owner_id, embedder.model, pairs)
        except Conflict as error:  # vectors of another length
            raise ProviderError(
                f"The embedding model '{embedder.model}' has changed: {error.message}"
            ) from error
