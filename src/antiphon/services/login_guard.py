"""Slows guessing down: too many wrong passwords under one name close that name for a while.

By name, not by address: addresses are cheap. It holds for unknown names too, so that being
blocked tells nothing. Sessions and keys that exist are not asked for a password and go on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from math import ceil

from antiphon.domain.errors import RateLimited
from antiphon.ports.attempts import Attempts


class LoginGuard:
    """Lets attempts at one name through one after another, so that a hundred at once count as a hundred."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts
        self._gates: dict[str, tuple[asyncio.Lock, int]] = {}

    @contextlib.asynccontextmanager
    async def attempt(self, name: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Give what to call when the password was wrong; raises RateLimited if the name is closed."""
        async with self._gate(name):
            seconds = await self._attempts.blocked_seconds(name)
            if seconds > 0:
                raise RateLimited(
                    "Too many wrong passwords under this name.", retry_after_seconds=ceil(seconds)
                )
            yield lambda: self._attempts.failed(name)

    @contextlib.asynccontextmanager
    async def _gate(self, name: str) -> AsyncIterator[None]:
        lock, users = self._gates.get(name, (asyncio.Lock(), 0))
        self._gates[name] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._gates.pop(name)
            if users > 1:
                self._gates[name] = (lock, users - 1)
