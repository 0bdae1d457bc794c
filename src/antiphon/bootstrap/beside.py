"""What is kept beside the store: in this process, or in Redis where REDIS_URL names one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import IO

import msgspec
import structlog

from antiphon.domain.errors import Unavailable
from antiphon.domain.redis_address import RedisAddress, parse_redis_url
from antiphon.ports.administrator_mirror import AdministratorMirror
from antiphon.ports.attempts import Attempts
from antiphon.ports.cache import Cache
from antiphon.ports.clock import Clock
from antiphon.ports.limits import RateLimiter
from antiphon.settings import Settings
from antiphon.storage.administrator_mirror import FileAdministratorMirror
from antiphon.storage.memory.attempts import InProcessAttempts
from antiphon.storage.memory.cache import InProcessCache
from antiphon.storage.memory.limits import MemoryRateLimiter

log = structlog.get_logger(__name__)

MEGABYTE = 1024 * 1024
PATIENCE_SECONDS = 30.0
"""How long an answer may take while keys are read that nobody waits for."""


def _nothing(servers: int) -> None:
    """One server counts by itself, whatever their number."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What may be lost. `share` is told how many servers count; `answers` tells whether Redis does."""

    limiter: RateLimiter
    cache: Cache
    attempts: Attempts
    mirror: AdministratorMirror
    share: Callable[[int], None] = _nothing
    answers: Callable[[], Awaitable[bool]] | None = None


class RedisFound(msgspec.Struct, frozen=True):
    """What a look at Redis tells; `policy` says what it throws away when it is full."""

    version: str
    kind: str
    policy: str
    milliseconds: float


def in_process(settings: Settings, clock: Clock) -> Beside:
    """Return what one server keeps for itself."""
    return Beside(
        limiter=MemoryRateLimiter(clock.monotonic),
        cache=InProcessCache(settings.response_cache_mb * MEGABYTE, clock),
        attempts=InProcessAttempts(clock.monotonic),
        mirror=FileAdministratorMirror(settings.data_dir),
    )


async def open_beside(stack: AsyncExitStack, settings: Settings, clock: Clock) -> Beside:
    """Return what is kept beside the store, closed with `stack`.

    A Redis that cannot be reached is waited for by nobody. Raises Unavailable for one that answers and
    will never serve: it refuses the login, or is not of the kind that REDIS_URL says.
    """
    if settings.redis_url is None:
        return in_process(settings, clock)
    opened = await _driver().open_redis(
        _address(settings), clock, prefix=settings.redis_prefix, seconds=settings.redis_timeout_seconds,
        cache_bytes=settings.response_cache_mb * MEGABYTE,
        own_attempts=InProcessAttempts(clock.monotonic),
    )  # fmt: skip
    stack.push_async_callback(opened.close)
    if opened.problem is not None:
        log.warning(
            "Redis cannot be reached: until it can, this server counts by itself and caches nothing",
            reason=opened.problem,
        )
    return Beside(
        limiter=opened.limiter, cache=opened.cache, attempts=opened.attempts, mirror=opened.mirror,
        share=opened.share, answers=opened.answers,
    )  # fmt: skip


async def look_at_redis(settings: Settings) -> RedisFound:
    """Look at the configured Redis without changing it; raises Unavailable."""
    found = await _driver().look(_address(settings), seconds=settings.redis_timeout_seconds)
    return RedisFound(*found)


async def write_out_redis(
    url: str, file: IO[str], settings: Settings, match: str | None
) -> tuple[int, list[str]]:
    """Write out what lies in another server's Redis, see `old_keys`; raises Unavailable, ValueError."""
    address = parse_redis_url(url)
    seconds = max(settings.redis_timeout_seconds, PATIENCE_SECONDS)
    found: tuple[int, list[str]] = await _driver("old_keys").write_out(
        address, file, seconds=seconds, match=match, without=settings.redis_prefix
    )
    return found


def _address(settings: Settings) -> RedisAddress:
    return parse_redis_url(settings.redis_url.get_secret_value() if settings.redis_url else "")


def _driver(name: str = "opening") -> ModuleType:
    """Return a module of the adapters, loaded only where they are configured; raises Unavailable."""
    try:
        return import_module(f"antiphon.storage.redis.{name}")
    except ImportError as missing:
        raise Unavailable(
            f"Redis needs the package '{missing.name}': install Antiphon with the extra 'redis'"
            " (from a checkout: make redis)."
        ) from None
