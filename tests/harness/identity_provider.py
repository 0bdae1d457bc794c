"""A small OpenID Connect provider, and GitHub's OAuth beside it, that misbehave when they are told to.

It checks what a real one does: client, redirect URI, PKCE, codes that work once. Everything a test
may bend is an attribute; `hits` counts the requests by path.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import threading
import time
from base64 import b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, unquote_plus, urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT_ID: Final = "antiphon-test"
CLIENT_SECRET: Final = "oidc-client-canary-4be1 &=+/ü"
START_SECONDS: Final = 10.0

_RSA = RSAKey.generate_key(2048, {"use": "sig", "kid": "rsa-1", "alg": "RS256"})
_EC = ECKey.generate_key("P-256", {"use": "sig", "kid": "ec-1"})
_STRANGER = RSAKey.generate_key(2048, {"use": "sig", "kid": "rsa-1"})


@dataclass
class Person:
    """Who logs in next."""

    subject: str = "subject-1"
    email: str | None = "ann@example.org"
    email_verified: Any = True
    name: str = "Ann"
    more: dict[str, Any] = field(default_factory=dict)

    def claims(self) -> dict[str, Any]:
        """What an ID token says of the person."""
        found = {"sub": self.subject, "name": self.name, **self.more}
        if self.email is not None:
            found |= {"email": self.email, "email_verified": self.email_verified}
        return found


@dataclass
class Grant:
    """What a code stands for until it is used."""

    redirect_uri: str
    challenge: str
    nonce: str | None
    person: Person
    used: bool = False


class IdentityProvider:
    """One provider; see the module. Claims set to None are left out of tokens."""

    def __init__(self) -> None:
        self.issuer = ""
        self.port = 0
        self.reset()

    def reset(self) -> None:
        """Behave again, and forget everybody."""
        self.person = Person()
        self.hits: Counter[str] = Counter()
        self.grants: dict[str, Grant] = {}
        self.algorithm = "RS256"
        self.header: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.signer: RSAKey | ECKey | OKPKey | None = None
        self.mangle = str
        self.discovery: dict[str, Any] = {}
        self.keys: list[dict[str, Any]] = [_RSA.as_dict(private=False), _EC.as_dict(private=False)]
        self.redirects: dict[str, str] = {}
        self.statuses: dict[str, int] = {}
        self.checks_codes = True
        self.says_issuer: str | None = None
        self.emails: list[dict[str, Any]] = []
        self.github_user: dict[str, Any] = {"id": 583231, "login": "Octo.Cat"}

    # --- a browser's side

    def app(self) -> Starlette:
        """The ASGI application."""
        routes = {
            "/.well-known/openid-configuration": self._discover, "/authorize": self._authorize,
            "/keys": self._keys, "/login/oauth/authorize": self._authorize,
            "/api/v3/user": self._user, "/api/v3/user/emails": self._emails,
        }  # fmt: skip
        posts = {"/token": self._token, "/login/oauth/access_token": self._github_token}
        made = [Route(path, self._watched(path, handler)) for path, handler in routes.items()]
        made += [Route(path, self._watched(path, one), methods=["POST"]) for path, one in posts.items()]
        return Starlette(routes=made)

    def _watched(self, path: str, handler: Any) -> Any:
        async def watched(request: Request) -> Response:
            self.hits[path] += 1
            if path in self.redirects:
                return RedirectResponse(self.redirects[path], 302)
            if path in self.statuses:
                return Response("<html>out of order</html>", self.statuses[path])
            answer: Response = await handler(request)
            return answer

        return watched

    async def _discover(self, request: Request) -> Response:
        document = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "HS256", "none"],
            **self.discovery,
        }
        return JSONResponse({name: value for name, value in document.items() if value is not None})

    async def _keys(self, request: Request) -> Response:
        return JSONResponse({"keys": self.keys})

    async def _authorize(self, request: Request) -> Response:
        """Log `person` in at once."""
        query = request.query_params
        assert query["client_id"] == CLIENT_ID and query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.grants[code] = Grant(
            query["redirect_uri"], query["code_challenge"], query.get("nonce"), self.person
        )
        back = {"code": code, "state": query["state"]}
        if self.says_issuer is not None:
            back["iss"] = self.says_issuer
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(back)}", 302)

    # --- a client's side

    async def _form(self, request: Request) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}

    def _grant(self, form: dict[str, str]) -> Grant | None:
        """The grant of a code, if all that must fit does."""
        grant = self.grants.get(form.get("code", ""))
        if grant is None:
            return None
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        fits = (
            not grant.used
            and grant.redirect_uri == form.get("redirect_uri")
            and grant.challenge == _encoded(digest)
        )
        grant.used = True
        return grant if fits or not self.checks_codes else None

    async def _token(self, request: Request) -> Response:
        form = await self._form(request)
        shown = (form.get("client_id", ""), form.get("client_secret", ""))
        header = request.headers.get("authorization", "")
        if header.startswith("Basic "):
            user, _, password = b64decode(header[6:]).decode().partition(":")
            shown = (unquote_plus(user), unquote_plus(password))
        if shown != (CLIENT_ID, CLIENT_SECRET):
            return JSONResponse({"error": "invalid_client"}, 401)
        grant = self._grant(form)
        if grant is None or form.get("grant_type") != "authorization_code":
            return JSONResponse({"error": "invalid_grant"}, 400)
        access = secrets.token_urlsafe(16)
        body = {"token_type": "Bearer", "access_token": access, "id_token": self._id_token(grant, access)}
        return JSONResponse(body)

    def _id_token(self, grant: Grant, access_token: str) -> str:
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": CLIENT_ID, "nonce": grant.nonce, "iat": now, "exp": now + 300,
            "at_hash": _encoded(half), **grant.person.claims(), **self.claims,
        }  # fmt: skip
        said = {name: value for name, value in claims.items() if value is not None}
        return self.mangle(self._signed(said))

    def _signed(self, claims: dict[str, Any]) -> str:
        if self.algorithm in ("none", "HS256"):
            return self._forged(claims)
        signer = self.signer or (_EC if self.algorithm.startswith("ES") else _RSA)
        header = {"alg": self.algorithm, "kid": signer.kid, **self.header}
        header = {name: value for name, value in header.items() if value is not None}
        return jwt.encode(header, claims, signer, algorithms=[self.algorithm])

    def _forged(self, claims: dict[str, Any]) -> str:
        """A token by hand: libraries refuse to take what is public for a shared key."""
        header = {"alg": self.algorithm, "kid": "rsa-1", **self.header}
        body = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        if self.algorithm == "none":
            return f"{body}."
        public = _RSA.as_pem(private=False)
        return f"{body}.{_encoded(hmac.new(public, body.encode(), hashlib.sha256).digest())}"

    async def _github_token(self, request: Request) -> Response:
        form = await self._form(request)
        known = (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        if not known:
            return JSONResponse({"error": "incorrect_client_credentials"})
        if self._grant(form) is None:
            return JSONResponse({"error": "bad_verification_code"})
        return JSONResponse({"access_token": "gho_test", "token_type": "bearer", "scope": "read:user"})

    async def _user(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer gho_test"
        return JSONResponse(self.github_user)

    async def _emails(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer gho_test"
        return JSONResponse(self.emails)


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def stranger() -> RSAKey:
    """A key that the provider never published, under the id of one that it did."""
    return _STRANGER


def ec_key() -> ECKey:
    """The provider's second key."""
    return _EC


class _Server(uvicorn.Server):
    def capture_signals(self) -> Any:
        return nullcontext()


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    """A running provider on a thread of its own; its issuer is a port of the loopback."""
    provider = IdentityProvider()
    config = uvicorn.Config(provider.app(), port=0, log_config=None, lifespan="off", access_log=False)
    server = _Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), name="idp", daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        assert time.monotonic() < deadline and thread.is_alive(), "the provider did not start"
        time.sleep(0.005)
    provider.port = server.servers[0].sockets[0].getsockname()[1]
    provider.issuer = f"http://127.0.0.1:{provider.port}"
    try:
        yield provider
    finally:
        server.should_exit = server.force_exit = True
        thread.join(START_SECONDS)
