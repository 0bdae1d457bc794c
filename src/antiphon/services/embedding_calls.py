"""Embeddings that callers ask for by the API; those of knowledge are in `embeddings`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from antiphon.domain.accounts import Principal
from antiphon.domain.limits import Standing
from antiphon.domain.usage import estimate_tokens
from antiphon.services.embedding_models import EmbeddingModels
from antiphon.services.embedding_use import EmbeddingUse


class EmbeddedTexts(msgspec.Struct, frozen=True):
    """Vectors in the order of their texts, float32 little-endian of length one, by `provider/model`."""

    model: str
    vectors: list[bytes]
    tokens: int
    standings: tuple[Standing, ...]


class EmbeddingCalls:
    """Calls to embedding models, held to their callers' limits."""

    def __init__(self, models: EmbeddingModels, use: EmbeddingUse) -> None:
        self._models = models
        self._use = use

    async def create(
        self, who: Principal, texts: Sequence[str], *, model: str | None, dimensions: int | None
    ) -> EmbeddedTexts:
        """Embed texts as they are. Raises NotFound, InvalidRequest, RateLimited and ProviderError."""
        route, embedder = self._models.find(model, dimensions)
        expected = sum(estimate_tokens(text) for text in texts)
        vectors: list[bytes] = []
        async with self._use.metered(who, route, expected) as meter:
            for start in range(0, len(texts), embedder.max_batch):
                answer = await embedder.embed(texts[start : start + embedder.max_batch], "text")
                meter.tokens += answer.tokens
                vectors += answer.vectors
        return EmbeddedTexts(route.id, vectors, meter.tokens, meter.standings)
