"""From the name a caller gives to the provider and model that answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from antiphon.domain.errors import NotFound
from antiphon.domain.usage import Price

FREE: Final = Price()
OFFLINE: Final = "offline/extractive"
BUILT_IN: Final = frozenset({"offline", "scripted"})
NAMES_SHOWN: Final = 20
ALIAS_HOPS: Final = 8
LONGEST_NAME: Final = 512
"""Of a model, in characters: open providers take any name, and counters, breakers and ledger keep it."""


class ProviderTerms(Protocol):
    """What configuration says of a provider; `models` empty means that it takes any name."""

    @property
    def models(self) -> tuple[str, ...]: ...
    @property
    def default_model(self) -> str | None: ...
    @property
    def prices(self) -> Mapping[str, Price]: ...
    @property
    def context_tokens(self) -> int | None: ...
    @property
    def listed(self) -> bool: ...
    @property
    def shown_url(self) -> str: ...


class OpenTerms(msgspec.Struct, frozen=True):
    """Terms of a provider of which nothing is configured."""

    models: tuple[str, ...] = ()
    default_model: str | None = None
    prices: dict[str, Price] = {}
    context_tokens: int | None = None
    listed: bool = True
    shown_url: str = ""


class ModelRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A decided model: `id` is `provider/model`; `fallbacks` are tried in order before the first token."""

    id: str
    provider: str
    model: str
    context_tokens: int
    price: Price = FREE
    fallbacks: tuple[ModelRoute, ...] = ()

    def answered_by(self, provider: str, model: str) -> ModelRoute:
        """Return the route that `Started(provider, model)` speaks of: this one or a fallback."""
        for route in (self, *self.fallbacks):
            if (route.provider, route.model) == (provider, model):
                return route
        return self


class Routes:
    """Resolves names. `seen` are the lists that open providers gave when last asked."""

    def __init__(
        self,
        terms: Mapping[str, ProviderTerms],
        *,
        default_model: str | None,
        aliases: Mapping[str, str],
        fallbacks: Mapping[str, Sequence[str]],
        context_tokens: int,
    ) -> None:
        self._terms = terms
        self.default_model = default_model
        self._aliases = aliases
        self._fallbacks = fallbacks
        self._context_tokens = context_tokens
        self.seen: dict[str, Mapping[str, int | None]] = {}

    def resolve(self, name: str | None) -> ModelRoute:
        """Return the route of a name, or of the default model; raises NotFound `model_not_found`."""
        asked = name or self._default()
        if len(asked) > LONGEST_NAME:
            message = f"A model's name has at most {LONGEST_NAME} characters; this one has {len(asked)}."
            raise NotFound(message, code="model_not_found", param="model")
        provider, model = self._decide(asked)
        route = self._route(provider, model)
        names = self._fallbacks.get(asked) or self._fallbacks.get(route.id) or self._fallbacks.get("*") or ()
        others = [self._route(*self._decide(other)) for other in names]
        chain = tuple(other for other in others if other.id != route.id)
        return msgspec.structs.replace(route, fallbacks=chain) if chain else route

    def problems(self) -> Iterator[str]:
        """Yield a sentence for every configured name that leads nowhere."""
        configured = [("DEFAULT_MODEL", self.default_model)] if self.default_model else []
        configured += [(f"alias '{alias}'", alias) for alias in self._aliases]
        for of, names in self._fallbacks.items():
            configured += [(f"fallback of '{of}'", name) for name in names]
        for source, name in configured:
            try:
                self._decide(str(name))
            except NotFound as error:
                yield f"{source}: {error.message}"

    def _decide(self, asked: str) -> tuple[str, str]:
        name = self._unaliased(asked)
        provider, _, model = name.partition("/")
        terms = self._terms.get(provider)
        if terms is not None and model and (not terms.models or model in terms.models):
            found = provider, model
        else:
            found = self._only_provider_of(name), name
        other = self._aliases.get("/".join(found))
        return self._decide(other) if other and other != asked else found

    def _unaliased(self, name: str) -> str:
        for _ in range(ALIAS_HOPS):
            if name not in self._aliases:
                break
            name = self._aliases[name]
        return name

    def _only_provider_of(self, model: str) -> str:
        shown = {name: terms for name, terms in self._terms.items() if terms.listed}
        open_to_all = [name for name, terms in shown.items() if not terms.models]
        for providers in (
            [name for name, terms in shown.items() if model in terms.models],
            [name for name in open_to_all if model in self.seen.get(name, ())],
            # A misspelt model of a known provider is not somebody else's model.
            [] if model.partition("/")[0] in self._terms else open_to_all,
        ):
            if len(providers) == 1:
                return providers[0]
            if providers:
                several = ", ".join(f"{provider}/{model}" for provider in providers[:NAMES_SHOWN])
                raise _not_found(f"More than one provider may have a model '{model}'; name one: {several}.")
        raise _not_found(f"There is no model '{model}'. {self._offer()}")

    def _offer(self) -> str:
        names = [f"{name}/{m}" for name, terms in self._terms.items() if terms.listed for m in terms.models]
        free = [name for name, terms in self._terms.items() if terms.listed and not terms.models]
        sentence = f"Known: {', '.join(names[:NAMES_SHOWN])}{', …' if len(names) > NAMES_SHOWN else ''}."
        return f"{sentence} Any model of: {', '.join(free)}." if free else sentence

    def _default(self) -> str:
        """Return the configured default, or the first model of the first real provider that names one."""
        if self.default_model:
            return self.default_model
        for name, terms in self._terms.items():
            models = (terms.default_model, *terms.models, *self.seen.get(name, ()))
            first = next((model for model in models if model), None)
            if first and name not in BUILT_IN:
                return f"{name}/{first}"
        return OFFLINE

    def _route(self, provider: str, model: str) -> ModelRoute:
        terms = self._terms[provider]
        seen = self.seen.get(provider, {}).get(model)
        return ModelRoute(
            id=f"{provider}/{model}",
            provider=provider,
            model=model,
            context_tokens=terms.context_tokens or seen or self._context_tokens,
            price=terms.prices.get(model) or terms.prices.get("*") or FREE,
        )


def _not_found(message: str) -> NotFound:
    return NotFound(message, code="model_not_found", param="model")
