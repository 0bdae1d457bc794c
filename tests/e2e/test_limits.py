"""Limits against a real upstream: what passes, what it bills, and what is left after aborts and kills."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from typing import Any

from tests.e2e.server_process import NewServer, ServerProcess
from tests.e2e.wire import Exchange, begin, call, gather_limited, until
from tests.harness.upstream import Upstream

SEED = 20261121


def body_of(kind: str, model: str, name: str = "x") -> tuple[str, dict[str, Any]]:
    """Path and body of one request; `kind` is stored, ephemeral or chat."""
    if kind == "chat":
        messages = [{"role": "user", "content": f"stream={name}"}]
        return "/v1/chat/completions", {"model": f"openai/{model}", "messages": messages, "stream": True}
    body = {"model": f"openai/{model}", "input": f"stream={name}", "stream": True, "store": kind == "stored"}
    return "/v1/responses", body


def counters(server: ServerProcess) -> dict[str, tuple[int, int]]:
    """Used and reserved by metric and period."""
    rows = server.query("SELECT counter,SUM(used),SUM(reserved) FROM quota_counters GROUP BY 1")
    return {name.split("|", 2)[2]: (used, reserved) for name, used, reserved in rows}


def ledger(server: ServerProcess) -> tuple[int, int, int]:
    """Lines, tokens in, tokens out."""
    statement = "SELECT COUNT(*),COALESCE(SUM(tokens_in),0),COALESCE(SUM(tokens_out),0) FROM ledger"
    return server.query(statement)[0]  # type: ignore[return-value]


async def at_rest(server: ServerProcess) -> None:
    """Wait until every run has settled."""
    await until(lambda: not server.query("SELECT 1 FROM quota_reservations"), "every reservation is settled")


def require_balance(server: ServerProcess) -> None:
    """The counters are the ledger's sums."""
    lines, tokens_in, tokens_out = ledger(server)
    assert counters(server) == {"requests|day": (lines, 0), "tokens|month": (tokens_in + tokens_out, 0)}


async def test_of_two_hundred_at_once_the_ten_that_are_left_pass(
    new_server: NewServer, upstream: Upstream
) -> None:
    server = new_server(DEFAULT_LIMITS="requests/day=10,tokens/month=100000000")
    await asyncio.to_thread(server.start)
    upstream.reset()
    kinds = ["stored", "ephemeral", "chat", "stored"] * 50
    requests = [body_of(kind, "paced-n20-i10") for kind in kinds]
    answers = await asyncio.gather(*(call(server.port, "POST", path, body) for path, body in requests))
    assert Counter(one.status for one in answers) == {200: 10, 429: 190}
    for one in answers:
        if one.status == 429:
            assert one.json()["error"]["code"] == "insufficient_quota"
            assert int(one.headers["retry-after"]) >= 1
            assert one.headers["x-ratelimit-limit-requests"] == "10"
    await at_rest(server)
    stats = upstream.stats()
    assert stats["calls"] == 10 and ledger(server)[::2] == (10, stats["billed_tokens"])
    require_balance(server)


async def test_the_rest_of_a_token_limit_is_never_overshot(new_server: NewServer, upstream: Upstream) -> None:
    """Many at once against a limit that lasts for a few: each takes what it reserved, the rest wait or go."""
    server = new_server(DEFAULT_LIMITS="tokens/month=2000,requests/day=1000")
    await asyncio.to_thread(server.start)
    upstream.reset()
    requests = []
    for index in range(100):
        path, body = body_of(("stored", "chat")[index % 2], "n60")
        requests.append((path, body | {("max_output_tokens", "max_tokens")[index % 2]: 60}))
    answers = await gather_limited([call(server.port, "POST", path, body) for path, body in requests], 20)
    passed = sum(one.status == 200 for one in answers)
    assert passed >= 10 and {one.status for one in answers} == {200, 429}
    await at_rest(server)
    require_balance(server)
    assert ledger(server)[2] == upstream.stats()["billed_tokens"] <= 2000


async def test_with_a_third_of_the_clients_gone_the_ledger_is_what_was_billed(
    new_server: NewServer, upstream: Upstream
) -> None:
    server = new_server(DEFAULT_LIMITS="requests/day=1000,tokens/month=100000000")
    await asyncio.to_thread(server.start)
    upstream.reset()
    rng = random.Random(SEED)
    requests = [body_of(rng.choice(["ephemeral", "chat"]), "paced-n40-i25", f"s{n}") for n in range(90)]
    leaving = {index: rng.uniform(0.1, 0.9) for index in rng.sample(range(90), 27)}
    exchanges = [await begin(server.port, "POST", path, body) for path, body in requests]

    async def leave(index: int, seconds: float) -> None:
        await asyncio.sleep(seconds)  # the random moment itself
        exchanges[index].close()

    await asyncio.gather(*(leave(index, seconds) for index, seconds in leaving.items()))
    await asyncio.gather(*(one.end() for index, one in enumerate(exchanges) if index not in leaving))
    await at_rest(server)
    await until(lambda: ledger(server)[0] == 90, "every run has its line")
    require_balance(server)
    billed = upstream.stats()["billed_tokens"]
    cut = server.query("SELECT COUNT(*) FROM ledger WHERE estimated=1")[0][0]
    assert cut >= 20, "the clients left too late: nothing was tested"
    assert abs(ledger(server)[2] - billed) <= len(leaving), (ledger(server), billed, cut)
    whole = server.query("SELECT MIN(tokens_out),MAX(tokens_out) FROM ledger WHERE estimated=0")
    assert whole == [(40, 40)]


async def test_a_provider_without_usage_is_counted_by_ourselves(
    new_server: NewServer, upstream: Upstream
) -> None:
    server = new_server(DEFAULT_LIMITS="requests/day=1000,tokens/month=100000000")
    await asyncio.to_thread(server.start)
    upstream.reset()
    for model in ("n50-nousage", "malformed-nan-n50"):
        path, body = body_of("stored", model)
        assert (await call(server.port, "POST", path, body)).status == 200
    await at_rest(server)
    require_balance(server)
    assert server.query("SELECT DISTINCT estimated,tokens_in>0,tokens_out>0 FROM ledger") == [(1, 1, 1)]
    (first,) = server.query("SELECT tokens_out FROM ledger ORDER BY created LIMIT 1")
    assert first == (50,)


async def test_after_a_kill_nothing_stays_reserved_and_nothing_is_counted_twice(
    new_server: NewServer, upstream: Upstream
) -> None:
    server = new_server(DEFAULT_LIMITS="requests/day=1000,tokens/month=100000000", DRAIN_SECONDS="1")
    await asyncio.to_thread(server.start)
    upstream.reset()
    kinds = ["stored", "chat"] * 20
    requests = [body_of(kind, "paced-n100-i20", f"s{n}") for n, kind in enumerate(kinds)]
    for _ in range(2):
        exchanges = [await begin(server.port, "POST", path, body) for path, body in requests]
        await until(lambda found=exchanges: all(len(one.body) > 900 for one in found), "all speak")
        await asyncio.to_thread(server.kill)
        with contextlib.suppress(OSError):
            await asyncio.gather(*(one.end() for one in exchanges))
        assert server.query("SELECT COUNT(DISTINCT run_id) FROM quota_reservations") == [(40,)]
        await asyncio.to_thread(server.start)
        await at_rest(server)
        require_balance(server)
    assert ledger(server)[0] == 40, "twenty stored answers a life, none twice"
    require_billed(server, upstream, exchanges)
    one = await call(server.port, "POST", *body_of("stored", "n5"))
    assert one.status == 200 and ledger(server)[0] == 41
    require_balance(server)


def require_billed(server: ServerProcess, upstream: Upstream, last: list[Exchange]) -> None:
    """No more is counted than the upstream billed, and no less than the clients saw."""
    assert ledger(server)[2] <= upstream.stats()["billed_tokens"]
    seen = sum(one.body.count(b"output_text.delta") // 2 for one in last[::2])
    assert ledger(server)[2] >= seen > 0


async def test_requests_a_minute_are_refused_with_the_time_to_come_back(new_server: NewServer) -> None:
    server = new_server(DEFAULT_LIMITS="requests/minute=5")
    await asyncio.to_thread(server.start)
    requests = [body_of(kind, "n3") for kind in ["stored", "chat", "ephemeral"] * 10]
    answers = await asyncio.gather(*(call(server.port, "POST", path, body) for path, body in requests))
    assert Counter(one.status for one in answers) == {200: 5, 429: 25}
    for one in answers:
        assert one.headers["x-ratelimit-limit-requests"] == "5"
        if one.status == 429:
            assert one.json()["error"]["code"] == "rate_limit_exceeded"
            assert 1 <= int(one.headers["retry-after"]) <= 60
    assert server.query("SELECT COUNT(*) FROM quota_counters") == [(0,)]
