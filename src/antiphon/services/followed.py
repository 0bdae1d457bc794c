"""Where a branch that stands for a fork leads: to what the fork shows, for the owner of both."""

from __future__ import annotations

from typing import Final

from antiphon.domain.accounts import Principal
from antiphon.ports.storage import Storage, TurnBase

MAX_STEPS: Final = 64
"""Forks that show forks; each was made after the one before, so they never lead back."""


async def followed(storage: Storage, who: Principal, base: TurnBase, budget: int) -> TurnBase:
    """Return the head that a branch's readers and writers mean, `who` being within its partition.

    A branch for a fork leads to the fork's own active branch. If the fork is gone, to the trunk. A member
    of the origin has no right to the fork: such a branch ends for them where the fork left.
    """
    for _ in range(MAX_STEPS):
        if base.branch is None or base.branch.alias_of is None or who.is_guest:
            return base
        there = await storage.tree.turn_base(who.account_id, base.branch.alias_of, None, budget)
        if there is None:
            trunk = await storage.branch_forks.trunk(base.conversation.id)
            if trunk is None:
                return base
            there = await storage.tree.turn_base(who.account_id, base.conversation.id, trunk.id, budget)
        if there is None:
            return base
        base = there
    return base
