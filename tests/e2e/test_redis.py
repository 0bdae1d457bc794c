"""Two servers on one PostgreSQL with a Redis that is shared, killed, paused and emptied while they work.

Losing Redis costs speed: no answer, no limit and no revocation.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.events import bare, events_of, require_gapless, require_terminal, text_of
from tests.e2e.server_process import NewServer, ServerProcess, eventually
from tests.e2e.test_several_servers import MODEL, TOKENS, rows, run_id, start
from tests.e2e.wire import Exchange, begin, call, get, until
from tests.harness.people import PASSWORD, SECRET_KEY
from tests.harness.tokens import expected_text
from tests.harness.upstream import Upstream
from tests.redis_server import RedisServer, running_redis

OPERATOR = "op-0f6b7a4c6f8d3e2a1c9f7b5d3e1a2c4b6d8f"
AS_OPERATOR = {"authorization": f"Bearer {OPERATOR}"}
CLOSED = {"AUTH_REQUIRED": "true", "SECRET_KEY": SECRET_KEY, "API_KEY": OPERATOR}
LIMITED = "openai/n3"
LIMIT = 20
RECOVERY_SECONDS = 5.0
STREAMS = 40


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with running_redis(tmp_path / "redis") as server:
        yield server


async def started(
    new_server: NewServer, directory: Path, redis: RedisServer, **settings: str
) -> list[ServerProcess]:
    """Two servers on the directory's database and a Redis, each of which has heard of the other."""
    given = {"REDIS_URL": redis.url, "REDIS_TIMEOUT_SECONDS": "0.5", **settings}
    servers = await asyncio.to_thread(start, new_server, directory, 2, **given)

    def leases() -> dict[str, int]:
        return dict(rows(directory, "SELECT id,expires FROM workers"))

    await until(lambda: len(leases()) == 2, "the leases of both")
    before = leases()
    await until(lambda: all(before[one] != expires for one, expires in leases().items()), "the next ones")
    return servers


async def ask(server: ServerProcess, model: str, text: str, **headers: str) -> Exchange:
    """One answer."""
    body = {"model": model, "input": text}
    return await call(server.port, "POST", "/v1/responses", body, AS_OPERATOR | headers)


async def passed(servers: list[ServerProcess], count: int) -> int:
    """How many of so many requests under the limit were answered; the others were told to wait."""
    answers = await asyncio.gather(*(ask(servers[n % 2], LIMITED, f"stream=l{n}") for n in range(count)))
    found = Counter(one.status for one in answers)
    assert found.keys() <= {200, 429}, found
    return found[200]


async def sees_redis(server: ServerProcess) -> bool:
    """What the health check tells of Redis."""
    return bool((await get(server.port, "/health"))["redis_healthy"])


async def see(servers: list[ServerProcess], up: bool, seconds: float) -> None:
    """Wait until all servers know how Redis does."""

    async def all_of_them() -> bool:
        return all([await sees_redis(server) is up for server in servers])

    await until(all_of_them, f"Redis is {'back' if up else 'away'} everywhere", seconds=seconds)


async def test_of_two_hundred_at_two_servers_the_ten_that_are_left_in_this_minute_pass(
    new_server: NewServer, upstream: Upstream, tmp_path: Path, redis: RedisServer
) -> None:
    servers = await started(new_server, tmp_path, redis, DEFAULT_LIMITS="requests/minute=30")
    for number in range(20):
        assert (await ask(servers[number % 2], LIMITED, "stream=first")).status == 200
    upstream.reset()
    answers = await asyncio.gather(
        *(ask(servers[n % 2], "openai/paced-n20-i10", f"stream=q{n}") for n in range(200))
    )
    assert Counter(one.status for one in answers) == {200: 10, 429: 190}
    assert upstream.stats()["calls"] == 10
    for one in answers:
        assert one.headers["x-ratelimit-limit-requests"] == "30"
        if one.status == 429:
            assert 1 <= int(one.headers["retry-after"]) <= 60
    assert Counter(
        int(one.headers["x-ratelimit-remaining-requests"]) for one in answers if one.status == 200
    ) == (Counter(range(10)))


async def test_an_answer_that_one_server_keeps_is_a_hit_at_the_other_until_it_is_purged(
    new_server: NewServer, upstream: Upstream, tmp_path: Path, redis: RedisServer
) -> None:
    one, two = await started(new_server, tmp_path, redis, RESPONSE_CACHE="user")
    upstream.reset()

    async def asked(server: ServerProcess) -> tuple[str, str]:
        answer = await ask(server, "openai/n20-hash", "stream=same")
        return answer.json()["output"][0]["content"][0]["text"], answer.headers["x-antiphon-cache"]

    text, first = await asked(one)
    assert (first, await asked(two), upstream.stats()["calls"]) == ("miss", (text, "hit"), 1)
    keys = redis.client().keys("*")
    assert keys and all(key.startswith(b"antiphon:") or key == b"admin:credentials" for key in keys)
    shown = await ask(two, "openai/n20-hash", "stream=other")
    gone = await call(one.port, "DELETE", f"/v1/responses/{shown.json()['id']}?purge=true", None, AS_OPERATOR)
    assert gone.status == 200
    assert (await asked(two))[1] == "miss", "what tells of the account is gone everywhere"
    assert not redis.client().keys("*{cache}:e:*")


async def test_a_dead_redis_at_the_start_is_told_and_found_when_it_comes(
    new_server: NewServer, tmp_path: Path, redis: RedisServer
) -> None:
    redis.kill()
    servers = await started(new_server, tmp_path, redis, DEFAULT_LIMITS="requests/minute=10")
    for server in servers:
        assert "Redis cannot be reached" in server.log and not await sees_redis(server)
        assert (await get(server.port, "/health"))["status"] == "degraded"
    assert await passed(servers, 60) == 10, "five at each"
    redis.start()
    await see(servers, up=True, seconds=RECOVERY_SECONDS)
    assert await passed(servers, 20) == 0


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://:wrong@127.0.0.1:{port}", "refuses the name or password"),
        ("redis+cluster://:right@127.0.0.1:{port}", "none of a cluster"),
        ("redis+sentinel://127.0.0.1:{port}", "names no service"),
        ("https://x.example.org", "REST address"),
    ],
)
def test_a_redis_that_never_will_serve_is_refused_with_a_sentence(
    new_server: NewServer, tmp_path: Path, url: str, told: str
) -> None:
    with running_redis(tmp_path / "own", "--requirepass", "right") as redis:
        server = new_server(REDIS_URL=url.format(port=redis.port))
        server.launch()
        assert server.wait(30) not in (0, -9)
        assert told in server.log and "Traceback" not in server.log
        assert "wrong" not in server.log and ":right" not in server.log


async def make_key(server: ServerProcess) -> dict[str, Any]:
    """An API key of the operator's."""
    made = await call(server.port, "POST", "/v1/api_keys", {"name": "x"}, AS_OPERATOR)
    assert made.status == 201, made.body
    found: dict[str, Any] = made.json()
    return found


async def refused(server: ServerProcess, key: str) -> bool:
    """Whether a key opens nothing any more."""
    answer = await call(server.port, "GET", "/v1/models", None, {"authorization": f"Bearer {key}"})
    return answer.status == 401


async def require_teamwork(servers: list[ServerProcess], name: str) -> None:
    """What one server generates is taken up and stopped at the other, in time."""
    one, two = servers
    began = time.monotonic()
    body = {
        "model": "openai/paced-n600-i20-hash",
        "input": f"stream={name}",
        "stream": True,
        "background": True,
    }
    made = await begin(one.port, "POST", "/v1/responses", body, AS_OPERATOR)
    identifier = await run_id(made)
    await until(lambda: len(events_of(made.body)) > 10, "some of the answer")
    path = f"/v1/responses/{identifier}"
    resumed = await begin(two.port, "GET", f"{path}?stream=true&starting_after=4", None, AS_OPERATOR)
    await until(lambda: len(events_of(resumed.body)) > 10, "the rest of it, elsewhere")
    stopped = await call(two.port, "POST", f"{path}/cancel", None, AS_OPERATOR)
    assert stopped.status == 200
    await made.end()
    await resumed.end()
    assert time.monotonic() - began < RECOVERY_SECONDS
    assert require_terminal(made.body).data["response"]["status"] == "cancelled"
    assert bare(made.body).endswith(bare(resumed.body))


async def stream_of(server: ServerProcess, name: str) -> Exchange:
    """Begin a streamed answer."""
    body = {"model": MODEL, "stream": True, "input": f"stream={name}"}
    return await begin(server.port, "POST", "/v1/responses", body, AS_OPERATOR)


HURT = {
    "killed": RedisServer.kill,
    "paused": RedisServer.pause,
    "emptied": lambda one: one.client().flushall(),
}
MEND = {"killed": RedisServer.start, "paused": RedisServer.resume, "emptied": lambda one: one}


@pytest.mark.parametrize("how", HURT)
async def test_without_redis_nothing_is_lost_no_limit_opens_and_revoked_stays_revoked(
    new_server: NewServer, upstream: Upstream, tmp_path: Path, redis: RedisServer, how: str
) -> None:
    limits = f"requests/minute@{LIMITED}={LIMIT}"
    servers = await started(new_server, tmp_path, redis, DEFAULT_LIMITS=limits, **CLOSED)
    key = await make_key(servers[0])
    assert not await refused(servers[1], key["key"])
    let_through = await passed(servers, 8)
    assert let_through == 8
    names = [f"r{number}" for number in range(STREAMS)]
    streams = [await stream_of(servers[n % 2], name) for n, name in enumerate(names)]
    HURT[how](redis)
    let_through += await passed(servers, 60)
    assert LIMIT / 2 < let_through <= LIMIT, "it is shared, and never open"
    gone = await call(servers[0].port, "DELETE", f"/v1/api_keys/{key['id']}", None, AS_OPERATOR)
    assert gone.status == 200
    for server in servers:
        await until(
            lambda server=server: refused(server, key["key"]), "the key's end", seconds=RECOVERY_SECONDS
        )
    if how != "emptied":
        await see(servers, up=False, seconds=RECOVERY_SECONDS)
        await require_teamwork(servers, "meanwhile")
    MEND[how](redis)
    await see(servers, up=True, seconds=RECOVERY_SECONDS)
    await require_teamwork(servers, "afterwards")
    let_through += await passed(servers, 60)
    assert let_through <= LIMIT, "what passed without it is known to it"
    for name, stream in zip(names, streams, strict=True):
        await stream.end()
        events = events_of(stream.body)
        require_gapless(events)
        assert text_of(events) == expected_text(name, TOKENS)
    assert all([await refused(server, key["key"]) for server in servers])


# --- the administrator of ChatGroq's guide


def log_in(server: ServerProcess, name: str, password: str) -> int:
    """Log in as the guide does; returns the status."""

    async def go() -> int:
        body = {"username": name, "password": password}
        return (await call(server.port, "POST", "/admin/login", body)).status

    return asyncio.run(go())


def test_deleting_the_key_resets_the_administrator_and_emptying_redis_does_not(
    new_server: NewServer, redis: RedisServer
) -> None:
    settings = {**CLOSED, "DEFAULT_ADMIN_PASSWORD": PASSWORD, "DRAIN_SECONDS": "0"}
    server = new_server(REDIS_URL=redis.url, **settings)
    client = redis.client()

    def again() -> None:
        server.stop()
        server.start()

    server.start()
    assert log_in(server, "admin", PASSWORD) == 200
    assert PASSWORD.encode() not in (client.get("admin:credentials") or b"")

    async def change() -> None:
        token = (
            await call(server.port, "POST", "/admin/login", {"username": "admin", "password": PASSWORD})
        ).json()
        new = {"new_username": "newadmin", "new_password": f"{PASSWORD} 2"}
        headers = {"authorization": f"Bearer {token['access_token']}"}
        assert (await call(server.port, "POST", "/admin/change-credentials", new, headers)).status == 200

    asyncio.run(change())
    for harm in (lambda: None, client.flushall, redis.kill, redis.start):
        harm()
        again()
        assert (log_in(server, "newadmin", f"{PASSWORD} 2"), log_in(server, "admin", PASSWORD)) == (200, 401)
    assert client.delete("admin:credentials") == 1
    again()
    assert (log_in(server, "admin", PASSWORD), log_in(server, "newadmin", f"{PASSWORD} 2")) == (200, 401)
    assert "was reset" in server.log
    eventually(lambda: client.exists("admin:credentials"), "the key, written again")
