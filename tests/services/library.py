"""A world with documents in it: files made of texts, collections, and the indexing job at work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from antiphon.domain.accounts import Principal
from antiphon.domain.collections import COLLECTION, Counts, Member
from antiphon.domain.files import FILE, File
from antiphon.services.collections import NewCollection, NewMember
from antiphon.services.files import NewFile
from antiphon.storage.memory.jobs import InProcessJobs
from tests.harness.knowledge import PlainParser
from tests.services.hand import PATIENCE_SECONDS
from tests.services.world import World, open_world
from tests.store import contents, passages


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


class Library:
    """Shortcuts to the services of knowledge; `parser` is the test's to hold up."""

    def __init__(self, world: World, parser: PlainParser) -> None:
        self.world = world
        self.parser = parser
        self.application = world.application
        self.store = world.knowledge.store
        self.who = world.who
        self.jobs = InProcessJobs()

    def work(self) -> None:
        """Let the indexing job begin."""
        self.application.ingestion.schedule(self.jobs)

    async def file(
        self, text: str | bytes = "hello", *, name: str = "a.txt", who: Principal | None = None, **fields: Any
    ) -> File:
        """Keep a text as a file."""
        who = who or self.who
        content = text.encode() if isinstance(text, str) else text
        new = NewFile(filename=name, purpose="assistants", **fields)
        async with self.application.files.receiving(who, pieces(content)) as kept:
            return await self.application.files.create(who, kept, new, key=None)

    async def rewrite(self, file: File, text: str) -> File:
        """Give a file a next version."""
        async with self.application.files.receiving(self.who, pieces(text.encode())) as kept:
            return await self.application.files.add_version(self.who, FILE + file.id, kept, "", key=None)

    async def collection(self, *files: File, who: Principal | None = None, **fields: Any) -> str:
        """Make a collection of files; returns its wire id."""
        members = [NewMember(file_id=FILE + file.id) for file in files]
        made = await self.application.collections.create(
            who or self.who, NewCollection(**fields), members, key=None
        )
        return COLLECTION + made.collection.id

    async def add(self, collection: str, file: File, **fields: Any) -> Member:
        """Add a file."""
        new = NewMember(file_id=FILE + file.id, **fields)
        return await self.application.collection_files.add(self.who, collection, new, key=None)

    async def member(self, collection: str, file: File) -> Member:
        """A member as it is stored now."""
        return await self.application.collection_files.get(self.who, collection, FILE + file.id)

    async def counts(self, collection: str, who: Principal | None = None) -> Counts:
        """How far a collection is."""
        return (await self.application.collections.get(who or self.who, collection)).counts

    async def indexed(self, *collections: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until nothing is being indexed in them any more."""
        async with asyncio.timeout(seconds):
            for collection in collections:
                while True:
                    if not (await self.counts(collection)).in_progress:
                        break
                    await asyncio.sleep(0.005)

    def rows(self, query: str) -> list[Any]:
        """Look into the store of knowledge beside the server."""
        return self.world.rows(query, name="knowledge.db")

    def live(self, collection: str, file: File | None = None) -> list[str]:
        """The texts of the passages that are searched, in order."""
        wanted = f"AND s.ref_id='{file.id}'" if file is not None else ""
        live = self.rows(
            f"SELECT s.no FROM sources s JOIN scopes c ON c.no=s.scope_no WHERE s.state='live' {wanted}"
            f" AND c.scope='{collection.removeprefix(COLLECTION)}'"
        )
        return [one["text"] for one in passages(self.world.directory) if (one["source"],) in live]

    def blobs(self) -> Sequence[str]:
        """The digests of the contents of files."""
        return list(contents(self.world.directory, "documents"))


@asynccontextmanager
async def open_library(directory: Path, **settings: Any) -> AsyncIterator[Library]:
    """A world with documents, closed at the end of the block."""
    parser = PlainParser()
    world = await open_world(directory, parser=parser, **settings)
    library = Library(world, parser)
    try:
        yield library
    finally:
        await library.jobs.close()
        await world.close()
