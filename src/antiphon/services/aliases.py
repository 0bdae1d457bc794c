"""Further names and numbers of what an account sees: a label leads to one id and may move, a number stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from antiphon.domain.accounts import Principal
from antiphon.domain.errors import Conflict
from antiphon.ports.aliases import PutAlias
from antiphon.ports.storage import Storage
from antiphon.services.turn_plans import MAX_CONFLICTS

DIGITS: Final = 12
"""Numbers are kept with leading zeros, so that they sort."""


class Aliases:
    """The caller's own aliases, by kinds that their user chooses."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def lead(self, who: Principal, kind: str, label: str, target_id: str) -> None:
        """Let a label lead to an id from now on; writes nothing if it does already."""
        alias = f"{kind}:{label}"
        if await self._storage.aliases.target(who.actor_id, alias) == target_id:
            return
        await self._storage.unit_of_work.commit(
            PutAlias(
                owner_id=who.actor_id, slot=who.actor_slot, alias=alias, target_id=target_id, moves=True
            )
        )  # fmt: skip

    async def target(self, who: Principal, kind: str, label: str) -> str | None:
        """Return the id that a label leads to, or None; what it names may be gone."""
        return await self._storage.aliases.target(who.actor_id, f"{kind}:{label}")

    async def numbers(self, who: Principal, kind: str, target_ids: Sequence[str]) -> dict[str, int]:
        """Return the numbers of some ids, each counted from 1 in its kind when it is first asked for.

        Raises Conflict after many races.
        """
        prefix, aliases = f"{kind}#", self._storage.aliases
        last: str | None = None
        for attempt in range(MAX_CONFLICTS + 1):
            known = await aliases.of(who.actor_id, prefix, target_ids) if target_ids else {}
            missing = [one for one in dict.fromkeys(target_ids) if one not in known]
            if not missing:
                return {target_id: int(alias[len(prefix) :]) for target_id, alias in known.items()}
            if not attempt:
                # What is missing is looked for again behind the last number: who was counted before it
                # was read is known then, and who is counted after it takes the number that we want.
                last = await aliases.last(who.actor_id, prefix)
                continue
            first = int(last[len(prefix) :]) + 1 if last else 1
            taking = [
                PutAlias(
                    owner_id=who.actor_id, slot=who.actor_slot, target_id=one,
                    alias=f"{prefix}{number:0{DIGITS}d}",
                )
                for number, one in enumerate(missing, first)
            ]  # fmt: skip
            try:
                await self._storage.unit_of_work.commit(*taking)
            except Conflict:  # somebody counted at the same time: look what is left to do
                last = await aliases.last(who.actor_id, prefix)
        raise Conflict("The numbers change too fast; try again.")
