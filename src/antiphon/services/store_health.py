"""Whether the store takes writes: a full disk refuses them, while reads go on and the server lives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from antiphon.domain.errors import Unavailable
from antiphon.ports.jobs import Jobs

LOOK_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 2.5
"""How long a store may take to say that it is there, for balancers that wait only seconds themselves."""
log = logging.getLogger(__name__)


class StoreHealth:
    """`takes_writes` is False from the first refused write until a probe, which writes, is not refused.

    Small writes may still fit where large ones do not, so no commit tells that there is room again.
    """

    def __init__(self, probe: Callable[[], Awaitable[None]]) -> None:
        self._probe = probe
        self.takes_writes = True

    def schedule(self, jobs: Jobs) -> None:
        """Look again and again, so that nobody need write for it."""
        jobs.every(LOOK_SECONDS, "look whether the store takes writes again", self.look)

    def refused(self) -> None:
        """Say that a write was refused because the store is full or read-only."""
        if self.takes_writes:
            self.takes_writes = False
            log.warning("the store refuses writes: the disk is full or read-only; reads go on")

    async def look(self) -> None:
        """See whether there is room again, if there was none."""
        if self.takes_writes:
            return
        try:
            await self._probe()
        except Exception as error:  # whatever the store says, it was not written
            log.debug("the store still refuses writes: %s", type(error).__name__)
            return
        self.takes_writes = True
        log.warning("the store takes writes again")


def answering(check: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Return a check that raises Unavailable, besides what `check` raises, if it takes `ANSWER_SECONDS`.

    What then goes on of it is not waited for: a connection may take as long again to be given back.
    """

    async def ask() -> None:
        asking = asyncio.ensure_future(check())
        asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            done, _ = await asyncio.wait({asking}, timeout=ANSWER_SECONDS)
        finally:
            asking.cancel()
        if not done:
            raise Unavailable("The store does not answer.")
        asking.result()

    return ask
