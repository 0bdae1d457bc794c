"""SIGKILL in the middle of a purge: the next process finishes it, and who lives sees no difference."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from tests.e2e.server_process import NewServer, ServerProcess, eventually
from tests.e2e.wire import call, get

WORD = "canary-of-the-purged"
URL = f"data:image/png;base64,{WORD}" + "QUJD" * 20_000
POSTS = 4
SLOW_SLICES = """
import asyncio
from antiphon.services import purges, trimming
from antiphon.storage.sql import sqlite
trimming.ITEMS = purges.RUNS = purges.ROWS = 1
quick = sqlite.SqliteUnitOfWork.commit
async def slow(self, *commands):
    if type(commands[0]).__module__.endswith(("purge_writes", "blob_writes")):
        await asyncio.sleep(0.02)
    await quick(self, *commands)
sqlite.SqliteUnitOfWork.commit = slow
"""


def message(text: str) -> dict[str, Any]:
    content = [
        {"type": "input_text", "text": f"{WORD} {text}"},
        {"type": "input_image", "image_url": URL + text},
    ]
    return {"type": "message", "role": "user", "content": content}


async def post(server: ServerProcess, path: str, body: Any) -> Any:
    answer = await call(server.port, "POST", path, body)
    assert answer.status == 200, answer.body[:500]
    return answer.json()


async def listed(server: ServerProcess, conversation: str) -> Any:
    return await get(server.port, f"/v1/conversations/{conversation}/items?order=asc&limit=100")


def count(server: ServerProcess, table: str) -> int:
    return int(server.query(f"SELECT COUNT(*) FROM {table}")[0][0])


def blobs(server: ServerProcess) -> int:
    return sum(len(names) for _, _, names in os.walk(server.data / "blobs"))


async def a_conversation(server: ServerProcess) -> tuple[str, str]:
    """A long conversation with pictures and answers, and a fork that shares its first five items."""
    made = await post(server, "/v1/conversations", {"items": [message(f"{n}") for n in range(5)]})
    items = await listed(server, made["id"])
    for number in range(POSTS):
        more = [message(f"{number}.{n}") for n in range(5)]
        await post(server, f"/v1/conversations/{made['id']}/items", {"items": more})
        body = {"model": "openai/n5-hash", "input": f"stream={WORD}", "conversation": made["id"]}
        await post(server, "/v1/responses", body)
    fork = await post(
        server, f"/v1/conversations/{made['id']}/fork", {"item_id": items["last_id"], "title": "fork"}
    )
    return made["id"], fork["id"]


async def kill_when(server: ServerProcess, path: str, *, table: str, below: int) -> None:
    """Begin a purge and kill the server once a table has fewer rows, with the purge still going on."""
    purging = asyncio.create_task(call(server.port, "DELETE", f"{path}?purge=true"))
    await asyncio.to_thread(eventually, lambda: count(server, table) < below, "the purge has begun")
    await asyncio.to_thread(server.kill)
    await asyncio.gather(purging, return_exceptions=True)


def require_purged(server: ServerProcess) -> None:
    """Only what the fork stands on is left: five items and their pictures."""
    eventually(lambda: not count(server, "conversations WHERE state='purging'"), "the purge is finished")
    eventually(lambda: blobs(server) == 5, "the blobs are erased")
    eventually(lambda: not count(server, "blobs WHERE state<>'held'"), "their names are let go of")
    server.require_integrity()
    assert count(server, "items") == 5
    for table in ("runs", "run_chunks", "journal", "idempotency", "conversation_changes", "hidden_items"):
        assert count(server, table) == 0, table
    assert server.query("SELECT state,title,metadata FROM conversations ORDER BY state") == [
        (None, "fork", "{}"), ("purged", None, "{}"),
    ]  # fmt: skip
    assert count(server, "ledger") == POSTS


STAGES = {"runs": POSTS, "branches": 2, "items": 5 * (POSTS + 1) + 2 * POSTS - 3, "blobs": 5 * POSTS + 3}
"""Killed once a table has fewer rows than this."""


@pytest.mark.parametrize("table", STAGES)
async def test_a_purge_that_was_killed_is_finished_by_the_next_process(
    new_server: NewServer, table: str
) -> None:
    server = new_server()
    await asyncio.to_thread(server.start)
    conversation, fork = await a_conversation(server)
    before = await listed(server, fork)
    assert len(before["data"]) == 5 and blobs(server) == 5 * (POSTS + 1)
    await asyncio.to_thread(server.kill)
    server.patch = SLOW_SLICES
    await asyncio.to_thread(server.start)
    await kill_when(server, f"/v1/conversations/{conversation}", table=table, below=STAGES[table])
    assert blobs(server) > 5, "the kill came too late: nothing was tested"
    server.patch = ""
    await asyncio.to_thread(server.start)
    gone = await call(server.port, "GET", f"/v1/conversations/{conversation}")
    assert gone.status == 404
    await asyncio.to_thread(require_purged, server)
    assert await listed(server, fork) == before
    last = await call(server.port, "DELETE", f"/v1/conversations/{fork}?purge=true")
    assert last.json()["purged"]["items"] == 5
    assert blobs(server) == 0 and count(server, "conversations") == 0
    require_no_word(server)


def require_no_word(server: ServerProcess) -> None:
    """No table holds the word any more, nor the ledger."""
    for (table,) in server.query("SELECT name FROM sqlite_master WHERE type='table'"):
        for row in server.query(f"SELECT * FROM {table}"):
            text = b"\0".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
            assert WORD.encode() not in text, table
