"""From what the services tell to the words of ChatGroq's API."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from antiphon.api.dialects.asking import model_of
from antiphon.api.dialects.forms import moment
from antiphon.domain.accounts import Account, LoginSession
from antiphon.domain.chat_sessions import SessionMemory
from antiphon.domain.runs import Run
from antiphon.services.accounts import PlainLogin
from antiphon.services.model_routes import BUILT_IN, ModelRoute
from antiphon.services.provider_health import Probe

GROQ: Final = "groq"
CHATGROQ: Final = "chatgroq"
SERVICE: Final = "chatbot-api"
"""Monitors compare it."""


def provider_name(provider: str) -> str:
    """Return what a provider is called here."""
    return CHATGROQ if provider == GROQ else provider


def provider_type(provider: str, base_url: str) -> str:
    """Return `cloud`, or `local` for what runs on this machine or network."""
    host = urlsplit(base_url).hostname or ""
    if provider in BUILT_IN or host == "localhost":
        return "local"
    try:
        return "local" if ipaddress.ip_address(host).is_private else "cloud"
    except ValueError:
        return "cloud"


def described(provider: str, base_url: str) -> str:
    """Return a sentence about a provider."""
    if provider == GROQ:
        return "ChatGroq cloud-based LLM inference"
    if provider in BUILT_IN:
        return "Built in; no provider is asked"
    return f"{provider}, over OpenAI's API, {provider_type(provider, base_url)}"


def current_provider(
    route: ModelRoute, base_url: str, *, temperature: float, max_tokens: int
) -> dict[str, Any]:
    """Return what answers when no model is named, and how it is asked."""
    return {
        "provider": provider_name(route.provider),
        "model": route.model,
        "base_url": base_url,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "type": provider_type(route.provider, base_url),
        "description": described(route.provider, base_url),
    }


def listed_provider(
    provider: str, base_url: str, models: Sequence[str], *, available: bool
) -> dict[str, Any]:
    """Return one of the providers there are."""
    return {
        "provider": provider_name(provider),
        "type": provider_type(provider, base_url),
        "description": described(provider, base_url),
        "models": list(models),
        "available": available,
    }


def provider_health(route: ModelRoute, probe: Probe) -> dict[str, Any]:
    """Return what asking the provider showed."""
    return {
        "healthy": probe.healthy,
        "provider": provider_name(route.provider),
        "model": route.model,
        "latency_ms": milliseconds(probe.latency_seconds),
        "detail": probe.detail,
    }


def milliseconds(seconds: float) -> float:
    """Return a time as it is shown."""
    return round(seconds * 1000, 1)


def token(login: PlainLogin) -> dict[str, Any]:
    """Return what a login gives."""
    return {
        "access_token": login.access_token,
        "token_type": "bearer",
        "expires_in": login.access_seconds,
        "username": login.account.name,
    }


def account_info(account: Account, last_login_us: int | None) -> dict[str, Any]:
    """Return an account as its owner sees it."""
    return {
        "username": account.name,
        "role": account.role,
        "created_at": moment(account.created_us),
        "last_login_at": moment(last_login_us) if last_login_us is not None else None,
    }


def logins(name: str, sessions: Sequence[LoginSession], current_id: str | None) -> dict[str, Any]:
    """Return the logins of an account that have not ended; never their tokens."""
    shown = [
        {
            "username": name,
            "created_at": moment(one.created_us),
            "expires_at": moment(one.expires_us),
            "current": one.id == current_id,
        }
        for one in sessions
    ]
    return {"active_sessions": shown, "count": len(shown)}


def memory_statistics(memory: SessionMemory) -> dict[str, Any]:
    """Return what is held of sessions."""
    return {
        "active_sessions": memory.sessions,
        "max_cache_size": memory.most_sessions,
        "ttl_seconds": memory.ttl_seconds,
        "total_messages": memory.messages,
        "evicted": memory.evicted,
        "expired": memory.expired,
    }


def chat_answer(response: str, session: str, run: Run, username: str) -> dict[str, Any]:
    """Return an answer in a session."""
    return {
        "response": response,
        "session_id": session,
        "llm_provider": provider_name(run.provider or ""),
        "model": model_of(run),
        "user_id": username,
    }


def formatted(seconds: int) -> str:
    """Return a time that something has been up, `1h 0m`; from a day on `2d 3h 4m`."""
    minutes = seconds // 60
    days, hours = minutes // 1440, minutes // 60 % 24
    return f"{f'{days}d ' if days else ''}{hours}h {minutes % 60}m"
