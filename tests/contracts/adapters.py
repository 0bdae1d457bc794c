"""The adapters of every port. A new one is one line here; each suite then runs on it too."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec

from antiphon.bootstrap import SystemClock
from antiphon.domain.redis_address import parse_redis_url
from antiphon.ports.administrator_mirror import AdministratorMirror
from antiphon.ports.attempts import Attempts
from antiphon.ports.blob_store import BlobStore
from antiphon.ports.cache import Cache
from antiphon.ports.clock import Clock
from antiphon.ports.jobs import Jobs
from antiphon.ports.knowledge import Knowledge
from antiphon.ports.limits import RateLimiter
from antiphon.ports.locks import Locks
from antiphon.ports.model_provider import ModelProvider
from antiphon.ports.storage import Storage
from antiphon.providers.offline import MODEL as EXTRACTIVE
from antiphon.providers.offline import Offline
from antiphon.providers.scripted import Scripted
from antiphon.storage.administrator_mirror import FileAdministratorMirror
from antiphon.storage.files import FileBlobs
from antiphon.storage.memory.attempts import InProcessAttempts
from antiphon.storage.memory.cache import InProcessCache
from antiphon.storage.memory.jobs import InProcessJobs
from antiphon.storage.memory.limits import MemoryRateLimiter
from antiphon.storage.memory.locks import InProcessLocks
from antiphon.storage.mongo.store import open_mongo
from antiphon.storage.redis.administrator_mirror import RedisAdministratorMirror
from antiphon.storage.redis.attempts import RedisAttempts
from antiphon.storage.redis.cache import RedisCache
from antiphon.storage.redis.connection import connect
from antiphon.storage.redis.limits import RedisRateLimiter
from antiphon.storage.redis.link import RedisLink
from antiphon.storage.sql.knowledge import open_knowledge
from antiphon.storage.sql.postgres import open_postgres
from antiphon.storage.sql.postgres_advisory import PostgresLocks
from antiphon.storage.sql.postgres_blobs import PostgresBlobs
from antiphon.storage.sql.postgres_knowledge import open_postgres_knowledge
from antiphon.storage.sql.sqlite import open_sqlite
from tests import mongo, redis_server
from tests.postgres import prepared
from tests.services.hand import Hand
from tests.services.world import prepare


@asynccontextmanager
async def sqlite(directory: Path) -> AsyncIterator[Storage]:
    """The embedded store."""
    prepare(directory)
    storage = await open_sqlite(directory)
    try:
        yield storage
    finally:
        await storage.close()


@asynccontextmanager
async def postgres(directory: Path) -> AsyncIterator[Storage]:
    """The store of several servers."""
    storage = await open_postgres(prepared(directory), connections=4)
    try:
        yield storage
    finally:
        await storage.close()


@asynccontextmanager
async def mongo_and_sqlite(directory: Path) -> AsyncIterator[Storage]:
    """Conversations in MongoDB, accounts in the embedded store."""
    async with sqlite(directory) as accounts:
        storage = await open_mongo(mongo.url(directory), accounts)
        try:
            yield storage
        finally:
            await storage.close()


@asynccontextmanager
async def mongo_and_postgres(directory: Path) -> AsyncIterator[Storage]:
    """Conversations in MongoDB, accounts in PostgreSQL: for several servers."""
    async with postgres(directory) as accounts:
        storage = await open_mongo(mongo.url(directory), accounts)
        try:
            yield storage
        finally:
            await storage.close()


STORAGES: dict[str, Callable[[Path], AbstractAsyncContextManager[Storage]]] = {
    "sqlite": sqlite,
    "postgres": postgres,
    "mongo+sqlite": mongo_and_sqlite,
    "mongo+postgres": mongo_and_postgres,
}
"""Opened twice on one directory, one after the other, an adapter finds what it wrote."""


@asynccontextmanager
async def sqlite_knowledge(directory: Path) -> AsyncIterator[Knowledge]:
    """The embedded store of knowledge."""
    prepare(directory)
    store = await open_knowledge(directory)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def postgres_knowledge(directory: Path) -> AsyncIterator[Knowledge]:
    """The store of knowledge of several servers."""
    store = await open_postgres_knowledge(prepared(directory))
    try:
        yield store
    finally:
        await store.close()


KNOWLEDGES: dict[str, Callable[[Path], AbstractAsyncContextManager[Knowledge]]] = {
    "sqlite": sqlite_knowledge,
    "postgres": postgres_knowledge,
}


@asynccontextmanager
async def files(directory: Path) -> AsyncIterator[BlobStore]:
    """Blobs on this machine."""
    yield FileBlobs(directory / "blobs")


@asynccontextmanager
async def postgres_blobs(directory: Path) -> AsyncIterator[BlobStore]:
    """Blobs that several servers share."""
    store = await open_postgres_knowledge(prepared(directory))
    try:
        yield PostgresBlobs(store.pool, "blobs", directory / "copies")
    finally:
        await store.close()


BLOB_STORES: dict[str, Callable[[Path], AbstractAsyncContextManager[BlobStore]]] = {
    "files": files,
    "postgres": postgres_blobs,
}


@asynccontextmanager
async def in_process_locks(directory: Path) -> AsyncIterator[tuple[Locks, Locks]]:
    """Locks of a store of one's own; there is no second process, so both are the same."""
    locks = InProcessLocks()
    yield locks, locks


@asynccontextmanager
async def postgres_locks(directory: Path) -> AsyncIterator[tuple[Locks, Locks]]:
    """Locks of two servers on one database."""
    address = prepared(directory)
    one, two = PostgresLocks(address), PostgresLocks(address)
    try:
        yield one, two
    finally:
        await one.close()
        await two.close()


LOCKS: dict[str, Callable[[Path], AbstractAsyncContextManager[tuple[Locks, Locks]]]] = {
    "in process": in_process_locks,
    "postgres": postgres_locks,
}
"""As two processes have them."""

JOBS: dict[str, Callable[[], Jobs]] = {
    "in process": InProcessJobs,
}


@asynccontextmanager
async def redis_link(
    prefix: str = "", *, url: str | None = None, seconds: float = 5.0
) -> AsyncIterator[RedisLink]:
    """A way to the run's Redis, or another one, under a prefix of its own or a given one."""
    address = parse_redis_url(url or redis_server.url())
    link = RedisLink(
        connect(address, seconds=seconds), prefix=prefix or redis_server.fresh_prefix(), seconds=seconds
    )
    try:
        yield link
    finally:
        await link.close()


@asynccontextmanager
async def process_cache(room: int, clock: Clock) -> AsyncIterator[Cache]:
    """The cache of one server."""
    yield InProcessCache(room, clock)


@asynccontextmanager
async def redis_cache(room: int, clock: Clock) -> AsyncIterator[Cache]:
    """The cache of several servers."""
    async with redis_link() as link:
        yield RedisCache(link, room, now_ms=lambda: int(clock.monotonic() * 1000))


CACHES: dict[str, Callable[[int, Clock], AbstractAsyncContextManager[Cache]]] = {
    "in process": process_cache,
    "redis": redis_cache,
}
"""Made with the bytes it may hold and the clock it goes by."""


@asynccontextmanager
async def process_limiter() -> AsyncIterator[RateLimiter]:
    """The limiter of one server."""
    yield MemoryRateLimiter(lambda: time.time())


@asynccontextmanager
async def redis_limiter() -> AsyncIterator[RateLimiter]:
    """The limiter of several servers."""
    async with redis_link() as link:
        yield RedisRateLimiter(
            link, SystemClock().monotonic, now_us=lambda: int(time.time() * 1_000_000), settling_seconds=0
        )


RATE_LIMITERS: dict[str, Callable[[], AbstractAsyncContextManager[RateLimiter]]] = {
    "in process": process_limiter,
    "redis": redis_limiter,
}


@asynccontextmanager
async def process_attempts(now: Callable[[], float]) -> AsyncIterator[Attempts]:
    """The attempts that one server saw."""
    yield InProcessAttempts(now)


@asynccontextmanager
async def redis_attempts(now: Callable[[], float]) -> AsyncIterator[Attempts]:
    """The attempts that several servers saw; this one's own are forgotten, so that Redis' count shows."""
    async with redis_link() as link:
        own = InProcessAttempts(now, names=0)
        yield RedisAttempts(link, own, now_us=lambda: int(now() * 1_000_000))


ATTEMPTS: dict[str, Callable[[Callable[[], float]], AbstractAsyncContextManager[Attempts]]] = {
    "in process": process_attempts,
    "redis": redis_attempts,
}
"""Made with what tells the seconds."""


class KeptMirror(msgspec.Struct, frozen=True):
    """A mirror, and what an operator can do to it: delete the key, or all there is."""

    mirror: AdministratorMirror
    delete_key: Callable[[], Awaitable[None]]
    empty: Callable[[], Awaitable[None]]


@asynccontextmanager
async def file_mirror(directory: Path) -> AsyncIterator[KeptMirror]:
    """The mirror beside a server's data."""

    async def remove(*names: str) -> None:
        for name in names:
            (directory / name).unlink()

    yield KeptMirror(
        FileAdministratorMirror(directory), lambda: remove("admin_credentials"),
        lambda: remove("admin_credentials", "admin_credentials.mark"),
    )  # fmt: skip


@asynccontextmanager
async def redis_mirror(directory: Path) -> AsyncIterator[KeptMirror]:
    """The mirror of several servers."""
    async with redis_link() as link:
        key = f"{link.prefix}admin:credentials"

        async def remove(*keys: str) -> None:
            assert await link.call("DEL", *keys) == len(keys)

        yield KeptMirror(
            RedisAdministratorMirror(link),
            lambda: remove(key),
            lambda: remove(key, f"{link.prefix}{{{key}}}:mark"),
        )


MIRRORS: dict[str, Callable[[Path], AbstractAsyncContextManager[KeptMirror]]] = {
    "files": file_mirror,
    "redis": redis_mirror,
}

PROVIDERS: dict[str, tuple[Callable[[], ModelProvider], str, str]] = {
    "scripted": (Scripted, "echo", "fail-before"),
    "offline": (Offline, EXTRACTIVE, "no such model"),
    "hand": (Hand, "echo", "broken"),
}
"""How to make one, a model that answers and one that fails."""
