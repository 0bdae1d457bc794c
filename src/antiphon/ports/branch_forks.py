"""Port to branches that stand for a fork: in the tree a named branch, a conversation of its own besides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from antiphon.domain.conversations import Branch, BranchFork
from antiphon.domain.items import Item


class BranchForks(Protocol):
    """Reads of branches with `alias_of`; those whose fork is gone are left out."""

    async def of(self, conversation_id: str, *, after: str | None, limit: int) -> list[BranchFork]:
        """Return a conversation's, by branch id, beginning after one."""
        ...

    async def named(self, conversation_id: str, fork_id: str) -> BranchFork | None:
        """Return a conversation's branch for a fork, or None."""
        ...

    async def origin(self, account_id: str, fork_id: str) -> str | None:
        """Return the account's own living conversation that has a branch for a fork, or None."""
        ...

    async def after_items(self, account_id: str, items: Sequence[Item]) -> dict[str, list[str]]:
        """Return, by item id, the account's forks that begin after it and that a branch stands for."""
        ...

    async def trunk(self, conversation_id: str) -> Branch | None:
        """Return the oldest branch that stands for no fork, or None."""
        ...
