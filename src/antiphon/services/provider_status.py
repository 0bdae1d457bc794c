"""How the model that answers when none is named does, told quickly: for health checks and status pages."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from antiphon.services.models import ModelRoute, Models, Probe

PATIENCE_SECONDS: Final = 3.0
"""A health check waits no longer; the question goes on, and the next check finds its answer."""


class ProviderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A provider with the model it answers with, and what asking it just now (at most 10 s ago) showed."""

    route: ModelRoute
    base_url: str
    probe: Probe


class ProviderStatuses:
    """Asks providers whether they answer, without spending anything."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def current(self) -> ModelRoute:
        """Return the model that answers when none is named; raises NotFound if there is none."""
        return self._models.resolve(None)

    def base_url(self, provider: str) -> str:
        """Return where a provider is, without user and password; "" for one that is built in."""
        return self._models.terms_of(provider).shown_url

    def known_models(self, provider: str) -> list[str]:
        """Return the models a provider is configured with, or was seen to have; asks nobody."""
        terms = self._models.terms_of(provider)
        seen = terms.models or self._models.routes.seen.get(provider, ())
        first = [terms.default_model] if terms.default_model else []
        return list(dict.fromkeys((*first, *seen)))

    async def probe(self, provider: str) -> Probe:
        """Return how a provider does; one that does not answer within three seconds is not healthy."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._models.probe(provider)
        except TimeoutError:
            detail = f"No answer within {PATIENCE_SECONDS:g} s."
            return Probe(healthy=False, latency_seconds=PATIENCE_SECONDS, detail=detail)

    async def status(self) -> ProviderStatus:
        """Return the current provider with how it does."""
        route = self.current()
        probe = await self.probe(route.provider)
        return ProviderStatus(route=route, base_url=self.base_url(route.provider), probe=probe)
