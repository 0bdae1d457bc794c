"""Whose turn it is to commit to a log, in this process: nothing depends on it, it only saves lost tries."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from typing import Final

MOST: Final = 10_000


class Turn:
    """A lock; those in a hurry go before all that wait."""

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def is_idle(self) -> bool:
        """Whether nobody has it or waits for it."""
        return not self._is_taken and not self._waiting

    @contextlib.asynccontextmanager
    async def take(self, *, first: bool) -> AsyncIterator[None]:
        """Have it for the block."""
        if self._is_taken:
            mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            (self._waiting.appendleft if first else self._waiting.append)(mine)
            try:
                await mine
            except BaseException:
                if mine.done() and not mine.cancelled():
                    self._pass_on()
                elif mine in self._waiting:
                    self._waiting.remove(mine)
                raise
        self._is_taken = True
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        self._is_taken = False
        while self._waiting:
            next_one = self._waiting.popleft()
            if not next_one.done():  # it is if whoever waits was cancelled and has not gone on since
                self._is_taken = True
                next_one.set_result(None)
                return


class Turns:
    """The turns of all logs."""

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}

    @contextlib.asynccontextmanager
    async def take(self, owners: Iterable[str], *, first: bool = False) -> AsyncIterator[None]:
        """Have the turns of owners; what streams goes `first`, since everybody looks at it."""
        if len(self._turns) > MOST:
            self._turns = {owner: turn for owner, turn in self._turns.items() if not turn.is_idle}
        async with AsyncExitStack() as stack:
            for owner_id in sorted(owners):
                turn = self._turns.setdefault(owner_id, Turn())
                await stack.enter_async_context(turn.take(first=first))
            yield
