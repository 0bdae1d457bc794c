"""Login through GitHub, which speaks OAuth 2 but not OpenID Connect: the user endpoint says who it is.

Of GitHub Enterprise too, whose API lies under the issuer's own origin.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from authlib.oauth2.rfc7636 import create_s256_code_challenge

from antiphon.domain.external_logins import ExternalIdentity, LoginAnswer, LoginAttempt, LoginTerms
from antiphon.ports.outbound import OutboundHttp
from antiphon.providers.login_http import Answer, LoginHttp
from antiphon.providers.login_specs import LoginSpec
from antiphon.providers.oidc import clean_email

GITHUB: Final = "https://github.com"


class GitHubLogin:
    """Implements `ports.external_logins.LoginProvider`. `http` is shared and not closed here."""

    def __init__(self, spec: LoginSpec, http: OutboundHttp) -> None:
        self._spec = spec
        self._base = spec.issuer.rstrip("/")
        self._api = "https://api.github.com" if self._base == GITHUB else f"{self._base}/api/v3"
        self._http = LoginHttp(spec.name, spec.issuer, http)

    @property
    def name(self) -> str:
        """See the port."""
        return self._spec.name

    @property
    def terms(self) -> LoginTerms:
        """See the port."""
        return self._spec.terms

    async def authorization_url(self, attempt: LoginAttempt) -> str:
        """See the port."""
        query = {
            "client_id": self._spec.client_id,
            "redirect_uri": attempt.redirect_uri,
            "scope": " ".join(self._spec.scopes),
            "state": attempt.state,
            "code_challenge": create_s256_code_challenge(attempt.verifier),
            "code_challenge_method": "S256",
        }
        return f"{self._base}/login/oauth/authorize?{urlencode(query)}"

    async def identify(self, attempt: LoginAttempt, answer: LoginAnswer) -> ExternalIdentity:
        """See the port."""
        token = await self._exchange(attempt, answer.code or "")
        user = (await self._ask("/user", token)).fields
        # A number is never given again; a login name is, once its owner has left it.
        if not isinstance(user.get("id"), int) or isinstance(user["id"], bool):
            self._http.fail("the user has no id")
        login = user.get("login")
        return ExternalIdentity(
            issuer=self._spec.issuer,
            subject=str(user["id"]),
            provider=self._spec.name,
            email=_primary((await self._ask("/user/emails", token)).body),
            email_verified=True,
            name=login if isinstance(login, str) else None,
        )

    async def _exchange(self, attempt: LoginAttempt, code: str) -> str:
        form = {
            "client_id": self._spec.client_id,
            "client_secret": self._spec.client_secret or "",
            "code": code,
            "redirect_uri": attempt.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        said = await self._http.post_form(f"{self._base}/login/oauth/access_token", form, headers={})
        token = said.fields.get("access_token")
        if said.status == 200 and isinstance(token, str) and token:
            return token
        if said.status == 200 and said.fields.get("error") == "bad_verification_code":
            self._http.refuse("the code is not accepted")  # GitHub reports errors with status 200
        self._http.fail(f"the token endpoint answers {said.status}")

    async def _ask(self, path: str, token: str) -> Answer:
        said = await self._http.get(self._api + path, headers={"authorization": f"Bearer {token}"})
        if said.status != 200:
            self._http.fail(f"{path} answers {said.status}")
        return said


def _primary(addresses: Any) -> str | None:
    """Return the address that is both primary and verified, None if there is none."""
    for entry in addresses if isinstance(addresses, list) else ():
        if isinstance(entry, dict) and entry.get("primary") is True and entry.get("verified") is True:
            return clean_email(entry.get("email"))
    return None
