"""A cache in this process: the least recently used goes first, by bytes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from antiphon.ports.clock import Clock

ENTRY_BYTES: Final = 256
"""What an entry costs beside its key and value: two objects, a tuple and a place in the table."""


class InProcessCache:
    """Port `Cache` on a dictionary of at most `max_bytes`, all overheads counted."""

    def __init__(self, max_bytes: int, clock: Clock) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()
        self.size_bytes = 0

    async def get(self, key: bytes) -> bytes | None:
        """See the port."""
        found = self._entries.get(key)
        if found is None:
            return None
        if found[1] <= self._clock.monotonic():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return found[0]

    async def put(self, key: bytes, value: bytes, *, seconds: float) -> None:
        """See the port."""
        self._drop(key)
        size = _size(key, value)
        if size > self._max_bytes:
            return
        while self.size_bytes + size > self._max_bytes:
            self._drop(next(iter(self._entries)))
        self._entries[key] = (value, self._clock.monotonic() + seconds)
        self.size_bytes += size

    async def delete(self, key: bytes) -> None:
        """See the port."""
        self._drop(key)

    def _drop(self, key: bytes) -> None:
        found = self._entries.pop(key, None)
        if found is not None:
            self.size_bytes -= _size(key, found[0])


def _size(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + ENTRY_BYTES
