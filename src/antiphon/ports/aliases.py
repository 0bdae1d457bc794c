"""Port to aliases: an account's further names and numbers for what it sees, each leading to one id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from antiphon.ports.write_sets import Command


class PutAlias(Command, frozen=True, kw_only=True):
    """Let an alias lead to an id; lost if it leads somewhere already, unless it `moves`."""

    GUARD: ClassVar[bool] = True
    owner_id: str
    slot: int
    alias: str
    target_id: str
    moves: bool = False


class Aliases(Protocol):
    """Reads of an account's own aliases."""

    async def target(self, owner_id: str, alias: str) -> str | None:
        """Return the id that an alias leads to, or None."""
        ...

    async def of(self, owner_id: str, prefix: str, target_ids: Sequence[str]) -> dict[str, str]:
        """Return the aliases with a prefix, by what they lead to, of those ids that have one."""
        ...

    async def last(self, owner_id: str, prefix: str) -> str | None:
        """Return the alias with a prefix that sorts last, or None."""
        ...
