"""Whether an ID token proves who somebody is (OpenID Connect Core §3.1.3.7, RFC 8725).

Signatures and claims are judged by joserfc and Authlib; which algorithms, which key and which
claims are needed is decided here, from configuration and never from the token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64decode

ALGORITHMS: Final = {
    "RS256": "RSA", "RS384": "RSA", "RS512": "RSA", "PS256": "RSA", "PS384": "RSA", "PS512": "RSA",
    "ES256": "EC", "ES384": "EC", "ES512": "EC", "EdDSA": "OKP",
}  # fmt: skip
"""What a provider may sign with, and the type of key it takes. No `none`, nothing symmetric: a
public key must never be taken for a shared one."""

LEEWAY_SECONDS: Final = 60
MAX_TOKEN: Final = 64 * 1024
MIN_RSA_BITS: Final = 2048
MAX_SUBJECT: Final = 255

_KEY_TYPES: Final[dict[str, type[RSAKey | ECKey | OKPKey]]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}

Fetch = Callable[[bool], Awaitable[dict[str, Any]]]
"""Returns the provider's key set; True asks for a newer one than is known, if that is allowed now."""


class InvalidToken(Exception):
    """The token proves nothing; the message is for the log."""


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a token must say. `now` is in seconds since 1970."""

    issuer: str
    client_id: str
    nonce: str
    now: int
    access_token: str | None = None
    algorithms: frozenset[str] = frozenset(ALGORITHMS)


async def verify(token: str, expected: Expected, fetch: Fetch) -> dict[str, Any]:
    """Return the claims of a token that holds; raises InvalidToken, and what `fetch` raises."""
    header = _header(token)
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in expected.algorithms & ALGORITHMS.keys():
        raise InvalidToken("algorithm")
    if "crit" in header or "b64" in header:
        raise InvalidToken("critical header")
    if key_id is not None and not isinstance(key_id, str):
        raise InvalidToken("key id")
    keys = candidates(await fetch(False), algorithm, key_id)
    if not keys:
        keys = candidates(await fetch(True), algorithm, key_id)
    if len(keys) != 1:
        raise InvalidToken("no key" if not keys else "more than one key")
    try:
        return _claims(token, keys[0], algorithm, expected)
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise InvalidToken(f"{type(error).__name__}: {error}"[:200]) from None


def candidates(document: dict[str, Any], algorithm: str, key_id: str | None) -> Sequence[dict[str, Any]]:
    """Return the keys of a set that may have signed: right type, for signatures, of that id.

    A token without an id is taken from a provider with one fitting key only.
    """
    keys = document.get("keys")
    return [
        key
        for key in (keys if isinstance(keys, list) else ())
        if isinstance(key, dict)
        and key.get("kty") == ALGORITHMS[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (key_id is None or key.get("kid") == key_id)
    ]


def _header(token: str) -> dict[str, Any]:
    """Return the header nobody has vouched for yet: it only chooses among the provider's own keys."""
    if len(token) > MAX_TOKEN or token.count(".") != 2:
        raise InvalidToken("form")
    try:
        header = msgspec.json.decode(urlsafe_b64decode(token.partition(".")[0].encode("ascii")))
    except (ValueError, RecursionError):
        raise InvalidToken("header") from None
    if not isinstance(header, dict):
        raise InvalidToken("header")
    return header


def _claims(token: str, jwk: dict[str, Any], algorithm: str, expected: Expected) -> dict[str, Any]:
    key = _KEY_TYPES[ALGORITHMS[algorithm]].import_key(jwk)
    if isinstance(key, RSAKey) and key.public_key.key_size < MIN_RSA_BITS:
        raise InvalidToken("key too short")
    found = jwt.decode(token, key, algorithms=[algorithm])
    options = {
        "iss": {"essential": True, "value": expected.issuer},
        "sub": {"essential": True},
        "aud": {"essential": True, "value": expected.client_id},
        "exp": {"essential": True},
        "iat": {"essential": True},
        "nonce": {"essential": True, "value": expected.nonce},
    }
    params = {"nonce": expected.nonce, "client_id": expected.client_id, "access_token": expected.access_token}
    claims = CodeIDToken(found.claims, found.header, options, params)
    claims.validate(now=expected.now, leeway=LEEWAY_SECONDS)
    if not 0 < len(claims["sub"]) <= MAX_SUBJECT:
        raise InvalidToken("subject")
    return dict(claims)
