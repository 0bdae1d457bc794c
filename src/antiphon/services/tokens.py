"""Signed tokens: made here, and accepted only as they are made here.

A token's first part is compared with the few that this server writes, so that nothing in a
foreign header (another algorithm, key or extension) is ever read. Its body must be, byte for
byte, what encoding its own claims gives. Each kind has a key of its own.
"""

from __future__ import annotations

import hashlib
import secrets
from enum import Enum
from typing import Any, Final, TypeVar

import jwt
import msgspec
from jwt.utils import base64url_decode, base64url_encode

from antiphon.domain.errors import Unauthenticated
from antiphon.ports.clock import Clock
from antiphon.services.keyring import Keyring

ISSUER: Final = "antiphon"
ALGORITHM: Final = "HS256"
MAX_TOKEN_BYTES: Final = 4096
SESSION_SECONDS: Final = 90 * 24 * 3600
"""After so long a session ends, however much it is used, unless one refresh token may live longer."""
LEEWAY_SECONDS: Final = 30
"""How far ahead of ours the clock may have been when a token was made."""


def refused() -> Unauthenticated:
    """Return the one error for every kind of bad or missing credential."""
    return Unauthenticated("Incorrect API key provided, or none.")


class Kind(Enum):
    """What a token is for: its header's `typ` and its audience, which also names its key."""

    ACCESS = ("at+jwt", "antiphon:access")
    REFRESH = ("rt+jwt", "antiphon:refresh")
    COOKIE = ("ct+jwt", "antiphon:cookie")
    DEVICE = ("dt+jwt", "antiphon:device")

    @property
    def typ(self) -> str:
        """The header's `typ`."""
        return self.value[0]

    @property
    def audience(self) -> str:
        """The claim `aud`."""
        return self.value[1]


class SessionClaims(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The claims of an access token, a cookie or a device, whose id is `sid`; times in seconds since 1970."""

    iss: str
    aud: str
    sub: str
    sid: str
    epoch: int
    jti: str
    iat: int
    exp: int


class RefreshClaims(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A refresh token's claims; `gen` counts the rotations of its session."""

    iss: str
    aud: str
    sub: str
    sid: str
    gen: int
    jti: str
    iat: int
    exp: int


Claims = TypeVar("Claims", SessionClaims, RefreshClaims)
_REQUIRED: Final = ["iss", "aud", "sub", "sid", "jti", "iat", "exp"]
_OPTIONS: Final[Any] = {"require": _REQUIRED, "strict_aud": True, "verify_exp": False, "verify_iat": False}
"""The two times are compared here, with the server's own clock."""


class Tokens:
    """Signs and verifies; lifetimes in seconds.

    `plain_seconds` is how long the access token of a client lives that knows no refresh tokens.
    """

    def __init__(
        self,
        keyring: Keyring,
        clock: Clock,
        *,
        access_seconds: int,
        refresh_seconds: int,
        plain_seconds: int = 0,
    ) -> None:
        self._clock = clock
        self.access_seconds = access_seconds
        self.plain_seconds = plain_seconds or access_seconds
        self.refresh_seconds = refresh_seconds
        self.longest_seconds = max(SESSION_SECONDS, refresh_seconds)
        self._longest = {
            Kind.ACCESS: max(access_seconds, self.plain_seconds),
            Kind.REFRESH: refresh_seconds,
            Kind.COOKIE: self.longest_seconds,
            Kind.DEVICE: self.longest_seconds,
        }
        self._signers = {kind: _signer(kind, keyring.key(kind.audience)) for kind in Kind}
        self._accepted = {
            kind: dict(_signer(kind, key)[::2] for key in keyring.keys(kind.audience)) for kind in Kind
        }

    def access(self, account_id: str, session_id: str, epoch: int, *, plain: bool = False) -> str:
        """Return a new access token, `plain` if there is no refresh token beside it."""
        seconds = self.plain_seconds if plain else self.access_seconds
        return self._session_token(Kind.ACCESS, account_id, session_id, epoch, seconds)

    def cookie(self, account_id: str, session_id: str, epoch: int, seconds: int) -> str:
        """Return a new token for a browser's cookie, good for `seconds`."""
        return self._session_token(Kind.COOKIE, account_id, session_id, epoch, seconds)

    def device(self, account_id: str, device_id: str, epoch: int) -> str:
        """Return a new token for a device from which an account logged in, good for `longest_seconds`."""
        return self._session_token(Kind.DEVICE, account_id, device_id, epoch, self.longest_seconds)

    def refresh(self, account_id: str, session_id: str, generation: int, seconds: int) -> str:
        """Return a new refresh token, good for `seconds`."""
        claims = RefreshClaims(**self._common(Kind.REFRESH, account_id, session_id, seconds), gen=generation)
        return self._sign(Kind.REFRESH, claims)

    def read_session(self, kind: Kind, token: str) -> SessionClaims:
        """Return the claims of an access token, a cookie or a device; raises Unauthenticated."""
        return self._read(kind, token, SessionClaims)

    def read_refresh(self, token: str) -> RefreshClaims:
        """Return the claims of a refresh token; raises Unauthenticated."""
        return self._read(Kind.REFRESH, token, RefreshClaims)

    def _session_token(self, kind: Kind, account_id: str, session_id: str, epoch: int, seconds: int) -> str:
        claims = SessionClaims(**self._common(kind, account_id, session_id, seconds), epoch=epoch)
        return self._sign(kind, claims)

    def _common(self, kind: Kind, account_id: str, session_id: str, seconds: int) -> dict[str, Any]:
        now = self._clock.now_us() // 1_000_000
        return {
            "iss": ISSUER, "aud": kind.audience, "sub": account_id, "sid": session_id,
            "jti": secrets.token_hex(16), "iat": now, "exp": now + seconds,
        }  # fmt: skip

    def _sign(self, kind: Kind, claims: SessionClaims | RefreshClaims) -> str:
        _, head, key = self._signers[kind]
        return jwt.encode(msgspec.to_builtins(claims), key, algorithm=ALGORITHM, headers=head)

    def _read(self, kind: Kind, token: str, claims_type: type[Claims]) -> Claims:
        if len(token) > MAX_TOKEN_BYTES or not token.isascii():
            raise refused()
        head, _, rest = token.partition(".")
        body, _, signature = rest.partition(".")
        key = self._accepted[kind].get(head)
        if key is None:
            raise refused()
        try:
            if base64url_encode(base64url_decode(signature)).decode() != signature:
                raise refused()  # the same bytes in another spelling
            found = jwt.decode(
                token, key, algorithms=[ALGORITHM], audience=kind.audience, issuer=ISSUER, options=_OPTIONS
            )
            claims = msgspec.convert(found, claims_type, strict=True)
        except (jwt.InvalidTokenError, msgspec.ValidationError, ValueError, RecursionError):
            raise refused() from None
        if base64url_encode(msgspec.json.encode(claims)).decode() != body:
            raise refused()
        now = self._clock.now_us() // 1_000_000
        if not claims.iat - LEEWAY_SECONDS <= now < claims.exp <= claims.iat + self._longest[kind]:
            raise refused()
        return claims


def _signer(kind: Kind, key: bytes) -> tuple[str, dict[str, Any], bytes]:
    """Return a key with the header it writes, encoded and not."""
    head = {"typ": kind.typ, "kid": hashlib.sha256(key).hexdigest()[:8]}
    return jwt.encode({}, key, algorithm=ALGORITHM, headers=head).partition(".")[0], head, key
