"""The part of the composition root that builds embedding models and the reranker."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace as replace_fields
from typing import Any

from pydantic import SecretStr

from antiphon.domain.errors import InvalidRequest
from antiphon.ports.clock import Clock
from antiphon.ports.embedder import Embedder, EmbeddingProvider, Reranker
from antiphon.ports.locks import Locks
from antiphon.ports.model_provider import ModelInfo
from antiphon.ports.outbound import OutboundHttp
from antiphon.ports.passage_index import Vectors
from antiphon.ports.storage import UnitOfWork
from antiphon.providers.embedding_local import LocalEmbedder
from antiphon.providers.embedding_remote import RemoteEmbedder
from antiphon.providers.embedding_specs import (
    LOCAL,
    OWN,
    EmbeddingSpec,
    RerankSpec,
    embedding_spec,
    rerank_spec,
)
from antiphon.providers.openai_compatible import OpenAICompatible
from antiphon.providers.rerank_remote import RemoteReranker
from antiphon.providers.specs import BUILT_IN, ProviderSpec
from antiphon.services.embedding_calls import EmbeddingCalls
from antiphon.services.embedding_models import Configured, EmbeddingModels
from antiphon.services.embedding_use import EmbeddingUse
from antiphon.services.embeddings import Embeddings, Marks
from antiphon.services.model_routes import FREE, ModelRoute
from antiphon.services.models import Models
from antiphon.services.quotas import Quotas
from antiphon.settings import Settings, read_config_file

LOCAL_TOKENS = 512
"""What is said of the length of a local model's texts before it is loaded."""


def embedding_spec_of(settings: Settings) -> EmbeddingSpec | None:
    """Return the configured embedding model, None if there is none; raises InvalidRequest."""
    given = {
        "model": settings.embedding_model,
        "base_url": settings.embedding_base_url,
        "api_key": _secret(settings.embedding_api_key),
        "dimensions": settings.embedding_dimensions,
    }
    return embedding_spec(_table(settings, "embedding"), given)


def listed_embeddings(settings: Settings) -> list[ModelInfo]:
    """Return the configured embedding model as it is listed; raises InvalidRequest."""
    spec = embedding_spec_of(settings)
    return [ModelInfo(id=spec.shown, provider=spec.provider)] if spec is not None else []


def rerank_spec_of(settings: Settings, providers: Collection[ProviderSpec]) -> RerankSpec | None:
    """Return the configured reranker, None if there is none; raises InvalidRequest."""
    given = {
        "url": settings.rerank_url,
        "model": settings.rerank_model,
        "api_key": _secret(settings.rerank_api_key),
    }
    return rerank_spec(_table(settings, "rerank"), given, providers)


def build_reranker(
    settings: Settings, providers: Collection[ProviderSpec], http: OutboundHttp
) -> Reranker | None:
    """Return the reranker, None if there is none; connects to nothing. Raises InvalidRequest."""
    spec = rerank_spec_of(settings, providers)
    return RemoteReranker(spec, http) if spec is not None else None


class Embedders:
    """Makes the embedders of one server, which share its HTTP client and its providers' keys.

    `providers` are those of configuration. Raises InvalidRequest for a model that cannot be had.
    """

    def __init__(
        self, settings: Settings, models: Models, providers: Collection[ProviderSpec], http: OutboundHttp
    ) -> None:
        self.providers = tuple(providers)
        self._settings = settings
        self._models = models
        self._providers = {spec.name: spec for spec in providers}
        self._http = http
        spec = embedding_spec_of(settings)
        self._spec = spec
        self.configured: Configured | None = None
        if spec is not None:
            self.configured = Configured(
                embedder=self._embedder(spec),
                route=self._route(spec),
                written=frozenset({spec.written, spec.model}),
                description=spec.description(),
                rebuild=self.rebuild,
            )

    def __call__(self, route: ModelRoute, dimensions: int | None) -> Embedder | None:
        """See `services.embedding_models.EmbedderFor`."""
        own = self.configured
        if own is not None and self._spec is not None and route.id == own.route.id:
            if dimensions in (None, self._spec.dimensions):
                return own.embedder
            if route.provider == LOCAL:
                raise InvalidRequest(
                    "This model does not support specifying dimensions.",
                    code="invalid_value",
                    param="dimensions",
                )
            return RemoteEmbedder(self._provider(self._spec), _plain(self._spec, dimensions))
        provider = self._models.embedding_provider(route.provider)
        if provider is None:
            return None
        return RemoteEmbedder(provider, EmbeddingSpec(written=route.id, dimensions=dimensions))

    def rebuild(self, description: bytes) -> Embedder | None:
        """Return the embedder that was described, None if it cannot be had any more."""
        spec = self._spec.described(description) if self._spec is not None else None
        try:
            return self._embedder(spec) if spec is not None else None
        except InvalidRequest:
            return None

    def _embedder(self, spec: EmbeddingSpec) -> Embedder:
        if spec.directory is not None:
            return LocalEmbedder(spec)
        return RemoteEmbedder(self._provider(spec), spec)

    def _provider(self, spec: EmbeddingSpec) -> EmbeddingProvider:
        if spec.base_url:
            return self._own_provider(ProviderSpec(name=OWN, base_url=spec.base_url), spec)
        configured = self._providers.get(spec.provider)
        if configured is not None and spec.api_key:
            return self._own_provider(configured, spec)
        found = self._models.embedding_provider(spec.provider) if self._knows(spec.provider) else None
        if found is None:
            known = ", ".join(name for name in self._providers if name not in BUILT_IN)
            raise InvalidRequest(
                f"EMBEDDING_MODEL names the provider '{spec.provider}', which makes no embeddings here;"
                f" configured are: {known or 'none'}."
            )
        return found

    def _own_provider(self, at: ProviderSpec, spec: EmbeddingSpec) -> EmbeddingProvider:
        made = replace_fields(
            at,
            api_key=spec.api_key,
            connect_seconds=self._settings.provider_connect_seconds,
            idle_seconds=self._settings.provider_idle_seconds,
        )
        return OpenAICompatible(made, self._http)

    def _knows(self, provider: str) -> bool:
        return provider in self._providers or provider in BUILT_IN

    def _route(self, spec: EmbeddingSpec) -> ModelRoute:
        priced = self._providers.get(spec.provider)
        prices = priced.prices if priced is not None else {}
        return ModelRoute(
            id=spec.shown,
            provider=spec.provider,
            model=spec.model,
            context_tokens=LOCAL_TOKENS,
            price=prices.get(spec.model) or prices.get("*") or FREE,
        )


def embedding_of(
    embedders: Embedders,
    vectors: Vectors,
    marks: Marks,
    models: Models,
    unit_of_work: UnitOfWork,
    quotas: Quotas,
    clock: Clock,
    locks: Locks,
) -> dict[str, Any]:
    """Return the services of embedding, by their names in `Application`."""
    use = EmbeddingUse(unit_of_work, quotas, clock)
    found = EmbeddingModels(models, embedders.configured, embedders)
    return {
        "embedding_calls": EmbeddingCalls(found, use),
        "embeddings": Embeddings(embedders.configured, vectors, marks, use, clock, locks),
    }


def _plain(spec: EmbeddingSpec, dimensions: int | None) -> EmbeddingSpec:
    return replace_fields(spec, dimensions=dimensions, query_prefix="", document_prefix="")


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value is not None else None


def _table(settings: Settings, name: str) -> Mapping[str, Any]:
    table = read_config_file(settings.config_file).get(name, {})
    if not isinstance(table, Mapping):
        raise InvalidRequest(f"[{name}] is a table.")
    return table
