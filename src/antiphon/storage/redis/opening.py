"""Opens a Redis and what lies in it, and tells one that is away from one that will never serve."""

from __future__ import annotations

import time
from typing import Any, Final

from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from antiphon.domain.errors import Unavailable
from antiphon.domain.redis_address import RedisAddress
from antiphon.ports.attempts import Attempts
from antiphon.ports.clock import Clock
from antiphon.storage.redis.administrator_mirror import RedisAdministratorMirror
from antiphon.storage.redis.attempts import RedisAttempts
from antiphon.storage.redis.cache import RedisCache
from antiphon.storage.redis.connection import connect
from antiphon.storage.redis.limits import RedisRateLimiter
from antiphon.storage.redis.link import LOST, Away, RedisLink

MOST_SAID: Final = 300
OLDEST: Final = 5
"""The release from which scripts may write after asking for the time."""


class OpenRedis:
    """Everything on one Redis; `problem` says why it could not be reached, None if it was."""

    def __init__(
        self, link: RedisLink, clock: Clock, own_attempts: Attempts, cache_bytes: int, problem: str | None
    ) -> None:
        self._link = link
        self.limiter = RedisRateLimiter(link, clock.monotonic)
        self.cache = RedisCache(link, cache_bytes)
        self.attempts = RedisAttempts(link, own_attempts)
        self.mirror = RedisAdministratorMirror(link)
        self.answers = link.answers
        self.close = link.close
        self.problem = problem

    def share(self, servers: int) -> None:
        """Learn how many servers count together."""
        self.limiter.servers = servers


async def open_redis(
    address: RedisAddress, clock: Clock, *, prefix: str, seconds: float, cache_bytes: int,
    own_attempts: Attempts,
) -> OpenRedis:  # fmt: skip
    """Open a Redis, whether it can be reached or not; raises Unavailable if it never will serve."""
    link = RedisLink(connect(address, seconds=seconds), prefix=prefix, seconds=seconds)
    problem = await link.open()
    try:
        if problem is not None:
            _require_patience(problem)
        else:
            _require_fitting(address, await _told(link))
    except BaseException:
        await link.close()
        raise
    return OpenRedis(link, clock, own_attempts, cache_bytes, _said(problem, address) if problem else None)


def _said(problem: BaseException, address: RedisAddress) -> str:
    """Return what an error says, without what nobody may see."""
    text = f"{type(problem).__name__}: {problem}"
    secrets = (address.password, address.sentinel_login.get("password"))
    for secret in filter(None, secrets):
        text = text.replace(secret, "…")
    return text[:MOST_SAID]


def _require_patience(problem: BaseException) -> None:
    """Raise Unavailable for what does not pass by itself."""
    if isinstance(problem, AuthenticationError | NoPermissionError):
        raise Unavailable("REDIS_URL: Redis refuses the name or password.") from None
    if "cluster mode is not enabled" in str(problem).lower():
        raise Unavailable(
            "REDIS_URL says redis+cluster://, but the server there is none of a cluster."
        ) from None
    if isinstance(problem, ResponseError):
        raise Unavailable("REDIS_URL: Redis answers, but refuses the connection or its database.") from None


def _require_fitting(address: RedisAddress, told: dict[str, Any]) -> None:
    """Raise Unavailable for a server that scripts cannot run on, or that is one of several."""
    version = str(told.get("redis_version", ""))
    if version.partition(".")[0].isdigit() and int(version.partition(".")[0]) < OLDEST:
        raise Unavailable(f"REDIS_URL: this is Redis {version}; release {OLDEST} or newer is needed.")
    if address.kind != "cluster" and told.get("cluster_enabled") == 1:
        raise Unavailable(
            "REDIS_URL names one server of a cluster: write redis+cluster:// instead of redis://."
        )


async def _told(link: RedisLink) -> dict[str, Any]:
    """Return what a server tells of itself, nothing where it may not be asked."""
    try:
        found = await link.call("INFO")
    except Away:
        return {}
    return found if isinstance(found, dict) else {}


async def look(address: RedisAddress, *, seconds: float) -> tuple[str, str, str, float]:
    """Return a server's version, its kind, what it throws away and how long it takes to answer, in ms."""
    client = connect(address, seconds=seconds)
    try:
        told = await client.execute_command("INFO")
        _require_fitting(address, told)
        began = time.perf_counter()
        await client.execute_command("PING")
        took = 1000 * (time.perf_counter() - began)
    except LOST as problem:
        _require_patience(problem)
        raise Unavailable(f"Redis cannot be reached ({_said(problem, address)}).") from None
    finally:
        await client.aclose()
    return str(told.get("redis_version", "?")), address.kind, str(told.get("maxmemory_policy", "?")), took
