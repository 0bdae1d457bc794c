"""The whole flow with a provider: what is sent, what is refused, and where nothing leads us."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from structlog.testing import capture_logs

from antiphon.bootstrap import SystemClock
from antiphon.domain.errors import LoginProviderError, Unauthenticated
from antiphon.domain.external_logins import ExternalIdentity
from antiphon.providers.http_client import HttpClient
from antiphon.providers.oidc import OidcLogin, basic, clean_email
from tests.harness.identity_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    IdentityProvider,
    Person,
)
from tests.providers.logging_in import answer_at, log_in, new_attempt, spec_of

NOW = int(time.time())


@pytest.fixture
def login(idp: IdentityProvider, http: HttpClient) -> OidcLogin:
    return OidcLogin(spec_of(idp), http, SystemClock())


@contextlib.asynccontextmanager
async def listening(host: str = "127.0.0.1") -> AsyncIterator[tuple[int, list[str]]]:
    """A port that notes every connection."""
    seen: list[str] = []

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append("connected")
        writer.close()

    server = await asyncio.start_server(note, host, 0)
    try:
        yield server.sockets[0].getsockname()[1], seen
    finally:
        server.close()


async def test_a_login_says_who_it_is(login: OidcLogin, idp: IdentityProvider) -> None:
    idp.person = Person("s|1", "Ann@Example.ORG", True, "Ann", {"preferred_username": "ann"})
    assert await log_in(login) == ExternalIdentity(
        issuer=idp.issuer, subject="s|1", provider="idp", email="ann@example.org", email_verified=True,
        name="ann", is_admin=None,
    )  # fmt: skip
    assert idp.hits["/token"] == 1 and idp.hits["/keys"] == 1


async def test_what_the_browser_is_sent_with(login: OidcLogin, idp: IdentityProvider) -> None:
    attempt = new_attempt()
    url = urlsplit(await login.authorization_url(attempt))
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert query.pop("code_challenge") != attempt.verifier and attempt.verifier not in url.query
    assert query == {
        "response_type": "code", "client_id": CLIENT_ID, "redirect_uri": attempt.redirect_uri,
        "scope": "openid email", "state": attempt.state, "nonce": attempt.nonce,
        "code_challenge_method": "S256",
    }  # fmt: skip
    idp.discovery["authorization_endpoint"] = f"{idp.issuer}/authorize?tenant=7"
    other = OidcLogin(login._spec, login._http._http, SystemClock())
    assert "?tenant=7&response_type=code" in await other.authorization_url(attempt)


async def test_both_kinds_of_keys_and_both_ways_to_show_the_secret(
    login: OidcLogin, idp: IdentityProvider, http: HttpClient
) -> None:
    idp.algorithm = "ES256"
    assert (await log_in(login)).subject == "subject-1"
    idp.discovery["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    assert (await log_in(OidcLogin(spec_of(idp), http, SystemClock()))).subject == "subject-1"


async def test_a_code_works_once_and_with_its_own_verifier_and_redirect_uri_only(
    login: OidcLogin, idp: IdentityProvider
) -> None:
    attempt = new_attempt()
    answer = await answer_at(await login.authorization_url(attempt))
    assert (await login.identify(attempt, answer)).subject == "subject-1"
    with pytest.raises(Unauthenticated):
        await login.identify(attempt, answer)
    for changes in ({"verifier": "x" * 43}, {"redirect_uri": "https://evil.example/"}):
        attempt = new_attempt()
        answer = await answer_at(await login.authorization_url(attempt))
        changed = new_attempt(**{"state": attempt.state, "nonce": attempt.nonce, "verifier": attempt.verifier,
                                 "redirect_uri": attempt.redirect_uri, **changes})  # fmt: skip
        with pytest.raises(Unauthenticated):
            await login.identify(changed, answer)


async def test_the_answer_of_another_issuer_is_refused_before_its_code_is_shown_to_anybody(
    login: OidcLogin, idp: IdentityProvider, http: HttpClient
) -> None:
    idp.says_issuer = "https://evil.example"
    with pytest.raises(Unauthenticated):
        await log_in(login)
    idp.discovery["authorization_response_iss_parameter_supported"] = True
    strict = OidcLogin(spec_of(idp), http, SystemClock())
    idp.says_issuer = None
    with pytest.raises(Unauthenticated):
        await log_in(strict)
    assert idp.hits["/token"] == 0
    idp.says_issuer = idp.issuer
    assert (await log_in(strict)).subject == "subject-1"


async def test_a_provider_that_is_down_or_broken_is_told_apart_from_a_bad_login(
    idp: IdentityProvider, http: HttpClient
) -> None:
    for path in ("/.well-known/openid-configuration", "/token", "/keys"):
        idp.reset()
        for broken in ({path: 503}, {path: 200}):
            idp.statuses = broken
            with pytest.raises(LoginProviderError) as failed:
                await log_in(OidcLogin(spec_of(idp), http, SystemClock()))
            assert "'idp'" in failed.value.message and idp.issuer not in failed.value.message
    idp.reset()
    for changed in ({"issuer": "https://other.example"}, {"token_endpoint": None}, {"jwks_uri": 7}):
        idp.discovery = changed
        with pytest.raises(LoginProviderError):
            await log_in(OidcLogin(spec_of(idp), http, SystemClock()))
    idp.reset()
    wrong = spec_of(idp, client_secret="wrong-secret-canary")
    with capture_logs() as logged, pytest.raises(LoginProviderError):
        await log_in(OidcLogin(wrong, http, SystemClock()))
    assert "401" in str(logged)
    assert "wrong-secret-canary" not in str(logged)
    nobody = spec_of(idp, issuer="http://127.0.0.1:1")
    with pytest.raises(LoginProviderError):
        await log_in(OidcLogin(nobody, http, SystemClock()))


async def test_a_dead_provider_is_not_asked_for_every_visitor(
    idp: IdentityProvider, http: HttpClient
) -> None:
    now = 1000.0
    login = OidcLogin(spec_of(idp), http, SystemClock(), monotonic=lambda: now)
    idp.statuses["/.well-known/openid-configuration"] = 503
    asked = [login.authorization_url(new_attempt()) for _ in range(50)]
    assert all(
        isinstance(e, LoginProviderError) for e in await asyncio.gather(*asked, return_exceptions=True)
    )
    assert idp.hits["/.well-known/openid-configuration"] == 1
    now += 5.1
    idp.reset()
    assert await login.authorization_url(new_attempt())


@pytest.mark.parametrize("place", ["token_endpoint", "jwks_uri", "authorization_endpoint"])
@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/x", "http://127.0.0.1:{port}/x", "file:///etc/passwd", "http://[::1]:{port}/x"],
)
async def test_a_discovery_document_cannot_send_us_elsewhere_in_the_private_network(
    idp: IdentityProvider, http: HttpClient, place: str, url: str
) -> None:
    async with listening() as (port, seen):
        idp.discovery[place] = url.replace("{port}", str(port))
        with pytest.raises(LoginProviderError):
            await log_in(OidcLogin(spec_of(idp), http, SystemClock()))
        assert seen == []


@pytest.mark.parametrize("place", ["token_endpoint", "jwks_uri"])
async def test_an_endpoint_on_another_origin_is_connected_to_at_public_addresses_only(
    idp: IdentityProvider, http: HttpClient, place: str
) -> None:
    async with listening() as (port, seen):
        for host in ("127.0.0.1", "169.254.169.254", "localhost", "2130706433"):
            idp.discovery[place] = f"https://{host}:{port}/x"
            with pytest.raises(LoginProviderError):
                await log_in(OidcLogin(spec_of(idp), http, SystemClock()))
        assert seen == []


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/keys"])
async def test_redirects_are_not_followed(idp: IdentityProvider, http: HttpClient, path: str) -> None:
    async with listening() as (port, seen):
        for target in (f"http://127.0.0.1:{port}/x", "http://169.254.169.254/latest/meta-data/"):
            idp.redirects[path] = target
            with pytest.raises(LoginProviderError):
                await log_in(OidcLogin(spec_of(idp), http, SystemClock()))
        assert seen == []


async def test_neither_secret_nor_code_nor_token_is_logged(login: OidcLogin, idp: IdentityProvider) -> None:
    tokens: list[str] = []

    def keep(token: str) -> str:
        tokens.append(token)
        return token

    idp.mangle, idp.claims = keep, {"aud": "another"}
    attempt = new_attempt()
    answer = await answer_at(await login.authorization_url(attempt))
    with capture_logs() as logged, pytest.raises(Unauthenticated):
        await login.identify(attempt, answer)
    assert "aud" in str(logged), "the operator is told why"
    for secret in (CLIENT_SECRET, answer.code, attempt.verifier, attempt.nonce, *tokens, idp.person.email):
        assert secret and secret not in str(logged)


@pytest.mark.parametrize(
    ("claim", "value", "said", "is_admin"),
    [
        ("groups", "ops", {"groups": ["users", "ops"]}, True),
        ("groups", "ops", {"groups": ["users"]}, False),
        ("groups", "ops", {"groups": "ops"}, True),
        ("groups", "ops", {"groups": "devops"}, False),
        ("groups", "ops", {}, False),
        ("realm_access.roles", "admin", {"realm_access": {"roles": ["admin"]}}, True),
        ("realm_access.roles", "admin", {"realm_access": ["admin"]}, False),
        ("is_admin", None, {"is_admin": True}, True),
        ("is_admin", None, {"is_admin": "true"}, False),
        ("is_admin", None, {"is_admin": 1}, False),
        ("is_admin", None, {"is_admin": [True]}, False),
    ],
)
async def test_the_admin_claim(
    idp: IdentityProvider, http: HttpClient, claim: str, value: str | None, said: Any, is_admin: bool
) -> None:
    idp.person = Person(more=said)
    login = OidcLogin(spec_of(idp, admin_claim=claim, admin_value=value), http, SystemClock())
    assert (await log_in(login)).is_admin is is_admin


@pytest.mark.parametrize("verified", [False, None, "true", 1, "yes"])
async def test_only_true_verifies_an_address(login: OidcLogin, idp: IdentityProvider, verified: Any) -> None:
    idp.person = Person(email_verified=verified)
    assert (await log_in(login)).proven_email is None


def test_what_is_no_address() -> None:
    for text in (
        None,
        7,
        "",
        "a",
        "@",
        "a@",
        "@b",
        "a@b@c",
        "a b@c",
        "a@b\n",
        "a@b\u202e",
        "a" * 250 + "@b.org",
    ):
        assert clean_email(text) is None
    assert clean_email("Ä@Example.ORG") == "ä@example.org"
    assert basic("a b", "c:d%") == "Basic YStiOmMlM0FkJTI1"
