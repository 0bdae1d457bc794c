"""A core whose conversations are indexed when a test says so, and short ways to ask it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from antiphon.domain.accounts import Principal
from antiphon.domain.passages import Cut
from antiphon.services.history import History
from antiphon.services.search import Found, SearchRequest
from antiphon.storage.sql.knowledge import FILE_NAME
from tests.services.world import World, open_world
from tests.store import passages


class WatchedIndex:
    """An index that counts what it is given; `failing` makes it refuse."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.added = 0
        self.failing = False

    async def add_messages(self, cuts: Sequence[Cut]) -> None:
        """See the port."""
        if self.failing:
            raise OSError("the index takes no writes")
        self.added += sum(len(passages) for _, passages in cuts)
        await self._inner.add_messages(cuts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Recalling(World):
    """A world with an index that is looked at."""

    index: WatchedIndex

    @property
    def follower(self) -> History:
        """The indexer."""
        return self.application.history

    async def indexed(self) -> None:
        """Index all that was committed, and all that is older."""
        while await self.follower.step():
            pass

    async def find(self, query: str, *, who: Principal | None = None, **fields: Any) -> Found:
        """Ask."""
        return await self.application.search.search(who or self.who, SearchRequest(query=query, **fields))

    async def texts(self, query: str, **fields: Any) -> list[str]:
        """The messages' texts that are found."""
        return [hit.passage.text for hit in (await self.find(query, **fields)).data]

    def items(self) -> list[str]:
        """The items that the index has passages of, once for each passage."""
        return [one["item"] for one in passages(self.directory)]

    def sources(self) -> list[str]:
        """The conversations that the index knows of."""
        return [row[0] for row in self.rows("SELECT id FROM sources", name=FILE_NAME)]


async def open_recalling(directory: Path, **settings: Any) -> Recalling:
    """Open a core on a directory, which may have been indexed before."""
    world = await open_world(directory, **settings)
    world.__class__ = Recalling
    assert isinstance(world, Recalling)
    world.index = WatchedIndex(world.knowledge.store.index)
    world.follower._index = world.index  # type: ignore[assignment]
    return world


@asynccontextmanager
async def recalling(directory: Path, **settings: Any) -> AsyncIterator[Recalling]:
    """A core that is shut down at the end of the block."""
    world = await open_recalling(directory, **settings)
    try:
        yield world
    finally:
        await world.close()
