"""Port to the secrets the server itself must be able to show to others, as ciphertext."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class SealedSecret(msgspec.Struct, frozen=True):
    """One stored secret; `ciphertext` is what `services.sealing` made of it. Times are µs UTC."""

    name: str
    ciphertext: bytes
    updated_us: int


class SecretReads(Protocol):
    """Reads of the table of secrets."""

    async def get(self, name: str) -> SealedSecret | None:
        """Return a secret, or None."""
        ...

    async def all(self) -> Sequence[SealedSecret]:
        """Return every secret by name. There is one a provider, so this is no page."""
        ...
