"""A browser's part of a login, in few words."""

from __future__ import annotations

import secrets
from urllib.parse import parse_qs, urlsplit

import httpx

from antiphon.domain.external_logins import ExternalIdentity, LoginAnswer, LoginAttempt, LoginTerms
from antiphon.ports.external_logins import LoginProvider
from antiphon.providers.login_specs import Kind, LoginSpec
from tests.harness.identity_provider import CLIENT_ID, CLIENT_SECRET, IdentityProvider

BACK = "https://antiphon.test/v1/auth/oidc/idp/callback"


def spec_of(provider: IdentityProvider, kind: Kind = "oidc", **changes: object) -> LoginSpec:
    """The provider as it would be configured."""
    fields = {
        "name": "idp", "kind": kind, "issuer": provider.issuer, "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET, "scopes": ("openid", "email"), "terms": LoginTerms(label="IdP"),
        **changes,
    }  # fmt: skip
    return LoginSpec(**fields)  # type: ignore[arg-type]


def new_attempt(**changes: str) -> LoginAttempt:
    """What a login is begun with."""
    drawn = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
    return LoginAttempt(**{**drawn, "redirect_uri": BACK, **changes})


async def answer_at(url: str) -> LoginAnswer:
    """Go where a browser is sent, be logged in there, and come back."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        sent_back = await browser.get(url)
    assert sent_back.status_code == 302
    location = urlsplit(sent_back.headers["location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == BACK
    query = {name: values[0] for name, values in parse_qs(location.query).items()}
    return LoginAnswer(state=query["state"], code=query["code"], issuer=query.get("iss"))


async def log_in(login: LoginProvider) -> ExternalIdentity:
    """A whole login."""
    attempt = new_attempt()
    answer = await answer_at(await login.authorization_url(attempt))
    assert answer.state == attempt.state
    return await login.identify(attempt, answer)
