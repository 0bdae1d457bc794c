"""Models: which there are, which one a name means, and calling it with care.

Before the first token a call may be repeated (see `domain.retrying`) and then passed on to the
fallbacks. After the first token nothing is repeated, since the caller has it already.
"""

from __future__ import annotations

import asyncio
import random as random_module
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

import msgspec

from antiphon.domain.errors import NotFound, ProviderError
from antiphon.domain.retrying import Budget, Retrying
from antiphon.ports.clock import Clock
from antiphon.ports.embedder import EmbeddingProvider
from antiphon.ports.model_provider import (
    Keyed,
    ModelInfo,
    ModelProvider,
    ModelRequest,
    ProviderEvent,
    Pullable,
    Started,
)
from antiphon.services.model_breaker import Breakers, Permit
from antiphon.services.model_routes import ModelRoute, OpenTerms, ProviderTerms, Routes
from antiphon.services.provider_health import Counts, Probe, Probes, ProviderHealth

__all__ = ["ModelRoute", "Models", "Probe", "ProviderHealth", "ProviderTerms", "Retrying"]

Batch = Sequence[ProviderEvent]
Batches = AsyncIterator[Batch]


class _Provider:
    """A provider with what is known about it."""

    def __init__(self, provider: ModelProvider, terms: ProviderTerms, clock: Clock) -> None:
        self.provider = provider
        self.terms = terms
        self.breakers = Breakers(clock)
        self.counts = Counts()
        self.last_error: str | None = None
        self.probes = Probes(provider, clock)


class Call:
    """A provider's stream with its first batch in hand, which begins with `Started`."""

    __slots__ = ("entry", "first", "rest")

    def __init__(
        self, route: ModelRoute, entry: _Provider, first: Sequence[ProviderEvent], rest: Batches
    ) -> None:
        self.entry = entry
        self.first = [Started(route.provider, route.model), *first]
        self.rest = rest

    @property
    def pullable(self) -> Pullable | None:
        """The stream's rest as something to take from without waiting, if its provider allows that."""
        return cast(Pullable, self.rest) if hasattr(self.rest, "pull") else None

    async def aclose(self) -> None:
        """End the call at once; does nothing if it has ended."""
        await _close(self.rest)


class Models:
    """All models of all providers.

    `terms` says what is configured about a provider (a provider without terms takes any model
    name). `aliases` map a name to another. `fallbacks` map a model's id, alias or `*` to names to
    try instead. `context_tokens` holds where neither configuration nor provider says. `further`
    models are listed besides those of the providers. `defaults` are parameters that every call has
    unless it says otherwise. `random` returns 0 ≤ x < 1.
    """

    def __init__(
        self,
        providers: Mapping[str, ModelProvider],
        *,
        clock: Clock,
        terms: Mapping[str, ProviderTerms] | None = None,
        default_model: str | None = None,
        aliases: Mapping[str, str] | None = None,
        fallbacks: Mapping[str, Sequence[str]] | None = None,
        context_tokens: int = 8192,
        further: Sequence[ModelInfo] = (),
        defaults: Mapping[str, float] | None = None,
        retrying: Retrying | None = None,
        random: Callable[[], float] = random_module.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        known = {name: (terms or {}).get(name) or OpenTerms() for name in providers}
        self._providers = {name: _Provider(p, known[name], clock) for name, p in providers.items()}
        self.routes = Routes(
            known,
            default_model=default_model,
            aliases=aliases or {},
            fallbacks=fallbacks or {},
            context_tokens=context_tokens,
        )
        self._further = {info.id: info for info in further}
        self._defaults = dict(defaults or {})
        self._clock = clock
        self._retrying = retrying or Retrying()
        self._random = random
        self._sleep = sleep

    async def list(self) -> list[ModelInfo]:
        """Return every model that is shown, in the order of the providers.

        A provider that cannot be asked is shown with its configured default model, if it has one.
        """
        shown = [name for name, entry in self._providers.items() if entry.terms.listed]
        found = await asyncio.gather(*(self._models_of(name) for name in shown))
        listed: list[ModelInfo] = []
        for name, infos in zip(shown, found, strict=True):
            default = self._providers[name].terms.default_model
            listed += [self._info(name, default)] if infos is None and default else infos or ()
        ids = {info.id for info in listed}
        return listed + [info for info in self._further.values() if info.id not in ids]

    async def get(self, identifier: str) -> ModelInfo:
        """Return the model a name means; raises NotFound `model_not_found`."""
        if identifier in self._further:
            return self._further[identifier]
        route = self.resolve(identifier)
        infos = await self._models_of(route.provider)
        for info in infos or ():
            if info.id == route.id:
                return info
        terms = self._providers[route.provider].terms
        if infos is None or route.model == terms.default_model:
            return self._info(route.provider, route.model)
        unknown = f"Provider '{route.provider}' has no model '{route.model}'."
        raise NotFound(unknown, code="model_not_found", param="model")

    async def prepare(self) -> None:
        """Ask the open providers for their lists, so that they can decide bare names and the default."""
        await self.list()

    def resolve(self, name: str | None) -> ModelRoute:
        """Return what a name means; None or "" is the default model.

        In order: an alias; `provider/model`; a bare name that exactly one provider is configured
        with, then one that exactly one open provider was seen to list, then the only open
        provider. Raises NotFound `model_not_found` with a sentence that names what there is.
        """
        return self.routes.resolve(name)

    def problems(self) -> Sequence[str]:
        """Return a sentence for every configured default, alias and fallback that leads nowhere."""
        return tuple(self.routes.problems())

    def terms_of(self, provider: str) -> ProviderTerms:
        """Return what is configured about a provider; raises NotFound."""
        return self._entry(provider).terms

    def provider_names(self) -> Sequence[str]:
        """Return the names of the providers that are shown, in order of configuration."""
        return tuple(name for name, entry in self._providers.items() if entry.terms.listed)

    async def open(self, route: ModelRoute, request: ModelRequest) -> Call:
        """Call the route's model, or a fallback, and return the call once it has given an event.

        `request.model` is replaced by the model of whichever route is called. Raises
        ProviderError, and so does reading the call's rest; tell `failed` of the latter. The
        caller closes the call.
        """
        if self._defaults:
            request = msgspec.structs.replace(request, params=self._completed(request.params))
        return await self._open(route, request)

    def _completed(self, params: dict[str, Any]) -> dict[str, Any]:
        missing = {name: value for name, value in self._defaults.items() if params.get(name) is None}
        if params.get("max_completion_tokens") is not None:
            missing.pop("max_tokens", None)  # another name for the same bound
        return params | missing

    def replay(self, route: ModelRoute, first: Batch, rest: Batches) -> Call:
        """Return a call that says what the route's model said before; nothing is called or counted."""
        return Call(route, self._entry(route.provider), first, rest)

    def failed(self, call: Call, error: ProviderError) -> None:
        """Count a failure of a call that had begun."""
        self._note(call.entry, error)

    def health(self) -> dict[str, ProviderHealth]:
        """Return how each provider does, by name."""
        return {
            name: ProviderHealth(
                provider=name,
                state=entry.breakers.worst().state,
                retry_in_seconds=entry.breakers.worst().retry_in_seconds,
                failures_in_a_row=entry.breakers.worst().failures,
                last_error=entry.last_error,
                counts=msgspec.structs.replace(entry.counts),
            )
            for name, entry in self._providers.items()
        }

    async def probe(self, provider: str) -> Probe:
        """Ask a provider for its models now, unless that was done in the last 10 s; raises NotFound."""
        return await self._entry(provider).probes.ask()

    def keyed(self, provider: str) -> Keyed | None:
        """Return a provider whose key can be replaced, None for one that has none; raises NotFound."""
        found = self._entry(provider).provider
        return found if isinstance(found, Keyed) else None

    def embedding_provider(self, provider: str) -> EmbeddingProvider | None:
        """Return a provider that has embedding models, None for one that has none; raises NotFound."""
        found = self._entry(provider).provider
        return found if isinstance(found, EmbeddingProvider) else None

    def use_key(self, provider: str, key: str | None) -> None:
        """Have new calls carry another key, None the configured one; does nothing if none can be sent."""
        if (keyed := self.keyed(provider)) is not None:
            keyed.use_key(key)
            self._entry(provider).probes.forget()

    async def close(self) -> None:
        """Close every provider."""
        for entry in self._providers.values():
            await entry.provider.close()

    async def _open(self, route: ModelRoute, request: ModelRequest) -> Call:
        """Return the first call that gives an event, by retries and then by fallbacks."""
        budget = Budget(self._retrying, self._clock.monotonic)
        failure: ProviderError | None = None
        for candidate in (route, *route.fallbacks):
            entry = self._providers[candidate.provider]
            if failure is not None:
                entry.counts.fallbacks += 1
            while True:
                try:
                    return await self._attempt(candidate, request)
                except ProviderError as error:
                    failure = error
                pause = budget.next_pause(failure, self._random())
                if pause is None or entry.breakers.of(candidate.model).retry_in_seconds > pause:
                    break
                entry.counts.retries += 1
                await self._sleep(pause)
            if failure.code == "invalid_prompt":
                break  # the request is at fault; another model would be paid to say the same
        assert failure is not None  # noqa: S101 - there is at least one candidate
        raise failure

    async def _attempt(self, route: ModelRoute, request: ModelRequest) -> Call:
        entry = self._providers[route.provider]
        breaker = entry.breakers.of(route.model)
        permit = breaker.admit()
        if permit is None:
            entry.counts.refused += 1
            raise _unavailable(route.provider, breaker.retry_in_seconds)
        entry.counts.calls += 1
        if request.model != route.model:
            request = msgspec.structs.replace(request, model=route.model)
        rest = entry.provider.stream(request)
        with permit:
            try:
                return Call(route, entry, await self._first(rest, permit), rest)
            except ProviderError as error:
                self._note(entry, error)
                raise

    async def _first(self, rest: Batches, permit: Permit) -> Sequence[ProviderEvent]:
        async for batch in rest:
            if batch:
                permit.answered()
                return batch
        raise ProviderError("The provider's answer was empty.", retryable=True)

    def _entry(self, provider: str) -> _Provider:
        if provider not in self._providers:
            raise NotFound(f"There is no provider '{provider}'.", code="provider_not_found")
        return self._providers[provider]

    @staticmethod
    def _note(entry: _Provider, error: ProviderError) -> None:
        entry.counts.failures += 1
        entry.last_error = error.message

    async def _models_of(self, name: str) -> Sequence[ModelInfo] | None:
        """Return a provider's models, None if it cannot be asked now."""
        entry = self._providers[name]
        if entry.terms.models:
            return [self._info(name, model) for model in entry.terms.models]
        try:
            infos = await entry.provider.models()
        except ProviderError as error:
            entry.last_error = error.message
            return None
        prefix = len(name) + 1
        self.routes.seen[name] = {info.id[prefix:]: info.context_tokens for info in infos}
        return infos

    def _info(self, provider: str, model: str) -> ModelInfo:
        context_tokens = self._providers[provider].terms.context_tokens
        return ModelInfo(id=f"{provider}/{model}", provider=provider, context_tokens=context_tokens)


def _unavailable(provider: str, seconds: float) -> ProviderError:
    return ProviderError(
        f"upstream_unavailable: provider '{provider}' failed several times in a row and is left alone "
        f"for another {seconds:.0f} s.",
        retry_after_seconds=seconds,
        status=503,
    )


async def _close(batches: Batches) -> None:
    """Close an iterator that may be an async generator."""
    close = getattr(batches, "aclose", None)
    if close is not None:
        await close()
