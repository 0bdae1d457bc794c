"""Build the providers that configuration names, and the two that are always there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic as system_monotonic

from antiphon.domain.errors import InvalidRequest
from antiphon.ports.model_provider import ModelProvider
from antiphon.ports.outbound import OutboundHttp
from antiphon.providers import offline, scripted
from antiphon.providers.openai_compatible import OpenAICompatible
from antiphon.providers.specs import ProviderSpec, from_toml, presets
from antiphon.providers.text_generation import TextGeneration

__all__ = ["ProviderSpec", "build_providers", "from_toml", "presets", "with_built_in"]


def with_built_in(specs: Iterable[ProviderSpec], *, list_scripted: bool = False) -> dict[str, ProviderSpec]:
    """Return all specs by name, the built-in ones last; raises InvalidRequest for a repeated name."""
    found: dict[str, ProviderSpec] = {}
    always = (
        ProviderSpec(name=offline.NAME, models=offline.MODELS),
        ProviderSpec(name=scripted.NAME, models=scripted.ALL_MODELS, listed=list_scripted),
    )
    for spec in (*specs, *always):
        if spec.name in found:
            raise InvalidRequest(f"Two providers are named '{spec.name}'.")
        found[spec.name] = spec
    return found


def build_providers(
    specs: Iterable[ProviderSpec],
    http: OutboundHttp,
    *,
    list_scripted: bool = False,
    monotonic: Callable[[], float] = system_monotonic,
) -> dict[str, ModelProvider]:
    """Return providers by name, in the order of `with_built_in`; connects to nothing yet."""
    built: dict[str, ModelProvider] = {}
    for name, spec in with_built_in(specs).items():
        if name == offline.NAME:
            built[name] = offline.Offline()
        elif name == scripted.NAME:
            built[name] = scripted.Scripted(listed=list_scripted)
        elif spec.generated_model:
            built[name] = TextGeneration(spec, http)
        else:
            built[name] = OpenAICompatible(spec, http, monotonic=monotonic)
    return built
