"""A server whose conversations and passages are in MongoDB: the book's RAG, and what a kill leaves."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from tests import mongo
from tests.e2e.library import client_of, counts, folder, indexed, text_of, upload
from tests.e2e.server_process import ServerProcess, eventually

pytestmark = pytest.mark.skipif(not mongo.is_there(), reason=mongo.ABSENT)

SETTINGS = {
    "LIST_SCRIPTED_MODELS": "true", "DEFAULT_MODEL": "scripted/echo",
    "EMBEDDING_MODEL": "scripted/embedding", "DRAIN_SECONDS": "1",
}  # fmt: skip
FACT = "The lighthouse of Grimsby was painted violet in 1931."
QUESTION = "How was the lighthouse of Grimsby painted?"
FILES, SIZE = 6, 30_000


class Store:
    """A server on a directory and a database, and what lies in both."""

    def __init__(self, directory: Path) -> None:
        self.url = mongo.url(directory)
        self.server = ServerProcess(directory, SETTINGS | {"MONGODB_URL": self.url})

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What the catalogue says."""
        with closing(sqlite3.connect(f"file:{self.server.data / 'knowledge.db'}?mode=ro", uri=True)) as db:
            return db.execute(statement).fetchall()

    def documents(self) -> list[dict[str, Any]]:
        """The passages in MongoDB."""
        with closing(MongoClient[dict[str, Any]](self.url)) as client:
            return list(client.get_default_database()["passages"].find({}))

    async def start(self, **settings: str) -> None:
        """Start the server, with other settings."""
        self.server.settings |= settings
        await asyncio.to_thread(self.server.start)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(tmp_path)
    await opened.start()
    yield opened
    opened.server.stop()


def of_root(server: ServerProcess) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=60, trust_env=False)


def searched(server: ServerProcess) -> str:
    """What the book's search of what was said finds of the parrot."""
    return httpx.get(
        f"http://127.0.0.1:{server.port}/chat/search", params={"query": "Archibald"}, trust_env=False
    ).text


async def know(http: httpx.AsyncClient) -> str:
    """Put the fact into a vector store; returns its id."""
    file = await upload(http, FACT.encode(), "grimsby.txt")
    made = await http.post("/vector_stores", json={"name": "sea", "file_ids": [file]})
    assert made.status_code == 200, made.text
    found = await indexed(http, made.json()["id"])
    assert found["completed"] == 1, found
    return str(made.json()["id"])


async def search(http: httpx.AsyncClient, known: str) -> list[str]:
    found = await http.post(f"/vector_stores/{known}/search", json={"query": QUESTION})
    assert found.status_code == 200, found.text
    return [part["text"] for one in found.json()["data"] for part in one["content"]]


async def test_the_books_rag_answers_from_passages_in_mongodb(store: Store) -> None:
    async with client_of(store.server) as http, of_root(store.server) as book:
        known = await know(http)
        assert FACT in await search(http, known)
        answered = await book.post("/rag", json={"prompt": QUESTION})
        assert answered.status_code == 200 and answered.json()["response"], answered.text
        found = (await book.get("/process_query", params={"query": "lighthouse Grimsby"})).json()["result"]
        assert "grimsby.txt" in {one["source"] for one in found}
        said = {"session_id": "g", "message": "My parrot is called Archibald."}
        assert (await book.post("/chat", json=said)).status_code == 200
        await asyncio.to_thread(eventually, lambda: "Archibald" in searched(store.server), "a hit", 30)
    documents = store.documents()
    assert FACT in {one["text"] for one in documents}
    assert any("Archibald" in one["text"] for one in documents)
    assert store.rows("SELECT count(*) FROM passages") == store.rows("SELECT count(*) FROM vectors")
    assert store.rows("SELECT count(*) FROM passages") == [(0,)], "SQL holds no passage"


def require_whole(store: Store, files: int) -> None:
    """Every file is indexed once, its passages without gap, and there is no other document."""
    sources = dict(store.rows("SELECT no,passages FROM sources WHERE kind='file'"))
    documents = [one for one in store.documents() if one["item"] == ""]
    counted = Counter(int(one["source"]) for one in documents)
    assert counted == sources and len(sources) == files
    for no, count in counted.items():
        ordinals = sorted(int(one["ordinal"]) for one in documents if one["source"] == no)
        assert ordinals == list(range(count))
    assert store.rows("SELECT state,count(*) FROM sources WHERE kind='file' GROUP BY 1") == [("live", files)]


async def test_killed_while_it_indexes_it_leaves_neither_orphan_nor_double(store: Store) -> None:
    async with client_of(store.server) as http:
        known, _ = await folder(http, (text_of(number, SIZE) for number in range(FILES)))
        for pause in (0.4, 0.9, 1.7):
            await asyncio.sleep(pause)
            await asyncio.to_thread(store.server.kill)
            await store.start()
        assert await indexed(http, known) == {
            "in_progress": 0, "completed": FILES, "failed": 0, "cancelled": 0, "total": FILES,
        }  # fmt: skip
        await asyncio.to_thread(
            eventually, lambda: not store.rows("SELECT 1 FROM sources WHERE state<>'live'"), "a sweep", 40
        )
        assert (await counts(http, known))["completed"] == FILES
    require_whole(store, FILES)


async def test_in_another_place_everything_is_indexed_again(store: Store) -> None:
    """From MongoDB into SQL, back, and after MongoDB lost it; nothing is left where it was."""
    async with client_of(store.server) as http:
        known = await know(http)

        async def found_again(**settings: str) -> None:
            store.server.stop()
            await store.start(**settings)
            assert (await indexed(http, known))["completed"] == 1
            assert await search(http, known) == [FACT]

        await found_again(KNOWLEDGE_INDEX="sql")
        assert store.documents() == [] and store.rows("SELECT count(*) FROM passages") == [(1,)]
        await found_again(KNOWLEDGE_INDEX="auto")
        assert store.documents() == [], "it stays where it is"
        await found_again(KNOWLEDGE_INDEX="mongodb")
        assert len(store.documents()) == 1 and store.rows("SELECT count(*) FROM passages") == [(0,)]
        store.server.stop()
        with closing(MongoClient[dict[str, Any]](store.url)) as client:
            client.get_default_database().drop_collection("passages")
            client.get_default_database()["about"].delete_one({"_id": "passages"})
        await found_again()
        assert len(store.documents()) == 1


async def test_passages_of_another_store_are_refused(store: Store, tmp_path: Path) -> None:
    store.server.stop()
    (store.server.data / "knowledge.db").unlink()
    (store.server.data / "knowledge.db").touch()  # on purpose: what is merely lost is refused before
    store.server.launch()
    code = await asyncio.to_thread(store.server.wait, 30)
    assert code != 0 and "passages of another store" in store.server.log
