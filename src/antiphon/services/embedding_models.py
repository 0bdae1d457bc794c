"""The embedding model that knowledge is kept under, and any other one that callers name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from antiphon.domain.errors import InvalidRequest, NotFound
from antiphon.ports.embedder import Embedder
from antiphon.services.model_routes import ModelRoute
from antiphon.services.models import Models


class Configured(msgspec.Struct, frozen=True):
    """The configured embedding model. `route` is how callers and the ledger know it.

    `written` are further names for it. `description` is what `rebuild` makes an embedder of again, in
    a later process, if that is still possible.
    """

    embedder: Embedder
    route: ModelRoute
    written: frozenset[str]
    description: bytes
    rebuild: Callable[[bytes], Embedder | None]


class EmbedderFor(Protocol):
    """Makes an embedder for any model that can be called."""

    def __call__(self, route: ModelRoute, dimensions: int | None) -> Embedder | None:
        """Return an embedder without prefixes, None for a model that makes no embeddings.

        Raises InvalidRequest for dimensions a model cannot have. It is not to be closed.
        """
        ...


class EmbeddingModels:
    """Finds embedding models by name."""

    def __init__(self, models: Models, configured: Configured | None, embedder_for: EmbedderFor) -> None:
        self._models = models
        self._configured = configured
        self._embedder_for = embedder_for

    def find(self, name: str | None, dimensions: int | None) -> tuple[ModelRoute, Embedder]:
        """Return a model's route and an embedder; None is the configured model.

        Raises NotFound `model_not_found` and InvalidRequest.
        """
        route = self._route(name)
        embedder = self._embedder_for(route, dimensions)
        if embedder is None:
            raise InvalidRequest(
                f"The model '{route.id}' makes no embeddings.", code="unsupported_model", param="model"
            )
        return route, embedder

    def _route(self, name: str | None) -> ModelRoute:
        configured = self._configured
        if configured is not None and (not name or name == configured.route.id or name in configured.written):
            return configured.route
        if not name:
            raise InvalidRequest(
                "Missing required parameter: 'model'.", code="missing_required_parameter", param="model"
            )
        try:
            route = self._models.resolve(name)
        except NotFound as error:
            if configured is None:
                raise
            offer = f"{error.message} For embeddings: {configured.route.id}."
            raise NotFound(offer, code="model_not_found", param="model") from None
        return msgspec.structs.replace(route, fallbacks=())
