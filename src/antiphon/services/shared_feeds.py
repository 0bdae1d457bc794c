"""What a share link shows, told again whenever it changes: no more than the link itself tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from antiphon.domain.errors import RateLimited
from antiphon.services.changes import Changes
from antiphon.services.feeds import LOOK_SECONDS
from antiphon.services.shares import Shared, Shares

MOST: Final = 500
"""Readers of links at the same time: nobody vouches for them."""
PAUSE_SECONDS: Final = 1.0
"""Between two of them at least; what changes meanwhile is told together."""


class SharedFeeds:
    """Follows links."""

    def __init__(self, shares: Shares, changes: Changes, *, most: int = MOST) -> None:
        self._shares = shares
        self._changes = changes
        self._most = most
        self._open: set[asyncio.Event] = set()
        self._ended = False

    async def follow(self, token: str) -> AsyncGenerator[Shared | None]:
        """Yield what a link shows now and after every change, None after a silence, until the server stops.

        Raises NotFound once it shows nothing any more, RateLimited while too many others read.
        """
        shown = await self._shares.open(token)
        if len(self._open) >= self._most:
            raise RateLimited("Too many readers follow shared conversations now.", retry_after_seconds=10.0)
        news = asyncio.Event()
        self._open.add(news)
        release = self._changes.listen(shown.conversation.id, news.set)
        try:
            yield shown
            while not self._ended:
                try:
                    async with asyncio.timeout(LOOK_SECONDS):
                        await news.wait()
                except TimeoutError:
                    yield None
                news.clear()
                before, shown = shown, await self._shares.open(token)
                if _differ(before, shown):
                    yield shown
                    await asyncio.sleep(PAUSE_SECONDS)
        finally:
            release()
            self._open.discard(news)

    def end_all(self) -> None:
        """End all of it, because the server stops."""
        self._ended = True
        for news in self._open:
            news.set()


def _differ(before: Shared, now: Shared) -> bool:
    return (before.conversation.title, before.branch.id, before.branch.head) != (
        now.conversation.title,
        now.branch.id,
        now.branch.head,
    )
