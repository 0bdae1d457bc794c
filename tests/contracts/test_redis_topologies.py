"""The adapters on a real cluster of three, and on a pair that Sentinel watches: the same promises."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from antiphon.domain.errors import Unavailable
from antiphon.domain.redis_address import parse_redis_url
from antiphon.ports.limits import Rate
from antiphon.storage.memory.attempts import FAILURES, InProcessAttempts
from antiphon.storage.redis.administrator_mirror import USUAL_PREFIX, RedisAdministratorMirror
from antiphon.storage.redis.attempts import RedisAttempts
from antiphon.storage.redis.cache import RedisCache
from antiphon.storage.redis.limits import RedisRateLimiter
from antiphon.storage.redis.link import RedisLink
from antiphon.storage.redis.opening import look, open_redis
from tests.contracts.adapters import redis_link
from tests.contracts.test_cache_port import Time
from tests.redis_topologies import SERVICE, running_cluster, watched_pair


async def use_everything(link: RedisLink, name: str) -> None:
    """Each adapter does what it promises."""
    limiter = RedisRateLimiter(link, time.monotonic)
    rates = [Rate(f"{name}{number}", 10) for number in range(3)]
    answers = await asyncio.gather(*(limiter.acquire(rates) for _ in range(50)))
    assert sum(all(state.allowed for state in one) for one in answers) == 10
    cache = RedisCache(link, 1 << 20)
    for number in range(20):
        await cache.put(b"%d" % number, b"v%d" % number, seconds=60, of=(name, f"{name}{number % 2}"))
    await cache.forget(f"{name}0")
    found = [await cache.get(b"%d" % number) for number in range(20)]
    assert found == [b"v%d" % number if number % 2 else None for number in range(20)]
    await cache.forget(name)
    attempts = RedisAttempts(link, InProcessAttempts(time.monotonic, names=0))
    for number in range(FAILURES * 5):
        await attempts.failed(f"{name}{number % 5}")
    assert all([await attempts.blocked_seconds(f"{name}{number}") > 800 for number in range(5)])
    mirror = RedisAdministratorMirror(link)
    await mirror.write(name * 32, "admin")
    assert (await mirror.read()).key == name * 32
    assert await link.call("DEL", "admin:credentials") == 1
    assert (await mirror.read()).wants_reset
    assert await link.answers()


async def test_a_cluster_serves_all_of_it_and_its_url_is_needed(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as servers:
        nodes = ",".join(f"127.0.0.1:{server.port}" for server in servers[:2])
        url = f"redis+cluster://{nodes}"
        async with redis_link(USUAL_PREFIX, url=url) as link:
            assert await link.open() is None
            await use_everything(link, "a")
            names = [f"{USUAL_PREFIX}{number}" for number in range(30)]
            await asyncio.gather(*(link.call("SET", name, name) for name in names))
            # At once, and each from the server where it lies.
            assert await asyncio.gather(*(link.call("GET", name) for name in names)) == [
                name.encode() for name in names
            ]
        _, kind, _, _ = await look(parse_redis_url(url), seconds=2)
        assert kind == "cluster"
        with pytest.raises(Unavailable, match="one server of a cluster"):
            await open_redis(
                parse_redis_url(servers[0].url), Time(), prefix="t:", seconds=1, cache_bytes=1,
                own_attempts=InProcessAttempts(time.monotonic),
            )  # fmt: skip
        spread = [len(server.client().keys("*")) for server in servers]
        assert sum(count > 0 for count in spread) > 1, "not all of it lies on one server"


async def test_a_cluster_without_one_of_its_servers_opens_no_limit(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as servers:
        url = f"redis+cluster://127.0.0.1:{servers[0].port}"
        async with redis_link(USUAL_PREFIX, url=url, seconds=0.5) as link:
            assert await link.open() is None
            limiter = RedisRateLimiter(link, time.monotonic)
            rates = [Rate("a", 10)]
            answers = [(await limiter.acquire(rates))[0].allowed for _ in range(4)]
            holders = [server for server in servers if server.client().keys("*{rates}*")]
            holders[0].kill()
            for _ in range(30):
                answers.append((await limiter.acquire(rates))[0].allowed)
            assert sum(answers) == 10


async def test_when_the_master_dies_the_copy_takes_over_and_limits_stay(tmp_path: Path) -> None:
    with watched_pair(tmp_path) as (master, copy, sentinel):
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/{SERVICE}/1"
        async with redis_link(USUAL_PREFIX, url=url, seconds=0.5) as link:
            assert await link.open() is None
            await use_everything(link, "a")
            limiter = RedisRateLimiter(link, time.monotonic)
            rates = [Rate("over", 10)]
            passed = [(await limiter.acquire(rates))[0].allowed for _ in range(6)]
            master.kill()
            passed += [(await limiter.acquire(rates))[0].allowed for _ in range(10)]
            assert sum(passed) == 10
            async with asyncio.timeout(20):
                while not await link.answers():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert copy.client().info("replication")["role"] == "master"
            (state,) = await limiter.states(rates)
            assert state.remaining == 0, "the copy was told what it had not heard"
            await use_everything(link, "b")
            assert copy.client().info("keyspace").keys() == {"db1"}
