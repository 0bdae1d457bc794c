"""Port to where an operator resets the first administrator: a key to delete, and a mark that it was there.

The account itself is in the store; the key mirrors it. A key that is gone while its mark is there was
deleted by somebody: that asks for a reset. Both gone means that the place is new, or was emptied, and
asks for nothing. So both lie in one place, which loses both or none.
"""

from __future__ import annotations

from typing import Protocol

import msgspec


class Mirrored(msgspec.Struct, frozen=True):
    """Whose account the key and its mark name, by id; None where there is none."""

    key: str | None
    mark: str | None

    @property
    def wants_reset(self) -> bool:
        """Whether somebody deleted the key."""
        return self.key is None and self.mark is not None


class AdministratorMirror(Protocol):
    """The key `admin:credentials` and its mark. Neither holds a password, nor its hash."""

    async def read(self) -> Mirrored:
        """Return what is there."""
        ...

    async def write(self, account_id: str, name: str) -> None:
        """Put both, the mark first."""
        ...
