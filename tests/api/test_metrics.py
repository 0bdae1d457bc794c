"""`GET /metrics`: what is counted, and who may read it."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from antiphon.domain.runs import Run
from antiphon.services.counters import MODELS_COUNTED, Counters, Histogram, LoopLag
from scripts.project_files import ROOT
from tests.api.client import Api
from tests.api.people_fixtures import Town, opened_town
from tests.contracts.builders import new_run
from tests.e2e.wire import request_bytes
from tests.harness.people import carry
from tests.services.hand import BROKEN, ECHO, HAND, until

Samples = dict[str, dict[tuple[str, ...], float]]
TOKEN = "metrics-token-of-the-scraper"


def parsed(text: str) -> Samples:
    """Values by name and label values (in the order of the label names), as Prometheus reads them."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


async def scraped(api: Api) -> Samples:
    response = await api.http.get("/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return parsed(response.text)


async def test_requests_are_counted_by_method_route_and_status(api: Api) -> None:
    for _ in range(3):
        await api.ask("hi")
    await api.get("/v1/models")
    await api.get("/v1/conversations/conv_" + "0" * 32, status=404)
    await api.refused("POST", "/v1/responses", {"model": "none/such", "input": "x"}, status=404)
    await api.refused("GET", "/nowhere/at/all", status=404)
    await api.http.request("BREW", "/v1/models")
    requests = (await scraped(api))["antiphon_http_requests_total"]
    assert requests == {
        ("POST", "/v1/responses", "200"): 3,
        ("POST", "/v1/responses", "404"): 1,
        ("GET", "/v1/models", "200"): 1,
        ("GET", "/v1/conversations/{conversation_id}", "404"): 1,
        ("GET", "unknown", "404"): 1,
        ("OTHER", "/v1/models", "405"): 1,
    }
    assert (await scraped(api))["antiphon_http_requests_total"]["GET", "/metrics", "200"] == 1


async def test_answers_and_tokens_are_counted_by_what_answered(api: Api) -> None:
    await api.ask("hi")
    await api.ask("hi", store=False)
    await api.ask("hi", model=BROKEN)
    live = await api.ask("x", model=HAND, background=True)
    during = await scraped(api)
    assert during["antiphon_runs_live"] == {(): 1}
    await api.world.hand.next()
    await api.post(f"/v1/responses/{live['id']}/cancel")
    found = await scraped(api)
    assert found["antiphon_runs_live"] == {(): 0}
    assert found["antiphon_runs_total"] == {
        ("echo", "hand", "completed"): 2, ("broken", "hand", "failed"): 1, ("held", "hand", "cancelled"): 1
    }  # fmt: skip
    assert found["antiphon_tokens_total"]["output", "echo", "hand"] > 0
    assert found["antiphon_provider_calls_total"]["called", "hand"] >= 4
    ticks = found["antiphon_journal_tick_seconds_bucket"]
    assert ticks["+Inf",] == found["antiphon_journal_tick_seconds_count"][()] > 0
    assert sorted(ticks.values()) == [ticks[bound] for bound in sorted(ticks, key=lambda one: float(one[0]))]


async def test_a_stream_is_counted_when_it_has_ended_and_its_follower_while_it_is_open(
    served: tuple[Api, int],
) -> None:
    api, _ = served
    async with api.http.stream(
        "POST", "/v1/responses", json={"model": HAND, "input": "x", "stream": True}
    ) as response:
        call = await api.world.hand.next()
        lines = response.aiter_lines()
        await anext(lines)
        during = await scraped(api)
        assert during["antiphon_followers_open"] == {(): 1}
        assert "antiphon_http_requests_total" not in during
        call.say("done")
        call.end()
        async for _ in lines:
            pass
    await until(lambda: ("POST", "/v1/responses", 200) in api.world.application.counters.requests)
    assert (await scraped(api))["antiphon_http_requests_total"]["POST", "/v1/responses", "200"] == 1


ASKED = {
    "/v1/responses": {"input": "x"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}]},
}


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("path", ASKED)
async def test_a_client_that_leaves_before_the_end_is_counted_as_one_that_left(
    served: tuple[Api, int], path: str, streams: bool
) -> None:
    api, port = served
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_bytes("POST", path, {"model": HAND, "stream": streams, **ASKED[path]}))
    call = await api.world.hand.next()
    if streams:
        call.say("something")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    writer.close()
    await writer.wait_closed()
    await api.get("/v1/models")  # until it is answered the server has seen that the client left
    call.say("the rest")
    call.end()
    counted = api.world.application.counters.requests
    await until(lambda: any(route == path for _, route, _ in counted))
    assert {key: n for key, n in counted.items() if key[1] == path} == {("POST", path, 499): 1}


@pytest.mark.parametrize(
    ("path", "end"), [("/v1/responses", b"response.completed"), ("/v1/chat/completions", b"[DONE]")]
)
async def test_one_that_leaves_as_soon_as_it_has_all_is_not(
    served: tuple[Api, int], path: str, end: bytes
) -> None:
    api, port = served
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_bytes("POST", path, {"model": ECHO, "stream": True, **ASKED[path]}))
    await reader.readuntil(end)
    writer.transport.abort()
    counted = api.world.application.counters.requests
    await until(lambda: any(route == path for _, route, _ in counted))
    assert ("POST", path, 200) in counted


async def test_a_store_that_refuses_is_shown(api: Api) -> None:
    assert (await scraped(api))["antiphon_storage_healthy"] == {(): 1}
    api.world.application.journal.healthy = False
    assert (await scraped(api))["antiphon_storage_healthy"] == {(): 0}


async def test_so_is_one_that_refuses_commits(api: Api) -> None:
    api.world.application.store_health.refused()
    assert (await scraped(api))["antiphon_storage_healthy"] == {(): 0}


async def test_who_may_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened_town(tmp_path / "data", monkeypatch, metrics_token=TOKEN) as town:
        root, ada = await town.person("root2", role="admin"), await town.person("ada")
        for headers, status in (
            ({}, 401), (carry("bearer", TOKEN), 200), (carry("bearer", TOKEN + "x"), 401),
            (carry("x-api-key", TOKEN), 401), (root.bearer, 200), (ada.bearer, 403),
        ):  # fmt: skip
            assert (await town.http.get("/metrics", headers=headers)).status_code == status
        assert (await town.http.get(f"/metrics?token={TOKEN}")).status_code == 401
        assert (await town.http.get("/v1/models", headers=carry("bearer", TOKEN))).status_code == 401


async def test_without_a_token_nothing_but_an_administrator_opens_it(town: Town) -> None:
    for headers in ({}, carry("bearer", ""), carry("bearer", "None")):
        assert (await town.http.get("/metrics", headers=headers)).status_code == 401


async def test_failed_logins_are_counted(town: Town) -> None:
    root = await town.person("root2", role="admin")
    for _ in range(2):
        await town.http.post("/token", json={"username": "root2", "password": "wrong"})
    found = parsed((await town.http.get("/metrics", headers=root.bearer)).text)
    assert found["antiphon_login_failures_total"] == {(): 2}


async def test_no_name_a_caller_makes_up_grows_the_page(api: Api) -> None:
    for number in range(30):
        await api.http.get(f"/made/up/{number}")
        await api.http.get(f"/v1/conversations/conv_{number:032x}")
    assert len((await scraped(api))["antiphon_http_requests_total"]) == 2
    counters = Counters()
    run: Run = new_run(model="any")
    for number in range(MODELS_COUNTED + 50):
        counters.run_ended(run, "open", f"model-{number}")
    assert len(counters.runs) == MODELS_COUNTED + 1
    assert sum(totals.runs for totals in counters.runs.values()) == MODELS_COUNTED + 50


async def test_a_loop_that_is_held_up_is_measured() -> None:
    histogram = Histogram()
    lag = LoopLag(histogram).start()
    await asyncio.sleep(0.01)
    time.sleep(0.4)  # noqa: ASYNC251 - holds the loop up beyond the timer's time
    await until(lambda: sum(histogram.counts))
    lag.close()
    assert histogram.total > 0.1


async def test_every_metric_is_documented_and_no_other(api: Api) -> None:
    async def answers() -> bool:
        return False

    object.__setattr__(api.world.application, "redis_answers", answers)
    assert (await scraped(api))["antiphon_redis_healthy"] == {(): 0}
    await api.ask("hi")
    page = (ROOT / "docs/operations.md").read_text()
    served = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families((await api.http.get("/metrics")).text)
        if not family.name.startswith("process_")
    }
    assert served == set(re.findall(r"^\| `(antiphon_\w+)`", page, re.MULTILINE))


def test_counting_costs_next_to_nothing() -> None:
    counters = Counters()
    rounds = 20_000
    best = min(_seconds(counters, rounds) for _ in range(5)) / rounds
    assert best < 3e-6, f"{best * 1e6:.2f} µs a request"


def _seconds(counters: Counters, rounds: int) -> float:
    began = time.perf_counter()
    for _ in range(rounds):
        counters.request_ended("POST", "/v1/responses", 200)
    return time.perf_counter() - began
