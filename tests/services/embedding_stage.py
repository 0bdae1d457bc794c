"""A store, a provider that counts words, and the services of embedding that a test starts over them."""

from __future__ import annotations

import asyncio

from antiphon.domain.errors import ProviderError
from antiphon.domain.retrying import Retrying
from antiphon.ports.embedder import Embedded, Embedder, EmbeddingRequest
from antiphon.providers.embedding_remote import RemoteEmbedder
from antiphon.providers.embedding_specs import EmbeddingSpec
from antiphon.providers.hashed_words import embed_words
from antiphon.services.embedding_models import Configured
from antiphon.services.embedding_use import EmbeddingUse
from antiphon.services.embeddings import Embeddings
from antiphon.services.model_routes import ModelRoute
from antiphon.storage.memory.locks import InProcessLocks
from tests.harness.memory_vectors import MemoryVectors
from tests.services.fake_provider import Time
from tests.services.world import World

DOWN = ProviderError("the model is down", retryable=True, status=503)
REFUSED = ProviderError("the text cannot be embedded", code="invalid_prompt", status=400)


class Words:
    """Port `EmbeddingProvider` that counts words, and fails as a test wants it.

    `failing` fails every call, `fails_from` those from that number on, `poison` those with a text
    that has the word. `gate` holds every call up.
    """

    def __init__(self) -> None:
        self.calls: list[EmbeddingRequest] = []
        self.failing: ProviderError | None = None
        self.fails_from = 10**9
        self.poison: str | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def embeddings(self, request: EmbeddingRequest) -> Embedded:
        self.calls.append(request)
        await self.gate.wait()
        if self.failing is not None or len(self.calls) > self.fails_from:
            raise self.failing or DOWN
        if self.poison is not None and any(self.poison in text for text in request.texts):
            raise REFUSED
        vectors = [embed_words(text, request.dimensions or 16) for text in request.texts]
        return Embedded(vectors, sum(len(text.split()) for text in request.texts))

    @property
    def texts(self) -> list[str]:
        return [text for call in self.calls for text in call.texts]


class Closing(RemoteEmbedder):
    """Notes that it was closed."""

    closed = False

    async def close(self) -> None:
        self.closed = True


class Stage:
    """A store that outlives services, a provider, and the services that a test starts one after the other."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.owner = world.who.account_id
        self.store = MemoryVectors()
        self.provider = Words()
        self.time = Time()
        self.built: list[Closing] = []
        self.gone: set[str] = set()
        self.tasks: list[asyncio.Task[None]] = []

    def embedder(self, spec: EmbeddingSpec) -> Closing:
        made = Closing(self.provider, spec, retrying=Retrying(retries=0))
        self.built.append(made)
        return made

    async def start(self, model: str | None = "p/one", *, batch: int = 4, runs: bool = False) -> Embeddings:
        """A service as a new process makes it."""
        configured = None
        if model is not None:
            spec = EmbeddingSpec(written=model, batch=batch)

            def rebuild(description: bytes) -> Embedder | None:
                other = spec.described(description)
                return None if other is None or other.written in self.gone else self.embedder(other)

            route = ModelRoute(id=spec.shown, provider=spec.provider, model=spec.model, context_tokens=512)
            configured = Configured(
                self.embedder(spec), route, frozenset({model}), spec.description(), rebuild
            )
        use = EmbeddingUse(self.world.storage.unit_of_work, self.world.application.quotas, self.time)
        made = Embeddings(
            configured, self.store, self.store, use, self.time, InProcessLocks(), sleep=self.time.sleep
        )
        await made.open()
        if runs:
            self.tasks.append(asyncio.create_task(made.run()))
        return made

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def texts(count: int, stem: str = "text") -> list[str]:
    return [f"{stem} number {index}" for index in range(count)]
