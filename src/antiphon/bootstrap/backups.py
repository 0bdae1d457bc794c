"""Backups of the stores that the settings name."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from antiphon.bootstrap.identity import OWN_SECRET
from antiphon.bootstrap.stores import BLOBS, DOCUMENTS, require_parts
from antiphon.domain.errors import Unavailable
from antiphon.settings import Settings
from antiphon.storage import backups
from antiphon.storage.backups import Manifest
from antiphon.storage.replacing import is_interrupted
from antiphon.storage.sql import sqlite

__all__ = ["Manifest", "back_up", "own_secret", "restore"]

NOT_EMBEDDED: Final = (
    "DATABASE_URL is set, and everything is in PostgreSQL, documents and large contents too: back it up with"
    " `pg_dump`, or take everything into an archive with `antiphon export`."
)
IN_MONGODB: Final = (
    "MONGODB_URL is set: conversations and answers are in MongoDB, which has tools of its own to back up and"
    " restore as of one moment (`mongodump --oplog`, snapshots). Back it up first, then the accounts' store"
    " and DATA_DIR; or take everything into an archive with `antiphon export`."
)


def own_secret(settings: Settings) -> Path | None:
    """Return the file of the secret that a server without SECRET_KEY made, if there is one."""
    path = settings.data_dir / OWN_SECRET
    return path if path.exists() else None


def _require_embedded(settings: Settings) -> None:
    if settings.mongodb_url is not None:
        raise Unavailable(IN_MONGODB)
    if settings.database_url is not None:
        raise Unavailable(NOT_EMBEDDED)


def back_up(settings: Settings, target: Path, *, with_secret: bool, tell: Callable[[str], None]) -> Manifest:
    """Copy the embedded store, while its server runs or stands; see `storage.backups`.

    The server's own secret is left out if it is not asked for. Raises Unavailable where PostgreSQL is used,
    and where a part of the store is missing: the copy would be whole to look at, and restored without a word.
    """
    _require_embedded(settings)
    data, lock = settings.data_dir, None
    require_parts(data)
    if not (data / sqlite.FILE_NAME).exists():
        raise Unavailable(f"There is no store in '{data}'.")
    with suppress(sqlite.DataDirectoryLocked):  # a server runs, and copies are made beside it
        lock = sqlite.lock_directory(data)
    try:
        further = [OWN_SECRET] if with_secret else []
        return backups.back_up(data, target, backups.parts(BLOBS, DOCUMENTS), further, tell)
    finally:
        if lock is not None:
            os.close(lock)


def restore(settings: Settings, source: Path, *, force: bool, tell: Callable[[str], None]) -> Manifest:
    """Put a backup into the data directory, whose server stands; see `storage.backups`."""
    _require_embedded(settings)
    if not is_interrupted(settings.data_dir):
        backups.read_manifest(source)  # before a directory is made for nothing
    lock = sqlite.lock_directory(settings.data_dir)
    try:
        of = backups.parts(BLOBS, DOCUMENTS)
        return backups.restore(source, settings.data_dir, of, [OWN_SECRET], tell, force=force)
    finally:
        os.close(lock)
