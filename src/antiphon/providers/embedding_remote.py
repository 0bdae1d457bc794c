"""An embedding model of a model provider: prefixes, batches, retries, texts that are too long."""

from __future__ import annotations

import asyncio
import random as random_module
from collections.abc import Awaitable, Callable, Iterator, Sequence
from time import monotonic as system_monotonic
from typing import Final

from antiphon.domain.errors import ProviderError
from antiphon.domain.retrying import Budget, Retrying
from antiphon.ports.embedder import Embedded, EmbeddingProvider, EmbeddingRequest, InputKind
from antiphon.providers.embedding_specs import EmbeddingSpec

LEAST_CHARACTERS: Final = 200
"""A text that is refused at this length is refused for another reason than its length."""


class RemoteEmbedder:
    """Port `Embedder`. The provider is shared with others and not closed here. `random` gives 0 ≤ x < 1."""

    def __init__(
        self,
        provider: EmbeddingProvider,
        spec: EmbeddingSpec,
        *,
        retrying: Retrying | None = None,
        monotonic: Callable[[], float] = system_monotonic,
        random: Callable[[], float] = random_module.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._provider = provider
        self._spec = spec
        self._prefixes = {"query": spec.query_prefix, "document": spec.document_prefix, "text": ""}
        self._retrying = retrying or Retrying()
        self._monotonic = monotonic
        self._random = random
        self._sleep = sleep
        self._size: int | None = spec.dimensions * 4 if spec.dimensions else None

    def __repr__(self) -> str:
        return f"RemoteEmbedder({self.model!r})"

    @property
    def model(self) -> str:
        """See the port."""
        return self._spec.vectors_id()

    @property
    def max_batch(self) -> int:
        """See the port."""
        return self._spec.batch

    async def embed(self, texts: Sequence[str], kind: InputKind) -> Embedded:
        """See the port. A query or document that is refused is sent again shorter, each time by half."""
        prefix, cuts = self._prefixes[kind], kind != "text"
        longest = self._spec.max_characters if cuts else None
        sent = [prefix + text[:longest] for text in texts]
        vectors: list[bytes] = []
        tokens = 0
        for batch in batches(sent, self._spec.batch, self._spec.batch_characters):
            answer = await (self._fitting(batch) if cuts else self._attempts(batch))
            vectors += answer.vectors
            tokens += answer.tokens
        return Embedded(vectors, tokens)

    async def close(self) -> None:
        """Do nothing: the provider belongs to others."""

    async def _fitting(self, batch: list[str]) -> Embedded:
        """Embed a batch; what the server refuses in it is found by halves and then halved itself."""
        try:
            return await self._attempts(batch)
        except ProviderError as error:
            if error.code != "invalid_prompt" or (len(batch) == 1 and len(batch[0]) <= LEAST_CHARACTERS):
                raise
        if len(batch) == 1:
            return await self._fitting([batch[0][: len(batch[0]) // 2]])
        middle = len(batch) // 2
        first, second = await self._fitting(batch[:middle]), await self._fitting(batch[middle:])
        return Embedded(first.vectors + second.vectors, first.tokens + second.tokens)

    async def _attempts(self, batch: list[str]) -> Embedded:
        """Call the model once, and again where that may help."""
        request = EmbeddingRequest(model=self._spec.model, texts=batch, dimensions=self._spec.dimensions)
        budget = Budget(self._retrying, self._monotonic)
        while True:
            try:
                return self._of_one_size(await self._provider.embeddings(request))
            except ProviderError as error:
                pause = budget.next_pause(error, self._random())
                if pause is None:
                    raise
            await self._sleep(pause)

    def _of_one_size(self, answer: Embedded) -> Embedded:
        """Return the answer if its vectors can be compared with all earlier ones."""
        for vector in answer.vectors:
            self._size = self._size or len(vector)
            if len(vector) != self._size:
                raise ProviderError(
                    f"upstream_protocol_error: model '{self.model}' gave {len(vector) // 4} dimensions, "
                    f"not {self._size // 4}; give another model another name, or set EMBEDDING_DIMENSIONS."
                )
        return answer


def batches(texts: Sequence[str], count: int, characters: int) -> Iterator[list[str]]:
    """Yield neighbours together, at most `count` of at most `characters`; a longer one goes alone."""
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) == count or size + len(text) > characters):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch
