"""Port to idempotency keys of knowledge: what a creation answered, kept in its own transaction."""

from __future__ import annotations

from typing import Protocol

import msgspec


class KeptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A caller's key, the fingerprint of the request it stands for, and the answer's bytes.

    Verbs that create take one: their effect and the key are one commit. They raise
    `Conflict("PutKey")` if the key is taken and has not expired by `created_us`.
    """

    owner_id: str
    slot: int
    name: str
    fingerprint: bytes
    body: bytes
    created_us: int
    expires_us: int


class KeptAnswers(Protocol):
    """Looks keys up and forgets them."""

    async def get(self, owner_id: str, name: str, now_us: int) -> KeptAnswer | None:
        """Return what is kept under a key, None if nothing is or it has expired."""
        ...

    async def forget(self, now_us: int, limit: int) -> int:
        """Erase up to `limit` keys that have expired; returns how many went."""
        ...
