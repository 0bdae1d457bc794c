"""Long work of housekeeping, in slices: it goes on until nothing is due, and leaves room for turns.

Between two slices it rests for as long as the last one took, so it has the store half of the time at
most. A server that stops cancels it in a rest or in a slice; the next round goes on from the store.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from antiphon.domain.errors import Conflict
from antiphon.ports.clock import Clock


class Slice(Protocol):
    """A command that erases up to `limit` rows; with `full` it raises Conflict if there are fewer."""

    @property
    def limit(self) -> int:
        """How many go at most."""
        ...

    @property
    def full(self) -> bool:
        """Whether fewer are refused."""
        ...


Found = TypeVar("Found")


class Round:
    """One round of a job; `finish` it, and it raises what went wrong with any of its work."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._failure: Exception | None = None

    async def rest(self) -> None:
        """Rest for as long as was worked since the last rest."""
        await asyncio.sleep(self._clock.monotonic() - self._began)
        self._began = self._clock.monotonic()

    async def work_off(
        self,
        find: Callable[[], Awaitable[Sequence[Found]]],
        work: Callable[[Found], Awaitable[Any]],
        most: int,
    ) -> None:
        """Work on what is found, up to `most` at a time, until less than that is.

        What fails holds up nothing else. What is found again after it was worked on is left to the next
        round, and where nothing at all could be done the round ends.
        """
        stuck: set[Found] = set()
        tried: set[Found] = set()
        while True:
            found = await find()
            stuck |= tried.intersection(found)
            tried = set(found) - stuck
            done = [await self._attempt(work, one) for one in found if one in tried]
            if len(found) < most or not any(done):
                return
            await self.rest()

    async def _attempt(self, work: Callable[[Found], Awaitable[Any]], one: Found) -> bool:
        try:
            await work(one)
        except Exception as error:
            self._failure = self._failure or error
            return False
        return True

    def finish(self) -> None:
        """Raise the first failure of the round, if there was one."""
        if self._failure is not None:
            raise self._failure


async def erase_slices(commit: Callable[..., Awaitable[None]], command: Slice, this: Round) -> None:
    """Commit a slice again and again as long as it is full, then once more for the rest.

    Every round but the last erases `limit` rows, so it ends.
    """
    full = msgspec.structs.replace(command, full=True)  # type: ignore[type-var]
    with contextlib.suppress(Conflict):
        while True:
            await commit(full)
            await this.rest()
    await commit(command)
