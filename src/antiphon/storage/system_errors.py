"""What it means that the operating system refuses a file."""

from __future__ import annotations

import errno
import os
import sqlite3
from typing import Final

from antiphon.domain.errors import StorageFull, Unavailable

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
NO_DESCRIPTOR: Final = frozenset({errno.EMFILE, errno.ENFILE})

TOO_MANY_FILES: Final = (
    "The server has as many files and connections open as it may; try again. Whoever runs it can raise the"
    " limit of open files (`ulimit -n`)."
)


def named(error: OSError, what: str) -> Unavailable:
    """Return the error as the core knows it; `what` could not be done.

    Only a full or read-only disk is StorageFull: a server that is told so takes nothing more for a while.
    """
    if error.errno in NO_DESCRIPTOR:
        return Unavailable(TOO_MANY_FILES)
    return (StorageFull if error.errno in FULL else Unavailable)(f"{what}: {error.strerror}.")


def without_descriptor(error: Exception) -> Unavailable | None:
    """Return the core's name for an error of SQLite's that comes of too many open files, else None.

    SQLite says only that it could not open something, so it is tried whether anything can be opened.
    """
    unopened = isinstance(error, sqlite3.OperationalError) and "unable to open" in str(error)
    return Unavailable(TOO_MANY_FILES) if unopened and none_left() else None


def none_left() -> bool:
    """Try whether too many files are open for one more."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in NO_DESCRIPTOR
    return False
