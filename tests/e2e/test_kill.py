"""SIGKILL at any moment: what a client has received is stored, and nothing is left running."""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.events import (
    bare,
    events_of,
    require_gapless,
    require_terminal,
    run_id_of,
    stored_text,
    text_of,
)
from tests.e2e.server_process import NewServer, ServerProcess, eventually
from tests.e2e.wire import Exchange, begin, call, ended, gather_limited, get
from tests.harness.tokens import check_prefix, expected_text
from tests.store import ON_MONGO

ROUNDS = int(os.environ.get("KILL_ROUNDS", "20"))
SEED = int(os.environ.get("KILL_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
STREAMS = 100
LONGEST_LIFE_SECONDS = 1.8
SETTLED_SECONDS = 5.0 if ON_MONGO else 0.0
"""A commit's documents are not written in one moment, so whoever looks beside the server looks again."""
TOKENS = 50
PACED = f"paced-n{TOKENS}-i30-hash"
WAITING = f"paced-n{TOKENS}-d900-i5-hash"


@dataclass
class Asked:
    """One request of a round and what its client received."""

    name: str
    kind: str
    exchange: Exchange | None = None
    run_id: str | None = None
    received: bytes = b""
    events: list[Any] = field(default_factory=list)

    def close(self) -> None:
        """Note what came: the connection is gone."""
        if self.exchange is None:
            return
        self.received = bytes(self.exchange.body)
        self.run_id = run_id_of(self.received, self.exchange.headers)
        if self.kind != "waiting":
            self.events = events_of(self.received)


def body_of(asked: Asked, conversation: str) -> dict[str, Any]:
    """The request for one kind of answer."""
    body: dict[str, Any] = {"model": f"openai/{PACED}", "input": f"stream={asked.name}", "stream": True}
    if asked.kind == "reasoning":
        body["model"] = f"openai/reasoning-r8-{PACED}"
    elif asked.kind == "conversation":
        body["conversation"] = conversation
    elif asked.kind == "background":
        body["background"] = True
    elif asked.kind == "waiting":
        body |= {"model": f"openai/{WAITING}", "background": True, "stream": False}
    return body


KINDS = ["plain"] * 60 + ["reasoning"] * 10 + ["conversation"] * 10 + ["background"] * 10 + ["waiting"] * 10


async def one_life(server: ServerProcess, rng: random.Random, number: int) -> list[Asked]:
    """Open 100 streams, kill the server at a random time, start it again; returns what clients got."""
    made = await call(server.port, "POST", "/v1/conversations", {})
    conversation = made.json()["id"]
    kinds = rng.sample(KINDS, len(KINDS))  # in any order: a slow store has begun only the first of them
    asked = [Asked(f"s{SEED}r{number}i{index}", kind) for index, kind in enumerate(kinds)]

    async def ask(one: Asked) -> None:
        body = body_of(one, conversation)
        one.exchange = await begin(server.port, "POST", "/v1/responses", body)

    async def ask_all() -> None:
        await asyncio.gather(*(ask(one) for one in asked), return_exceptions=True)

    opening = asyncio.create_task(ask_all())
    await asyncio.sleep(rng.uniform(0.0, LONGEST_LIFE_SECONDS))  # the random moment itself
    await asyncio.to_thread(server.kill)
    await opening
    await asyncio.gather(*(one.exchange.end() for one in asked if one.exchange))
    for one in asked:
        one.close()
    await asyncio.to_thread(server.start)
    return asked


def require_nothing_left(server: ServerProcess) -> None:
    """At the moment `/health` says 200 only background runs on their second attempt may go on."""
    server.require_integrity()
    running = "SELECT id,background,attempt FROM runs WHERE state IN ('queued','in_progress')"
    for run_id, background, attempt in server.query(running):
        assert (background, attempt) == (1, 2), f"run {run_id} was left behind (attempt {attempt})"
    claims = (
        "SELECT b.id FROM branches b JOIN runs r ON r.id=b.run_id"
        " WHERE r.state NOT IN ('queued','in_progress')"
    )
    eventually(lambda: not server.query(claims), "no branch is claimed by an ended run", SETTLED_SECONDS)


async def require_kept(server: ServerProcess, one: Asked) -> None:
    """Every byte the client received is stored and replayed; the answer has ended."""
    assert one.run_id is not None
    response = await get(server.port, f"/v1/responses/{one.run_id}")
    if one.kind == "background" and response["status"] in ("queued", "in_progress"):
        assert not any(event.name.endswith(".delta") for event in one.events), "had emitted, yet runs again"
        return
    text, received = stored_text(response), text_of(one.events)
    assert text.startswith(received), f"{one.name}: {len(received)} characters received, {len(text)} stored"
    assert check_prefix(one.name, received) is None, check_prefix(one.name, received)
    assert check_prefix(one.name, text) is None, check_prefix(one.name, text)
    if response["status"] == "failed":
        assert response["error"]["code"] == "server_error", response["error"]
        assert all(item["status"] in ("completed", "incomplete") for item in response["output"])
    else:
        assert response["status"] == "completed", response["status"]
        assert text == expected_text(one.name, TOKENS)
    await require_replay(server, one, response)


async def require_replay(server: ServerProcess, one: Asked, response: dict[str, Any]) -> None:
    """The event log from 0 begins with exactly what the client received, and ends."""
    replay = await call(server.port, "GET", f"/v1/responses/{one.run_id}?stream=true")
    whole = bare(replay.body)
    assert whole.startswith(bare(one.received)), f"{one.name}: the replay differs from what was received"
    require_gapless(events_of(replay.body))
    end = require_terminal(replay.body)
    assert end.data["response"] == response
    assert text_of(events_of(replay.body)) == stored_text(response)


async def require_restarted(server: ServerProcess, one: Asked) -> None:
    """A background answer that had said nothing is made after all; one that had is kept as it was."""
    response = await ended(server.port, one.run_id)
    text = stored_text(response)
    assert check_prefix(one.name, text) is None, check_prefix(one.name, text)
    if response["status"] == "completed":
        assert text == expected_text(one.name, TOKENS)
    else:
        assert response["status"] == "failed"
        assert text, f"{one.name} had emitted nothing, so it should have begun again: {response}"


async def test_nothing_received_is_lost(new_server: NewServer) -> None:
    server = new_server(DRAIN_SECONDS="1")
    await asyncio.to_thread(server.start)
    print(f"KILL_SEED={SEED} KILL_ROUNDS={ROUNDS}")
    rng = random.Random(SEED)
    seen = {"bytes": 0, "cut": 0, "again": 0}
    for number in range(ROUNDS):
        asked = await one_life(server, rng, number)
        require_nothing_left(server)
        begun = [one for one in asked if one.run_id is not None]
        streams = [one for one in begun if one.kind != "waiting"]
        await gather_limited([require_kept(server, one) for one in streams])
        again = [one for one in begun if one.kind in ("waiting", "background")]
        await gather_limited([require_restarted(server, one) for one in again])
        seen["bytes"] += sum(len(one.received) for one in streams)
        seen["cut"] += sum(1 for one in streams if one.exchange and not one.exchange.complete)
    seen["again"] = len(server.query("SELECT id FROM runs WHERE attempt=2 AND state='completed'"))
    print(seen)
    assert seen["cut"] > ROUNDS, "the kills came too late to cut anything: nothing was tested"
    assert seen["again"], "no background run was begun again: nothing was tested"
