"""Which engine holds the truth: the embedded one, or PostgreSQL where DATABASE_URL names one."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from types import ModuleType

import msgspec
import structlog

from antiphon.domain.errors import Unavailable
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.services.changes import Changes
from antiphon.services.commit_notes import CommitNotes
from antiphon.settings import Settings
from antiphon.storage import import_mark
from antiphon.storage.announced import AnnouncedStorage
from antiphon.storage.sql.sqlite import lock_directory, open_sqlite
from antiphon.storage.watched import WatchedStorage

log = structlog.get_logger(__name__)

NOT_SHARED = (
    "Files, vector stores and the search index are kept in DATA_DIR of each server, not in PostgreSQL:"
    " what was uploaded to one is not known to another. Conversations, answers and accounts are shared."
)
"""Said at every start and by the doctor for as long as it is so."""


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
    """What a look at the database tells; `workers` are the servers that live."""

    version: str
    revision: str | None
    workers: int


async def look_at_database(settings: Settings) -> Database:
    """Look at the configured PostgreSQL without changing it; raises Unavailable."""
    url = settings.database_url.get_secret_value() if settings.database_url else ""
    return Database(*await _driver().look(url))


def _driver() -> ModuleType:
    """Return the adapter, which is loaded only where it is configured; raises Unavailable."""
    try:
        from antiphon.storage.sql import postgres
    except ImportError as missing:
        raise Unavailable(
            f"DATABASE_URL needs the package '{missing.name}': install Antiphon with the extra 'postgres'"
            " (from a checkout: make postgres)."
        ) from None
    return postgres


async def _opened(stack: AsyncExitStack, settings: Settings) -> Storage:
    storage: Storage
    import_mark.require_none(settings.data_dir)
    if settings.database_url is None:
        storage = await open_sqlite(settings.data_dir, power_safe=settings.durability == "power")
        stack.push_async_callback(storage.close)
        return storage
    driver = _driver()
    stack.callback(os.close, lock_directory(settings.data_dir))
    storage = await driver.open_postgres(
        settings.database_url.get_secret_value(), connections=settings.database_connections
    )
    stack.push_async_callback(storage.close)
    log.warning("knowledge is not shared", reason=NOT_SHARED)
    return storage
