"""What an account's clients remember of their user: how answers should be, and the like."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from antiphon.domain.accounts import Principal
from antiphon.domain.errors import InvalidRequest
from antiphon.ports.account_writes import PutPreferences
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage

MAX_BYTES: Final = 32 * 1024
"""As JSON; several texts of some pages."""


class Preferences:
    """One JSON object an account, which the server keeps and reads nothing in."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    async def get(self, who: Principal) -> dict[str, Any]:
        """Return what the caller's clients put last, {} if nothing."""
        content = await self._storage.accounts.preferences(who.actor_id)
        found: dict[str, Any] = msgspec.json.decode(content) if content is not None else {}
        return found

    async def put(self, who: Principal, values: dict[str, Any]) -> None:
        """Keep an object in the place of the one before; raises InvalidRequest if it is too large."""
        content = msgspec.json.encode(values)
        if len(content) > MAX_BYTES:
            raise InvalidRequest(
                f"Preferences may have {MAX_BYTES:,} bytes as JSON, these have {len(content):,}.",
                code="preferences_too_large", param="values",
            )  # fmt: skip
        command = PutPreferences(account_id=who.actor_id, content=content, updated_us=self._clock.now_us())
        await self._storage.unit_of_work.commit(command)
