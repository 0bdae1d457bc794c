"""Port to a cache: bytes by key, kept for a while and gone at any time."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol


class Cache(Protocol):
    """Keeps values until their time is over or room is needed.

    Losing one costs speed, nothing else; a value read is checked by whoever reads it. An adapter
    may raise any Exception when it cannot be reached.
    """

    async def get(self, key: bytes) -> bytes | None:
        """Return what was put last under the key, None if there is nothing any more."""
        ...

    async def put(self, key: bytes, value: bytes, *, seconds: float, of: Collection[str] = ()) -> None:
        """Keep a value for so long at most, in place of an earlier one; `of` names whom it tells of.

        A value with no room of its own is not kept, and the earlier one is gone all the same.
        """
        ...

    async def delete(self, key: bytes) -> None:
        """Forget a key; does nothing if it is not there."""
        ...

    async def forget(self, whom: str) -> None:
        """Drop all values that were put as telling `of` somebody; does nothing if there are none."""
        ...
