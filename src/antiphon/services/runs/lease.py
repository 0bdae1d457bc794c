"""Until when the other workers of a store take this process for alive."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from time import monotonic
from typing import Final

from antiphon.domain.errors import Unavailable

PATIENCE_SECONDS: Final = 10.0


class Lease:
    """The lease of the journal's worker; it never ends where the store is this process's own.

    A run that began under a lease which ran out would be taken over as a dead worker's at once.
    `until` is monotonic time. `on_lapsed` is called, perhaps often, when the lease is to be renewed;
    without it there is none.
    """

    def __init__(self) -> None:
        self.until = math.inf
        self.on_lapsed: Callable[[], None] | None = None
        self._renewed = asyncio.Event()

    def renew(self, until: float) -> None:
        """The store has the lease until then; whoever waited for it goes on."""
        self.until = until
        self._renewed.set()

    def lapse(self) -> None:
        """The lease is gone: it ran out, or another worker took over."""
        if self.on_lapsed is not None:
            self.until = -math.inf
            self.on_lapsed()

    async def held(self) -> None:
        """Return while the lease holds; raises Unavailable if it is not renewed in time."""
        while monotonic() >= self.until:
            self._renewed.clear()
            self.lapse()
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._renewed.wait()
            except TimeoutError:
                raise Unavailable("This server has lost its place beside the others; try again.") from None
