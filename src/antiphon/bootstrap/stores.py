"""Which engine holds the truth: the embedded one, or PostgreSQL where DATABASE_URL names one.

Where MONGODB_URL names a MongoDB, conversations and answers are there, and only people, limits and what
was used in the engine.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

import msgspec
import structlog

from antiphon.bootstrap.passages import place_benchmark, place_passages
from antiphon.domain.errors import Unavailable
from antiphon.ports.blob_store import BlobStore
from antiphon.ports.clock import Clock
from antiphon.ports.locks import Locks
from antiphon.ports.storage import Storage
from antiphon.services.changes import Changes
from antiphon.services.commit_notes import CommitNotes
from antiphon.settings import Settings
from antiphon.storage import import_mark, whole_store
from antiphon.storage.announced import AnnouncedStorage
from antiphon.storage.files import FileBlobs, require_room
from antiphon.storage.memory.locks import InProcessLocks
from antiphon.storage.pairing import LEFT_BEHIND, is_elsewhere
from antiphon.storage.sql.knowledge import open_knowledge
from antiphon.storage.sql.knowledge_ports import KnowledgePorts
from antiphon.storage.sql.sqlite import lock_directory, open_sqlite
from antiphon.storage.watched import WatchedStorage

log = structlog.get_logger(__name__)

BLOBS: Final = "blobs"
DOCUMENTS: Final = "documents"
"""Where the bytes of files lie: apart from what conversations hold, so that neither erases the other's."""
COPIES: Final = "copies"
SERVER: Final = "server"


@dataclass(frozen=True, kw_only=True)
class KnowledgeStores:
    """Where knowledge lies: its ports, the bytes of files and of what was said, and locks.

    `server_id` names this server among those that share all of it, None where there are no others.
    `is_new` says that the catalogue was made just now, so that it knows no contents.
    """

    ports: KnowledgePorts
    documents: BlobStore
    said: BlobStore
    locks: Locks
    server_id: str | None
    is_new: bool = False


async def open_store(
    stack: AsyncExitStack, settings: Settings, clock: Clock
) -> tuple[Storage, CommitNotes | None, Changes]:
    """Return the store, if conversations are searched the notes of what it commits, and what it changes.

    It is closed with `stack`, and until then the data directory belongs to this process. Raises
    Unavailable if another has it or the database cannot be reached.
    """
    changes = Changes()
    announced = AnnouncedStorage(await _opened(stack, settings), changes)
    if settings.history_search == "off":
        return announced, None, changes
    notes = CommitNotes(clock)
    shared = settings.database_url is not None
    return WatchedStorage(announced, notes, shared=shared), notes, changes


class Database(msgspec.Struct, frozen=True):
    """What a look at the database tells; `workers` are the servers that live.

    `has_knowledge` says that the schema of knowledge is there or may be made.
    """

    version: str
    revision: str | None
    workers: int
    has_knowledge: bool


def require_whole(directory: Path) -> None:
    """Raise IncompleteStore where a part of the embedded store is missing; see `storage.whole_store`."""
    whole_store.require_whole(directory, blobs=BLOBS, documents=DOCUMENTS)


def require_parts(directory: Path) -> None:
    """Raise IncompleteStore as well, and change nothing; see `storage.whole_store`."""
    whole_store.require_parts(directory, blobs=BLOBS, documents=DOCUMENTS)


async def look_at_database(settings: Settings) -> Database:
    """Look at the configured PostgreSQL without changing it; raises Unavailable."""
    url = settings.database_url.get_secret_value() if settings.database_url else ""
    return Database(*await postgres_driver().look(url))


async def open_knowledge_stores(stack: AsyncExitStack, settings: Settings) -> KnowledgeStores:
    """Open knowledge until `stack` closes; the data directory is locked by the caller. Raises Unavailable."""
    opened = await _opened_knowledge(stack, settings)
    await place_passages(stack, settings, opened.ports)
    return opened


async def _opened_knowledge(stack: AsyncExitStack, settings: Settings) -> KnowledgeStores:
    cache_bytes = settings.knowledge_cache_mb << 20
    if settings.database_url is not None:
        return await _shared_knowledge(stack, settings, settings.database_url.get_secret_value(), cache_bytes)
    power_safe = settings.durability == "power"
    ports = await open_knowledge(settings.data_dir, power_safe=power_safe, cache_bytes=cache_bytes)
    stack.push_async_callback(ports.close)
    documents, said = FileBlobs(settings.data_dir / DOCUMENTS), FileBlobs(settings.data_dir / BLOBS)
    for blobs in (documents, said):
        await blobs.clean()
    return KnowledgeStores(
        ports=ports, documents=documents, said=said, locks=InProcessLocks(), server_id=None,
        is_new=ports.is_new,
    )  # fmt: skip


async def _shared_knowledge(
    stack: AsyncExitStack, settings: Settings, url: str, cache_bytes: int
) -> KnowledgeStores:
    driver = postgres_driver()
    ports = await driver.open_postgres_knowledge(url, cache_bytes=cache_bytes)
    stack.push_async_callback(ports.close)
    locks = driver.PostgresLocks(url)
    stack.push_async_callback(locks.close)
    copies = settings.data_dir / COPIES
    await asyncio.to_thread(shutil.rmtree, copies, ignore_errors=True)  # what a dead process was reading
    documents, said = (driver.PostgresBlobs(ports.pool, root, copies) for root in (DOCUMENTS, BLOBS))
    await documents.clean()
    return KnowledgeStores(
        ports=ports, documents=documents, said=said, locks=locks, server_id=_server_id(settings.data_dir)
    )


async def open_benchmark_store(stack: AsyncExitStack, settings: Settings, directory: Path) -> KnowledgePorts:
    """Open an index for a measurement until `stack` closes, on the engine that is configured.

    It lies under `directory`, or in a schema of the database that goes with it. Raises Unavailable.
    """
    cache_bytes = settings.knowledge_cache_mb << 20
    if settings.database_url is None:
        stack.callback(os.close, lock_directory(directory))
        store = await open_knowledge(directory, cache_bytes=cache_bytes)
        stack.push_async_callback(store.close)
        await place_benchmark(stack, settings, store)
        return store
    driver, url = postgres_driver(), settings.database_url.get_secret_value()
    schema = f"antiphon_eval_{secrets.token_hex(4)}"
    stack.push_async_callback(driver.erase_schema, url, schema)
    shared: KnowledgePorts = await driver.open_postgres_knowledge(url, cache_bytes=cache_bytes, schema=schema)
    stack.push_async_callback(shared.close)  # type: ignore[attr-defined]
    await place_benchmark(stack, settings, shared)
    return shared


def _server_id(directory: Path) -> str:
    """Return the name of whoever works in a data directory, the same after a restart."""
    place = directory / SERVER
    try:
        return place.read_text("ascii").strip()
    except FileNotFoundError:
        made = secrets.token_hex(8)
        place.write_text(made, "ascii")
        return made


def writing_probe(settings: Settings) -> Callable[[], Awaitable[None]]:
    """Return what writes to the store and takes it back; it raises where the store is full or read-only.

    Where conversations are in MongoDB it looks at the accounts' store and DATA_DIR.
    """
    if settings.database_url is None:
        return lambda: asyncio.to_thread(require_room, settings.data_dir)
    url = settings.database_url.get_secret_value()

    async def probe() -> None:
        await postgres_driver().probe_writing(url)

    return probe


def postgres_driver() -> ModuleType:
    """Return the adapters, which are loaded only where they are configured; raises Unavailable."""
    try:
        from antiphon.storage.sql import postgres_server
    except ImportError as missing:
        raise Unavailable(
            f"DATABASE_URL needs the package '{missing.name}': install Antiphon with the extra 'postgres'"
            " (from a checkout: make postgres)."
        ) from None
    return postgres_server


def mongo_driver() -> ModuleType:
    """Return the adapters, which are loaded only where it is configured; raises Unavailable."""
    try:
        from antiphon.storage.mongo import server
    except ImportError as missing:
        raise Unavailable(
            f"MONGODB_URL needs the package '{missing.name}': install Antiphon with the extra 'mongo'"
            " (from a checkout: make mongo)."
        ) from None
    return server


async def look_at_mongodb(settings: Settings) -> str:
    """Look at the configured MongoDB without changing it and return its version; raises Unavailable."""
    url = settings.mongodb_url.get_secret_value() if settings.mongodb_url else ""
    version: str = await mongo_driver().look(url)
    return version


async def _opened(stack: AsyncExitStack, settings: Settings) -> Storage:
    accounts = await _opened_sql(stack, settings)
    if settings.mongodb_url is None:
        if await is_elsewhere(accounts):
            raise Unavailable(LEFT_BEHIND)
        return accounts
    storage: Storage = await mongo_driver().open_mongo(settings.mongodb_url.get_secret_value(), accounts)
    stack.push_async_callback(storage.close)
    return storage


async def _opened_sql(stack: AsyncExitStack, settings: Settings) -> Storage:
    storage: Storage
    import_mark.require_none(settings.data_dir)
    if settings.database_url is None:
        power_safe = settings.durability == "power"
        storage = await open_sqlite(settings.data_dir, power_safe=power_safe, require=require_whole)
        stack.push_async_callback(storage.close)
        return storage
    driver = postgres_driver()
    stack.callback(os.close, lock_directory(settings.data_dir))
    storage = await driver.open_postgres(
        settings.database_url.get_secret_value(), connections=settings.database_connections
    )
    stack.push_async_callback(storage.close)
    return storage
