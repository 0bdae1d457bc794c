"""Connections to PostgreSQL, and what its errors mean to us.

A connection is held for the length of a read or a write set, never while somebody waits for a
model or a client, so a few serve thousands of streams.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

import asyncpg

from antiphon.domain.errors import StorageFull, Unavailable
from antiphon.storage.system_errors import NO_DESCRIPTOR, TOO_MANY_FILES

ACQUIRE_SECONDS: Final = 10.0
"""How long a request waits for a connection before it is answered 503."""
STATEMENT_MS: Final = 30_000
COMMAND_SECONDS: Final = 40.0
"""When a statement is given up on whose server says nothing: later than the server gives up itself."""
CONNECT_SECONDS: Final = 10.0
RELEASE_SECONDS: Final = 2.0
"""How long a connection that is given back may take to end what was broken off on it."""
CACHED_STATEMENTS: Final = 500
OLDEST_SERVER: Final = 140_000
"""The version, as the server numbers it."""

GONE: Final = (
    OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.InternalClientError,
    asyncpg.AdminShutdownError, asyncpg.CrashShutdownError, asyncpg.CannotConnectNowError,
)  # fmt: skip
"""The connection is gone: what was not committed is undone, and another connection may do it."""
LOST: Final = (
    OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError, asyncpg.TooManyConnectionsError,
)  # fmt: skip
"""The connection is gone or cannot be had: what was being done is undone, or its end is not known."""
FULL: Final = (
    asyncpg.DiskFullError, asyncpg.OutOfMemoryError, asyncpg.ReadOnlySQLTransactionError,
    asyncpg.exceptions.PostgresIOError,
)  # fmt: skip
AGAIN: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
"""The database undid it for another's sake: the same once more may work."""

NO_ANSWER: Final = "The database does not answer now; try again."

log = logging.getLogger(__name__)


class Session(Protocol):
    """What we use of a driver's connection; values take the places `$1`, `$2`, …"""

    async def execute(self, statement: str, *values: Any) -> str:
        """Run a statement; returns its command tag."""
        ...

    async def fetch(self, statement: str, *values: Any) -> list[Any]:
        """Return all rows."""
        ...

    async def executemany(self, statement: str, values: Sequence[Sequence[Any]]) -> None:
        """Run a statement with each of several rows of values."""
        ...

    def transaction(self, *, isolation: str, readonly: bool) -> AbstractAsyncContextManager[None]:
        """Be in a transaction for as long as the context is open."""
        ...

    def cursor(self, statement: str, *values: Any) -> Awaitable[Any]:
        """Begin to read rows in portions, in a transaction; what is awaited has `fetch(count)`."""
        ...

    async def fetchval(self, statement: str, *values: Any) -> Any:
        """Return the first column of the first row, or None."""
        ...

    async def add_listener(self, channel: str, callback: Any) -> None:
        """Call back with (connection, pid, channel, payload) for every notification."""
        ...

    def add_termination_listener(self, callback: Any) -> None:
        """Call back with the connection when it is gone."""
        ...

    def is_closed(self) -> bool:
        """Whether the connection is gone."""
        ...

    async def close(self) -> None:
        """Say good-bye."""
        ...

    def terminate(self) -> None:
        """Be gone without a word; what was not committed is undone."""
        ...


class PooledConnection(asyncpg.Connection):  # type: ignore[misc] # the driver has no types
    """A pooled connection that is given back as it is: nothing of ours leaves a trace in a session."""

    def get_reset_query(self) -> str:
        """Return nothing to be done: a reset would be a round trip for each read."""
        return ""


def session(role: str) -> dict[str, str]:
    """Return a session's settings, by which an operator also knows it."""
    return {
        "application_name": f"antiphon {role}",
        "statement_timeout": str(STATEMENT_MS),
        "lock_timeout": str(STATEMENT_MS // 2),
        "idle_in_transaction_session_timeout": str(2 * STATEMENT_MS),
        "default_transaction_isolation": "read committed",
    }


async def connect(url: str, role: str) -> Session:
    """Open one connection; raises what the driver raises."""
    connection: Session = await asyncpg.connect(
        url, timeout=CONNECT_SECONDS, command_timeout=COMMAND_SECONDS,
        statement_cache_size=CACHED_STATEMENTS, server_settings=session(role),
    )  # fmt: skip
    return connection


def named(error: Exception) -> Exception:
    """Return the error as the core knows it."""
    if isinstance(error, ValueError):
        return error  # a value that the driver cannot send: also an InterfaceError, and ours to mend
    if isinstance(error, OSError) and error.errno in NO_DESCRIPTOR:
        return Unavailable(TOO_MANY_FILES)
    if isinstance(error, FULL):
        return StorageFull("The database cannot be written now (disk full or read-only).")
    if isinstance(error, (*LOST, *AGAIN, asyncpg.LockNotAvailableError)):
        return Unavailable(NO_ANSWER)
    return error


def away(error: Exception, url: str) -> Unavailable:
    """Return what is told of a first connection that failed."""
    if isinstance(error, OSError):  # Python's TLS does not say which of the files it could not read
        for name, (path, *_) in parse_qs(urlsplit(url).query).items():
            if name in ("sslrootcert", "sslcert", "sslkey") and not os.access(path, os.R_OK):
                return Unavailable(f"DATABASE_URL names a file that cannot be read: {name}={path}")
    return Unavailable(f"PostgreSQL cannot be reached: {error}")


async def require_usable(connection: Session) -> None:
    """Raise Unavailable for a database that cannot keep people's text, or is too old."""
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise Unavailable(
            f"The database's encoding is {encoding}, and text needs UTF8: make another one with"
            " createdb --encoding=UTF8 --template=template0, and name it in DATABASE_URL."
        )
    if int(await connection.fetchval("SHOW server_version_num")) < OLDEST_SERVER:
        version = await connection.fetchval("SHOW server_version")
        raise Unavailable(f"PostgreSQL {version} is too old: {OLDEST_SERVER // 10_000} or newer is needed.")


def is_silence(error: BaseException) -> bool:
    """Whether the database said nothing in time: then no other connection says more."""
    return isinstance(error, TimeoutError)


async def undo(connection: Session, error: BaseException) -> None:
    """Take back what was begun on a connection and broken off by an error."""
    if is_silence(error):
        connection.terminate()  # a ROLLBACK would not be answered either
        return
    with suppress(*LOST):
        await connection.execute("ROLLBACK")


class Pool:
    """A bounded number of connections for reads and write sets."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Session]:
        """Lend a connection; raises Unavailable if none is free in time or the database is away.

        What the driver raises inside comes out under the core's names.
        """
        try:
            connection = await self._pool.acquire(timeout=ACQUIRE_SECONDS)
        except TimeoutError:
            raise Unavailable("All connections to the database are busy; try again.") from None
        except LOST as error:
            raise named(error) from error
        try:
            yield connection
        except Exception as error:
            meant = named(error)
            if meant is error:
                raise
            raise meant from error
        finally:
            await self._give_back(connection)

    async def _give_back(self, connection: Session) -> None:
        """Have the connection lent again; the driver ends one that does not become free in time.

        That says nothing of what was done with it, which is told already.
        """
        try:
            await self._pool.release(connection, timeout=RELEASE_SECONDS)
        except (*LOST, asyncpg.PostgresError) as error:
            log.debug("a connection to the database is given up: %s", type(error).__name__)

    async def renew(self) -> None:
        """Have every connection opened anew before it is lent again: one was lost, as likely all were."""
        await self._pool.expire_connections()

    async def close(self) -> None:
        """Wait for what is lent, then close all."""
        await self._pool.close()


async def open_pool(
    url: str, size: int, role: str = "store", settings: Mapping[str, str] | None = None
) -> Pool:
    """Open the pool with one connection; raises Unavailable if the database is away."""
    try:
        pool = await asyncpg.create_pool(
            url, min_size=1, max_size=size, connection_class=PooledConnection, timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS, statement_cache_size=CACHED_STATEMENTS,
            server_settings={**session(role), **(settings or {})},
        )  # fmt: skip
    except (*LOST, TimeoutError) as error:
        raise away(error, url) from error
    return Pool(pool)
