"""A store of passages to try the index's ports on, with the members that its files have in collections."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pymongo import MongoClient

from antiphon.domain.ids import new_id
from antiphon.domain.passages import Candidates, IndexQuery, NewPassage, Source
from antiphon.ports.passage_index import IndexScopes, PassageIndex, Vectors
from antiphon.storage.mongo.passage_store import open_passages
from antiphon.storage.sql.knowledge import open_knowledge
from antiphon.storage.sql.knowledge_elsewhere import KEPT, PAIR
from antiphon.storage.sql.knowledge_index_writes import text_hash
from antiphon.storage.sql.postgres_knowledge import open_postgres_knowledge
from tests import mongo
from tests.postgres import Hands, prepared
from tests.services.world import prepare

MODEL = "test/model"
DIMENSIONS = 24
TABLES = ("scopes", "sources", "passages", "passage_texts", "vector_models", "vectors", "members")


class IndexWorld:
    """The ports under test, and hands for what other ports do."""

    def __init__(
        self, store: Any, execute: Callable[..., list[Any]], engine: str, documents: Any = None
    ) -> None:
        self.store = store
        self.index: PassageIndex = store.index
        self.scopes: IndexScopes = store.scopes
        self.vectors: Vectors = store.vectors
        self.engine = engine
        self.execute = execute
        self.documents = documents
        """The collection of MongoDB that passages are in, None where they are in SQL."""

    def passages_of(self) -> dict[int, tuple[int, int]]:
        """How many passages there are of each source, seen or not, and how many words where they count."""
        if self.documents is None:
            rows = self.execute("SELECT p.source_no,count(*) FROM passages p GROUP BY 1")
            texts = self.execute(
                "SELECT p.source_no,count(*) FROM passage_texts t JOIN passages p ON p.no=t.no GROUP BY 1"
            )
            assert sorted(rows) == sorted(texts)
            return {no: (count, 0) for no, count in rows}
        found: dict[int, tuple[int, int]] = {}
        for one in self.documents.find({}, {"source": 1, "length": 1}):
            count, words = found.get(int(one["source"]), (0, 0))
            found[int(one["source"])] = (count + 1, words + int(one["length"]))
        return found

    def count(self) -> int:
        """How many passages there are, seen or not."""
        return sum(count for count, _ in self.passages_of().values())

    def vectors_of(self) -> dict[str, int]:
        """How many vectors are kept for each owner."""
        if self.documents is None:
            return dict(self.execute("SELECT owner_id,count(*) FROM vectors GROUP BY 1"))
        owners = [one["owner"] for one in self.documents.find({}) for _ in one["embedded"]]
        return dict(Counter(owners))

    def words_of(self, word: str) -> int:
        """How many passages the engine's own index of words has under a word."""
        if self.documents is not None:
            return int(self.documents.count_documents({"words": {"$regex": f":{word}$"}}))
        if self.engine == "sqlite":
            return int(self.execute("SELECT count(*) FROM words WHERE words MATCH ?", f'"{word}"')[0][0])
        found = "SELECT count(*) FROM passages WHERE CAST(terms AS TEXT) LIKE ?"
        return int(self.execute(found, f"%:{word}:%")[0][0])

    def member(
        self, scope: str, file_id: str, attributes: dict[str, Any] | None = None, owner: str = "o"
    ) -> None:
        """A file is in a collection, as the port `Members` writes it."""
        columns = {
            "collection_id": scope, "file_id": file_id, "id": new_id(1), "owner_id": owner,
            "attributes": json.dumps(attributes or {}), "state": "in_progress", "automatic": True,
        }  # fmt: skip
        numbers = ("slot", "max_tokens", "overlap_tokens", "usage_bytes", "version", "created", "done")
        columns |= dict.fromkeys((*numbers, "total", "attempts", "not_before"), 0)
        names = ",".join(columns)
        places = ",".join("?" * len(columns))
        self.execute(f"INSERT INTO members({names}) VALUES({places})", *columns.values())

    def describe(self, scope: str, file_id: str, attributes: dict[str, Any]) -> None:
        """A member's attributes change."""
        self.execute(
            "UPDATE members SET attributes=? WHERE collection_id=? AND file_id=?",
            json.dumps(attributes), scope, file_id,
        )  # fmt: skip

    def remove(self, scope: str, file_id: str) -> None:
        """A file is taken out of a collection."""
        self.execute("DELETE FROM members WHERE collection_id=? AND file_id=?", scope, file_id)

    async def put(self, source: Source, *texts: str, publish: bool = True, embed: bool = True) -> None:
        """Index a file's texts as the ingestion does."""
        await self.index.add(source, [passage(ordinal, text) for ordinal, text in enumerate(texts)])
        if embed:
            await self.embed(source.owner_id, texts)
        if publish:
            assert await self.index.publish(source.id)

    async def file(
        self,
        scope: str,
        *texts: str,
        owner: str = "o",
        attributes: dict[str, Any] | None = None,
        embed: bool = True,
    ) -> Source:
        """Add a file to a collection and index it."""
        source = new_source(scope, owner=owner)
        self.member(scope, source.ref_id, attributes, owner)
        await self.put(source, *texts, embed=embed)
        return source

    async def embed(self, owner: str, texts: Sequence[str], model: str = MODEL) -> None:
        """Keep the vectors of texts."""
        await self.vectors.put(
            owner, model, [(text_hash("", text), vector(text).tobytes()) for text in texts]
        )

    async def found(
        self, scopes: Sequence[str], text: str, *, limit: int = 50, **more: Any
    ) -> list[set[str]]:
        """Return the texts each leg finds."""
        candidates = await self.search(scopes, text, limit=limit, **more)
        legs = []
        for hits in (candidates.lexical, candidates.dense):
            passages = await self.index.passages(scopes, [hit.passage_id for hit in hits])
            assert len(passages) == len(hits), "a leg proposes what is not there"
            legs.append({one.text for one in passages})
        return legs

    async def search(self, scopes: Sequence[str], text: str, *, limit: int = 50, **more: Any) -> Candidates:
        """Search by words and by vectors."""
        more = {"model": MODEL, **more}
        return await self.index.search(
            IndexQuery(
                scopes=tuple(scopes), terms=(text,), vector=vector(text).tobytes(), limit=limit, **more
            )
        )


def new_source(
    scope: str, *, owner: str = "o", ref_id: str | None = None, version: int = 1, **more: Any
) -> Source:
    """A file's source in a collection."""
    return Source(
        id=new_id(1), kind=more.pop("kind", "file"), owner_id=owner, scope=scope, ref_id=ref_id or new_id(1),
        version=version, **more,
    )  # fmt: skip


def passage(ordinal: int, text: str, **more: Any) -> NewPassage:
    """A passage whose words are already terms."""
    return NewPassage(
        ordinal=ordinal, start=ordinal * 100, end=ordinal * 100 + len(text), text=text, title_terms="",
        body_terms=text, **more,
    )  # fmt: skip


def vector(text: str) -> NDArray[np.float32]:
    """A text's vector: near that of texts with the same words, never two the same."""
    total = np.zeros(DIMENSIONS)
    for word in text.split():
        total += np.random.default_rng(list(word.encode())).normal(size=DIMENSIONS)
    total += 0.05 * np.random.default_rng(list(b"." + text.encode())).normal(size=DIMENSIONS)
    return (total / np.linalg.norm(total)).astype(np.float32)


@asynccontextmanager
async def sqlite(directory: Path, cache_bytes: int = 1 << 26) -> AsyncIterator[IndexWorld]:
    """The embedded store."""
    prepare(directory)
    store = await open_knowledge(directory, cache_bytes=cache_bytes)
    hands = sqlite3.connect(directory / "knowledge.db", isolation_level=None, timeout=30)
    try:
        yield IndexWorld(store, lambda sql, *values: hands.execute(sql, values).fetchall(), "sqlite")
    finally:
        hands.close()
        await store.close()


@asynccontextmanager
async def postgres(directory: Path, cache_bytes: int = 1 << 26) -> AsyncIterator[IndexWorld]:
    """The store of several servers."""
    store = await open_postgres_knowledge(prepared(directory), cache_bytes=cache_bytes)
    hands = Hands(directory)
    try:
        yield IndexWorld(store, hands, "postgres")
    finally:
        hands.close()
        await store.close()


@asynccontextmanager
async def mongo_and_sqlite(directory: Path, cache_bytes: int = 1 << 26) -> AsyncIterator[IndexWorld]:
    """Passages in MongoDB, their catalogue in the embedded store."""
    async with (
        sqlite(directory, cache_bytes) as catalogue,
        in_mongo(directory, catalogue, cache_bytes) as world,
    ):
        yield world


@asynccontextmanager
async def mongo_and_postgres(directory: Path, cache_bytes: int = 1 << 26) -> AsyncIterator[IndexWorld]:
    """Passages in MongoDB, their catalogue in the store of several servers."""
    async with (
        postgres(directory, cache_bytes) as catalogue, in_mongo(directory, catalogue, cache_bytes) as world,
    ):  # fmt: skip
        yield world


@asynccontextmanager
async def in_mongo(directory: Path, catalogue: IndexWorld, cache_bytes: int) -> AsyncIterator[IndexWorld]:
    """The index in MongoDB beside a catalogue."""
    url = mongo.url(directory)
    index = await open_passages(url, catalogue.store, cache_bytes=cache_bytes)
    client: MongoClient[Any] = MongoClient(url)
    try:
        documents = client.get_default_database()["passages"]
        yield IndexWorld(index, catalogue.execute, catalogue.engine, documents)
    finally:
        client.close()
        await index.close()


INDEXES: dict[str, Callable[..., AbstractAsyncContextManager[IndexWorld]]] = {
    "sqlite": sqlite,
    "postgres": postgres,
    "mongo+sqlite": mongo_and_sqlite,
    "mongo+postgres": mongo_and_postgres,
}
"""The adapters of the index; opened twice on one directory, one finds what it wrote."""

NAMES = [
    pytest.param(
        name, marks=pytest.mark.skipif(name.startswith("mongo") and not mongo.is_there(), reason=mongo.ABSENT)
    )
    for name in INDEXES
]
"""Their names, as parameters of tests."""
IN_SQL, IN_MONGODB = NAMES[:2], NAMES[2:]
"""Apart for tests of many examples: the server at hand reads whole collections, so few must do."""


def empty(world: IndexWorld) -> None:
    """Make a store as if it were new."""
    if world.engine == "postgres":
        world.execute(f"TRUNCATE {','.join(TABLES)} RESTART IDENTITY")
    else:
        for table in (*TABLES, "sqlite_sequence"):
            world.execute(f"DELETE FROM {table}")
    world.execute("DELETE FROM marks WHERE name NOT IN (?,?)", PAIR, KEPT)
    if world.documents is not None:
        world.documents.delete_many({})


def run(directory: Path, name: str, work: Callable[[IndexWorld], Any], **options: Any) -> None:
    """Run `work` on a fresh store, for tests that are not themselves asynchronous."""

    async def with_world() -> None:
        place = directory if name == "sqlite" else directory.parent / "emptied" / name
        async with INDEXES[name](place, **options) as world:
            if name != "sqlite":  # twenty times as fast as a new database
                empty(world)
            await work(world)

    asyncio.run(with_world())
