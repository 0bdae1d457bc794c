"""Health, models, a store that refuses, a journal that was fenced, and a crowd: as a client sees them."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest

from antiphon.domain.errors import StorageFull, Unavailable
from antiphon.domain.run_events import encode_ops
from antiphon.services import store_health
from tests.api.client import Api, in_process, reading
from tests.services.hand import BROKEN, ECHO, HAND, SILENT
from tests.services.tree_rules import tree_problems


async def test_health_says_what_goes_on(api: Api) -> None:
    assert await api.get("/health/live") == {"status": "ok"}
    assert await api.get("/health/ready") == {"status": "ok"}
    begun = await api.ask("x", model=HAND, background=True)
    assert (await api.get("/health"))["running"] == 1
    await api.world.hand.next()
    await api.post(f"/v1/responses/{begun['id']}/cancel")
    assert (await api.get("/health"))["running"] == 0


async def test_a_server_that_drains_or_cannot_write_is_alive_but_not_ready(api: Api) -> None:
    async with in_process(api.world, replace(api.world.application, draining=lambda: True)) as draining:
        assert (await draining.refused("GET", "/health/ready", status=503))["code"] == "draining"
        await draining.get("/health/live")
    api.world.application.journal.healthy = False
    told = await api.refused("GET", "/health/ready", status=503)
    assert told["code"] == "service_unavailable", "a journal is refused by more than full disks"
    await api.get("/health/live")
    await api.world.application.journal.seal()
    await api.get("/health/ready")


async def test_a_store_that_says_nothing_makes_the_server_unready_in_time(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    async def away() -> None:
        raise Unavailable("The database does not answer now; try again.")

    monkeypatch.setattr(store_health, "ANSWER_SECONDS", 0.05)
    for check, named in ((never, "store"), (away, "database")):
        application = replace(api.world.application, ready=store_health.answering(check))
        async with in_process(api.world, application) as asked:
            told = await asked.refused("GET", "/health/ready", status=503)
            assert told["code"] == "service_unavailable" and named in told["message"]
            assert (await asked.refused("GET", "/health", status=503))["code"] == "service_unavailable"


async def test_a_server_whose_commits_are_refused_is_not_ready_until_the_disk_takes_them(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: object) -> None:
        raise StorageFull("The store cannot be written now.")

    async def no_room() -> None:
        raise OSError(28, "No space left on device")

    async def room() -> None:
        pass

    health, world = api.world.application.store_health, api.world
    monkeypatch.setattr(health, "_probe", no_room)
    world.storage.unit_of_work.before = full
    for _ in range(3):
        await api.refused("POST", "/v1/conversations", {}, status=507)
    world.storage.unit_of_work.before = None
    assert (await api.refused("GET", "/health/ready", status=503))["code"] == "storage_full"
    await health.look()
    await api.refused("GET", "/health/ready", status=503)
    monkeypatch.setattr(health, "_probe", room)
    await health.look()
    await api.get("/health/ready")
    said = [one.getMessage() for one in caplog.records if one.name.endswith("store_health")]
    assert [line.split(":")[0] for line in said] == [
        "the store refuses writes",
        "the store takes writes again",
    ]


async def test_a_probe_of_the_store_writes_and_leaves_nothing(api: Api) -> None:
    health, before = api.world.application.store_health, sorted(api.world.directory.rglob("*"))
    health.refused()
    await health.look()
    assert health.takes_writes and sorted(api.world.directory.rglob("*")) == before
    await api.get("/health/ready")


async def test_models_are_listed_and_read_in_openais_shape(api: Api) -> None:
    listed = await api.get("/v1/models")
    assert listed["object"] == "list"
    for model in listed["data"]:
        assert model.keys() == {"id", "object", "created", "owned_by"} and model["object"] == "model"
        assert await api.get(f"/v1/models/{model['id']}") == model
    assert {ECHO, HAND, SILENT, BROKEN} <= {model["id"] for model in listed["data"]}


async def test_a_full_disk_is_507_for_what_writes_and_nothing_for_what_reads(api: Api) -> None:
    conversation = await api.conversation("u0")
    answer = await api.ask("x", conversation=conversation)

    def full(commands: Any) -> None:
        raise StorageFull("The store cannot be written now.")

    api.world.storage.unit_of_work.before = full
    talk = f"/v1/conversations/{conversation}"
    for path, body in (
        ("/v1/responses", {"model": ECHO, "input": "x"}),
        ("/v1/responses", {"model": ECHO, "input": "x", "conversation": conversation, "stream": True}),
        (
            "/v1/chat/completions",
            {"model": ECHO, "messages": [{"role": "user", "content": "x"}], "store": True},
        ),
        ("/v1/conversations", {}),
        (f"{talk}/items", {"items": [{"role": "user", "content": "x"}]}),
        (f"{talk}/branches", {}),
        (f"{talk}/fork", {}),
    ):
        error = await api.refused("POST", path, body, status=507)
        assert (error["type"], error["code"]) == ("server_error", "storage_full")
    assert await api.texts(conversation) == ["u0", "x", "re: x"]
    assert (await api.get(f"/v1/responses/{answer['id']}"))["status"] == "completed"
    assert len(api.world.application.runs) == 0
    api.world.storage.unit_of_work.before = None
    assert (await api.ask("y", conversation=conversation))["status"] == "completed"


async def test_a_fenced_stream_stops_without_an_end_and_is_resumed_to_one(served: tuple[Api, int]) -> None:
    api, _ = served
    body = {"model": HAND, "input": "x", "stream": True}
    async with reading(api, "POST", "/v1/responses", body) as stream:
        call = await api.world.hand.next()
        call.say("kept")
        seen = await stream.until("response.output_text.delta")
        journal = api.world.application.journal
        await api.world.storage.inner.journal.write_tick(
            journal.worker_id, journal._tick + 1, encode_ops([]), []
        )
        call.answer(" lost")
        with pytest.raises(StopAsyncIteration):
            await stream.next()
    identifier = seen[0].data["response"]["id"]
    path = f"/v1/responses/{identifier}"
    assert (await api.get(path))["status"] == "in_progress"
    await api.world.sweep()
    rest = await api.stream(
        "GET", path, params={"stream": "true", "starting_after": seen[-1].data["sequence_number"]}
    )
    assert rest[-1].name == "response.failed"
    assert (await api.get(path))["output"][0]["content"][0]["text"] == "kept"


async def test_a_crowd_on_one_conversation_never_meets_a_fault_or_a_conflict(api: Api) -> None:
    conversation = await api.conversation("one", "two")
    talk = f"/v1/conversations/{conversation}"
    items = [item["id"] for item in (await api.get(f"{talk}/items"))["data"]]
    dice = random.Random(7)

    async def write() -> list[tuple[str, int, str]]:
        refused = []
        for _ in range(8):
            item = dice.choice(items)
            path, body = dice.choice(
                [
                    ("/v1/responses", {"model": ECHO, "input": "x", "conversation": conversation}),
                    ("/v1/responses", {"model": BROKEN, "input": "x", "conversation": conversation}),
                    (f"{talk}/items", {"items": [{"role": "user", "content": "x"}]}),
                    (f"{talk}/items/{item}/edit", {"content": "e", "model": ECHO}),
                    (f"{talk}/items/{item}/edit", {"content": "e", "respond": False}),
                    (f"{talk}/items/{item}/regenerate", {"model": ECHO}),
                    (f"{talk}/fan_out", {"models": [ECHO, SILENT], "input": "x"}),
                    (f"{talk}/branches", {"item_id": item, "activate": True}),
                    (f"{talk}/fork", {"item_id": item}),
                    (talk, {"title": "t"}),
                ]
            )
            response = await api.http.post(path, json=body)
            if response.status_code != 200:
                refused.append((path, response.status_code, response.text))
        return refused

    done = await asyncio.gather(*(write() for _ in range(20)))
    assert [one for refused in done for one in refused] == []
    assert tree_problems(api.world.directory, at_rest=True) == []
    revision = (await api.get(talk))["revision"]
    assert api.world.rows("SELECT COUNT(*) FROM conversation_changes") == [(revision - 1,)]
