"""Documents on a real server: killed while it indexes, fed a folder, fed a large file beside a stream."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from typing import Any

import pytest

from tests.e2e.library import (
    KNOWLEDGE,
    blobs,
    client_of,
    counts,
    folder,
    indexed,
    multipart,
    require_whole,
    text_of,
    upload,
)
from tests.e2e.server_process import NewServer, ServerProcess, eventually
from tests.e2e.watcher import begin_peak, peak_bytes
from tests.e2e.wire import begin

MIB = 1 << 20
KILLS = 4
"""One less than the attempts a document has: even one that is hit every time is indexed in the end."""


async def test_killed_while_it_indexes_it_goes_on_without_orphan_or_double(new_server: NewServer) -> None:
    server = new_server()
    await asyncio.to_thread(server.start)
    async with client_of(server) as http:
        store, files = await folder(http, (text_of(n, 150_000) for n in range(24)))
        for seed in range(KILLS):
            done = (await counts(http, store))["completed"]
            wanted = min(done + 1 + seed, len(files) - 1)
            await _until_completed(server, wanted)
            await asyncio.sleep(random.Random(seed).uniform(0, 0.3))
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        found = await indexed(http, store)
        assert found == {"in_progress": 0, "completed": 24, "failed": 0, "cancelled": 0, "total": 24}
        await asyncio.to_thread(_swept, server)
        require_whole(server, files=24)
        for number in (0, 11, 23):
            path = f"/vector_stores/{store}/files/{files[number]}/content"
            parts = (await http.get(path)).json()["data"]
            assert "".join(part["text"] for part in parts).strip() == text_of(number, 150_000).strip()


async def _until_completed(server: ServerProcess, number: int) -> None:
    def look() -> bool:
        found = server.query("SELECT COUNT(*) FROM members WHERE state='completed'", name=KNOWLEDGE)
        return bool(found[0][0] >= number)

    await asyncio.to_thread(eventually, look, f"{number} files are indexed", 60)


def _swept(server: ServerProcess) -> None:
    eventually(
        lambda: not server.query("SELECT 1 FROM sources WHERE state<>'live'", name=KNOWLEDGE),
        "what was given up is swept",
        40,
    )


async def test_an_upload_that_dies_with_the_server_leaves_nothing(new_server: NewServer) -> None:
    server = new_server()
    await asyncio.to_thread(server.start)
    length, pieces = multipart(200 * MIB)
    started = asyncio.Event()

    async def slowly() -> Any:
        async for piece in pieces:
            yield piece
            started.set()
            await asyncio.sleep(0.01)

    async with client_of(server) as http:
        kept = await upload(http, b"kept")
        headers = {"content-type": "multipart/form-data; boundary=b", "content-length": str(length)}
        sending = asyncio.create_task(http.post("/files", content=slowly(), headers=headers))
        await started.wait()
        await asyncio.to_thread(eventually, lambda: len(blobs(server)) == 2, "bytes are on the disk")
        await asyncio.to_thread(server.kill)
        await asyncio.gather(sending, return_exceptions=True)
        await asyncio.to_thread(server.start)
        assert len(blobs(server)) == 1
        assert [one["id"] for one in (await http.get("/files")).json()["data"]] == [kept]


SLOW_COMMIT = """
import asyncio
import itertools
from antiphon.storage.sql import knowledge_files
quick = knowledge_files.SqlFiles.put
async def slow(self, *arguments, **named):
    await asyncio.sleep(3600)
    await quick(self, *arguments, **named)
knowledge_files.SqlFiles.put = slow
"""


async def test_killed_between_the_bytes_and_the_commit_it_keeps_neither(new_server: NewServer) -> None:
    server = new_server(patch=SLOW_COMMIT)
    await asyncio.to_thread(server.start)
    async with client_of(server) as http:
        sending = asyncio.create_task(upload(http, b"x" * 1000))
        await asyncio.to_thread(
            eventually, lambda: any(len(one.name) == 64 for one in blobs(server)), "the blob is kept"
        )
        await asyncio.to_thread(server.kill)
        await asyncio.gather(sending, return_exceptions=True)
        server.patch = ""
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(eventually, lambda: not blobs(server), "the orphan is erased")
        assert (await http.get("/files")).json()["data"] == []


async def test_a_folder_is_indexed_in_little_memory(new_server: NewServer) -> None:
    """Forty documents of half a megabyte and one of ten: the server grows by far less than any of that."""
    server = new_server()
    await asyncio.to_thread(server.start)
    async with client_of(server) as http:
        warm, _ = await folder(http, [text_of(99, 50_000)])
        await indexed(http, warm)
        before = begin_peak(server)
        store, _ = await folder(http, [text_of(n, 500_000) for n in range(20)] + [text_of(50, 10_000_000)])
        found = await indexed(http, store)
        assert found["completed"] == 21
        grown = peak_bytes(server) - before
        assert grown <= 64 * MIB, f"{grown / MIB:.0f} MiB"


# --- a large upload beside a stream


async def gaps(server: ServerProcess) -> list[float]:
    """Stream an answer of 400 tokens, one every 5 ms, and return the times between arrivals."""
    asked = {"model": "openai/paced-n400-i5-hash", "input": "stream=beside", "stream": True}
    stream = await begin(server.port, "POST", "/v1/responses", asked)
    times: list[float] = []
    seen = 0
    while not stream.over:
        await stream.until(lambda: len(stream.body) > seen or b"response.completed" in stream.body)  # noqa: B023
        times.append(time.monotonic())
        seen = len(stream.body)
        if b"response.completed" in stream.body:
            break
    stream.close()
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


@pytest.mark.slow
@pytest.mark.alone
async def test_a_large_upload_does_not_slow_anothers_stream(new_server: NewServer) -> None:
    server = new_server()
    await asyncio.to_thread(server.start)
    await gaps(server)
    alone = quantile(await gaps(server), 0.99)
    length, pieces = multipart(400 * MIB)
    headers = {"content-type": "multipart/form-data; boundary=b", "content-length": str(length)}
    async with client_of(server) as http:
        sending = asyncio.create_task(http.post("/files", content=pieces, headers=headers))
        beside: list[float] = []
        while not sending.done():
            beside += await gaps(server)
        response = await sending
    assert response.status_code == 200, response.text
    assert response.json()["bytes"] == 400 * MIB
    print(f"p99 of the gaps: {alone * 1000:.1f} ms alone, {quantile(beside, 0.99) * 1000:.1f} ms beside")
    assert quantile(beside, 0.99) <= max(3 * alone, 0.1)
