"""The cache of several servers: the least recently used goes first, by bytes, as in one process.

An entry is a hash with its value, whom it tells of and its end; beside them lie the order of use, the ends
and the sizes of all entries, and for each name the entries that tell of it. All of it lies in one slot
and is changed by scripts only. Redis may throw any of it away: then less is found, or the room is used
less well.

What is to be forgotten while Redis is away is owed: it is dropped when Redis is back, before anything is read
here. And what a name was forgotten with is not put again for a while, since another server may just be
putting it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from typing import Final

from antiphon.storage.redis.link import Away, RedisLink, Script

ENTRY_BYTES: Final = 768
"""What an entry costs beside its key and value: a hash of four, and its places in three tables."""
NAME_BYTES: Final = 256
UNWANTED_SECONDS: Final = 600
"""For so long nothing that tells of a forgotten name is kept: longer than most answers take."""

_SHARED: Final = """
local tag, now = KEYS[1], tonumber(ARGV[1])
if not now then local t = redis.call('TIME'); now = t[1] * 1000 + math.floor(t[2] / 1000) end
local used, ends, sum = tag .. 'used', tag .. 'ends', tag .. 'bytes'
local function drop(key)
  local entry = tag .. 'e:' .. key
  local of = redis.call('HGET', entry, 'of')
  local n = tonumber(redis.call('HGET', tag .. 'sizes', key) or 0)
  redis.call('DEL', entry)
  redis.call('HDEL', tag .. 'sizes', key)
  redis.call('ZREM', used, key)
  redis.call('ZREM', ends, key)
  if n > 0 and redis.call('DECRBY', sum, n) < 0 then redis.call('SET', sum, 0) end
  if of then for name in string.gmatch(of, '[^\\n]+') do redis.call('SREM', tag .. 'n:' .. name, key) end end
end
"""
GET: Final = Script(
    _SHARED
    + """
local entry = tag .. 'e:' .. ARGV[2]
local found = redis.call('HMGET', entry, 'v', 'end')
if not found[1] then return false end
if tonumber(found[2]) <= now then drop(ARGV[2]); return false end
redis.call('ZADD', used, redis.call('INCR', tag .. 'uses'), ARGV[2])
return found[1]
"""
)
PUT: Final = Script(
    _SHARED
    + """
local key, value, ms, room, size = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
drop(key)
if size > room then return 0 end
for i = 7, #ARGV do if redis.call('EXISTS', tag .. 'gone:' .. ARGV[i]) == 1 then return 0 end end
for _, old in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 50)) do drop(old) end
while tonumber(redis.call('GET', sum) or 0) + size > room do
  local oldest = redis.call('ZRANGE', used, 0, 0)[1]
  if not oldest then redis.call('SET', sum, 0); break end
  drop(oldest)
end
redis.call('HSET', tag .. 'e:' .. key, 'v', value, 'end', string.format('%.0f', now + ms),
  'of', table.concat(ARGV, '\\n', 7))
redis.call('PEXPIRE', tag .. 'e:' .. key, ms)
redis.call('HSET', tag .. 'sizes', key, size)
redis.call('INCRBY', sum, size)
redis.call('ZADD', used, redis.call('INCR', tag .. 'uses'), key)
redis.call('ZADD', ends, string.format('%.0f', now + ms), key)
for i = 7, #ARGV do
  local name = tag .. 'n:' .. ARGV[i]
  redis.call('SADD', name, key)
  if redis.call('PTTL', name) < ms then redis.call('PEXPIRE', name, ms) end
end
return 1
"""
)
DELETE: Final = Script(_SHARED + "drop(ARGV[2]); return 1")
FORGET: Final = Script(
    _SHARED
    + """
local name, quiet = ARGV[2], tonumber(ARGV[3])
redis.call('SET', tag .. 'gone:' .. name, 1, 'PX', quiet)
for _, key in ipairs(redis.call('SMEMBERS', tag .. 'n:' .. name)) do drop(key) end
return 1
"""
)


class RedisCache:
    """Port `Cache` of at most `max_bytes`; `now_ms`, if given, stands for Redis' clock."""

    def __init__(self, link: RedisLink, max_bytes: int, *, now_ms: Callable[[], int] | None = None) -> None:
        self._link = link
        self._max_bytes = max_bytes
        self._now_ms = now_ms
        self._tag = f"{link.prefix}{{cache}}:"
        self._owed: dict[str, None] = {}
        link.every_beat(self.settle)

    async def get(self, key: bytes) -> bytes | None:
        """See the port; nothing is found while Redis is away."""
        try:
            await self.settle()
            return await self._run(GET, key)
        except Away:
            return None

    async def put(self, key: bytes, value: bytes, *, seconds: float, of: Collection[str] = ()) -> None:
        """See the port; nothing is kept while Redis is away."""
        names = sorted(set(of))
        size = len(key) + len(value) + ENTRY_BYTES + NAME_BYTES * len(names)
        sent = value if size <= self._max_bytes else b""
        with contextlib.suppress(Away):
            await self._run(PUT, key, sent, max(int(seconds * 1000), 1), self._max_bytes, size, *names)

    async def delete(self, key: bytes) -> None:
        """See the port; raises Away."""
        await self._run(DELETE, key)

    async def forget(self, whom: str) -> None:
        """See the port; raises Away, and does it as soon as Redis is back."""
        self._owed[whom] = None
        await self.settle()

    async def settle(self) -> None:
        """Do what is owed; raises Away."""
        while self._owed:
            whom = next(iter(self._owed))
            await self._run(FORGET, whom, UNWANTED_SECONDS * 1000)
            self._owed.pop(whom, None)

    async def _run(self, script: Script, *words: str | bytes | int) -> bytes | None:
        now = str(self._now_ms()) if self._now_ms is not None else ""
        found: bytes | None = await self._link.run(script, [self._tag], now, *words)
        return found
