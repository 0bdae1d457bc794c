"""Port to embedding models and to rerankers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

InputKind = Literal["query", "document"]


class Embedded(msgspec.Struct, frozen=True):
    """Vectors in the order of their texts, each float32 little-endian of length one; tokens as billed."""

    vectors: list[bytes]
    tokens: int


class Embedder(Protocol):
    """Turns texts into vectors. Errors leave it as `domain.errors.ProviderError` only."""

    @property
    def model(self) -> str:
        """The model's id, which vectors are kept under: `provider/model`, with dimensions if reduced."""
        ...

    @property
    def max_batch(self) -> int:
        """How many texts one call takes."""
        ...

    async def embed(self, texts: Sequence[str], kind: InputKind) -> Embedded:
        """Return one vector a text; texts longer than the model takes are cut by the model."""
        ...

    async def close(self) -> None:
        """Release what is held; does nothing if already closed."""
        ...


class Reranker(Protocol):
    """Orders texts by how well they answer a question. Errors leave it as ProviderError only."""

    @property
    def model(self) -> str:
        """The model's id, for the trace."""
        ...

    async def rerank(self, question: str, texts: Sequence[str]) -> list[tuple[int, float]]:
        """Return (index, score) of the texts, best first; all of them."""
        ...

    async def close(self) -> None:
        """Release what is held; does nothing if already closed."""
        ...
