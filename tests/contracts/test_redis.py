"""Redis lost, emptied, refusing or shared: limits never open, and nothing of one call reaches another."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from antiphon.domain.errors import Unavailable
from antiphon.domain.redis_address import parse_redis_url
from antiphon.ports.limits import Rate
from antiphon.storage.memory.attempts import FAILURES, InProcessAttempts
from antiphon.storage.redis.administrator_mirror import KEY, USUAL_PREFIX, RedisAdministratorMirror
from antiphon.storage.redis.attempts import RedisAttempts
from antiphon.storage.redis.cache import RedisCache
from antiphon.storage.redis.limits import RedisRateLimiter
from antiphon.storage.redis.link import Away, RedisLink, Refused, Script
from antiphon.storage.redis.opening import look, open_redis
from tests import redis_server
from tests.contracts.adapters import redis_link
from tests.contracts.test_cache_port import Time
from tests.redis_server import RedisServer, running_redis

SECONDS = 1.0
TEN = [Rate("a", 10)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with running_redis(tmp_path / "redis") as running:
        yield running


@pytest.fixture
async def links(server: RedisServer) -> AsyncIterator[list[RedisLink]]:
    """The ways of two servers to it, which are looked after."""
    async with (
        redis_link("t:", url=server.url, seconds=SECONDS) as one,
        redis_link("t:", url=server.url, seconds=SECONDS) as two,
    ):
        for link in (one, two):
            assert await link.open() is None
        yield [one, two]


@pytest.fixture
def limiters(links: list[RedisLink]) -> list[RedisRateLimiter]:
    made = [RedisRateLimiter(link, time.monotonic) for link in links]
    for limiter in made:
        limiter.servers = 2
    return made


async def passed(limiter: RedisRateLimiter, asked: int, rates: list[Rate] = TEN) -> int:
    """How many of so many at once were let through."""
    answers = await asyncio.gather(*(limiter.acquire(rates) for _ in range(asked)))
    return sum(one[0].allowed for one in answers)


async def back(links: list[RedisLink]) -> None:
    """Wait until Redis is back and was told what it does not know."""
    beats: asyncio.Queue[RedisLink] = asyncio.Queue()
    for link in links:

        async def beat(link: RedisLink = link) -> None:
            beats.put_nowait(link)

        link.every_beat(beat)
    waiting = dict.fromkeys(links, 2)
    async with asyncio.timeout(5):
        while any(count > 0 for count in waiting.values()):
            waiting[await beats.get()] -= 1


async def test_of_two_hundred_at_two_servers_the_ten_that_are_left_pass(
    limiters: list[RedisRateLimiter],
) -> None:
    one, two = limiters
    found = await asyncio.gather(passed(one, 100), passed(two, 100))
    assert sum(found) == 10
    (state,) = await one.states(TEN)
    assert state.remaining == 0 and 55 < state.free_seconds <= 60


async def test_an_emptied_redis_is_told_again_what_passed(
    server: RedisServer, links: list[RedisLink], limiters: list[RedisRateLimiter]
) -> None:
    one, two = limiters
    assert (await passed(one, 4), await passed(two, 3)) == (4, 3)
    for _ in range(2):
        server.client().flushall()
        await back(links)
        assert (await one.states(TEN))[0].remaining == 3
    server.client().flushall()
    assert await passed(one, 50) == 3, "who is first waits until the other has told what passed there"
    server.client().flushall()
    assert await passed(two, 50) == 0


@pytest.mark.parametrize("how", ["killed", "paused"])
async def test_while_it_is_away_each_server_lets_its_share_through_and_says_so_when_it_is_back(
    server: RedisServer, links: list[RedisLink], limiters: list[RedisRateLimiter], how: str
) -> None:
    one, two = limiters
    assert await passed(one, 2) == 2
    server.kill() if how == "killed" else server.pause()
    began = time.monotonic()
    assert await passed(one, 50) == 3, "five is its share, two of it are gone"
    assert await passed(two, 50) == 5
    assert time.monotonic() - began < 4 * SECONDS, "nobody waits twice"
    for link in links:
        assert not await link.answers()
    server.start() if how == "killed" else server.resume()
    await back(links)
    assert (await one.states(TEN))[0].remaining == 0
    assert await passed(one, 50) + await passed(two, 50) == 0


async def test_a_share_is_never_nothing_nor_more_than_all(
    server: RedisServer, limiters: list[RedisRateLimiter]
) -> None:
    server.kill()
    one, _ = limiters
    assert await passed(one, 5, [Rate("b", 1)]) == 1
    assert await passed(one, 5, [Rate("c", 0)]) == 0
    one.servers = 0
    assert await passed(one, 50, [Rate("d", 10)]) == 10
    first, second = await one.acquire([Rate("c", 0), Rate("e", 10)])
    assert not first.allowed and second.allowed and second.remaining == 10, "all are taken or none"


async def test_a_counter_of_another_kind_opens_nothing(
    server: RedisServer, limiters: list[RedisRateLimiter]
) -> None:
    server.client().set("t:{rates}:a", "nonsense")
    assert await passed(limiters[0], 50) == 5
    assert await passed(limiters[0], 50, [Rate("b", 10)]) == 10, "others are counted in Redis all the same"


async def test_what_a_server_remembers_is_let_go_after_a_minute(links: list[RedisLink]) -> None:
    clock = Time()
    limiter = RedisRateLimiter(links[0], clock.monotonic)
    for number in range(300):
        clock.now += 1
        await limiter.acquire([Rate(f"c{number}", 10, cost=2)])
    assert len(limiter._own.counters()) <= 61
    clock.now += 61
    await limiter.acquire([Rate("last", 10)])
    await limiter.acquire([Rate("last", 10)])
    assert len(limiter._own.counters()) <= 61
    told = list(limiter._told())
    assert [(counter, len(words) // 2) for counter, words in told] == [("last", 2)]


async def test_attempts_at_two_servers_are_added_up_and_counted_by_each_without_redis(
    server: RedisServer, links: list[RedisLink]
) -> None:
    one, two = (RedisAttempts(link, InProcessAttempts(time.monotonic)) for link in links)
    for number in range(FAILURES):
        assert await two.blocked_seconds("ada") == 0
        await (one if number % 2 else two).failed("ada")
    assert await one.blocked_seconds("ada") > 890
    server.kill()
    assert await one.blocked_seconds("ada") == 0
    for _ in range(FAILURES // 2):
        await one.failed("ada")
    assert await one.blocked_seconds("ada") > 890
    assert not [key for key in server.start().client().scan_iter() if b"ada" in key]


async def test_what_is_purged_while_redis_is_away_goes_before_anything_is_read(
    server: RedisServer, links: list[RedisLink]
) -> None:
    one, two = (RedisCache(link, 1 << 20) for link in links)
    await one.put(b"k", b"hers", seconds=60, of=("ada",))
    await one.put(b"other", b"his", seconds=60, of=("bob",))
    assert await two.get(b"k") == b"hers"
    server.pause()
    with pytest.raises(Away):
        await one.forget("ada")
    assert await one.get(b"other") is None, "no answer is no hit"
    await one.put(b"lost", b"x", seconds=60)
    server.resume()
    await back(links)
    assert (await two.get(b"k"), await two.get(b"other")) == (None, b"his")
    assert not [key for key in server.client().scan_iter() if key.endswith(b"e:k")]


async def test_what_another_server_is_just_keeping_is_not_kept_after_a_purge(links: list[RedisLink]) -> None:
    one, two = (RedisCache(link, 1 << 20) for link in links)
    await one.forget("ada")
    await two.put(b"k", b"late", seconds=60, of=("ada", "bob"))
    assert await one.get(b"k") is None


async def test_its_tables_are_true_and_bounded_whatever_is_done(
    server: RedisServer, links: list[RedisLink]
) -> None:
    chance, clock, room = random.Random(7), Time(), 20_000
    cache = RedisCache(links[0], room, now_ms=lambda: int(clock.now * 1000))
    client, tag = server.client(), b"t:{cache}:"
    for number in range(2000):
        key = b"%d" % chance.randrange(60)
        match chance.randrange(20):
            case 0:
                await cache.delete(key)
            case one if one < 8:
                await cache.get(key)
                clock.now += chance.random()
            case _:
                of = chance.sample(["a", "b", "c"], chance.randrange(3))
                seconds = chance.choice((0.5, 30))
                await cache.put(key, b"x" * chance.randrange(3000), seconds=seconds, of=of)
        if number % 50:
            continue
        sizes = {key: int(size) for key, size in client.hgetall(tag + b"sizes").items()}
        assert sum(sizes.values()) == int(client.get(tag + b"bytes") or 0) <= room
        assert (
            set(client.zrange(tag + b"used", 0, -1)) == set(client.zrange(tag + b"ends", 0, -1)) == set(sizes)
        )
    assert all(client.pttl(key) > 0 for key in client.scan_iter(tag + b"[en]:*")), "everything has an end"


@pytest.mark.parametrize("value", [b"", b"nonsense"])
async def test_tables_that_somebody_changed_cost_hits_only(
    server: RedisServer, links: list[RedisLink], value: bytes
) -> None:
    cache = RedisCache(links[0], 1 << 20)
    await cache.put(b"k", b"v", seconds=60, of=("ada",))
    for key in server.client().keys("t:{cache}:*"):
        server.client().set(key, value)
    assert await cache.get(b"k") is None
    await cache.put(b"k", b"v", seconds=60)
    server.client().flushall()
    await cache.put(b"k", b"v", seconds=60)
    assert await cache.get(b"k") == b"v"


async def test_calls_that_are_abandoned_never_swap_answers(links: list[RedisLink]) -> None:
    """A third of the clients leave at a random moment; whoever stays gets what is theirs."""
    chance = random.Random(11)
    cache = RedisCache(links[0], 1 << 24)
    keys = [b"%d" % number for number in range(200)]
    for key in keys:
        await cache.put(key, b"canary of " + key, seconds=60)

    async def leave(task: asyncio.Task[bytes | None]) -> None:
        await asyncio.sleep(chance.random() * 0.004)
        task.cancel()

    wrong, gone = [], 0
    for _ in range(40):
        tasks = [(key, asyncio.create_task(cache.get(key))) for key in chance.sample(keys, 60)]
        leaving = [asyncio.create_task(leave(task)) for _, task in chance.sample(tasks, 20)]
        found = await asyncio.gather(*(task for _, task in tasks), return_exceptions=True)
        await asyncio.gather(*leaving)
        for (key, _), answer in zip(tasks, found, strict=True):
            if isinstance(answer, asyncio.CancelledError):
                gone += 1
            elif answer != b"canary of " + key:
                wrong.append((key, answer))
    assert wrong == [] and gone > 100
    assert links[0]._room._value == 20, "no connection is left checked out"


async def test_calls_that_come_together_go_together_and_each_hears_its_own(links: list[RedisLink]) -> None:
    """One is refused, one leaves, one runs a script that Redis does not know: the others notice nothing."""
    link = links[0]
    await link.call("SET", "word", "x")
    script = Script("return ARGV[1]")
    before = await _reads(link)
    calls = [asyncio.create_task(link.call("ECHO", str(number))) for number in range(40)]
    refused = asyncio.create_task(link.call("INCR", "word"))
    leaving = asyncio.create_task(link.call("ECHO", "gone"))
    scripted = asyncio.create_task(link.run(script, [], "found"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await asyncio.gather(*calls) == [b"%d" % number for number in range(40)]
    assert await scripted == b"found"
    with pytest.raises(Refused):
        await refused
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await _reads(link) - before < 10
    assert link.is_up


async def _reads(link: RedisLink) -> int:
    """How often Redis has read from a socket."""
    words = await link.call("INFO", "stats")
    return int(words["total_reads_processed"])


# --- the mirror, beside what another server left


async def test_what_chatgroq_put_under_the_key_is_left_until_somebody_deletes_it(server: RedisServer) -> None:
    async with redis_link(USUAL_PREFIX, url=server.url) as link:
        mirror, client = RedisAdministratorMirror(link), server.client()
        for foreign in (b'{"username": "admin", "password_hash": "$2b$12$x"}', b"not JSON", b"[]"):
            client.set(KEY, foreign)
            assert not (await mirror.read()).wants_reset
            await mirror.write("a" * 32, "admin")
            assert client.get(KEY) == foreign
        client.delete(KEY)
        client.hset(KEY, "username", "admin")
        await mirror.write("a" * 32, "admin")
        assert client.type(KEY) == b"hash" and not (await mirror.read()).wants_reset
        client.delete(KEY)
        assert (await mirror.read()).wants_reset
        assert b"a" * 32 in client.get("antiphon:{admin:credentials}:mark")


async def test_a_redis_that_throws_keys_away_resets_nobody(server: RedisServer) -> None:
    async with redis_link(USUAL_PREFIX, url=server.url) as link:
        mirror = RedisAdministratorMirror(link)
        await mirror.write("a" * 32, "admin")
        server.client().delete(KEY)
        server.client().config_set("maxmemory-policy", "allkeys-lru")
        assert not (await mirror.read()).wants_reset
        server.client().config_set("maxmemory-policy", "volatile-lru")
        assert (await mirror.read()).wants_reset
        server.kill()
        assert not (await mirror.read()).wants_reset, "one that is away has lost nothing"
        await mirror.write("b" * 32, "admin")


# --- opening


async def opened(url: str) -> str | None:
    """Open and close it; returns why it could not be reached."""
    address = parse_redis_url(url)
    found = await open_redis(
        address, Time(), prefix="t:", seconds=5, cache_bytes=1, own_attempts=InProcessAttempts(time.monotonic)
    )
    await found.close()
    return found.problem


async def test_a_redis_that_is_away_is_waited_for_and_one_that_refuses_is_not(tmp_path: Path) -> None:
    with running_redis(tmp_path, "--requirepass", "right", "--databases", "2") as server:
        where = f"127.0.0.1:{server.port}"
        assert await opened(f"redis://:right@{where}/1") is None
        for login in ("", ":wrong@", "someone:right@"):
            with pytest.raises(Unavailable, match="refuses the name or password"):
                await opened(f"redis://{login}{where}")
        with pytest.raises(Unavailable, match="database"):
            await opened(f"redis://:right@{where}/7")
        with pytest.raises(Unavailable, match="none of a cluster"):
            await opened(f"redis+cluster://:right@{where}")
        version, kind, policy, took = await look(parse_redis_url(f"redis://:right@{where}"), seconds=1)
        assert version.startswith("6.") and (kind, policy) == ("single", "noeviction") and 0 < took < 1000
    problem = await opened(f"redis://:hunter2@{where}")
    assert problem is not None and "ConnectionError" in problem and "hunter2" not in problem
    with pytest.raises(Unavailable, match="cannot be reached"):
        await look(parse_redis_url(f"redis://{where}"), seconds=1)


async def test_a_socket_is_an_address_too(tmp_path: Path) -> None:
    path = redis_server.socket_path()
    with running_redis(tmp_path, "--unixsocket", path):
        assert await opened(f"unix://{path}?db=1") is None
