"""What Antiphon keeps its data in while it is measured: SQLite, or servers such as the tests use."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.processes import StartError
from tests import mongo, postgres
from tests.redis_server import RedisServer

STORES: Final = ("sqlite", "postgres", "mongo", "redis", "postgres+mongo", "postgres+redis")
HELP: Final = "postgres waits for its disk; mongo and redis alone are beside SQLite"
COUNTED: Final = "requests/minute=1000000000"
"""A limit that nothing reaches: without one there is nothing to count in Redis."""

Settings = Callable[[Path], dict[str, str]]
"""The settings of a server by its data directory."""


def settings_of(store: str, directory: Path) -> Settings:
    """Start what a store consists of, for as long as this process lives; raises StartError."""
    parts = [_PARTS[name](directory) for name in store.split("+")]
    return lambda data: {name: value for part in parts for name, value in part(data).items()}


def notes_of(store: str) -> list[str]:
    """Return what a reader of the figures must know."""
    command = mongo.command()
    if "mongo" not in store or command is None or Path(command[0]).name == "mongod":
        return []
    return [
        "This is FerretDB 1.24 over SQLite, which reads whole collections for anything but an `_id`:"
        " behaviour is shown here, and nothing is said of how fast MongoDB is."
    ]


def _sqlite(_: Path) -> Settings:
    return lambda _: {}


def _postgres(directory: Path) -> Settings:
    postgres.TUNED = ("max_connections=300",)
    url = postgres.prepared(Path(tempfile.mkdtemp(prefix="antiphon-bench-", dir=directory)))
    return lambda _: {"DATABASE_URL": url}


def _mongo(_: Path) -> Settings:
    """A database for each data directory, since the two belong together."""
    if not mongo.is_there():
        raise StartError(mongo.ABSENT)
    return lambda data: {"MONGODB_URL": mongo.url(data)}


def _redis(directory: Path) -> Settings:
    server = RedisServer(directory / "redis").start()
    atexit.register(server.kill)
    return lambda _: {"REDIS_URL": server.url, "DEFAULT_LIMITS": COUNTED}


_PARTS: Final[dict[str, Callable[[Path], Settings]]] = {
    "sqlite": _sqlite, "postgres": _postgres, "mongo": _mongo, "redis": _redis,
}  # fmt: skip
