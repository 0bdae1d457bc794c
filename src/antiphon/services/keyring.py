"""The server's own secret, and the keys that are made of it: one a purpose, none of them stored."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

MIN_SECRET_BYTES: Final = 32


class Keyring:
    """Derives keys; after a rotation the earlier secrets still verify and decrypt."""

    def __init__(self, secret: str, previous: Sequence[str] = ()) -> None:
        self._secrets = [one.encode() for one in (secret, *previous)]
        if any(len(one) < MIN_SECRET_BYTES for one in self._secrets):
            raise ValueError(f"a secret has fewer than {MIN_SECRET_BYTES} bytes")

    def key(self, purpose: str) -> bytes:
        """Return the 32-byte key of a purpose, made of the newest secret."""
        return self.keys(purpose)[0]

    def keys(self, purpose: str) -> list[bytes]:
        """Return the keys of a purpose, newest first."""
        return [hmac.new(one, purpose.encode(), hashlib.sha256).digest() for one in self._secrets]
