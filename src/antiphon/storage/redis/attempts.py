"""Wrong logins at all servers: the times of the last few by name, as hashes, in Redis.

Each server counts its own besides, and goes by them alone while Redis is away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from antiphon.ports.attempts import Attempts
from antiphon.storage.redis.link import Away, RedisLink, Script

FAILURES: Final = 10
WINDOW_SECONDS: Final = 900

_NOW: Final = """
local now = tonumber(ARGV[1])
if not now then local t = redis.call('TIME'); now = t[1] * 1000000 + t[2] end
"""
LOOK: Final = Script(
    _NOW
    + """
if redis.call('LLEN', KEYS[1]) < tonumber(ARGV[2]) then return 0 end
return math.max(tonumber(redis.call('LINDEX', KEYS[1], 0)) + tonumber(ARGV[3]) - now, 0)
"""
)
"""now or '', failures that are too many, the window in microseconds; returns microseconds."""
FAIL: Final = Script(
    _NOW
    + """
redis.call('RPUSH', KEYS[1], string.format('%.0f', now))
redis.call('LTRIM', KEYS[1], -tonumber(ARGV[2]), -1)
return redis.call('PEXPIRE', KEYS[1], math.floor(tonumber(ARGV[3]) / 1000))
"""
)


class RedisAttempts:
    """Port `Attempts`; `own` counts what this server saw. `now_us`, if given, stands for Redis' clock."""

    def __init__(self, link: RedisLink, own: Attempts, *, now_us: Callable[[], int] | None = None) -> None:
        self._link = link
        self._own = own
        self._now_us = now_us

    async def blocked_seconds(self, name: str) -> float:
        """See the port."""
        own = await self._own.blocked_seconds(name)
        try:
            return max(own, int(await self._run(LOOK, name)) / 1_000_000)
        except Away:
            return own

    async def failed(self, name: str) -> None:
        """See the port."""
        await self._own.failed(name)
        try:
            await self._run(FAIL, name)
        except Away:
            return

    async def _run(self, script: Script, name: str) -> int:
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        now = str(self._now_us()) if self._now_us is not None else ""
        key = f"{self._link.prefix}attempts:{digest}"
        found: int = await self._link.run(script, [key], now, FAILURES, WINDOW_SECONDS * 1_000_000)
        return found
