"""Port `Locks` on PostgreSQL: advisory locks of one connection, which go with it.

A connection that waited for one lock could ask for no other, so it never waits: it tries again. If
it is lost its locks are, too, and who held them goes on without; what is done under a lock is short.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from antiphon.domain.errors import Unavailable
from antiphon.storage.sql.postgres_knowledge_store import lock_number
from antiphon.storage.sql.postgres_pool import LOST, NO_ANSWER, Session, connect

FIRST_PAUSE_SECONDS: Final = 0.005
LONGEST_PAUSE_SECONDS: Final = 0.1
PATIENCE_SECONDS: Final = 30.0
ATTEMPTS: Final = 2

_TRY: Final = {False: "SELECT pg_try_advisory_lock($1)", True: "SELECT pg_try_advisory_lock_shared($1)"}
_GIVE_UP: Final = {False: "SELECT pg_advisory_unlock($1)", True: "SELECT pg_advisory_unlock_shared($1)"}


class PostgresLocks:
    """Port `Locks`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Session | None = None
        self._asking = asyncio.Lock()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._going: set[asyncio.Task[bool]] = set()

    @asynccontextmanager
    async def exclusive(self, name: str) -> AsyncIterator[None]:
        """See the port."""
        async with self._here(name), self._held(name, is_shared=False):
            yield

    @asynccontextmanager
    async def shared(self, name: str) -> AsyncIterator[None]:
        """See the port."""
        async with self._here(name), self._held(name, is_shared=True):
            yield

    @asynccontextmanager
    async def if_free(self, name: str) -> AsyncIterator[bool]:
        """See the port."""
        lock = self._here(name)
        if lock.locked():
            yield False
            return
        async with lock:
            held = await self._ask(_TRY[False], name)
            try:
                yield held
            finally:
                if held:
                    await self._ask(_GIVE_UP[False], name)

    async def close(self) -> None:
        """Give up all locks."""
        if self._going:
            await asyncio.wait(self._going)
        if self._connection is not None:
            with contextlib.suppress(*LOST):
                await self._connection.close()

    def _here(self, name: str) -> asyncio.Lock:
        """Return the lock's part within this process."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    @asynccontextmanager
    async def _held(self, name: str, *, is_shared: bool) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + PATIENCE_SECONDS, FIRST_PAUSE_SECONDS
        while not await self._ask(_TRY[is_shared], name):
            if loop.time() > until:
                raise Unavailable("Another server is at it for too long; try again.")
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        try:
            yield
        finally:
            await self._ask(_GIVE_UP[is_shared], name)

    async def _ask(self, question: str, name: str) -> bool:
        """Ask to the end, also when whoever asks is cancelled: then what was got is given back."""
        task = asyncio.create_task(self._answer(question, name), name="advisory lock")
        self._going.add(task)
        task.add_done_callback(self._going.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            for is_shared, trying in _TRY.items():
                if question == trying and await task:
                    await self._answer(_GIVE_UP[is_shared], name)
            raise

    async def _answer(self, question: str, name: str) -> bool:
        async with self._asking:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    if self._connection is None or self._connection.is_closed():
                        if question in _GIVE_UP.values():
                            return False  # it went with the connection
                        self._connection = await connect(self._url, "locks")
                    return bool(await self._connection.fetchval(question, lock_number(name)))
                except (*LOST, TimeoutError) as error:
                    if question in _GIVE_UP.values():
                        return False
                    if attempt == ATTEMPTS:
                        raise Unavailable(NO_ANSWER) from error
        raise AssertionError("unreachable")
