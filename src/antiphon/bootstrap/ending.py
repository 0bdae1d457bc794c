"""The end of a serving process, which nothing that does not answer may hold up."""

from __future__ import annotations

import logging
import os
import threading
from typing import Final

from antiphon.bootstrap.timing import Drain

CLOSING_SECONDS: Final = 5.0
"""How long the stores may take to close after the drain, where ones that answer take parts of a second."""

log = logging.getLogger(__name__)


def process_drain(seconds: float) -> Drain:
    """Return the drain of a process that serves: `CLOSING_SECONDS` after it the process is gone.

    A connection that stays and says nothing can be waited for in more places than could each have a limit,
    the interpreter's own end among them. So the limit is a thread's, and leaves as a kill would: what was
    committed stands, what was not told to anybody is done again or undone.
    """
    drain = Drain(seconds)
    drain.at_end(_limit)
    return drain


def _limit() -> None:
    timer = threading.Timer(CLOSING_SECONDS, _leave)
    timer.daemon = True
    timer.start()


def _leave() -> None:
    log.warning(
        "what is open could not be closed within %g s: a store that does not answer is left as it is, and"
        " the server ends",
        CLOSING_SECONDS,
    )
    os._exit(0)
