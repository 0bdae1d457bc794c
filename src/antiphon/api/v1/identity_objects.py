"""People, sessions and keys as they are shown: never a hash, a key shown before, or another's data."""

from __future__ import annotations

from typing import Any

from antiphon.domain.accounts import KEY, SESSION, USER, Account, ApiKey, LoginSession
from antiphon.domain.external_logins import LinkedIdentity
from antiphon.services.accounts import Login


def _seconds(time_us: int | None) -> int | None:
    return None if time_us is None else time_us // 1_000_000


def user_object(account: Account) -> dict[str, Any]:
    """Return an account."""
    return {
        "id": USER + account.id,
        "object": "user",
        "name": account.name,
        "email": account.email,
        "role": account.role,
        "state": account.state,
        "group_id": "grp_" + account.group_id if account.group_id else None,
        "created_at": _seconds(account.created_us),
    }


def session_object(session: LoginSession, current_id: str | None) -> dict[str, Any]:
    """Return a login session; `current` tells whether it is the one that asks."""
    return {
        "id": SESSION + session.id,
        "object": "session",
        "method": session.method,
        "address": session.address,
        "user_agent": session.user_agent,
        "current": session.id == current_id,
        "created_at": _seconds(session.created_us),
        "last_used_at": _seconds(session.used_us),
        "expires_at": _seconds(session.expires_us),
    }


def identity_object(identity: LinkedIdentity) -> dict[str, Any]:
    """Return an identity at a login provider that opens the account."""
    return {
        "id": identity.wire_id,
        "object": "identity",
        "provider": identity.provider,
        "issuer": identity.issuer,
        "email": identity.email,
        "created_at": _seconds(identity.created_us),
    }


def api_key_object(key: ApiKey, secret: str | None = None) -> dict[str, Any]:
    """Return a key, with the whole of it in `key` the one time that it is shown."""
    shown = {
        "id": KEY + key.id,
        "object": "api_key",
        "name": key.name,
        "prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "created_at": _seconds(key.created_us),
        "expires_at": _seconds(key.expires_us),
        "last_used_at": _seconds(key.used_us),
    }
    return shown if secret is None else {**shown, "key": secret}


def login_object(login: Login) -> dict[str, Any]:
    """Return the tokens of a login (RFC 6749 §5.1), with the id of its session."""
    device = {} if login.device_token is None else {"device_token": login.device_token}
    return {
        "access_token": login.access_token,
        "token_type": "bearer",
        "expires_in": login.access_seconds,
        "refresh_token": login.refresh_token,
        "refresh_expires_in": login.refresh_seconds,
        "session_id": SESSION + login.session_id,
        **device,
    }


def preferences_object(values: dict[str, Any]) -> dict[str, Any]:
    """Return what clients remember of their user."""
    return {"object": "preferences", "values": values}
