"""SIGKILL while answers search and cite: what was shown is stored, and every quote stands in its file."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

from tests.e2e import library
from tests.e2e.events import bare, events_of, require_gapless, require_terminal, run_id_of
from tests.e2e.server_process import NewServer, ServerProcess
from tests.e2e.wire import Exchange, begin, call, get

STREAMS = 24
ROUNDS = 4
LONGEST_LIFE_SECONDS = 1.5
SLOW_SEARCH = """
import asyncio, random
from antiphon.services.retrieval import Retrieval
inner = Retrieval.search_in
async def slow(self, collections, asked):
    await asyncio.sleep(random.uniform(0.0, 1.0))
    return await inner(self, collections, asked)
Retrieval.search_in = slow
"""


def document(number: int) -> str:
    return "\n\n".join(f"Chapter {part} of book {number} tells of the harvest." for part in range(12))


async def one_life(server: ServerProcess, store: str, rng: random.Random) -> list[Exchange]:
    """Open streams that search, kill the server at a random time, start it again."""
    body = {
        "model": "scripted/cites-split", "input": "What tells of the harvest?", "stream": True,
        "tools": [{"type": "file_search", "vector_store_ids": [store]}],
        "include": ["file_search_call.results"],
    }  # fmt: skip
    opened: list[Exchange] = []

    async def ask() -> None:
        opened.append(await begin(server.port, "POST", "/v1/responses", body))

    asking = asyncio.create_task(_all(ask))
    await asyncio.sleep(rng.uniform(0.2, LONGEST_LIFE_SECONDS))  # the random moment itself
    await asyncio.to_thread(server.kill)
    await asking
    await asyncio.gather(*(one.end() for one in opened))
    await asyncio.to_thread(server.start)
    return opened


async def _all(ask: Any) -> None:
    await asyncio.gather(*(ask() for _ in range(STREAMS)), return_exceptions=True)


async def require_kept(server: ServerProcess, exchange: Exchange, texts: dict[str, str]) -> str | None:
    """What came is the beginning of the replay; returns how far the search had come, None if nothing came."""
    received = bytes(exchange.body)
    run_id = run_id_of(received, exchange.headers)
    if run_id is None:
        return None
    replay = await call(server.port, "GET", f"/v1/responses/{run_id}?stream=true")
    assert bare(replay.body).startswith(bare(received)), "the replay differs from what was received"
    require_gapless(events_of(replay.body))
    response = await get(server.port, f"/v1/responses/{run_id}?include[]=file_search_call.results")
    assert require_terminal(replay.body).data["response"] == response
    if not response["output"]:
        return "not begun"
    search, *rest = response["output"]
    assert search["type"] == "file_search_call"
    for note in _notes(rest):
        place = note["antiphon"]
        assert texts[note["file_id"]][place["start"] : place["end"]] == place["quote"]
        assert place["quote"] in {one["text"] for one in search["results"]} or any(
            place["quote"] in one["text"] for one in search["results"]
        )
    if response["status"] == "completed":
        assert len(_notes(rest)) > 0 and search["status"] == "completed"
    return str(search["status"])


def _notes(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [note for item in items for part in item["content"] for note in part["annotations"]]


async def test_what_was_searched_and_cited_before_a_kill_is_kept(new_server: NewServer) -> None:
    server = new_server(patch=SLOW_SEARCH)
    await asyncio.to_thread(server.start)
    written = [document(number) for number in range(6)]
    async with library.client_of(server) as http:
        store, files = await library.folder(http, written)
        await library.indexed(http, store)
    texts = dict(zip(files, written, strict=True))
    rng = random.Random(7)
    seen: dict[str | None, int] = {}
    for number in range(4 * ROUNDS):
        if number >= ROUNDS and seen.get("incomplete") and seen.get("completed"):
            break  # a busy machine may need more lives to come so far
        for exchange in await one_life(server, store, rng):
            how = await require_kept(server, exchange, texts)
            seen[how] = seen.get(how, 0) + 1
    running = server.query("SELECT COUNT(*) FROM runs WHERE state IN ('queued','in_progress')")
    assert running == [(0,)]
    assert seen.get("incomplete") and seen.get("completed"), json.dumps(
        {str(how): count for how, count in seen.items()}
    )
