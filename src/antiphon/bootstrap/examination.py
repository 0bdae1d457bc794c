"""What would keep a server from starting or answering, looked at without starting it: for the doctor."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from antiphon.bootstrap import schemas
from antiphon.bootstrap.identity import keyring_of, own_secret_path
from antiphon.bootstrap.providers import build_models, login_providers, problems_of
from antiphon.bootstrap.stores import require_parts
from antiphon.bootstrap.timing import SystemClock
from antiphon.domain.errors import Unavailable
from antiphon.providers.http_client import HttpClient
from antiphon.services.sealing import Sealer, Unreadable
from antiphon.services.secrets import PURPOSE
from antiphon.settings import Settings
from antiphon.storage.sql import sqlite
from antiphon.storage.whole_store import IncompleteStore


def require_known_schemas(settings: Settings) -> None:
    """Raise Unavailable for data of a newer release."""
    for schema in schemas.schemas(settings):
        if not schema.is_known:
            raise Unavailable(
                f"{schema.name} ({schema.place}) has schema {schema.revision}, and this release knows none"
                f" above {schema.newest}"
            )


def missing_part(settings: Settings) -> str | None:
    """Return what is told of a file that is missing beside the rest of the embedded store, None if none is.

    Raises Unavailable if a file cannot be read.
    """
    if settings.database_url is None:
        try:
            require_parts(settings.data_dir)
        except IncompleteStore as error:
            return error.message
    return None


async def require_logins(settings: Settings) -> None:
    """Raise InvalidRequest where login providers are configured as no server starts with."""
    http = HttpClient()
    try:
        login_providers(settings, http, SystemClock())
    finally:
        await http.close()


async def names_of_nothing(settings: Settings) -> list[str]:
    """Return a sentence for every configured name of a model that leads nowhere; raises InvalidRequest."""
    http = HttpClient()
    try:
        return problems_of(settings, build_models(settings, http, SystemClock()))
    finally:
        await http.close()


def unreadable_secrets(settings: Settings) -> list[str]:
    """Return the names of stored secrets that the configured keys do not open; looks at files only."""
    path = settings.data_dir / sqlite.FILE_NAME
    has_key = settings.usable_secret_key is not None or own_secret_path(settings).exists()
    if settings.database_url is not None or not (path.exists() and has_key):
        return []
    sealer = Sealer(PURPOSE, keyring_of(settings))
    return [name for name, sealed in _secrets(path.absolute().as_uri()) if not _opens(sealer, name, sealed)]


def _secrets(uri: str) -> Iterator[tuple[str, bytes]]:
    with closing(sqlite3.connect(f"{uri}?mode=rw", uri=True, timeout=5)) as db:
        if db.execute("SELECT 1 FROM sqlite_master WHERE name='secrets'").fetchone():
            yield from db.execute("SELECT name,ciphertext FROM secrets ORDER BY name")


def _opens(sealer: Sealer, name: str, sealed: bytes) -> bool:
    try:
        sealer.open(name, sealed)
    except Unreadable:
        return False
    return True
