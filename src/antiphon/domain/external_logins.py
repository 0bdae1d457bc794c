"""People whom another server vouches for."""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec

MAX_NEXT: Final = 1024
IDENTITY: Final = "identity_"
_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


class ExternalIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Who somebody is to a login provider. Only `issuer` and `subject` together name a person.

    `email` is in lower case. `is_admin` is None where the provider is not asked about roles.
    """

    issuer: str
    subject: str
    provider: str
    email: str | None = None
    email_verified: bool = False
    name: str | None = None
    is_admin: bool | None = None

    @property
    def proven_email(self) -> str | None:
        """The address, if the provider says that it belongs to this person."""
        return self.email if self.email_verified else None


class LinkedIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """An identity that opens an account."""

    issuer: str
    subject: str
    provider: str
    email: str | None
    created_us: int

    @property
    def wire_id(self) -> str:
        """The name by which its owner ends it: the same for ever, and telling nothing to others."""
        digest = hashlib.sha256(f"{self.issuer}\0{self.subject}".encode()).hexdigest()
        return IDENTITY + digest[:32]


class LoginTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What configuration says of a login provider.

    `allow_signup` makes accounts for people nobody invited. With `allowed_domains` only people with
    a verified address in one of them may come in.
    """

    label: str
    allow_signup: bool = False
    allowed_domains: frozenset[str] = frozenset()

    def admits(self, identity: ExternalIdentity) -> bool:
        """Return whether the domain of somebody's address lets them in."""
        if not self.allowed_domains:
            return True
        return (identity.proven_email or "").rpartition("@")[2] in self.allowed_domains


class LoginAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """What one login was begun with; all of it is unguessable but `redirect_uri`."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str


class LoginAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser brought back from a login provider, unchecked."""

    state: str | None = None
    code: str | None = None
    issuer: str | None = None
    error: str | None = None


def is_own_path(path: str) -> bool:
    """Return whether a browser that is sent to `path` stays with us.

    Browsers read two slashes, of either kind, as the beginning of a host, and drop control
    characters before they look.
    """
    return len(path) <= MAX_NEXT and _PATH.fullmatch(path) is not None
