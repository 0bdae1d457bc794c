"""Readings of conversations that are asked for again and again: kept for a minute, dropped at any change.

A reading is given again only while nothing that it tells of has been written since, nor is being written
now; so it is never older than what its reader was told before. This holds where one process writes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Hashable
from typing import Final

import msgspec

from antiphon.ports.clock import Clock
from antiphon.services.changes import Changes

KEPT_SECONDS: Final = 60.0
MAX_BYTES: Final = 16 * 1024 * 1024
ENTRY_BYTES: Final = 500
"""What an entry costs besides its body."""


class Reading(msgspec.Struct, frozen=True):
    """A rendered reading: head and body as its reader made them, and when it ends of itself.

    `of` is what it tells of: conversations, and the owner of the names in it. One that tells of nothing is
    not kept.
    """

    body: bytes
    of: tuple[str, ...]
    ends_us: int | None = None
    head: bytes = b""


class _Kept(msgspec.Struct, frozen=True):
    reading: Reading
    number: int
    until: float


class Readings:
    """A bounded store of readings; the longest unused goes first. `hits` and `misses` count."""

    def __init__(self, changes: Changes, clock: Clock, *, max_bytes: int = MAX_BYTES) -> None:
        self._changes = changes
        self._clock = clock
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._bytes = 0
        self.hits = 0
        self.misses = 0

    async def read(self, key: Hashable, load: Callable[[], Awaitable[Reading]]) -> Reading:
        """Return what was read under `key`, or have it read; raises what `load` raises."""
        kept = self._kept.get(key)
        if kept is not None and self._holds(kept):
            self._kept.move_to_end(key)
            self.hits += 1
            return kept.reading
        self._drop(key)
        self.misses += 1
        number = self._changes.now
        reading = await load()
        if reading.of and self._changes.unchanged_since(number, reading.of):
            self._keep(key, _Kept(reading, number, self._clock.monotonic() + KEPT_SECONDS))
        return reading

    def _holds(self, kept: _Kept) -> bool:
        ends = kept.reading.ends_us
        return (
            self._clock.monotonic() < kept.until
            and (ends is None or self._clock.now_us() < ends)
            and self._changes.unchanged_since(kept.number, kept.reading.of)
        )

    def _keep(self, key: Hashable, kept: _Kept) -> None:
        self._drop(key)
        self._kept[key] = kept
        self._bytes += _size(kept.reading)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Hashable) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= _size(kept.reading)


def _size(reading: Reading) -> int:
    return len(reading.body) + len(reading.head) + ENTRY_BYTES


def told_of(owner_id: str, conversation_ids: Collection[str]) -> tuple[str, ...]:
    """Return what a reading tells of that found conversations by their owner's names."""
    return (owner_id, *conversation_ids)
