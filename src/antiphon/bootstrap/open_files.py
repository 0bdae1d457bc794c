"""Open files and connections: as many as one process may have, and a word in the log where they run out."""

from __future__ import annotations

import logging
import resource
import time
from typing import Final

from antiphon.storage.system_errors import none_left

MOST: Final = 65_536
"""More helps nobody, and what closes all it inherited would look for millions."""
WANTED: Final = 1024
"""One a stream, one a call to a model, some for the store: fewer are soon too few."""
LOOK_SECONDS: Final = 1.0
QUIET_SECONDS: Final = 60.0

log = logging.getLogger(__name__)


def raise_limit() -> None:
    """Take what the system allows; a warning says if that is little.

    Many systems allow a process a thousand and let it ask for more, since programs that are older than
    that could not bear it. Readers of documents, which are its children, have a limit of their own.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return
    allowed = max(soft, MOST if hard == resource.RLIM_INFINITY else min(hard, MOST))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (ValueError, OSError):  # macOS has another limit behind this one
        allowed = soft
    if allowed < WANTED:
        log.warning("at most %d files and connections may be open; raise it with `ulimit -n`", allowed)


class Shortage:
    """Says when nothing more can be opened.

    The event loop does not: it takes each new connection with a descriptor that it has spared, and closes it.
    """

    def __init__(self) -> None:
        self._told: float | None = None

    async def look(self) -> None:
        """Try to open something; says so at most once in `QUIET_SECONDS`."""
        if none_left():
            self._tell()

    def _tell(self) -> None:
        now = time.monotonic()
        if self._told is None or now - self._told >= QUIET_SECONDS:
            self._told = now
            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            log.warning(
                "too many open files: new connections are closed unanswered; the limit is %d (`ulimit -n`)",
                limit,
            )
