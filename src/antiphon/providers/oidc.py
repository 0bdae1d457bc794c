"""Login through an OpenID Connect provider: authorization code flow with PKCE, state and nonce."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from time import monotonic as system_monotonic
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from authlib.oauth2.rfc7636 import create_s256_code_challenge

from antiphon.domain.external_logins import ExternalIdentity, LoginAnswer, LoginAttempt, LoginTerms
from antiphon.ports.clock import Clock
from antiphon.ports.outbound import OutboundHttp
from antiphon.providers.login_http import LoginHttp, Remembered
from antiphon.providers.login_specs import LoginSpec
from antiphon.providers.oidc_tokens import ALGORITHMS, Expected, InvalidToken, verify

MAX_EMAIL: Final = 254


class OidcLogin:
    """Implements `ports.external_logins.LoginProvider`. `http` is shared and not closed here."""

    def __init__(
        self,
        spec: LoginSpec,
        http: OutboundHttp,
        clock: Clock,
        *,
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        self._spec = spec
        self._clock = clock
        self._http = LoginHttp(spec.name, spec.issuer, http)
        self._discovery = Remembered(self._discover, monotonic)
        self._keys = Remembered(self._fetch_keys, monotonic)

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
        endpoint = (await self._discovery.get())["authorization_endpoint"]
        query = {
            "response_type": "code",
            "client_id": self._spec.client_id,
            "redirect_uri": attempt.redirect_uri,
            "scope": " ".join(self._spec.scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": create_s256_code_challenge(attempt.verifier),
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def identify(self, attempt: LoginAttempt, answer: LoginAnswer) -> ExternalIdentity:
        """See the port."""
        discovery = await self._discovery.get()
        told = discovery.get("authorization_response_iss_parameter_supported") is True
        if answer.issuer != self._spec.issuer and (told or answer.issuer is not None):
            self._http.refuse("another issuer answered")  # RFC 9207: providers mixed up
        tokens = await self._exchange(discovery, attempt, answer.code or "")
        token, access_token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(token, str):
            self._http.fail("the token response holds no ID token")
        expected = Expected(
            issuer=self._spec.issuer,
            client_id=self._spec.client_id,
            nonce=attempt.nonce,
            now=self._clock.now_us() // 1_000_000,
            access_token=access_token if isinstance(access_token, str) else None,
            algorithms=_algorithms(discovery),
        )
        try:
            claims = await verify(token, expected, self._key_set)
        except InvalidToken as error:
            self._http.refuse(f"ID token: {error}")
        return self._identity(claims)

    async def _exchange(self, discovery: dict[str, Any], attempt: LoginAttempt, code: str) -> dict[str, Any]:
        """Return the token response for a code; raises as the port says."""
        spec = self._spec
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": attempt.redirect_uri,
            "client_id": spec.client_id,
            "code_verifier": attempt.verifier,
        }
        headers: dict[str, str] = {}
        methods = discovery.get("token_endpoint_auth_methods_supported")
        if spec.client_secret is not None:
            if isinstance(methods, list) and "client_secret_basic" not in methods:
                form["client_secret"] = spec.client_secret
            else:
                headers["authorization"] = basic(spec.client_id, spec.client_secret)
        said = await self._http.post_form(discovery["token_endpoint"], form, headers=headers)
        if said.status == 200 and said.fields:
            return said.fields
        if said.status == 400 and said.fields.get("error") == "invalid_grant":
            self._http.refuse("the code is not accepted")
        self._http.fail(f"the token endpoint answers {said.status}")

    async def _discover(self) -> dict[str, Any]:
        url = self._spec.issuer.rstrip("/") + "/.well-known/openid-configuration"
        said = await self._http.get(url)
        found = said.fields
        if said.status != 200 or not found:
            self._http.fail(f"discovery answers {said.status}")
        if found.get("issuer") != self._spec.issuer:
            self._http.fail("the discovery document is another issuer's")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            endpoint = found.get(name)
            if not isinstance(endpoint, str):
                self._http.fail(f"the discovery document has no {name}")
            self._http.trust(endpoint)
        return found

    async def _fetch_keys(self) -> dict[str, Any]:
        said = await self._http.get((await self._discovery.get())["jwks_uri"])
        if said.status != 200 or not isinstance(said.fields.get("keys"), list):
            self._http.fail(f"the key set answers {said.status}")
        return said.fields

    async def _key_set(self, renew: bool) -> dict[str, Any]:
        return await self._keys.get(renew=renew)

    def _identity(self, claims: dict[str, Any]) -> ExternalIdentity:
        name = claims.get("preferred_username") or claims.get("name")
        email = claims.get("email")
        return ExternalIdentity(
            issuer=self._spec.issuer,
            subject=claims["sub"],
            provider=self._spec.name,
            email=clean_email(email),
            email_verified=claims.get("email_verified") is True,
            name=name if isinstance(name, str) else None,
            is_admin=self._is_admin(claims),
        )

    def _is_admin(self, claims: dict[str, Any]) -> bool | None:
        if self._spec.admin_claim is None:
            return None
        value: Any = claims
        for step in self._spec.admin_claim.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        wanted: Any = self._spec.admin_value if self._spec.admin_value is not None else True
        if isinstance(value, list):
            return self._spec.admin_value is not None and wanted in value
        return type(value) is type(wanted) and value == wanted


def basic(user: str, password: str) -> str:
    """Return the header of a client that shows its secret (RFC 6749 §2.3.1: form-encoded first)."""
    return "Basic " + b64encode(f"{quote_plus(user)}:{quote_plus(password)}".encode()).decode()


def clean_email(email: Any) -> str | None:
    """Return an address in lower case, None for what cannot be one."""
    if not isinstance(email, str) or len(email) > MAX_EMAIL or email.count("@") != 1:
        return None
    if any(c.isspace() or not c.isprintable() for c in email) or email[0] == "@" or email[-1] == "@":
        return None
    return email.lower()


def _algorithms(discovery: dict[str, Any]) -> frozenset[str]:
    """Return what the provider says it signs with, of what we accept."""
    told = discovery.get("id_token_signing_alg_values_supported")
    if not isinstance(told, list):
        return frozenset(ALGORITHMS)
    return frozenset(ALGORITHMS) & {one for one in told if isinstance(one, str)}
