"""Idempotency keys of creations in knowledge; see `services.idempotency` for those of conversations.

Files and conversations lie in different stores, so each keeps the keys of its own creations:
effect and key are one commit in either.
"""

from __future__ import annotations

from typing import Any

from antiphon.domain.accounts import Principal
from antiphon.domain.errors import InFlight, Unprocessable
from antiphon.ports import kept_answers as port
from antiphon.ports.clock import Clock
from antiphon.services.idempotency import KEY_LIFETIME_US, Key


class KeptAnswers:
    """Looks keys up, and makes what a creation keeps."""

    def __init__(self, kept: port.KeptAnswers, clock: Clock) -> None:
        self._kept = kept
        self._clock = clock

    def keep(self, who: Principal, key: Key | None, made: Any) -> port.KeptAnswer | None:
        """Return what a creation that makes `made` is to keep under a key; None without one."""
        if key is None or key.render is None:
            return None
        now = self._clock.now_us()
        return port.KeptAnswer(
            owner_id=who.actor_id, slot=who.actor_slot, name=key.name, fingerprint=key.fingerprint,
            body=key.render(made), created_us=now, expires_us=now + KEY_LIFETIME_US,
        )  # fmt: skip

    async def taken(self, who: Principal, key: Key) -> port.KeptAnswer | None:
        """Return what is kept under a key; raises Unprocessable if it stood for another request."""
        found = await self._kept.get(who.actor_id, key.name, self._clock.now_us())
        if found is not None and found.fingerprint != key.fingerprint:
            raise Unprocessable("This Idempotency-Key was already used with another request.")
        return found

    async def finished(self, who: Principal, key: Key) -> bytes:
        """Return the answer of the creation under a key; raises InFlight if it has just expired."""
        found = await self.taken(who, key)
        if found is None:
            raise InFlight("A request with this Idempotency-Key is being processed.")
        return found.body
