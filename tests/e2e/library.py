"""Documents on a server that is a process: uploads, folders, and what lies on its disk."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.server_process import ServerProcess

KNOWLEDGE = "knowledge.db"
WORDS = "harbour ledger copper winter anchor signal garden marble river lantern forest ember".split()


def client_of(server: ServerProcess) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{server.port}/v1", timeout=60, trust_env=False,
        limits=httpx.Limits(max_connections=8),
    )  # fmt: skip


def text_of(number: int, size: int) -> str:
    """A text of about so many bytes in paragraphs, another for every number."""
    draw = random.Random(number)
    lines, length = [f"# Document {number}"], 0
    while length < size:
        line = " ".join(draw.choices(WORDS, k=40)) + f" {number}.{len(lines)}."
        lines.append(line)
        length += len(line) + 2
    return "\n\n".join(lines)


async def upload(http: httpx.AsyncClient, content: bytes, name: str = "a.txt") -> str:
    response = await http.post("/files", files={"file": (name, content)}, data={"purpose": "assistants"})
    assert response.status_code == 200, response.text
    identifier: str = response.json()["id"]
    return identifier


async def folder(http: httpx.AsyncClient, texts: Iterable[str]) -> tuple[str, list[str]]:
    """Upload texts and add all of them to a new vector store; returns its id and the files'."""
    files = [await upload(http, text.encode(), f"{n}.md") for n, text in enumerate(texts)]
    store = (await http.post("/vector_stores", json={"name": "folder"})).json()["id"]
    response = await http.post(f"/vector_stores/{store}/file_batches", json={"file_ids": files})
    assert response.status_code == 200, response.text
    return store, files


async def counts(http: httpx.AsyncClient, store: str) -> dict[str, int]:
    found: dict[str, int] = (await http.get(f"/vector_stores/{store}")).json()["file_counts"]
    return found


async def indexed(http: httpx.AsyncClient, store: str, seconds: float = 120.0) -> dict[str, int]:
    """Wait until nothing is being indexed any more."""
    async with asyncio.timeout(seconds):
        while True:
            found = await counts(http, store)
            if not found["in_progress"]:
                return found
            await asyncio.sleep(0.1)


def blobs(server: ServerProcess) -> list[Path]:
    return [one for one in (server.data / "documents").rglob("*") if one.is_file()]


def multipart(size: int, *, piece: int = 1 << 20, name: str = "big.bin") -> tuple[int, AsyncIterator[bytes]]:
    """The length and the pieces of a body with a file of `size` bytes."""
    head = (
        b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="%b"\r\n\r\n' % name.encode()
    )
    tail = b"\r\n--b--\r\n"

    async def pieces() -> AsyncIterator[bytes]:
        yield head
        left, block = size, random.Random(size).randbytes(piece)
        while left:
            yield block[: min(left, piece)]
            left -= min(left, piece)
        yield tail

    return len(head) + size + len(tail), pieces()


def require_whole(server: ServerProcess, *, files: int) -> None:
    """Every file is indexed once: one live source each, its passages without gap, nothing else left."""

    def rows(statement: str) -> list[Any]:
        return server.query(statement, name=KNOWLEDGE)

    assert rows("PRAGMA integrity_check") == [("ok",)]
    assert rows("SELECT state,COUNT(*) FROM sources GROUP BY state") == [("live", files)]
    assert rows("SELECT COUNT(DISTINCT ref_id) FROM sources") == [(files,)]
    broken = rows(
        "SELECT s.id FROM sources s JOIN passages p ON p.source_no=s.no"
        " GROUP BY s.no HAVING COUNT(*)<>MAX(p.ordinal)+1 OR COUNT(*)<>s.passages"
    )
    assert broken == []
    assert rows("SELECT COUNT(*) FROM passages WHERE source_no NOT IN (SELECT no FROM sources)") == [(0,)]
    assert rows("SELECT COUNT(*) FROM members m JOIN sources s ON s.id=m.source_id") == [(files,)]
    wrong = rows(
        "SELECT v.file_id FROM versions v LEFT JOIN text_slices t ON t.file_id=v.file_id"
        " AND t.number=v.number GROUP BY v.file_id,v.number"
        " HAVING v.text_state<>'ready' OR SUM(t.length)<>v.characters"
    )
    assert wrong == []
    assert len(blobs(server)) == files
