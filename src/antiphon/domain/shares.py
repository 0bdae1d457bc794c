"""Share links: a secret in a URL that shows one branch of a conversation to whoever holds it."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

import msgspec

from antiphon.domain.accounts import SHARE_PREFIX

SHARE: Final = "share_"
TOKEN_BYTES: Final = 32


class ShareLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link without its secret; `branch_id` None means whichever branch is active. Times are µs UTC."""

    id: str
    owner_id: str
    slot: int
    conversation_id: str
    branch_id: str | None
    created_us: int
    expires_us: int
    revoked_us: int | None = None


def new_token() -> str:
    """Draw the secret of a link."""
    return SHARE_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def digest_of(token: str) -> bytes:
    """Return what is stored of a secret; it is random, so a slow hash would add nothing."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
