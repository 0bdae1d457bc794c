"""Embedding in a real server: a model that is down holds nothing up, and SIGKILL costs no text its vector."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.e2e.server_process import NewServer, ServerProcess
from tests.harness.embedding_server import EmbeddingServer, embedding_server, says

PARAGRAPHS = 160
BATCH = 4
QUICK = """
from antiphon.services import embeddings
embeddings.GRACE_SECONDS = embeddings.FIRST_PAUSE_SECONDS = 0.05
"""


@pytest.fixture
async def near() -> AsyncIterator[EmbeddingServer]:
    async with embedding_server() as running:
        yield running


def document() -> bytes:
    """Paragraphs that are a passage each, or nearly so."""
    words = [" ".join(f"word{number}x{place}" for place in range(90)) for number in range(PARAGRAPHS)]
    return "\n\n".join(f"Paragraph {number}. {text}." for number, text in enumerate(words)).encode()


class Node:
    """A server whose embedding model is `near`, and calls to it."""

    def __init__(self, server: ServerProcess, near: EmbeddingServer) -> None:
        self.server = server
        self.near = near
        server.settings |= {"EMBEDDING_BASE_URL": near.base_url, "EMBEDDING_API_KEY": "ek-0123456789abcdef"}
        (server.directory / "antiphon.toml").write_text(f"[embedding]\nbatch = {BATCH}\n")

    async def start(self, model: str) -> None:
        self.server.settings["EMBEDDING_MODEL"] = model
        await asyncio.to_thread(self.server.start)

    async def kill(self) -> None:
        await asyncio.to_thread(self.server.kill)

    async def call(self, method: str, path: str, **fields: Any) -> Any:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.server.port}", timeout=30) as http:
            answer = await http.request(method, path, **fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def state(self) -> Any:
        state = await self.call("GET", "/v1/admin/embeddings")
        return {**state, "vectors": {one["model"]: one["count"] for one in state["vectors"]}}

    async def add(self, content: bytes) -> Any:
        """Upload a file, add it to a new vector store and wait until it is indexed."""
        file = await self.call(
            "POST", "/v1/files", files={"file": ("a.txt", content)}, data={"purpose": "assistants"}
        )
        store = await self.call("POST", "/v1/vector_stores", json={"file_ids": [file["id"]]})

        async def indexed() -> Any:
            found = await self.call("GET", f"/v1/vector_stores/{store['id']}")
            return found["file_counts"] if not found["file_counts"]["in_progress"] else None

        return await eventually(indexed)

    def passages(self) -> int:
        path = self.server.data / "knowledge.db"
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
        try:
            return int(connection.execute("SELECT COUNT(DISTINCT text_hash) FROM passages").fetchone()[0])
        finally:
            connection.close()


async def eventually(look: Any, seconds: float = 40.0) -> Any:
    async with asyncio.timeout(seconds):
        while True:
            found = await look()
            if found:
                return found
            await asyncio.sleep(0.02)


async def test_a_change_of_model_survives_kills_without_a_gap_and_pays_little_twice(
    new_server: NewServer, near: EmbeddingServer
) -> None:
    node = Node(new_server(patch=QUICK), near)
    await node.start("one")
    assert (await node.add(document()))["completed"] == 1
    total = node.passages()
    assert total >= 40 and (await node.state())["vectors"] == {"embedding/one": total}
    await node.kill()
    near.calls.clear()
    near.delay_seconds = 0.05
    for kill in range(1, 4):
        await node.start("two")

        async def begun(kill: int = kill) -> bool:
            return bool((await node.state())["vectors"].get("embedding/two", 0) >= kill * 2 * BATCH)

        await eventually(begun)
        state = await node.state()
        assert (state["status"], state["serving"]) == ("changing", "embedding/one")
        assert state["vectors"]["embedding/one"] == total
        await node.kill()
    near.delay_seconds = 0.0
    await node.start("two")

    async def over() -> bool:
        state = await node.state()
        return bool(state["status"] == "ready" and state["vectors"] == {"embedding/two": total})

    await eventually(over)
    assert (await node.state())["serving"] == "embedding/two"
    embedded = sum(len(call.body["input"]) for call in near.calls if call.body["model"] == "two")
    assert total <= embedded <= total + 3 * BATCH


async def test_documents_are_indexed_while_the_model_is_down_and_embedded_when_it_is_back(
    new_server: NewServer, near: EmbeddingServer
) -> None:
    near.always = says(503)
    node = Node(new_server(patch=QUICK), near)
    await node.start("one")
    assert (await node.add(document()))["completed"] == 1
    state = await node.state()
    assert state["vectors"] == {} and state["status"] == "waiting" and "503" in state["last_error"]
    await node.kill()  # what waits is found again
    await node.start("one")
    near.always = None

    async def over() -> bool:
        return bool((await node.state())["vectors"] == {"embedding/one": node.passages()})

    await eventually(over)
    assert "ek-0123" not in node.server.log
