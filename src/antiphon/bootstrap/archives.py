"""Exports and imports of the stores that the settings name."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Final

from antiphon.bootstrap.stores import BLOBS, DOCUMENTS
from antiphon.bootstrap.timing import SystemClock
from antiphon.domain.archives import Manifest, Rows
from antiphon.domain.errors import Unavailable
from antiphon.ports.archives import Transfer
from antiphon.services.archives import Archives
from antiphon.settings import Settings
from antiphon.storage import archive_files
from antiphon.storage.files import FileBlobs
from antiphon.storage.import_mark import FileImportMark
from antiphon.storage.sql import knowledge, sqlite
from antiphon.storage.sql.migrate import CONVERSATIONS, KNOWLEDGE
from antiphon.storage.sql.transfer_sqlite import SqliteTransfer

IN_MONGODB: Final = (
    "MONGODB_URL is set: conversations and answers are in MongoDB, which this release neither exports nor"
    " imports."
)
OF_KNOWLEDGE: Final = "knowledge"
OF_CONVERSATIONS: Final = "conversations"


def archives_of(settings: Settings, *, all_stores: bool) -> Archives:
    """Return what exports and imports; `all_stores` also names those that are not there yet.

    Raises Unavailable where conversations are in MongoDB.
    """
    if settings.mongodb_url is not None:
        raise Unavailable(IN_MONGODB)
    data = settings.data_dir
    stores: dict[str, Transfer] = {}
    if all_stores or (data / knowledge.FILE_NAME).exists():
        stores[OF_KNOWLEDGE] = SqliteTransfer(data / knowledge.FILE_NAME, KNOWLEDGE)
    if settings.database_url is None:
        stores[OF_CONVERSATIONS] = SqliteTransfer(data / sqlite.FILE_NAME, CONVERSATIONS)
    else:
        stores[OF_CONVERSATIONS] = postgres_transfer(settings.database_url.get_secret_value())
    contents = {OF_KNOWLEDGE: FileBlobs(data / DOCUMENTS), OF_CONVERSATIONS: FileBlobs(data / BLOBS)}
    return Archives(stores, contents, SystemClock(), installed_version("antiphon"))


def postgres_transfer(url: str) -> Transfer:
    """Return the adapter, which is loaded only where it is configured; raises Unavailable."""
    try:
        from antiphon.storage.sql.transfer_postgres import PostgresTransfer
    except ImportError as missing:
        raise Unavailable(
            f"DATABASE_URL needs the package '{missing.name}': install Antiphon with the extra 'postgres'."
        ) from None
    return PostgresTransfer(url)


def digest(settings: Settings) -> dict[str, dict[str, Rows]]:
    """Return counts and digests of everything the stores keep."""
    return asyncio.run(archives_of(settings, all_stores=False).digest())


def export(settings: Settings, target: Path) -> Manifest:
    """Write everything into an archive, while servers run or stand; raises Unavailable, OSError."""
    if target.exists():
        raise Unavailable(f"'{target}' is there already.")
    archives = archives_of(settings, all_stores=False)
    with archive_files.writing(target) as writer:
        return asyncio.run(archives.export(writer))


def restore(settings: Settings, source: Path) -> Manifest:
    """Fill empty stores from an archive; no server may run. Raises BadArchive, Unavailable, OSError."""
    reader = archive_files.TarReader(source)
    with _locked(settings.data_dir):
        mark = FileImportMark(settings.data_dir)
        return asyncio.run(archives_of(settings, all_stores=True).restore(reader, mark))


is_archive = archive_files.is_archive


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    lock = sqlite.lock_directory(directory)
    try:
        yield
    finally:
        os.close(lock)
