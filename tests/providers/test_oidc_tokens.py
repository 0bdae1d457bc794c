"""An ID token is believed only if everything about it is right."""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import OKPKey, RSAKey

from antiphon.bootstrap import SystemClock
from antiphon.domain.errors import LoginProviderError, Unauthenticated
from antiphon.providers import login_http
from antiphon.providers.http_client import HttpClient
from antiphon.providers.oidc import OidcLogin
from tests.harness.identity_provider import (
    CLIENT_ID,
    IdentityProvider,
    ec_key,
    stranger,
)
from tests.providers.logging_in import log_in, spec_of

NOW = int(time.time())


@pytest.fixture
def login(idp: IdentityProvider, http: HttpClient) -> OidcLogin:
    return OidcLogin(spec_of(idp), http, SystemClock())


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"}, {"iss": None}, {"iss": ""},
        {"aud": "somebody-else"}, {"aud": None}, {"aud": []}, {"aud": ["somebody-else"]}, {"aud": 7},
        {"aud": [CLIENT_ID, "another"]}, {"aud": [CLIENT_ID, "another"], "azp": "another"},
        {"azp": "another"},
        {"nonce": "another"}, {"nonce": None}, {"nonce": ""}, {"nonce": ["x"]},
        {"exp": NOW - 120}, {"exp": None}, {"exp": "soon"}, {"exp": 0},
        {"iat": None}, {"iat": NOW + 3600}, {"nbf": NOW + 3600},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, {"at_hash": 7},
        {"sub": None}, {"sub": ""}, {"sub": 7}, {"sub": "x" * 256}, {"sub": ["subject-1"]},
    ],
    ids=" ".join,  # without the values: some are times, and workers compare names
)  # fmt: skip
async def test_a_wrong_claim_proves_nothing(
    login: OidcLogin, idp: IdentityProvider, claims: dict[str, Any]
) -> None:
    assert (await log_in(login)).subject == "subject-1"
    idp.claims = claims
    with pytest.raises(Unauthenticated) as refused:
        await log_in(login)
    assert refused.value.code == "login_failed"
    idp.claims = {"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID, "at_hash": None}
    assert (await log_in(login)).subject == "subject-1"


def _none(idp: IdentityProvider) -> None:
    idp.algorithm = "none"


def _shared(idp: IdentityProvider) -> None:
    idp.algorithm = "HS256"


def _strangers_key(idp: IdentityProvider) -> None:
    idp.signer = stranger()


def _other_type_of_key(idp: IdentityProvider) -> None:
    idp.header = {"kid": "ec-1"}


def _no_id(idp: IdentityProvider) -> None:
    idp.header = {"kid": None}
    idp.keys.append({**idp.keys[0], "kid": "rsa-2"})


def _for_encryption(idp: IdentityProvider) -> None:
    idp.keys[0] = {**idp.keys[0], "use": "enc"}


def _for_another_algorithm(idp: IdentityProvider) -> None:
    idp.keys[0] = {**idp.keys[0], "alg": "PS256"}


def _own_key_inside(idp: IdentityProvider) -> None:
    idp.signer = stranger()
    idp.header = {"jwk": stranger().as_dict(private=False), "kid": "mine"}


def _unsigned(idp: IdentityProvider) -> None:
    idp.mangle = lambda token: token.rpartition(".")[0] + "."


def _changed(idp: IdentityProvider) -> None:
    idp.mangle = lambda token: ".".join(
        (token.split(".")[0], token.split(".")[1] + "AA", token.split(".")[2])
    )


def _nested(idp: IdentityProvider) -> None:
    idp.mangle = _with_header("[" * 20_000)


def _garbage(idp: IdentityProvider) -> None:
    idp.mangle = lambda token: "a.b"


def _long(idp: IdentityProvider) -> None:
    idp.mangle = lambda token: token + "A" * 70_000


def _with_header(header: str) -> Callable[[str], str]:
    head = urlsafe_b64encode(header.encode()).rstrip(b"=").decode()
    return lambda token: f"{head}.{token.partition('.')[2]}"


@pytest.mark.parametrize(
    "bend",
    [
        _none, _shared, _strangers_key, _other_type_of_key, _no_id, _for_encryption, _for_another_algorithm,
        _own_key_inside, _unsigned, _changed, _nested, _garbage, _long,
    ],
)  # fmt: skip
async def test_a_wrong_signature_proves_nothing(
    login: OidcLogin, idp: IdentityProvider, bend: Callable[[IdentityProvider], None]
) -> None:
    bend(idp)
    with pytest.raises(Unauthenticated) as refused:
        await log_in(login)
    assert refused.value.code == "login_failed"
    assert refused.value.message == login_http.login_failed().message


async def test_a_critical_header_is_refused_before_any_key_is_asked_for(
    login: OidcLogin, idp: IdentityProvider
) -> None:
    idp.mangle = _with_header('{"alg":"RS256","kid":"rsa-1","crit":["x"],"x":1}')
    with pytest.raises(Unauthenticated):
        await log_in(login)
    assert idp.hits["/keys"] == 0


async def test_edwards_curves_are_taken_too(login: OidcLogin, idp: IdentityProvider) -> None:
    key = OKPKey.generate_key("Ed25519", {"kid": "ed-1"})
    idp.algorithm, idp.signer, idp.keys = "EdDSA", key, [key.as_dict(private=False)]
    idp.discovery["id_token_signing_alg_values_supported"] = ["EdDSA"]
    idp.claims = {"at_hash": None}
    assert (await log_in(login)).subject == "subject-1"


async def test_what_the_provider_does_not_sign_with_is_refused(
    login: OidcLogin, idp: IdentityProvider
) -> None:
    idp.discovery["id_token_signing_alg_values_supported"] = ["ES256"]
    with pytest.raises(Unauthenticated):
        await log_in(login)
    assert idp.hits["/keys"] == 0


async def test_a_token_without_a_key_id_is_taken_where_only_one_key_fits(
    login: OidcLogin, idp: IdentityProvider
) -> None:
    idp.header = {"kid": None}
    assert (await log_in(login)).subject == "subject-1"


async def test_a_short_key_is_refused(login: OidcLogin, idp: IdentityProvider) -> None:
    short = RSAKey.generate_key(1024, {"kid": "rsa-1"})
    idp.signer, idp.keys[0] = short, short.as_dict(private=False)
    with pytest.raises(Unauthenticated):
        await log_in(login)


async def test_a_new_key_is_found_and_a_flood_of_unknown_ones_asks_once_a_minute(
    idp: IdentityProvider, http: HttpClient
) -> None:
    now = 1000.0
    login = OidcLogin(spec_of(idp), http, SystemClock(), monotonic=lambda: now)
    await log_in(login)
    assert idp.hits["/keys"] == 1
    now += 61
    new = ec_key().as_dict(private=False) | {"kid": "ec-2"}
    idp.algorithm, idp.header, idp.keys = "ES256", {"kid": "ec-2"}, [*idp.keys, new]
    assert (await log_in(login)).subject == "subject-1"
    assert idp.hits["/keys"] == 2, "the provider has rotated its keys"
    for number in range(20):
        idp.header = {"kid": f"flood-{number}"}
        with pytest.raises(Unauthenticated):
            await log_in(login)
        now += 2.9
    assert idp.hits["/keys"] == 2, "58 seconds have passed since the last time"
    now += 3
    idp.statuses["/keys"] = 503
    for number in range(20):
        idp.header = {"kid": f"more-{number}"}
        with pytest.raises(Unauthenticated):
            await log_in(login)
        now += 2.9
    assert idp.hits["/keys"] == 3, "nor is a failure a reason to ask sooner"
    idp.header = {"kid": "ec-2"}
    assert (await log_in(login)).subject == "subject-1", "known keys stay in use meanwhile"
    now += 25 * 3600
    with pytest.raises(LoginProviderError):
        await log_in(login)
