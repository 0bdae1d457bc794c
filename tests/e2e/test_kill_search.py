"""SIGKILL at any moment: what was acknowledged is found within two seconds of the next start, and once."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.events import events_of, text_of
from tests.e2e.server_process import NewServer, ServerProcess
from tests.e2e.wire import Exchange, begin, call, get
from tests.harness.tokens import hashed_token

ROUNDS = int(os.environ.get("KILL_ROUNDS", "6"))
SEED = int(os.environ.get("KILL_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
LONGEST_LIFE_SECONDS = 1.5
FOUND_SECONDS = 2.0
POSTS, WHOLE, STREAMS = 30, 10, 20
BACKWARDS_MARK = """
from antiphon.services import history
history.SLACK_US = 0
history.MARK_SECONDS = 0.05
"""
"""The narrowest mark there can be, written all the time: the hardest case."""


@dataclass
class Round:
    """What one life of the server acknowledged: words that must be found, by the role that said them."""

    number: int
    user: set[str] = field(default_factory=set)
    assistant: set[str] = field(default_factory=set)

    @property
    def common(self) -> str:
        """A word of every message of the round."""
        return f"common{SEED}x{self.number}"


def signature(name: str) -> str:
    """The word by which the first token of an answer is known."""
    return hashed_token(name, 0).strip().partition(":")[2]


async def write(server: ServerProcess, life: Round, conversation: str, rng: random.Random) -> None:
    """Write messages and ask for answers until the server is gone; note what it acknowledged."""
    streams: list[tuple[str, Exchange]] = []

    async def post(index: int) -> None:
        word = f"w{SEED}x{life.number}x{index}"
        await asyncio.sleep(rng.uniform(0, LONGEST_LIFE_SECONDS))  # spread over the life
        item = {"type": "message", "role": "user", "content": f"{life.common} {word}"}
        answer = await call(server.port, "POST", f"/v1/conversations/{conversation}/items", {"items": [item]})
        if answer.status == 200 and answer.complete:
            life.user.add(word)

    async def whole(index: int) -> None:
        name = f"a{SEED}r{life.number}i{index}"
        await asyncio.sleep(rng.uniform(0, LONGEST_LIFE_SECONDS))  # spread over the life
        body = {"model": "openai/n5-hash", "input": f"{life.common} stream={name}"}
        answer = await call(server.port, "POST", "/v1/responses", body)
        if answer.status == 200 and answer.complete:
            life.user.add(name)
            life.assistant.add(signature(name))

    async def stream(index: int) -> None:
        name = f"s{SEED}r{life.number}i{index}"
        body = {"model": "openai/paced-n90-i20-hash", "input": f"{life.common} stream={name}", "stream": True}
        streams.append((name, await begin(server.port, "POST", "/v1/responses", body)))

    work = [post(index) for index in range(POSTS)] + [whole(index) for index in range(WHOLE)]
    work += [stream(index) for index in range(STREAMS)]
    await asyncio.gather(*work, return_exceptions=True)
    for name, exchange in streams:
        await exchange.end()
        received = text_of(events_of(bytes(exchange.body)))
        if exchange.body:
            life.user.add(name)
        if len(received) >= len(hashed_token(name, 0)):
            life.assistant.add(signature(name))


async def missing(server: ServerProcess, life: Round) -> set[str]:
    """The acknowledged words that a search does not find now."""
    left = life.user | life.assistant
    after: str | None = None
    while True:
        path = f"/v1/search?query=%22{life.common}%22&role=user&limit=100"
        page = await get(server.port, path + (f"&after={after}" if after else ""))
        said = " ".join(hit["snippet"]["text"] for hit in page["data"])
        left -= {word for word in life.user if word in said}
        after = page["next_cursor"]
        if after is None:
            break
    for word in life.assistant:
        found = await get(server.port, f"/v1/search?query=%22{word}%22&role=assistant")
        left -= {word} if len(found["data"]) == 1 else set()
    return left


async def caught_up(server: ServerProcess) -> float:
    """Wait until the server says that all is indexed; returns the seconds it took."""
    began = time.monotonic()
    done = ("antiphon_history_catching_up 0.0", "antiphon_history_waiting 0.0")
    while True:
        asked = time.monotonic()
        told = (await call(server.port, "GET", "/metrics")).body.decode()
        if all(line in told for line in done):
            return asked - began
        assert asked - began < 10 * FOUND_SECONDS


def require_once(server: ServerProcess) -> int:
    """No message is in the index twice; returns how many passages there are."""
    db = sqlite3.connect(f"file:{server.data / 'knowledge.db'}?mode=ro", uri=True, timeout=10)
    try:
        twice = "SELECT item_id,ordinal FROM passages GROUP BY item_id,ordinal HAVING COUNT(*)>1"
        assert db.execute(twice).fetchall() == []
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return int(db.execute("SELECT COUNT(*) FROM passages").fetchone()[0])
    finally:
        db.close()


@pytest.mark.parametrize("patch", ["", BACKWARDS_MARK])
async def test_what_was_acknowledged_is_found_after_a_kill(new_server: NewServer, patch: str) -> None:
    server = new_server(patch=patch)
    rng = random.Random(SEED)
    print(f"KILL_SEED={SEED} KILL_ROUNDS={ROUNDS}")
    await asyncio.to_thread(server.start)
    lives: list[Round] = []
    took: list[float] = []
    for number in range(ROUNDS):
        made: Any = (await call(server.port, "POST", "/v1/conversations", {})).json()
        life = Round(number)
        writing = asyncio.create_task(write(server, life, made["id"], rng))
        await asyncio.sleep(rng.uniform(0.2, LONGEST_LIFE_SECONDS))  # the random moment itself
        await asyncio.to_thread(server.kill)
        await writing
        await asyncio.to_thread(server.start)
        took.append(await caught_up(server))
        assert not await missing(server, life)
        lives.append(life)
    for life in lives:
        assert not await missing(server, life)
    print({"messages": sum(len(one.user | one.assistant) for one in lives), "slowest_s": round(max(took), 2)})
    assert all(one < FOUND_SECONDS for one in sorted(took)[:-1]), "the machine may stand still once"
    assert sum(len(one.assistant) for one in lives) > ROUNDS, "the kills came too soon: nothing was tested"
    assert await asyncio.to_thread(require_once, server) > 0
