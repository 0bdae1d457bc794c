"""Port `Cache`: what every adapter promises."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from antiphon.ports.cache import Cache
from antiphon.storage.memory.cache import ENTRY_BYTES, NAME_BYTES, InProcessCache
from tests.contracts.adapters import CACHES

ROOM = 256 * 1024


class Time:
    """A clock that goes on when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def now_us(self) -> int:
        return int(self.now * 1e6)

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(params=CACHES)
async def cache(request: pytest.FixtureRequest, time: Time) -> AsyncIterator[Cache]:
    async with CACHES[request.param](ROOM, time) as opened:
        yield opened


async def test_it_gives_back_what_was_put_last_byte_for_byte(cache: Cache) -> None:
    values = [b"", b"\x00\r\n\xff", bytes(range(256)) * 8]
    for number, value in enumerate(values):
        await cache.put(b"k%d" % number, value, seconds=60)
    assert [await cache.get(b"k%d" % number) for number in range(len(values))] == values
    await cache.put(b"k0", b"other", seconds=60)
    assert await cache.get(b"k0") == b"other"
    assert await cache.get(b"absent") is None


async def test_keys_are_told_apart_by_every_byte(cache: Cache) -> None:
    keys = [b"a" * 31 + bytes([last]) for last in range(256)] + [b"a", b"aa", b"a\x00"]
    for key in keys:
        await cache.put(key, b"of " + key, seconds=60)
    assert [await cache.get(key) for key in keys] == [b"of " + key for key in keys]


async def test_a_value_is_gone_when_its_time_is_over(cache: Cache, time: Time) -> None:
    await cache.put(b"short", b"1", seconds=10)
    await cache.put(b"long", b"2", seconds=20)
    time.now += 9.9
    assert await cache.get(b"short") == b"1"
    time.now += 0.1
    assert await cache.get(b"short") is None
    assert await cache.get(b"long") == b"2"
    await cache.put(b"long", b"3", seconds=20)
    time.now += 15
    assert await cache.get(b"long") == b"3", "put again, it begins anew"


async def test_what_is_deleted_is_gone_and_may_be_deleted_again(cache: Cache) -> None:
    await cache.put(b"k", b"v", seconds=60)
    await cache.delete(b"k")
    await cache.delete(b"k")
    assert await cache.get(b"k") is None


async def test_what_tells_of_somebody_is_forgotten_together_and_nothing_else(cache: Cache) -> None:
    for key, of in ((b"1", ("ada",)), (b"2", ("ada", "bob")), (b"3", ("bob",)), (b"4", ())):
        await cache.put(key, b"v", seconds=60, of=of)
    await cache.put(b"5", b"hers", seconds=60, of=("ada",))
    await cache.put(b"5", b"his", seconds=60, of=("bob",))
    await cache.forget("ada")
    await cache.forget("ada")
    await cache.forget("nobody")
    assert [await cache.get(b"%d" % n) for n in range(1, 6)] == [None, None, b"v", b"v", b"his"]


async def test_a_value_without_room_is_not_kept_and_hides_no_older_one(cache: Cache) -> None:
    await cache.put(b"k", b"v", seconds=60)
    await cache.put(b"other", b"o", seconds=60)
    await cache.put(b"k", b"x" * (ROOM + 1), seconds=60)
    assert await cache.get(b"k") is None
    assert await cache.get(b"other") == b"o"


async def test_the_least_recently_used_goes_first(cache: Cache) -> None:
    big = b"x" * (ROOM // 4)
    for name in (b"a", b"b", b"c"):
        await cache.put(name, big, seconds=60)
    assert await cache.get(b"a") == big
    await cache.put(b"d", big, seconds=60)
    assert await cache.get(b"b") is None
    assert [await cache.get(name) for name in (b"a", b"c", b"d")] == [big] * 3


async def test_in_process_the_bytes_never_exceed_the_room_and_are_counted_right(time: Time) -> None:
    chance = random.Random(7)
    cache = InProcessCache(ROOM, time)
    for _ in range(5000):
        key = b"%d" % chance.randrange(400)
        of = chance.sample(["a", "b", "c", "d"], chance.randrange(3))
        match chance.randrange(40):
            case 0:
                await cache.forget(chance.choice("abcd"))
            case one if one < 10:
                await cache.delete(key)
            case one if one < 20:
                await cache.get(key)
                time.now += chance.random()
            case _:
                seconds = chance.choice((0.5, 30))
                await cache.put(key, b"x" * chance.randrange(3000), seconds=seconds, of=of)
        entries = cache._entries.items()
        held = sum(len(k) + len(e.value) + ENTRY_BYTES + NAME_BYTES * len(e.of) for k, e in entries)
        assert cache.size_bytes == held <= ROOM
        named = {name: {k for k, e in entries if name in e.of} for name in "abcd"}
        assert cache._telling_of == {name: keys for name, keys in named.items() if keys}
