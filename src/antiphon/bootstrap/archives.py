"""Exports and imports of the stores that the settings name."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Final

from antiphon.bootstrap.schemas import schemas
from antiphon.bootstrap.stores import (
    BLOBS,
    COPIES,
    DOCUMENTS,
    mongo_driver,
    open_store,
    postgres_driver,
    require_whole,
)
from antiphon.bootstrap.timing import SystemClock
from antiphon.domain.archives import Manifest, Rows
from antiphon.domain.errors import Unavailable
from antiphon.ports.archives import Transfer
from antiphon.ports.blob_store import BlobStore
from antiphon.services.archives import Archives
from antiphon.settings import Settings
from antiphon.storage import archive_files
from antiphon.storage.files import FileBlobs
from antiphon.storage.import_mark import FileImportMark
from antiphon.storage.pairing import WholeTransfer
from antiphon.storage.placed import PlacedTransfer
from antiphon.storage.sql import knowledge, sqlite
from antiphon.storage.sql.migrate import CONVERSATIONS, KNOWLEDGE, SCHEMA
from antiphon.storage.sql.transfer_sqlite import SqliteTransfer

CONNECTIONS: Final = 2
Stores = dict[str, Transfer]
Contents = dict[str, BlobStore]
OF_KNOWLEDGE: Final = "knowledge"
OF_CONVERSATIONS: Final = "conversations"


@asynccontextmanager
async def opened_archives(settings: Settings, *, all_stores: bool) -> AsyncIterator[Archives]:
    """Give what exports and imports; `all_stores` also names those that are not there yet."""
    async with AsyncExitStack() as stack:
        if settings.database_url is None:
            stores, contents = _in_files(settings.data_dir, all_stores=all_stores)
        else:
            url = settings.database_url.get_secret_value()
            stores, contents = await _in_postgres(stack, url, settings.data_dir)
        accounts = stores[OF_CONVERSATIONS]
        if settings.mongodb_url is None:
            stores[OF_CONVERSATIONS] = WholeTransfer(accounts)
        else:
            url = settings.mongodb_url.get_secret_value()
            stores[OF_CONVERSATIONS] = mongo_driver().MongoTransfer(url, accounts)
        if OF_KNOWLEDGE in stores:
            stores[OF_KNOWLEDGE] = _placed(settings, stores[OF_KNOWLEDGE])
        yield Archives(stores, contents, SystemClock(), installed_version("antiphon"))


def _placed(settings: Settings, knowledge: Transfer) -> Transfer:
    """Return knowledge with its passages, which come to lie where a new store has them."""
    if settings.mongodb_url is None:
        return PlacedTransfer(knowledge)
    url, wanted = settings.mongodb_url.get_secret_value(), settings.knowledge_index != "sql"
    moved: Transfer = mongo_driver().PassageTransfer(url, knowledge, wanted=wanted)
    return moved


def _in_files(data: Path, *, all_stores: bool) -> tuple[Stores, Contents]:
    stores: Stores = {}
    if all_stores or (data / knowledge.FILE_NAME).exists():
        stores[OF_KNOWLEDGE] = SqliteTransfer(data / knowledge.FILE_NAME, KNOWLEDGE)
    stores[OF_CONVERSATIONS] = SqliteTransfer(data / sqlite.FILE_NAME, CONVERSATIONS)
    return stores, {OF_KNOWLEDGE: FileBlobs(data / DOCUMENTS), OF_CONVERSATIONS: FileBlobs(data / BLOBS)}


async def _in_postgres(stack: AsyncExitStack, url: str, data: Path) -> tuple[Stores, Contents]:
    driver = postgres_driver()
    pool = await driver.open_pool(url, CONNECTIONS, "archive", {"search_path": SCHEMA})
    stack.push_async_callback(pool.close)
    stores: Stores = {
        OF_KNOWLEDGE: driver.PostgresTransfer(url, KNOWLEDGE),
        OF_CONVERSATIONS: driver.PostgresTransfer(url, CONVERSATIONS),
    }
    documents, said = (driver.PostgresBlobs(pool, root, data / COPIES) for root in (DOCUMENTS, BLOBS))
    return stores, {OF_KNOWLEDGE: documents, OF_CONVERSATIONS: said}


def _settle(settings: Settings) -> None:
    """Have done what a dead server had decided; one that runs does it itself.

    Only MongoDB needs it: what SQL is to note of a commit comes after that.
    """
    if settings.mongodb_url is None:
        return
    if any(one.revision != one.newest for one in schemas(settings) if one.scripts == CONVERSATIONS):
        return

    async def work() -> None:
        async with AsyncExitStack() as stack:
            storage, _, _ = await open_store(stack, settings, SystemClock())
            if storage.workers.is_shared:
                await storage.workers.fence_dead()
            await storage.journal.unfinished(1)

    with suppress(sqlite.DataDirectoryLocked):
        asyncio.run(work())


def digest(settings: Settings) -> dict[str, dict[str, Rows]]:
    """Return counts and digests of everything the stores keep."""
    _settle(settings)

    async def work() -> dict[str, dict[str, Rows]]:
        async with opened_archives(settings, all_stores=False) as archives:
            return await archives.digest()

    return asyncio.run(work())


def export(settings: Settings, target: Path) -> Manifest:
    """Write everything into an archive, while servers run or stand; raises Unavailable, OSError."""
    if target.exists():
        raise Unavailable(f"'{target}' is there already.")
    _settle(settings)

    async def work(writer: archive_files.TarWriter) -> Manifest:
        async with opened_archives(settings, all_stores=False) as archives:
            return await archives.export(writer)

    with archive_files.writing(target) as writer:
        return asyncio.run(work(writer))


def restore(settings: Settings, source: Path) -> Manifest:
    """Fill empty stores from an archive; no server may run. Raises BadArchive, Unavailable, OSError."""
    reader = archive_files.TarReader(source)

    async def work() -> Manifest:
        async with opened_archives(settings, all_stores=True) as archives:
            return await archives.restore(reader, mark)

    mark = FileImportMark(settings.data_dir)
    with _locked(settings.data_dir):
        if settings.database_url is None and mark.read() is None:
            require_whole(settings.data_dir)
        return asyncio.run(work())


is_archive = archive_files.is_archive


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    lock = sqlite.lock_directory(directory)
    try:
        yield
    finally:
        os.close(lock)
