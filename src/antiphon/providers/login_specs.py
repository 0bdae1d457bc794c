"""Which login providers there are: from well-known environment names and from `[oidc.NAME]` tables.

| name | switched on by | also read |
|---|---|---|
| `google` | `GOOGLE_CLIENT_ID` | `GOOGLE_CLIENT_SECRET` |
| `github` | `GITHUB_CLIENT_ID` | `GITHUB_CLIENT_SECRET` |
| `keycloak` | `KEYCLOAK_CLIENT_ID` | `KEYCLOAK_ISSUER`, `KEYCLOAK_CLIENT_SECRET` |

A table of the same name adds to what the environment gives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from antiphon.domain.errors import InvalidRequest
from antiphon.domain.external_logins import LoginTerms

Kind = Literal["oidc", "github"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_SCOPES: Final[dict[str, tuple[str, ...]]] = {
    "oidc": ("openid", "profile", "email"),
    "github": ("read:user", "user:email"),
}
_PRESETS: Final[dict[str, dict[str, Any]]] = {
    "google": {"issuer": "https://accounts.google.com", "label": "Google"},
    "github": {"issuer": "https://github.com", "kind": "github", "label": "GitHub"},
    "keycloak": {"label": "Keycloak"},
}
_FIELDS: Final[dict[str, type]] = {
    "kind": str,
    "issuer": str,
    "client_id": str,
    "client_id_env": str,
    "client_secret_env": str,
    "scopes": list,
    "label": str,
    "allow_signup": bool,
    "allowed_domains": list,
    "admin_claim": str,
    "admin_value": str,
}


@dataclass(frozen=True, kw_only=True, repr=False)
class LoginSpec:
    """One login provider as configured.

    `issuer` is compared byte by byte with what tokens name. `admin_claim` is the path of a claim
    (`realm_access.roles`) that makes an administrator if it is, or lists, `admin_value`; without a
    value it must be true. The secret never appears in the repr.
    """

    name: str
    kind: Kind
    issuer: str
    client_id: str
    client_secret: str | None
    scopes: tuple[str, ...]
    terms: LoginTerms
    admin_claim: str | None = None
    admin_value: str | None = None

    def __repr__(self) -> str:
        return f"LoginSpec({self.name!r}, {self.issuer!r})"

    @property
    def is_plain(self) -> bool:
        """Whether the issuer is spoken to without TLS, which only a private network allows."""
        return not self.issuer.startswith("https://")


def login_specs(tables: Mapping[str, Any], env: Mapping[str, str]) -> list[LoginSpec]:
    """Return the login providers of `[oidc]` and the environment; blank values are absent.

    Raises InvalidRequest naming the table and field.
    """
    known = {name: value.strip() for name, value in env.items() if value.strip()}
    switched_on = [name for name in _PRESETS if f"{name.upper()}_CLIENT_ID" in known]
    return [_spec(name, tables.get(name, {}), known) for name in dict.fromkeys((*switched_on, *tables))]


def _spec(name: str, table: Any, env: Mapping[str, str]) -> LoginSpec:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"[oidc.{name}]: use a-z, 0-9, '-' and '_' for the name of a login provider.")
    given = {**_PRESETS.get(name, {}), **_from_env(name, env), **_checked(name, table)}
    for field in ("client_id", "client_secret"):
        variable = given.get(f"{field}_env")
        if variable is not None:
            given[field] = env.get(variable)
            if given[field] is None:
                raise InvalidRequest(f"[oidc.{name}] reads {variable}, which is not set.")
    kind = given.get("kind", "oidc")
    if kind not in _SCOPES:
        raise InvalidRequest(f"[oidc.{name}] kind is 'oidc' or 'github'.")
    if not given.get("client_id"):
        raise InvalidRequest(f"[oidc.{name}] needs client_id, or {name.upper()}_CLIENT_ID.")
    scopes = tuple(str(scope) for scope in given.get("scopes", ())) or _SCOPES[kind]
    if kind == "oidc" and "openid" not in scopes:
        raise InvalidRequest(f"[oidc.{name}] scopes must hold 'openid'.")
    if kind == "github" and "admin_claim" in given:
        raise InvalidRequest(f"[oidc.{name}] GitHub has no claims, so admin_claim means nothing.")
    return LoginSpec(
        name=name,
        kind=kind,
        issuer=_issuer(name, given.get("issuer", "")),
        client_id=given["client_id"],
        client_secret=given.get("client_secret"),
        scopes=scopes,
        terms=_terms(name, given),
        admin_claim=given.get("admin_claim"),
        admin_value=given.get("admin_value"),
    )


def _terms(name: str, given: Mapping[str, Any]) -> LoginTerms:
    domains = frozenset(
        str(domain).strip().lower().lstrip("@") for domain in given.get("allowed_domains", ())
    )
    label, allow_signup = given.get("label", name), given.get("allow_signup", False)
    return LoginTerms(label=label, allow_signup=allow_signup, allowed_domains=domains)


def _from_env(name: str, env: Mapping[str, str]) -> dict[str, str]:
    fields = (
        ("issuer", "client_id", "client_secret") if name == "keycloak" else ("client_id", "client_secret")
    )
    if name not in _PRESETS:
        return {}
    found = {field: env.get(f"{name.upper()}_{field.upper()}") for field in fields}
    return {field: value for field, value in found.items() if value is not None}


def _checked(name: str, table: Any) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        raise InvalidRequest(f"[oidc.{name}] is not a table of a login provider's fields.")
    for key, value in table.items():
        if key not in _FIELDS:
            raise InvalidRequest(f"[oidc.{name}] knows no '{key}'; it knows {', '.join(_FIELDS)}.")
        if not isinstance(value, _FIELDS[key]):
            raise InvalidRequest(f"[oidc.{name}] {key} has the wrong type.")
    return dict(table)


def _issuer(name: str, issuer: str) -> str:
    try:
        parts = urlsplit(issuer)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidRequest(f"[oidc.{name}] needs an issuer: https://host, maybe with a path.")
    return issuer
