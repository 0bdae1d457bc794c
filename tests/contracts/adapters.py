"""The adapters of every port. A new one is one line here; each suite then runs on it too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

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
from antiphon.storage.files import FileBlobs
from antiphon.storage.memory.cache import InProcessCache
from antiphon.storage.memory.jobs import InProcessJobs
from antiphon.storage.memory.limits import MemoryRateLimiter
from antiphon.storage.memory.locks import InProcessLocks
from antiphon.storage.sql.knowledge import open_knowledge
from antiphon.storage.sql.postgres import open_postgres
from antiphon.storage.sql.postgres_advisory import PostgresLocks
from antiphon.storage.sql.postgres_blobs import PostgresBlobs
from antiphon.storage.sql.postgres_knowledge import open_postgres_knowledge
from antiphon.storage.sql.sqlite import open_sqlite
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


STORAGES: dict[str, Callable[[Path], AbstractAsyncContextManager[Storage]]] = {
    "sqlite": sqlite,
    "postgres": postgres,
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

CACHES: dict[str, Callable[[int, Clock], Cache]] = {
    "in process": InProcessCache,
}
"""Made with the bytes it may hold and the clock it goes by."""
RATE_LIMITERS: dict[str, Callable[[], RateLimiter]] = {
    "in process": MemoryRateLimiter,
}

PROVIDERS: dict[str, tuple[Callable[[], ModelProvider], str, str]] = {
    "scripted": (Scripted, "echo", "fail-before"),
    "offline": (Offline, EXTRACTIVE, "no such model"),
    "hand": (Hand, "echo", "broken"),
}
"""How to make one, a model that answers and one that fails."""
