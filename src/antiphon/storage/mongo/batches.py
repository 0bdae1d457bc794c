"""Commits of one owner that wait for their turn go together: one record, one round of writes for all.

Only the first of a batch can be refused. What is refused because of one before it waits until that one is
committed, and is looked at again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from antiphon.storage.mongo.turns import Turns

MOST: Final = 64

Part = TypeVar("Part")


class Waiting(Generic[Part]):
    """A commit that waits; its fate is None or what is raised to its caller."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.fate: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def end(self, fate: BaseException | None) -> None:
        """Tell the caller."""
        if not self.fate.done():
            self.fate.set_result(fate)


Work = Callable[[Sequence[Waiting[Part]], set[str]], Awaitable[None]]
"""Commits some of a batch for owners, at least its first, and tells those their fate. It raises nothing."""


class Batches(Generic[Part]):
    """Those who wait, by owner."""

    def __init__(self, turns: Turns, work: Work[Part]) -> None:
        self._turns = turns
        self._work = work
        self._waiting: dict[str, list[Waiting[Part]]] = {}

    async def commit(self, owner_id: str, part: Part) -> None:
        """Commit with whoever waits for the same owner; raises what became of this part."""
        mine = Waiting(part)
        queue = self._waiting.setdefault(owner_id, [])
        queue.append(mine)
        try:
            async with self._turns.take({owner_id}):
                while not mine.fate.done():
                    await _to_its_end(self._work(tuple(queue[:MOST]), {owner_id}))
                    queue[:] = [one for one in queue if not one.fate.done()]
        finally:
            if mine in queue:
                queue.remove(mine)
            if not queue and self._waiting.get(owner_id) is queue:
                del self._waiting[owner_id]
        if (fate := mine.fate.result()) is not None:
            raise fate


async def _to_its_end(work: Awaitable[None]) -> None:
    """Wait for work that others wait for too: who is cancelled leaves only after it."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        raise
