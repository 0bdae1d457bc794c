"""Port to embedding models and to rerankers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import msgspec

InputKind = Literal["query", "document", "text"]
"""What a text is to be compared as; a `text` is embedded as it is, without the model's prefixes."""


class Embedded(msgspec.Struct, frozen=True):
    """Vectors in the order of their texts, each float32 little-endian of length one; tokens as billed."""

    vectors: list[bytes]
    tokens: int


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call to an embedding model; `model` is the provider's own name.

    `dimensions` None are as many as the model has.
    """

    model: str
    texts: list[str]
    dimensions: int | None = None


@runtime_checkable
class EmbeddingProvider(Protocol):
    """A model provider that has embedding models too. Errors leave it as ProviderError only."""

    async def embeddings(self, request: EmbeddingRequest) -> Embedded:
        """Call a model once and return one vector a text, all equally long."""
        ...


class Embedder(Protocol):
    """Turns texts into vectors. Errors leave it as `domain.errors.ProviderError` only."""

    @property
    def model(self) -> str:
        """The model's id, which vectors are kept under.

        `provider/model` with what else changes the vectors of documents: `@dimensions` if reduced,
        a hash of a local model's files, a hash of the prefix.
        """
        ...

    @property
    def max_batch(self) -> int:
        """How many texts one call takes."""
        ...

    async def embed(self, texts: Sequence[str], kind: InputKind) -> Embedded:
        """Return one vector a text; queries and documents longer than the model takes are cut."""
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
