"""Locks by name within this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class InProcessLocks:
    """Port `Locks` of a store that one process has for itself."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def _lock(self, name: str) -> asyncio.Lock:
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    @asynccontextmanager
    async def exclusive(self, name: str) -> AsyncIterator[None]:
        """See the port."""
        async with self._lock(name):
            yield

    shared = exclusive

    @asynccontextmanager
    async def if_free(self, name: str) -> AsyncIterator[bool]:
        """See the port."""
        lock = self._lock(name)
        if lock.locked():
            yield False
            return
        async with lock:
            yield True
