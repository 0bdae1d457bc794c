"""From MONGODB_URL to a database, and in words why there is none."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from pymongo import AsyncMongoClient, ReadPreference
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError
from pymongo.write_concern import WriteConcern

from antiphon.domain.errors import Unavailable
from antiphon.storage.mongo.database import Database, Document

NAME: Final = "chat_content"
"""Of a URL that names no database; the name that the branching system has for its content."""

TIMEOUT_MS: Final = 5_000
USUAL: Final[dict[str, Any]] = {
    "appname": "antiphon", "serverSelectionTimeoutMS": TIMEOUT_MS, "connectTimeoutMS": TIMEOUT_MS,
}  # fmt: skip
"""Options that a URL may change; all others are the driver's."""

REFUSED_CODES: Final = (18, 8000)
"""AuthenticationFailed of MongoDB, and of Atlas."""
REFUSED: Final = "it refuses the name or password, or knows them in another database (`authSource`)"
UNAUTHORISED: Final = 13


def connect(url: str, name: str | None = None) -> Database:
    """Return the database that a URL names, or `name`, connecting to nothing yet; raises Unavailable.

    The driver has the URL as it is. Two things it cannot change: a write waits for a majority and its
    journal, and a read asks the primary, since what was just written is looked at again.
    """
    try:
        client: AsyncMongoClient[Document] = AsyncMongoClient(url, **_usual(url))
        if name is None:
            name = client.get_default_database(NAME).name
        database = client.get_database(
            name, write_concern=WriteConcern(w="majority", j=True), read_preference=ReadPreference.PRIMARY
        )
    except (ConfigurationError, ValueError, OSError) as error:  # OSError: a certificate that cannot be read
        raise Unavailable(f"MONGODB_URL is no address of a MongoDB: {error}") from None
    return Database(client, database)


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """Lend the database that a URL names to who configures a server; raises Unavailable with the reason."""
    database = connect(url)
    try:
        with explained():
            yield database
    finally:
        await database.close()


def _usual(url: str) -> dict[str, Any]:
    given = {name.lower() for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    return {name: value for name, value in USUAL.items() if name.lower() not in given}


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Add to an Unavailable what the driver says: for who configures a server, never for who asks it."""
    try:
        yield
    except Unavailable as error:
        if not isinstance(error.__cause__, PyMongoError):
            raise
        raise Unavailable(f"{error.message.rstrip('.')}: {_reason(error.__cause__)}") from error.__cause__


def _reason(error: PyMongoError) -> str:
    if isinstance(error, OperationFailure):
        if error.code in REFUSED_CODES:
            return f"{REFUSED}."
        if error.code == UNAUTHORISED:
            return "the account may not do this, or no account is named."
    return str(error).partition(" (configured timeouts")[0].partition(", full error")[0]
