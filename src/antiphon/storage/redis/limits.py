"""The rate limiter of several servers: moving minutes in Redis, by its clock.

A counter is a sorted set with a member for each request of the last minute. Who counts makes the
members' names, so that telling Redis of one again changes nothing; and every server remembers what it
let through itself. That is what makes losing Redis harmless: while it is away a server counts by
itself, at the limit divided by the servers, and when it is back, or was emptied, it is told again.
`generation` is how an emptied Redis is noticed, and who asks one waits until all servers have told it
theirs. All keys lie in one slot, so that one script can take
from several counters, or from none.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice
from typing import Any, Final

from antiphon.ports.limits import Rate, RateState
from antiphon.storage.minute_counts import MINUTE_SECONDS, MinuteCounts
from antiphon.storage.redis.link import BEAT_SECONDS, Away, RedisLink, Refused, Script

TOLD_AT_ONCE: Final = 500
SETTLING_SECONDS: Final = 2 * BEAT_SECONDS
"""So long after it was emptied Redis is not asked: by then each server has told it what passed there."""
PATIENCE_SECONDS: Final = 3.0

_NOW: Final = """
local now = tonumber(ARGV[1])
if not now then local t = redis.call('TIME'); now = t[1] * 1000000 + t[2] end
local generation = redis.call('GET', KEYS[1])
if not generation then generation = ARGV[2] .. '@' .. string.format('%.0f', now) end
redis.call('SET', KEYS[1], generation, 'PX', 120000)
"""
TAKE: Final = Script(
    _NOW
    + """
if generation ~= ARGV[3] then return {generation} end
local member, all = ARGV[4], 1
local ready = tonumber(string.match(generation, '@(%d+)$')) + tonumber(ARGV[5])
if member ~= '' and now < ready then return {generation, ready - now} end
local used, answer = {}, {generation}
for i = 2, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', string.format('%.0f', now - 60000000))
  used[i] = redis.call('ZCARD', KEYS[i])
  if used[i] + tonumber(ARGV[2*i+3]) > tonumber(ARGV[2*i+2]) then all = 0 end
end
for i = 2, #KEYS do
  local cost = tonumber(ARGV[2*i+3])
  if all == 1 and member ~= '' then
    for c = 1, cost do redis.call('ZADD', KEYS[i], string.format('%.0f', now), member .. ':' .. c) end
    if cost > 0 then redis.call('PEXPIRE', KEYS[i], 60000) end
  end
  local oldest = redis.call('ZRANGE', KEYS[i], 0, 0, 'WITHSCORES')[2]
  answer[#answer + 1] = used[i]
  answer[#answer + 1] = oldest and math.max(tonumber(oldest) + 60000000 - now, 0) or 0
end
return answer
"""
)
"""now or '', a new generation's name, the known one, members' name or '', the microseconds for which one that
was emptied is not asked, then amount and cost by counter."""

TELL: Final = Script(
    _NOW
    + """
for i = 3, #ARGV, 2 do
  redis.call('ZADD', KEYS[2], 'NX', string.format('%.0f', now - tonumber(ARGV[i])), ARGV[i + 1])
end
if #ARGV > 2 then redis.call('PEXPIRE', KEYS[2], 60000) end
return generation
"""
)
"""now or '', a new generation's name, then age in microseconds and name of each member."""


class RedisRateLimiter:
    """Port `RateLimiter`; `servers` is how many count together, as far as is known.

    `monotonic` tells seconds for this server's own counts; `now_us`, if given, stands for Redis' clock.
    """

    def __init__(
        self, link: RedisLink, monotonic: Callable[[], float], *, now_us: Callable[[], int] | None = None,
        settling_seconds: float = SETTLING_SECONDS,
    ) -> None:  # fmt: skip
        self._link = link
        self._monotonic = monotonic
        self._own = MinuteCounts(monotonic)
        self._now_us = now_us
        self._settling_us = int(settling_seconds * 1_000_000)
        self._name = secrets.token_hex(6)
        self._numbers = count(1)
        self._generation = ""
        self._is_untold = False
        self._telling = asyncio.Lock()
        self._born = f"{link.prefix}{{rates}}:generation"
        self.servers = 1
        link.every_beat(self.beat)

    async def acquire(self, rates: Sequence[Rate]) -> list[RateState]:
        """See the port."""
        member = self._fresh()
        try:
            states = await self._ask(rates, member)
        except Away as why:
            self._missed(why)
            states = [self._own_state(rate) for rate in rates]
        if not all(state.allowed for state in states):
            return states
        for rate in rates:
            self._own.note(rate.counter, rate.cost, member)
        return [
            RateState(True, state.remaining - rate.cost, state.free_seconds or MINUTE_SECONDS)
            for rate, state in zip(rates, states, strict=True)
        ]

    async def states(self, rates: Sequence[Rate]) -> list[RateState]:
        """See the port."""
        try:
            return await self._ask(rates, "")
        except Away:
            return [self._own_state(rate) for rate in rates]

    async def beat(self) -> None:
        """Notice that Redis was emptied or refused something, and tell it what this server let through."""
        if self._is_untold:
            self._generation, self._is_untold = "", False
        try:
            await self._ask((), "")
        except Away as why:
            self._missed(why)
            raise

    def _missed(self, why: Away) -> None:
        """Tell Redis anew what passed here: when it is back, or, if it only refused, at the next beat."""
        if isinstance(why, Refused):
            self._is_untold = True
        else:
            self._generation = ""

    def _own_state(self, rate: Rate) -> RateState:
        """Return how a rate stands for this server alone: nobody's share is nothing, nor the whole."""
        if rate.amount < 1:
            return RateState(rate.cost < 1, 0, MINUTE_SECONDS)
        share = max(rate.amount // max(self.servers, 1), 1)
        return self._own.state(rate.counter, share, rate.cost)

    async def _ask(self, rates: Sequence[Rate], member: str) -> list[RateState]:
        keys = [self._born, *(self._key(rate.counter) for rate in rates)]
        amounts = [word for rate in rates for word in (rate.amount, rate.cost)]
        patience = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while asyncio.get_running_loop().time() < patience:
            known = self._generation
            generation, *found = await self._link.run(
                TAKE, keys, self._now, self._fresh(), known, member, self._settling_us, *amounts
            )
            if len(found) == 1:
                await asyncio.sleep(found[0] / 1_000_000)
            elif generation.decode() != known:
                await self._tell(generation.decode())
            else:
                return [
                    _state(rate, used, free)
                    for rate, used, free in zip(rates, found[::2], found[1::2], strict=True)
                ]
        raise Away("Redis is emptied again and again")

    async def _tell(self, generation: str) -> None:
        """Tell a Redis that knows nothing of it what this server let through; raises Away."""
        async with self._telling:
            if self._generation == generation:
                return
            for counter, words in self._told():
                keys = [self._born, self._key(counter)]
                with contextlib.suppress(Refused):
                    await self._link.run(TELL, keys, self._now, self._fresh(), *words)
            self._generation = generation

    def _told(self) -> Iterator[tuple[str, list[str | int]]]:
        """Yield counters with the ages and names of some of their members, until all were named."""
        for counter in self._own.counters():
            members = (
                (at, f"{name}:{number}")
                for at, name, cost in self._own.hits(counter)
                for number in range(1, cost + 1)
            )
            while some := list(islice(members, TOLD_AT_ONCE)):
                words: list[str | int] = []
                for at, member in some:
                    words += (max(int((self._monotonic() - at) * 1_000_000), 0), member)
                yield counter, words

    def _fresh(self) -> str:
        """Return a name that nobody else gives."""
        return f"{self._name}{next(self._numbers):x}"

    def _key(self, counter: str) -> str:
        return f"{self._link.prefix}{{rates}}:{counter}"

    @property
    def _now(self) -> str:
        return str(self._now_us()) if self._now_us is not None else ""


def _state(rate: Rate, used: Any, free_us: Any) -> RateState:
    if rate.amount < 1:
        return RateState(rate.cost < 1, 0, MINUTE_SECONDS)
    left = max(rate.amount - used, 0)
    return RateState(rate.cost <= left, left, free_us / 1_000_000 if left < rate.amount else 0.0)
