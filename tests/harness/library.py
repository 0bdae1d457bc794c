"""Documents put straight into a world's store: one passage a paragraph, one page a paragraph if wanted."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.analysis import analyse
from antiphon.domain.collections import COLLECTION, Member
from antiphon.domain.files import FILE, File, Version
from antiphon.domain.passages import Candidates, IndexQuery, NewPassage, Passage, Source
from antiphon.ports.passage_index import PassageIndex
from antiphon.services.collections import NewCollection
from antiphon.storage.sql.knowledge import FILE_NAME
from tests.services.world import World


class Library:
    """The documents of a world.

    `asked` are the questions to its index; `broken` is raised by every search and `held` holds it up.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = world.knowledge.store
        self.index = WatchedIndex(self.store.index)
        world.application.retrieval._index = cast(PassageIndex, self.index)

    async def collection(self, who: Principal | None = None, name: str = "docs") -> str:
        """Make a collection; returns its wire id."""
        made = await self.world.application.collections.create(
            who or self.world.who, NewCollection(name=name), key=None
        )
        return COLLECTION + made.collection.id

    async def add(
        self, collection_id: str, filename: str, text: str, *, pages: bool = False, **attributes: Any
    ) -> str:
        """Put a document into a collection; returns its wire id."""
        identifier = collection_id.removeprefix(COLLECTION)
        owner = await self._owner(identifier)
        file_id, source_id, digest = ids.new_id(1), ids.new_id(1), hashlib.sha256(text.encode()).hexdigest()
        paragraphs = _paragraphs(text)
        starts = tuple(start for start, _ in paragraphs) if pages else ()
        version = Version(
            file_id=file_id, number=1, owner_id=owner, digest=digest, bytes=len(text.encode()), created_us=1,
            text_state="ready", parser="library", language="en", characters=len(text), page_starts=starts,
        )  # fmt: skip
        file = File(
            id=file_id, owner_id=owner, slot=1, filename=filename, purpose="assistants", digest=digest,
            bytes=version.bytes, created_us=1,
        )  # fmt: skip
        await self.store.files.put(file, msgspec.structs.replace(version, text_state="none"))
        await self.store.texts.put_slice(owner, file_id, 1, 0, text)
        await self.store.texts.complete(version)
        member = Member(
            id=ids.new_id(1), collection_id=identifier, file_id=file_id, owner_id=owner, slot=1,
            attributes=attributes, created_us=1,
        )  # fmt: skip
        await self.store.members.put([member])
        source = Source(
            id=source_id, kind="file", owner_id=owner, scope=identifier, ref_id=file_id, version=1,
            title=filename, language="en",
        )  # fmt: skip
        await self.store.index.add(source, _passages(paragraphs, filename, pages=pages))
        assert await self.store.index.publish(source_id)
        return FILE + file_id

    async def _owner(self, collection_id: str) -> str:
        (owner,) = self.world.rows(
            "SELECT owner_id FROM collections WHERE id=?", collection_id, name=FILE_NAME
        )
        return str(owner[0])

    async def text(self, file_id: str, version: int = 1) -> str:
        """The whole text of a version, whoever's it is."""
        identifier = file_id.removeprefix(FILE)
        (owner,) = self.world.rows("SELECT owner_id FROM files WHERE id=?", identifier, name=FILE_NAME)
        found = await self.store.texts.read(str(owner[0]), identifier, version, 0, 1 << 40)
        assert found is not None
        return found

    async def forget(self, file_id: str, who: Principal | None = None) -> None:
        """Erase a document."""
        account = (who or self.world.who).account_id
        await self.store.files.delete(account, file_id.removeprefix(FILE))


@pytest.fixture
def library(world: World) -> Library:
    """The documents of the world that the folder of a test makes."""
    return Library(world)


class WatchedIndex:
    """Port `PassageIndex`, as far as a search reads it, with a look before every question."""

    def __init__(self, inner: PassageIndex) -> None:
        self._inner = inner
        self.asked: list[IndexQuery] = []
        self.broken: Exception | None = None
        self.held: asyncio.Event | None = None
        self.wrong: str | None = None

    async def search(self, query: IndexQuery) -> Candidates:
        """Note the question, wait, fail, or ask."""
        self.asked.append(query)
        if self.held is not None:
            await self.held.wait()
        if self.broken is not None:
            raise self.broken
        return await self._inner.search(query)

    async def passages(self, scopes: Sequence[str], ids: Sequence[int]) -> list[Passage]:
        """Return what the index holds, with `wrong` in place of its texts if that is set."""
        found = await self._inner.passages(scopes, ids)
        if self.wrong is None:
            return found
        return [msgspec.structs.replace(one, text=self.wrong) for one in found]


def _paragraphs(text: str) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    at = 0
    for paragraph in text.split("\n\n"):
        found.append((at, paragraph))
        at += len(paragraph) + 2
    return found


def _passages(paragraphs: Sequence[tuple[int, str]], title: str, *, pages: bool) -> list[NewPassage]:
    return [
        NewPassage(
            ordinal=ordinal, start=start, end=start + len(text), text=text, heading=title,
            page=ordinal + 1 if pages else None, title_terms=analyse(title, "en"),
            body_terms=analyse(text, "en"), created_us=1,
        )
        for ordinal, (start, text) in enumerate(paragraphs)
    ]  # fmt: skip
