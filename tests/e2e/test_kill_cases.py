"""SIGKILL in particular moments: alternatives, sealed logs, queued work, keys, and a killed recovery."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

from tests.e2e.events import bare, events_of, require_gapless, run_id_of, stored_text, text_of
from tests.e2e.server_process import NewServer, ServerProcess
from tests.e2e.wire import Exchange, begin, call, get, until
from tests.harness.tokens import check_prefix, expected_text
from tests.harness.upstream import Upstream

ENDLESS = "paced-n4000-i5-hash"
QUICK_SEALS = "import antiphon.services.runs.journal as j; j.SEAL_SECONDS = 0.15"
SECOND_SEAL_FAILS = f"""
{QUICK_SEALS}
import antiphon.storage.sql.sqlite as s
from antiphon.ports.storage import StorageBusy
original, calls = s.SqliteJournal.seal, []
async def seal(self, *arguments):
    calls.append(1)
    if len(calls) == 2:
        raise StorageBusy("no room just now")
    await original(self, *arguments)
s.SqliteJournal.seal = seal
"""


def asking(name: str, **more: Any) -> dict[str, Any]:
    """A streamed request for an answer that does not end by itself during a test."""
    return {"model": f"openai/{ENDLESS}", "input": f"stream={name}", "stream": True} | more


def deltas(exchange: Exchange, count: int = 20) -> Any:
    """Whether that many deltas have arrived."""
    return lambda: exchange.body.count(b"output_text.delta") >= count


async def crash(server: ServerProcess, *exchanges: Exchange) -> None:
    """Kill the server, take in what is still on the way, and start it again."""
    await asyncio.to_thread(server.kill)
    for exchange in exchanges:
        await exchange.end()
    await asyncio.to_thread(server.start)


async def require_kept(server: ServerProcess, name: str, exchange: Exchange) -> dict[str, Any]:
    """The answer begins with what came, replays it byte for byte, and has failed."""
    run_id = run_id_of(exchange.body, exchange.headers)
    response: dict[str, Any] = await get(server.port, f"/v1/responses/{run_id}")
    received = text_of(events_of(exchange.body))
    assert response["status"] == "failed", response["status"]
    assert response["error"]["code"] == "server_error"
    text = stored_text(response)
    assert check_prefix(name, text) is None, check_prefix(name, text)
    assert text.startswith(received), f"{len(received)} characters received, {len(text)} stored"
    replay = await call(server.port, "GET", f"/v1/responses/{run_id}?stream=true")
    assert bare(replay.body).startswith(bare(exchange.body))
    require_gapless(events_of(replay.body))
    return response


async def test_a_sealed_log_is_read_back(new_server: NewServer) -> None:
    server = new_server(patch=QUICK_SEALS)
    await asyncio.to_thread(server.start)
    stream = await begin(server.port, "POST", "/v1/responses", asking("sealed"))
    await stream.until(deltas(stream, 150))
    assert len(server.query("SELECT first_seq FROM run_chunks")) > 1, "nothing was sealed: nothing is tested"
    await crash(server, stream)
    await require_kept(server, "sealed", stream)
    assert server.query("SELECT count(*) FROM run_chunks") == [(0,)], "chunks outlive their run"


async def test_a_seal_that_failed_once_loses_nothing(new_server: NewServer) -> None:
    server = new_server(patch=SECOND_SEAL_FAILS)
    await asyncio.to_thread(server.start)
    stream = await begin(server.port, "POST", "/v1/responses", asking("twice"))
    await stream.until(lambda: len(server.query("SELECT first_seq FROM run_chunks")) >= 3)
    await crash(server, stream)
    await require_kept(server, "twice", stream)


async def test_alternatives_of_one_question_are_all_kept(new_server: NewServer) -> None:
    server = new_server()
    await asyncio.to_thread(server.start)
    made = (await call(server.port, "POST", "/v1/conversations", {})).json()
    base = f"/v1/conversations/{made['id']}"
    first = await call(
        server.port, "POST", "/v1/responses",
        asking("first", model="openai/n5-hash", stream=False, conversation=made["id"]),
    )  # fmt: skip
    answer_id = first.json()["output"][0]["id"]
    question_id = first.json()["antiphon"]["input_item_ids"][0]
    turn = await begin(server.port, "POST", "/v1/responses", asking("turn", conversation=made["id"]))
    rival = await begin(server.port, "POST", "/v1/responses", asking("rival", conversation=made["id"]))
    model = {"model": f"openai/{ENDLESS}", "stream": True}
    again = await begin(server.port, "POST", f"{base}/items/{answer_id}/regenerate", model)
    edited = await begin(
        server.port, "POST", f"{base}/items/{question_id}/edit", model | {"content": "stream=edited"}
    )
    models = [f"openai/{ENDLESS}", f"openai/{ENDLESS}-d1"]
    fan = await begin(
        server.port, "POST", f"{base}/fan_out", {"models": models, "input": "stream=fan", "stream": True}
    )
    streams = {"turn": turn, "rival": rival, "first": again, "edited": edited}
    for stream in (*streams.values(), fan):
        await stream.until(deltas(stream))
    await crash(server, *streams.values(), fan)
    for name, stream in streams.items():
        await require_kept(server, name, stream)
    await require_fan_kept(server, fan)
    assert server.query("SELECT count(*) FROM runs WHERE state IN ('queued','in_progress')") == [(0,)]
    assert server.query("SELECT count(*) FROM branches WHERE run_id IS NOT NULL") == [(0,)]
    after = await call(
        server.port, "POST", "/v1/responses",
        asking("after", model="openai/n5-hash", stream=False, conversation=made["id"]),
    )  # fmt: skip
    assert after.json()["status"] == "completed"


async def require_fan_kept(server: ServerProcess, fan: Exchange) -> None:
    """Both answers of a fan-out begin with what came of them."""
    texts: dict[str, str] = {}
    for event in events_of(fan.body):
        if event.name == "response.output_text.delta":
            run_id = event.data["response_id"]
            texts[run_id] = texts.get(run_id, "") + event.data["delta"]
    assert len(texts) == 2
    for run_id, received in texts.items():
        response = await get(server.port, f"/v1/responses/{run_id}")
        assert response["status"] == "failed"
        assert stored_text(response).startswith(received)
        assert check_prefix("fan", stored_text(response)) is None


async def test_a_background_run_outlives_two_lives_with_seals(new_server: NewServer) -> None:
    server = new_server(patch=QUICK_SEALS)
    await asyncio.to_thread(server.start)
    body = asking("late", model="openai/d500-paced-n4000-i5-hash", background=True, stream=False)
    run_id = (await call(server.port, "POST", "/v1/responses", body)).json()["id"]
    await until(lambda: server.query("SELECT first_seq FROM run_chunks"), "the waiting run is sealed")
    # In its second life the run has spoken before its log is sealed for the first time.
    server.patch = QUICK_SEALS.replace("0.15", "0.8")
    await crash(server)
    assert (await get(server.port, f"/v1/responses/{run_id}"))["status"] in ("queued", "in_progress")
    stream = await begin(server.port, "GET", f"/v1/responses/{run_id}?stream=true")
    await stream.until(lambda: len(server.query("SELECT first_seq FROM run_chunks")) >= 2)
    await stream.until(deltas(stream, stream.body.count(b"output_text.delta") + 20))
    await crash(server, stream)
    await require_kept(server, "late", stream)


async def test_queued_work_without_its_provider_does_not_stop_the_start(new_server: NewServer) -> None:
    server = new_server()
    await asyncio.to_thread(server.start)
    body = asking("orphan", model="openai/d5000", background=True, stream=False)
    run_id = (await call(server.port, "POST", "/v1/responses", body)).json()["id"]
    await asyncio.to_thread(server.kill)
    del server.settings["OPENAI_API_KEY"], server.settings["OPENAI_BASE_URL"]
    await asyncio.to_thread(server.start)
    response = await get(server.port, f"/v1/responses/{run_id}")
    assert response["status"] == "failed"
    assert response["error"]["code"] == "server_error"


async def test_a_killed_recovery_loses_nothing(new_server: NewServer) -> None:
    server = new_server()
    await asyncio.to_thread(server.start)
    streams = {
        f"k{index}": await begin(server.port, "POST", "/v1/responses", asking(f"k{index}"))
        for index in range(40)
    }
    for stream in streams.values():
        await stream.until(deltas(stream))
    await asyncio.to_thread(server.kill)
    for stream in streams.values():
        await stream.end()
    rng = random.Random(7)
    for _ in range(4):
        await asyncio.to_thread(server.launch)
        await asyncio.sleep(rng.uniform(0.4, 0.9))  # somewhere in the start, which takes about that long
        await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    server.require_integrity()
    for name, stream in streams.items():
        await require_kept(server, name, stream)


async def test_a_stored_chat_completion_keeps_what_was_received(new_server: NewServer) -> None:
    server = new_server()
    await asyncio.to_thread(server.start)
    messages = [{"role": "user", "content": "stream=chat"}]
    body = {"model": f"openai/{ENDLESS}", "messages": messages, "stream": True, "store": True}
    stream = await begin(server.port, "POST", "/v1/chat/completions", body)
    await stream.until(lambda: stream.body.count(b"data: ") > 30)
    await crash(server, stream)
    whole, _, _ = bytes(stream.body).rpartition(b"\n\n")
    chunks = [json.loads(line[6:]) for line in whole.split(b"\n\n")]
    received = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    stored = await get(server.port, f"/v1/chat/completions/{chunks[0]['id']}")
    text = stored["choices"][0]["message"]["content"]
    assert text.startswith(received)
    assert check_prefix("chat", text) is None


async def test_a_key_outlives_the_crash(new_server: NewServer, upstream: Upstream) -> None:
    server = new_server()
    await asyncio.to_thread(server.start)
    said, silent = {"idempotency-key": "said"}, {"idempotency-key": "silent"}
    first = await begin(server.port, "POST", "/v1/responses", asking("said"), said)
    body = asking("silent", model="openai/d700-n5-hash")
    second = await begin(server.port, "POST", "/v1/responses", body, silent)
    await first.until(deltas(first))
    await crash(server, first, second)
    replay = await call(server.port, "POST", "/v1/responses", asking("said"), said)
    assert bytes(replay.body).startswith(bytes(first.body)), (
        "a retry must lead to the answer that was cut off"
    )
    assert upstream.stats()["calls_by_stream"]["said"] == 1
    fresh = await call(server.port, "POST", "/v1/responses", body, silent)
    assert text_of(events_of(fresh.body)) == expected_text("silent", 5), (
        "nothing came of it, so it may act again"
    )


async def test_what_is_not_stored_is_simply_gone(new_server: NewServer) -> None:
    server = new_server()
    await asyncio.to_thread(server.start)
    stream = await begin(server.port, "POST", "/v1/responses", asking("gone", store=False))
    await stream.until(deltas(stream))
    await crash(server, stream)
    run_id = run_id_of(stream.body, stream.headers)
    assert (await call(server.port, "GET", f"/v1/responses/{run_id}")).status == 404
