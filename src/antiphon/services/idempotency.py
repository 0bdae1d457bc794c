"""Idempotency keys: a retry of a creation acts once.

The key's row is the guard of the creation's own write set, so effect and key are one commit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

import msgspec

from antiphon.domain.accounts import Principal
from antiphon.domain.errors import InFlight, Unprocessable
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.storage import KeyRecord, Runs

KEY_LIFETIME_US: Final = 24 * 3600 * 1_000_000
MAX_KEY_LENGTH: Final = 255


class Key(msgspec.Struct, frozen=True):
    """A caller's key and the fingerprint of the request it stands for.

    `render` turns what a plain creation makes into the bytes to answer; they are stored in the
    creation's own commit, so such a key is either absent or final, never in flight.
    """

    name: str
    fingerprint: bytes
    render: Callable[[Any], bytes] | None = None

    @property
    def mark(self) -> str:
        """What a run keeps of it: by it a retry is known, once the key itself is free again."""
        return hashlib.sha256(self.fingerprint + self.name.encode()).hexdigest()


def fingerprint(method: str, path: str, body: bytes) -> bytes:
    """Return the fingerprint of a request: SHA-256 over method, path and body."""
    found = hashlib.sha256(b"%b\0%b\0" % (method.encode(), path.encode()))
    found.update(body)
    return found.digest()


class Idempotency:
    """Looks up and keeps keys."""

    def __init__(self, runs: Runs, clock: Clock) -> None:
        self._runs = runs
        self._clock = clock

    def guard(
        self,
        who: Principal,
        key: Key,
        *,
        run_id: str | None = None,
        made: Any = None,
        conversation_id: str | None = None,
    ) -> ws.PutKey:
        """Return the command that takes a key for a run, or for a plain creation that makes `made`.

        `conversation_id` is where `made` belongs: its purge erases the kept answer.
        """
        now = self._clock.now_us()
        body = key.render(made) if key.render is not None and run_id is None else None
        return ws.PutKey(
            owner_id=who.actor_id,
            slot=who.actor_slot,
            key=key.name,
            fingerprint=key.fingerprint,
            run_id=run_id,
            status=200 if body is not None else None,
            body=body,
            created_us=now,
            expires_us=now + KEY_LIFETIME_US,
            conversation_id=conversation_id,
        )

    async def taken(self, who: Principal, key: Key) -> KeyRecord | None:
        """Return what is known under a key; raises Unprocessable if it stood for another request."""
        found = await self._runs.key(who.actor_id, key.name, self._clock.now_us())
        if found is not None and found.fingerprint != key.fingerprint:
            raise Unprocessable("This Idempotency-Key was already used with another request.")
        return found

    async def finished(self, who: Principal, key: Key) -> bytes:
        """Return the answer of a plain creation under a key; raises InFlight if it has none."""
        found = await self.taken(who, key)
        if found is None or found.body is None:
            raise InFlight("A request with this Idempotency-Key is being processed.")
        return bytes(found.body)
