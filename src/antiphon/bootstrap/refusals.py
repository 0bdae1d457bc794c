"""What is told of a start, or a command, that failed: one line that says what to do, not a traceback.

Only failures of the surroundings and of the configuration have a line. Anything else is a defect of the
program, and whoever mends it wants all of it.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from typing import Final

from antiphon.domain.errors import AntiphonError

MOST_CHARACTERS: Final = 400
_OF_SYSTEM: Final = {
    errno.ENOSPC: "free some space on the disk",
    errno.EDQUOT: "free some space, or have the quota raised",
    errno.EACCES: "give the server's user the right to it, or name another place",
    errno.EPERM: "give the server's user the right to it, or name another place",
    errno.EROFS: "it is mounted read-only: mount it read-write, or choose another DATA_DIR",
    errno.EEXIST: "it is in the way of a directory: remove it, or choose another DATA_DIR",
    errno.ENOTDIR: "a part of the path is no directory: choose another DATA_DIR",
    errno.EISDIR: "a file is wanted there",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
}
_OF_SQLITE: Final = (
    ("full", "free some space on the disk"),
    ("readonly", "give the server's user the right to write DATA_DIR, and mount it read-write"),
    ("unable to open", "give the server's user the right to write DATA_DIR, and mount it read-write"),
    ("locked", "another program has the file open: end it"),
    ("disk I/O", "see what the system says of the disk (dmesg)"),
    ("", "`antiphon doctor` says which file is damaged: restore a backup"),
)
_OF_POSTGRES: Final = {
    "InvalidPasswordError": "correct the name and the password in DATABASE_URL",
    "InvalidAuthorizationSpecificationError": "correct the name in DATABASE_URL, or the server's pg_hba.conf",
    "InvalidCatalogNameError": "make the database (createdb), or correct DATABASE_URL",
    "InsufficientPrivilegeError": "GRANT CREATE ON DATABASE … TO …, and on its schema public",
    "DiskFullError": "free some space on the database's disk",
    "ReadOnlySQLTransactionError": "name the primary in DATABASE_URL",
}
_POSTGRES: Final = "see docs/stores.md on DATABASE_URL"


def refusal_of(error: BaseException) -> str | None:
    """Return what is told of a failure, in one line of printable characters; None for a defect."""
    for one in _and_causes(error):
        told = _told(one)
        if told is not None:
            return _short(told)
    return None


def advice_on(error: OSError) -> str:
    """Return what to do about what the system refused, nothing where the error says too little."""
    return _OF_SYSTEM.get(error.errno or 0, "")


def _and_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and, while it only passes another one on, what it passes on."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = (getattr(one, "orig", None) or one.__cause__) if _maker(one) == "sqlalchemy" else None


def _told(error: BaseException) -> str | None:
    if isinstance(error, AntiphonError):
        return error.message
    if isinstance(error, OSError) and error.strerror:
        of = f"'{error.filename}': " if error.filename else ""
        return _advised(f"{of}{error.strerror}", advice_on(error))
    if isinstance(error, sqlite3.Error):
        said = str(error)
        return _advised(f"SQLite: {said}", next(advice for word, advice in _OF_SQLITE if word in said))
    kind = type(error).__name__
    match _maker(error):
        case "asyncpg":
            advice = next(
                (_OF_POSTGRES[one.__name__] for one in type(error).__mro__ if one.__name__ in _OF_POSTGRES),
                _POSTGRES,
            )
            return _advised(f"PostgreSQL: {str(error).partition(chr(10))[0]}", advice)
        case "pymongo":  # its words may quote the address
            return _advised(f"MongoDB: {kind}", "see docs/stores.md on MONGODB_URL")
        case "redis":
            return _advised(f"Redis: {kind}", "see docs/stores.md on REDIS_URL")
    return None


def _maker(error: BaseException) -> str:
    """Return the package that an error comes from: those of the stores are loaded where they are used."""
    makers = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return next((name for name in ("asyncpg", "pymongo", "redis", "sqlalchemy") if name in makers), "")


def _advised(said: str, advice: str) -> str:
    return f"{said.rstrip('.')}; {advice}" if advice else said


def _short(text: str) -> str:
    line = "".join(one if one.isprintable() else "?" for one in " ".join(text.split()))
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1]}…"
