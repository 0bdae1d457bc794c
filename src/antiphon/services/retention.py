"""Retention: conversations whose time has passed are hidden, a slice at a time.

A conversation ends at its own `expires_at`; failing that, so many days after its last change as
its owner's account says, or else the owner's group, or else the default for the owner's role.
Hiding marks it as well: the purge erases what is marked.
"""

from __future__ import annotations

import asyncio
from typing import Final

from antiphon.domain.conversations import EPHEMERAL
from antiphon.domain.errors import Conflict
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.retention import Passed
from antiphon.ports.storage import Storage
from antiphon.services.pacing import Round
from antiphon.services.runtime_settings import RuntimeSettings

EXPIRE_SECONDS: Final = 5.0
SWEEP_SECONDS: Final = 60.0
EXPIRED_AT_ONCE: Final = 200
LOOKED_AT: Final = 5_000
"""Conversations looked at together: a few milliseconds of a reader thread."""


class Retention:
    """Hides what has passed; both jobs go on where they were after a restart."""

    def __init__(self, storage: Storage, settings: RuntimeSettings, clock: Clock) -> None:
        self._storage = storage
        self._settings = settings
        self._clock = clock
        self._after = ""
        self.expired_sessions = 0
        """Ephemeral sessions hidden since the start because their time had come."""

    async def expire(self) -> None:
        """Hide the conversations whose own time has come, slice by slice."""
        this = Round(self._clock)
        while found := await self._storage.retention.expired(self._clock.now_us(), EXPIRED_AT_ONCE):
            hidden = await self._hide(found)
            self.expired_sessions += sum(one.kind == EPHEMERAL for one in hidden)
            if len(found) < EXPIRED_AT_ONCE or not hidden:
                return
            await this.rest()

    async def sweep(self) -> None:
        """Look at the next slice of all conversations, and hide those kept for long enough.

        Where there were some, there may be more: it goes on, up to the last conversation.
        """
        this = Round(self._clock)
        outdated = self._storage.retention.outdated
        while True:
            days = self._settings.current.retention_days
            found, self._after = await outdated(
                self._clock.now_us(), days, after=self._after, limit=LOOKED_AT
            )
            for start in range(0, len(found), EXPIRED_AT_ONCE):
                await self._hide(found[start : start + EXPIRED_AT_ONCE])
                await this.rest()
            if not found or not self._after:
                return

    async def _hide(self, passed: list[Passed]) -> list[Passed]:
        """Return those that were hidden."""
        ended = await asyncio.gather(*(self.end(one) for one in passed))
        return [one for one, has_ended in zip(passed, ended, strict=True) if has_ended]

    async def end(self, passed: Passed) -> bool:
        """Hide one; False if somebody wrote to it, or deleted it, since it was looked at."""
        now = self._clock.now_us()
        change = ws.AddChange(
            conversation_id=passed.conversation_id,
            owner_id=passed.owner_id,
            slot=passed.slot,
            kind="conversation.deleted",
            body='{"reason":"retention"}',
            now_us=now,
        )
        try:
            await self._storage.unit_of_work.commit(
                ws.ExpireConversation(
                    conversation_id=passed.conversation_id, now_us=now, updated_us=passed.updated_us
                ),
                change,
            )
        except Conflict:
            return False
        return True
