"""Whose log a command goes to: that of the owner of what it speaks of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from antiphon.ports.purge_writes import EraseKeys, EraseRuns
from antiphon.ports.write_sets import Command
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.database import Database

MAX_KNOWN: Final = 50_000
"""Whose a conversation or a run is never changes, so it may be remembered."""


class Owners:
    """Finds owners."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, str] = {}

    async def of(self, some: Iterable[Command]) -> set[str]:
        """Return the owners of what commands speak of, as far as it exists."""
        found: set[str] = set()
        for one in some:
            found |= await self._of(one)
        return found

    async def _of(self, one: Any) -> set[str]:
        if type(one) is EraseKeys:
            return {owner_id for owner_id, _ in one.keys}
        if type(one) is EraseRuns:
            return {owner for run_id in one.run_ids for owner in await self._owner(db.RUNS, run_id)}
        if (owner_id := getattr(one, "owner_id", None)) is not None:
            return {owner_id}
        for name in ("conversation", "run", "link"):
            if (made := getattr(one, name, None)) is not None:
                return {made.owner_id}
        if (conversation_id := getattr(one, "conversation_id", None)) is not None:
            return await self._owner(db.CONVERSATIONS, conversation_id)
        if (run_id := getattr(one, "run_id", None)) is not None:
            return await self._owner(db.RUNS, run_id)
        account_id = getattr(one, "account_id", None)
        return {account_id} if account_id else set()

    async def _owner(self, collection: str, key: str) -> set[str]:
        owner_id = self._known.get(key)
        if owner_id is None:
            found = await self._database.get(collection, key)
            if found is None:
                return set()
            owner_id = str(found["owner_id"])
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[key] = owner_id
        return {owner_id}
