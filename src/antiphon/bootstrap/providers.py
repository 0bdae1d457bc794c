"""The part of the composition root that builds what other servers offer: models and logins."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields
from dataclasses import replace as replace_fields

from antiphon.domain.errors import InvalidRequest, NotFound
from antiphon.ports.clock import Clock
from antiphon.ports.external_logins import LoginProvider
from antiphon.ports.model_provider import ModelInfo
from antiphon.providers.http_client import HttpClient
from antiphon.providers.login_registry import build_logins
from antiphon.providers.login_specs import login_specs
from antiphon.providers.registry import ProviderSpec, build_providers, from_toml, presets, with_built_in
from antiphon.services.models import Models
from antiphon.settings import Settings, environment, read_config_file

GROQ, CHATGROQ = "groq", "chatgroq"
"""Groq's provider, and what older configurations call it."""
OF_PROVIDERS = (
    "_api_key", "_base_url", "_model_name", "hf_token", "_issuer", "_client_id", "_client_secret"
)  # fmt: skip


def provider_specs(settings: Settings, stored: Collection[str] = ()) -> list[ProviderSpec]:
    """Return the configured providers: well-known names, then `antiphon.toml`; see `presets`."""
    env = _environment(settings)
    tables = read_config_file(settings.config_file).get("providers", {})
    specs = presets(env, stored) + from_toml(tables, env, stored)
    return [_with_times(spec, settings) for spec in specs]


def _environment(settings: Settings) -> dict[str, str]:
    """Return the environment, with what settings say about providers in place of it."""
    env = environment()
    for name, value in settings.model_dump().items():
        if value is not None and name.endswith(OF_PROVIDERS):
            env[name.upper()] = getattr(value, "get_secret_value", lambda value=value: str(value))()
    return env


def _with_times(spec: ProviderSpec, settings: Settings) -> ProviderSpec:
    """Give a provider the general time-outs, unless its own table says otherwise."""
    usual = {field.name: field.default for field in fields(ProviderSpec)}
    return replace_fields(
        spec,
        connect_seconds=settings.provider_connect_seconds
        if spec.connect_seconds == usual["connect_seconds"]
        else spec.connect_seconds,
        idle_seconds=settings.provider_idle_seconds
        if spec.idle_seconds == usual["idle_seconds"]
        else spec.idle_seconds,
    )


def build_models(
    settings: Settings,
    http: HttpClient,
    clock: Clock,
    stored: Collection[str] = (),
    further: Sequence[ModelInfo] = (),
) -> Models:
    """Return all models with their terms, aliases and fallback chains; `further` are listed besides."""
    specs = _preferred(settings, provider_specs(settings, stored))
    tables = read_config_file(settings.config_file)
    aliases = dict(tables.get("aliases", {}))
    for pair in filter(None, (part.strip() for part in settings.model_aliases.split(","))):
        name, _, target = pair.partition("=")
        aliases[name.strip()] = target.strip()
    return Models(
        build_providers(specs, http, list_scripted=settings.list_scripted_models),
        clock=clock,
        terms=with_built_in(specs, list_scripted=settings.list_scripted_models),
        default_model=settings.default_model or tables.get("default_model"),
        aliases=aliases,
        fallbacks=tables.get("fallbacks", {}),
        context_tokens=settings.context_tokens,
        further=further,
        defaults=_defaults(settings),
    )


def _preferred(settings: Settings, specs: list[ProviderSpec]) -> list[ProviderSpec]:
    """Return the providers with the one that LLM_PROVIDER names first: its model is the default.

    Without its key Groq is none, and the next one answers. Raises InvalidRequest for an unknown name.
    """
    asked = (settings.llm_provider or "").strip().lower()
    name = GROQ if asked in ("", CHATGROQ) else asked
    known = {spec.name for spec in specs}
    if name != GROQ and name not in known:
        names = ", ".join(sorted(known | {CHATGROQ}))
        raise InvalidRequest(f"LLM_PROVIDER is none of the configured providers: {names}.")
    return sorted(specs, key=lambda spec: spec.name != name) if asked else specs


def _defaults(settings: Settings) -> dict[str, float]:
    """Return the parameters that configuration gives every call."""
    given = {"temperature": settings.temperature, "max_tokens": settings.max_tokens}
    return {name: value for name, value in given.items() if value is not None}


def problems_of(settings: Settings, models: Models) -> list[str]:
    """Return a sentence for every configured name of a model that leads nowhere."""
    found = list(models.problems())
    if settings.title_model:
        try:
            models.resolve(settings.title_model)
        except NotFound as error:
            found.append(f"TITLE_MODEL: {error.message}")
    return found


def login_providers(settings: Settings, http: HttpClient, clock: Clock) -> dict[str, LoginProvider]:
    """Return the configured login providers by name; raises InvalidRequest."""
    tables = read_config_file(settings.config_file).get("oidc", {})
    specs = login_specs(tables, _environment(settings))
    if specs and settings.public_url is None:
        raise InvalidRequest("PUBLIC_URL is needed: login providers must know where to send browsers back.")
    return build_logins(specs, http, clock)
