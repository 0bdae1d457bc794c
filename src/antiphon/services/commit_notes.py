"""Which messages have been committed and are not indexed yet: in memory, bounded, at hardly any cost."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from typing import Final

from antiphon.ports.clock import Clock
from antiphon.ports.history import Said

MOST: Final = 20_000
"""Notes kept; beyond them the store is scanned from the oldest that was dropped."""
MOST_CHARACTERS: Final = 16 * 1024 * 1024
"""Characters of messages kept with their notes; of what finds no room the name is noted, and it is read."""

Noted = dict[str, Said | None]
"""Messages by their names, with what is said in them or None where that has to be read."""


class CommitNotes:
    """Port `CommitWatch`: notes messages, and wakes whoever waits for some."""

    def __init__(self, clock: Clock, *, most: int = MOST, most_characters: int = MOST_CHARACTERS) -> None:
        self._clock = clock
        self._most = most
        self._room = most_characters
        self._waiting: dict[str, float] = {}
        self._said: dict[str, Said] = {}
        self._flying: dict[int, Noted] = {}
        self._number = 0
        self._missed: str | None = None
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, messages: Mapping[str, Said | None]) -> int:
        """See the port."""
        self._number += 1
        self._flying[self._number] = dict(messages)
        return self._number

    def end(self, number: int, *, committed: bool) -> None:
        """See the port. A commit that failed may have happened all the same, so its names are noted too."""
        messages = self._flying.pop(number)
        self.add(messages)
        if not committed:
            return
        for item_id, said in messages.items():
            if said is None or item_id in self._said or item_id not in self._waiting:
                continue
            if (size := len(said.payload)) <= self._room:
                self._room -= size
                self._said[item_id] = said

    def add(self, item_ids: Iterable[str]) -> None:
        """Note messages that have to be read."""
        now, waiting = self._clock.monotonic(), self._waiting
        for item_id in item_ids:
            if len(waiting) < self._most:
                waiting.setdefault(item_id, now)
            elif self._missed is None or item_id < self._missed:
                self._missed = item_id
        self._some.set()

    def wake(self) -> None:
        """Wake whoever waits, without a note."""
        self._some.set()

    def first(self, limit: int, unread: int, characters: int) -> Noted:
        """Return the notes that wait longest, in the order they came, up to any of the limits.

        `unread` bounds those that have to be read, and the last of the others is the one that reaches
        `characters`.
        """
        found: Noted = {}
        for item_id in self._waiting:
            if len(found) >= limit or unread <= 0 or characters <= 0:
                break
            said = self._said.get(item_id)
            found[item_id] = said
            if said is None:
                unread -= 1
            else:
                characters -= len(said.payload)
        return found

    def done(self, item_ids: Iterable[str]) -> None:
        """Forget notes."""
        for item_id in item_ids:
            self._waiting.pop(item_id, None)
            said = self._said.pop(item_id, None)
            if said is not None:
                self._room += len(said.payload)

    def forget(self, item_ids: Collection[str]) -> None:
        """Forget what was erased; of messages that are still under way, what is said in them."""
        self.done(item_ids)
        for messages in self._flying.values():
            for item_id in messages.keys() & item_ids:
                messages[item_id] = None

    def take_missed(self) -> str | None:
        """Return the lowest id of those that found no room, and forget it."""
        missed, self._missed = self._missed, None
        return missed

    @property
    def lowest(self) -> str | None:
        """The lowest id of all that is noted, dropped, or being committed."""
        known = chain(self._waiting, *self._flying.values(), (self._missed,) if self._missed else ())
        return min(known, default=None)

    @property
    def lag_seconds(self) -> float:
        """How long ago the oldest note was made; 0 without any."""
        oldest = next(iter(self._waiting.values()), None)
        return 0.0 if oldest is None else max(self._clock.monotonic() - oldest, 0.0)

    async def some(self) -> None:
        """Wait for a note; returns at once if there are some."""
        if not self._waiting and self._missed is None:
            self._some.clear()
            await self._some.wait()
