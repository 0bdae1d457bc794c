"""Limits and usage over HTTP: headers, refusals, setting and listing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import connect

from antiphon.domain.accounts import READ, USER, WRITE
from tests.api.client import Api, in_process
from tests.services.hand import BROKEN, ECHO, HAND, SILENT
from tests.services.world import another_person, open_world

HEADERS = [
    f"x-ratelimit-{name}-{metric}"
    for metric in ("requests", "tokens")
    for name in ("limit", "remaining", "reset")
]
DURATION = re.compile(r"(\d+h)?(\d+m)?\d+s|\d+ms")


async def set_limit(api: Api, metric: str, period: str, amount: float, **fields: Any) -> Any:
    body = {"scope": "everyone", "metric": metric, "period": period, "amount": amount, **fields}
    return await api.post("/v1/admin/limits", body)


def owner(api: Api) -> str:
    return USER + api.world.who.account_id


# --- turns


MESSAGES = [{"role": "user", "content": "x"}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"model": ECHO, "input": "x"}),
        ("/v1/responses", {"model": ECHO, "input": "x", "stream": True}),
        ("/v1/responses", {"model": ECHO, "input": "x", "store": False}),
        ("/v1/chat/completions", {"model": ECHO, "messages": MESSAGES}),
        ("/v1/chat/completions", {"model": ECHO, "messages": MESSAGES, "stream": True}),
    ],
)
async def test_answers_say_what_is_left_only_where_limits_apply(api: Api, path: str, body: Any) -> None:
    free = await api.http.request("POST", path, json=body)
    assert not any(name.startswith("x-ratelimit") for name in free.headers)
    await set_limit(api, "requests", "minute", 9)
    await set_limit(api, "requests", "day", 1)
    await set_limit(api, "tokens", "month", 50_000)
    told = await api.http.request("POST", path, json=body)
    assert told.status_code == 200
    assert [told.headers[name] for name in HEADERS[:2]] == ["1", "0"]
    assert told.headers[HEADERS[3]] == "50000" and 40_000 < int(told.headers[HEADERS[4]]) < 50_000
    assert all(DURATION.fullmatch(told.headers[name]) for name in (HEADERS[2], HEADERS[5]))
    refused = await api.http.request("POST", path, json=body)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["type"]) == (
        429,
        "insufficient_quota",
        "rate_limit_error",
    )
    assert "1 requests per day" in error["message"] and "resets at" in error["message"]
    assert 0 < int(refused.headers["retry-after"]) <= 24 * 3600
    assert refused.headers[HEADERS[1]] == "0"


async def test_requests_a_minute(api: Api) -> None:
    await set_limit(api, "requests", "minute", 2)
    for left in ("1", "0"):
        told = await api.http.post("/v1/responses", json={"model": ECHO, "input": "x"})
        assert (told.headers[HEADERS[1]], told.headers[HEADERS[0]]) == (left, "2")
    refused = await api.http.post("/v1/responses", json={"model": ECHO, "input": "x"})
    assert refused.status_code == 429 and refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert 50 <= int(refused.headers["retry-after"]) <= 60


async def test_a_repeated_request_is_answered_although_nothing_is_left(api: Api) -> None:
    await set_limit(api, "requests", "day", 1)
    body = {"model": ECHO, "input": "x"}
    first = await api.http.post("/v1/responses", json=body, headers={"idempotency-key": "k"})
    again = await api.http.post("/v1/responses", json=body, headers={"idempotency-key": "k"})
    assert first.status_code == again.status_code == 200 and first.json() == again.json()
    assert (await api.http.post("/v1/responses", json=body)).status_code == 429


async def test_other_doors_to_a_turn_are_counted_too(api: Api) -> None:
    conversation = await api.conversation("q")
    (item,) = (await api.get(f"/v1/conversations/{conversation}/items"))["data"]
    await set_limit(api, "requests", "day", 0)
    at = f"/v1/conversations/{conversation}"
    for path, body in (
        (f"{at}/items/{item['id']}/edit", {"model": ECHO, "content": "x"}),
        (f"{at}/items/{item['id']}/regenerate", {"model": ECHO}),
        (f"{at}/fan_out", {"models": [ECHO, SILENT], "input": "x"}),
        ("/v1/responses", {"model": ECHO, "input": "x", "background": True}),
    ):
        known = [route for route in await paths(api) if re.fullmatch(re.sub(r"{\w+}", "[^/]+", route), path)]
        assert known, f"no route {path}"
        error = await api.refused("POST", path, body, status=429)
        assert error["code"] == "insufficient_quota", path


async def paths(api: Api) -> list[str]:
    return list((await api.get("/openapi.json"))["paths"])


async def test_a_choice_count_or_length_beyond_reason_is_clamped_or_refused(api: Api) -> None:
    await set_limit(api, "tokens", "day", 100_000)
    await api.ask("x", max_output_tokens=10**9)
    await api.chat({"role": "user", "content": "x"}, max_tokens=10**9, n=16)
    for fields in ({"n": 17}, {"n": 10**9}, {"n": -1}, {"max_tokens": -5}, {"max_tokens": 0}):
        error = await api.chat({"role": "user", "content": "x"}, status=400, **fields)
        assert error["error"]["param"] == next(iter(fields))
    await api.ask("x", max_output_tokens=-1, status=400)


# --- setting limits


async def test_limits_are_set_listed_shadowed_and_deleted(tmp_path: Path) -> None:
    world = await open_world(tmp_path / "data", default_limits="requests/day=7,cost/month=10.5")
    try:
        async with in_process(world) as api:
            listed = (await api.get("/v1/admin/limits"))["data"]
            shown = [(one["metric"], one["amount"], one["configured"]) for one in listed]
            assert sorted(shown) == [("cost", 10.5, True), ("requests", 7, True)]
            made = await set_limit(api, "requests", "day", 3)
            assert made == {
                "id": made["id"], "object": "limit", "scope": "everyone", "metric": "requests",
                "period": "day", "amount": 3, "model": None, "configured": False,
            }  # fmt: skip
            own = await set_limit(api, "cost", "day", 0.25, scope=owner(api), model="p/m")
            assert (own["scope"], own["amount"], own["model"]) == (owner(api), 0.25, "p/m")
            assert (await api.get("/v1/admin/limits", scope=owner(api)))["data"] == [own]
            first = await api.get("/v1/admin/limits", limit=2)
            rest = await api.get("/v1/admin/limits", limit=2, after=first["last_id"])
            assert first["has_more"] and not rest["has_more"]
            listed = first["data"] + rest["data"]
            assert sorted(one["amount"] for one in listed) == [0.25, 3, 10.5]
            assert (await api.ask("x"))["status"] == "completed"
            mine = (await api.get("/v1/usage/limits"))["data"]
            assert {(one["metric"], one["amount"], one["used"], one["remaining"]) for one in mine} == {
                ("requests", 3, 1, 2), ("cost", 10.5, 0.0, 10.5), ("cost", 0.25, 0.0, 0.25),
            }  # fmt: skip
            deleted = await api.delete(f"/v1/admin/limits/{made['id']}")
            assert deleted == {"id": made["id"], "object": "limit", "deleted": True}
            error = await api.refused("DELETE", f"/v1/admin/limits/{made['id']}", status=422)
            assert error["code"] == "limit_configured"
            await api.delete(f"/v1/admin/limits/{own['id']}", status=200)
            await api.refused("DELETE", f"/v1/admin/limits/{own['id']}", status=404)
    finally:
        await world.close()


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"scope": "nobody"}, 422, "scope"),
        ({"scope": "user_xyz"}, 422, "scope"),
        ({"scope": "user_" + "0" * 32}, 404, "scope"),
        ({"scope": "key_" + "0" * 32}, 404, "scope"),
        ({"scope": "grp_" + "0" * 32}, 404, "scope"),
        ({"metric": "calls"}, 422, "metric"),
        ({"period": "hour"}, 422, "period"),
        ({"amount": -1}, 422, "amount"),
        ({"amount": 1.5}, 422, "amount"),
        ({"amount": 10**16}, 422, "amount"),
        ({"amount": 10**15, "metric": "cost"}, 422, "amount"),
        ({"amount": "5"}, 422, None),
        ({"model": ""}, 422, "model"),
        ({"id": "lim_1"}, 422, "id"),
    ],
)
async def test_what_is_no_limit_is_refused(api: Api, fields: Any, status: int, param: str | None) -> None:
    body = {"scope": "everyone", "metric": "tokens", "period": "day", "amount": 5} | fields
    error = await api.refused("POST", "/v1/admin/limits", body, status=status)
    assert param is None or error["param"] == param


async def test_only_administrators_set_limits_and_see_others_usage(api: Api) -> None:
    who = msgspec.structs.replace(api.world.who, scopes=frozenset({READ, WRITE}))
    application = api.world.application
    application.local.principal = who
    for method, path in (
        ("GET", "/v1/admin/limits"), ("POST", "/v1/admin/limits"), ("GET", "/v1/admin/usage"),
        ("DELETE", f"/v1/admin/limits/lim_{'0' * 32}"),
    ):  # fmt: skip
        body = {"scope": "everyone", "metric": "tokens", "period": "day", "amount": 5}
        error = await api.refused(method, path, body, status=403)
        assert error["code"] == "insufficient_scope"
    await api.get("/v1/usage")


# --- usage


async def test_usage_is_told_by_day_and_model_with_totals(api: Api) -> None:
    for model in (ECHO, ECHO, SILENT, BROKEN):
        await api.ask("hello", model=model)
    page = await api.get("/v1/usage")
    models = {one["model"]: one["requests"] for one in page["data"]}
    assert models == {ECHO: 2, SILENT: 1, BROKEN: 1}
    assert page["totals"]["requests"] == 4
    assert page["totals"]["output_tokens"] == sum(one["output_tokens"] for one in page["data"]) > 0
    assert page["data"][0]["id"] == f"{page['end']}:{page['data'][0]['model']}"
    first = await api.get("/v1/usage", limit=2)
    rest = await api.get("/v1/usage", limit=2, after=first["last_id"])
    assert first["has_more"] and first["data"] + rest["data"] == page["data"]
    assert (await api.get("/v1/usage", start="2020-01-01", end="2020-01-31"))["data"] == []


async def test_usage_over_time_can_be_plotted(api: Api) -> None:
    for model in (ECHO, ECHO, BROKEN):
        await api.ask("hello", model=model)
    series = await api.get("/v1/usage/series", bucket="hour")
    assert series["bucket"] == "hour" and not series["has_more"]
    by_model = {one["model"]: one for one in series["data"]}
    assert {name: (one["requests"], one["errors"]) for name, one in by_model.items()} == {
        ECHO: (2, 0), BROKEN: (1, 1),
    }  # fmt: skip
    echoed = by_model[ECHO]
    assert echoed["start_at"] % 3600 == 0 and echoed["latency_ms"]["p50"] <= echoed["latency_ms"]["p95"]
    assert echoed["input_tokens"] > 0 and echoed["id"] == f"{echoed['start_at']}:{ECHO}"
    rest = await api.get("/v1/usage/series", bucket="hour", after=series["data"][0]["id"], limit=1)
    assert rest["data"] == series["data"][1:2]
    only = await api.get("/v1/admin/usage/series", model=ECHO, user=owner(api))
    assert [one["requests"] for one in only["data"]] == [2]
    assert len((await api.get("/v1/admin/usage/series"))["data"]) == 2
    everything = await api.get("/v1/admin/usage/series", together=True, start="2026-01-01")
    (one,) = everything["data"]
    assert (one["model"], one["requests"], one["errors"], one["id"]) == (None, 3, 1, f"{one['start_at']}:")
    assert (await api.get("/v1/usage/series", together=True, after=one["id"]))["data"] == []
    for path, query, status in (
        ("/v1/usage/series", {"bucket": "week"}, 422), ("/v1/usage/series", {"after": "x"}, 400),
        ("/v1/usage/series", {"bucket": "hour", "start": "2026-01-01", "end": "2026-03-01"}, 422),
        ("/v1/admin/usage/series", {"user": "user_" + "0" * 32}, 404),
    ):  # fmt: skip
        await api.refused("GET", path, status=status, params=query)


async def test_an_answer_tells_what_it_used(api: Api) -> None:
    answer = await api.ask("hello", model=ECHO)
    used = await api.get(f"/v1/responses/{answer['id']}/usage")
    assert used == {
        "object": "response.usage", "response_id": answer["id"], "status": "completed", "model": ECHO,
        "provider": ECHO.split("/")[0], "cached": False, "estimated": used["estimated"],
        "usage": answer["usage"], "cost": 0.0, "latency_ms": used["latency_ms"], "retrieval": None,
    }  # fmt: skip
    waiting = await api.ask("hello", model=HAND, background=True)
    call = await api.world.hand.next()
    used = await api.get(f"/v1/responses/{waiting['id']}/usage")
    assert (used["status"], used["cost"], used["latency_ms"]) == ("in_progress", None, None)
    call.answer("done")
    await api.refused("GET", "/v1/responses/resp_" + "0" * 32 + "/usage", status=404)


async def test_administrators_see_everybodys_usage(api: Api) -> None:
    other = await another_person(api.world)
    await api.ask("hello")
    page = await api.get("/v1/admin/usage")
    by_name = {one["name"]: one for one in page["data"]}
    assert by_name["local"]["requests"] == 1 and by_name["local"]["models"][0]["model"] == ECHO
    assert by_name["somebody"]["requests"] == 0 and by_name["somebody"]["models"] == []
    mine = await api.get("/v1/admin/usage", user=owner(api))
    assert mine["data"] == (await api.get("/v1/usage"))["data"]
    assert (await api.get("/v1/admin/usage", user=USER + other.account_id))["data"] == []
    await api.get("/v1/admin/usage", user=f"user_{'0' * 32}", status=404)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"start": "2026-02-30"}, 422), ({"start": "x"}, 422), ({"end": "0"}, 422),
        ({"end": "1960-01-01"}, 422),
        ({"start": "2026-02-02", "end": "2026-02-01"}, 422), ({"after": "x"}, 400),
        ({"start": "2020-01-01", "end": "2026-01-01"}, 422), ({"after": "2026-02-30:m"}, 400),
        ({"start": "0001-01-01", "end": "0001-01-02"}, 422),
    ],
)  # fmt: skip
async def test_days_and_cursors_that_make_no_sense_are_refused(
    api: Api, query: dict[str, str], status: int
) -> None:
    await api.get("/v1/usage", status=status, **query)
    await api.get("/v1/admin/usage", status=status, **query)


async def test_a_keys_limit_holds_for_that_key_alone_and_changes_are_audited(api: Api) -> None:
    made = await api.post("/v1/api_keys", {"name": "one"}, status=201)
    other = await api.post("/v1/api_keys", {"name": "two"}, status=201)
    limit = await set_limit(api, "requests", "day", 1, scope=made["id"])
    assert limit["scope"] == made["id"]
    body = {"model": ECHO, "input": "x"}
    for key, statuses in ((made, (200, 429)), (other, (200, 200))):
        for status in statuses:
            await api.post("/v1/responses", body, status=status, authorization=f"Bearer {key['key']}")
    await api.delete(f"/v1/admin/limits/{limit['id']}")
    lines = api.world.rows("SELECT action,target,actor_id FROM audit WHERE action LIKE 'limit.%' ORDER BY id")
    owner_id = api.world.who.account_id
    assert lines == [("limit.set", limit["id"], owner_id), ("limit.delete", limit["id"], owner_id)]
    keys = api.world.rows("SELECT credential_id,COUNT(*) FROM ledger GROUP BY 1")
    assert sorted(keys) == sorted([(made["id"][4:], 1), (other["id"][4:], 2)])


async def test_a_socket_obeys_limits_set_after_it_was_opened(served: tuple[Api, int]) -> None:
    api, port = served
    request = json.dumps({"type": "response.create", "model": ECHO, "input": "x"})
    async with connect(f"ws://127.0.0.1:{port}/v1/responses") as socket:
        await socket.send(request)
        while json.loads(await socket.recv())["type"] != "response.completed":
            pass
        await set_limit(api, "requests", "day", 0)
        await socket.send(request)
        error = json.loads(await socket.recv())
        assert (error["type"], error["status"]) == ("error", 429)
        assert error["error"]["code"] == "insufficient_quota"
