"""A cache in this process: the least recently used goes first, by bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Final, NamedTuple

from antiphon.ports.clock import Clock

ENTRY_BYTES: Final = 256
"""What an entry costs beside its key and value: two objects, a tuple and a place in the table."""
NAME_BYTES: Final = 512
"""What it costs to find an entry by one it tells of: a name, and a place in a set that may be its own."""


class _Entry(NamedTuple):
    value: bytes
    expires: float
    of: tuple[str, ...]


class InProcessCache:
    """Port `Cache` on a dictionary of at most `max_bytes`, all overheads counted."""

    def __init__(self, max_bytes: int, clock: Clock) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._telling_of: dict[str, set[bytes]] = {}
        self.size_bytes = 0

    async def get(self, key: bytes) -> bytes | None:
        """See the port."""
        found = self._entries.get(key)
        if found is None:
            return None
        if found.expires <= self._clock.monotonic():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return found.value

    async def put(self, key: bytes, value: bytes, *, seconds: float, of: Collection[str] = ()) -> None:
        """See the port."""
        self._drop(key)
        entry = _Entry(value, self._clock.monotonic() + seconds, tuple(set(of)))
        size = _size(key, entry)
        if size > self._max_bytes:
            return
        while self.size_bytes + size > self._max_bytes:
            self._drop(next(iter(self._entries)))
        self._entries[key] = entry
        self.size_bytes += size
        for name in entry.of:
            self._telling_of.setdefault(name, set()).add(key)

    async def delete(self, key: bytes) -> None:
        """See the port."""
        self._drop(key)

    async def forget(self, whom: str) -> None:
        """See the port."""
        for key in list(self._telling_of.get(whom, ())):
            self._drop(key)

    def _drop(self, key: bytes) -> None:
        found = self._entries.pop(key, None)
        if found is None:
            return
        self.size_bytes -= _size(key, found)
        for name in found.of:
            keys = self._telling_of[name]
            keys.discard(key)
            if not keys:
                del self._telling_of[name]


def _size(key: bytes, entry: _Entry) -> int:
    return len(key) + len(entry.value) + ENTRY_BYTES + NAME_BYTES * len(entry.of)
