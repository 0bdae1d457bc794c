"""Ports of limits: counters never exceed what they are limited to, and every reservation ends once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.errors import Conflict
from antiphon.domain.limits import DAY_US, EVERYONE, new_limit
from antiphon.domain.usage import Usage
from antiphon.ports import account_writes as aw
from antiphon.ports import quota_writes as qw
from antiphon.ports import write_sets as ws
from antiphon.ports.limits import Rate, RateLimiter
from antiphon.ports.quotas import Counter
from antiphon.ports.storage import Storage
from tests.contracts.adapters import RATE_LIMITERS
from tests.contracts.builders import OWNER, SLOT, finish, new_run
from tests.contracts.test_accounts_port import new_key, stored

WINDOW = 20_000 * DAY_US


def reserve(run_id: str, amount: int = 1, **fields: Any) -> qw.Reserve:
    return qw.Reserve(
        **{
            "run_id": run_id, "counter": "user:a||tokens|day", "window_start": WINDOW, "metric": "tokens",
            "model": "", "amount": amount, "limit": 10, "now_us": WINDOW + 5,
            "forget_before": WINDOW - DAY_US, **fields,
        }
    )  # fmt: skip


def settle(run_id: str, tokens: int, cost: int = 0, model: str = "p/m") -> qw.Settle:
    return qw.Settle(run_id=run_id, model=model, tokens=tokens, cost=cost)


async def counter(storage: Storage, name: str = "user:a||tokens|day", window: int = WINDOW) -> Counter:
    (found,) = await storage.quotas.counters([(name, window)])
    return found


async def test_a_reservation_is_settled_with_what_was_used_once(storage: Storage) -> None:
    run_id = ids.new_id(SLOT)
    await storage.unit_of_work.commit(reserve(run_id, 10))
    assert await counter(storage) == Counter(used=0, reserved=10)
    for _ in range(3):
        await storage.unit_of_work.commit(settle(run_id, 4))
        assert await counter(storage) == Counter(used=4, reserved=0)
    await storage.unit_of_work.commit(qw.Release(run_id=run_id))
    assert await counter(storage) == Counter(used=4, reserved=0)


async def test_what_is_released_is_free_again_and_settles_no_more(storage: Storage) -> None:
    run_id = ids.new_id(SLOT)
    await storage.unit_of_work.commit(reserve(run_id, 10))
    for _ in range(2):
        await storage.unit_of_work.commit(qw.Release(run_id=run_id))
        assert await counter(storage) == Counter()
    await storage.unit_of_work.commit(settle(run_id, 4))
    assert await counter(storage) == Counter()


@pytest.mark.parametrize("before", [0, 4])
async def test_used_and_reserved_never_exceed_the_limit(storage: Storage, before: int) -> None:
    if before:
        used = ids.new_id(SLOT)
        await storage.unit_of_work.commit(reserve(used, before))
        await storage.unit_of_work.commit(settle(used, before))
    attempts = (storage.unit_of_work.commit(reserve(ids.new_id(SLOT), 2)) for _ in range(200))
    results = await asyncio.gather(*attempts, return_exceptions=True)
    lost = [one for one in results if one is not None]
    assert len(results) - len(lost) == (10 - before) // 2
    assert all(isinstance(one, Conflict) and one.message == "Reserve" for one in lost)
    assert await counter(storage) == Counter(used=before, reserved=10 - before)


async def test_a_first_reservation_above_the_limit_is_lost_too(storage: Storage) -> None:
    with pytest.raises(Conflict, match="Reserve"):
        await storage.unit_of_work.commit(reserve(ids.new_id(SLOT), 11))
    assert await counter(storage) == Counter()


async def test_a_lost_reservation_takes_its_whole_set_with_it(storage: Storage) -> None:
    run, other = new_run(), ids.new_id(SLOT)
    commands = [reserve(run.id, 5, counter="b"), reserve(run.id, 11), ws.OpenRun(run=run, worker_id="w" * 32)]
    with pytest.raises(Conflict, match="Reserve"):
        await storage.unit_of_work.commit(*commands)
    assert await storage.runs.get(OWNER, run.id) is None
    assert await counter(storage, "b") == Counter()
    await storage.unit_of_work.commit(reserve(other, 10, counter="b"))


async def test_each_metric_settles_with_its_own_amount_and_only_for_its_model(storage: Storage) -> None:
    run_id = ids.new_id(SLOT)
    counters: list[tuple[str, Any, str]] = [
        ("t", "tokens", ""), ("r", "requests", ""), ("c", "cost", ""), ("tm", "tokens", "p/m"),
        ("to", "tokens", "p/other"), ("ro", "requests", "p/other"),
    ]  # fmt: skip
    reserved = [
        reserve(run_id, 3, counter=name, metric=metric, model=model) for name, metric, model in counters
    ]
    await storage.unit_of_work.commit(*reserved)
    await storage.unit_of_work.commit(settle(run_id, 7, 500))
    found = await storage.quotas.counters([(name, WINDOW) for name, _, _ in counters])
    assert [one.used for one in found] == [7, 1, 500, 7, 0, 0]
    assert {one.reserved for one in found} == {0}


async def test_windows_count_apart_and_old_ones_go_unless_something_is_reserved_there(
    storage: Storage,
) -> None:
    old, held, new = (ids.new_id(SLOT) for _ in range(3))
    await storage.unit_of_work.commit(reserve(old, 10, window_start=WINDOW - 5 * DAY_US))
    await storage.unit_of_work.commit(reserve(held, 10, window_start=WINDOW - 4 * DAY_US))
    await storage.unit_of_work.commit(settle(old, 10))
    assert (await counter(storage, window=WINDOW - 5 * DAY_US)).used == 10
    await storage.unit_of_work.commit(reserve(new, 10))
    assert await counter(storage, window=WINDOW - 5 * DAY_US) == Counter()
    await storage.unit_of_work.commit(settle(held, 6))
    assert (await counter(storage, window=WINDOW - 4 * DAY_US)).used == 6
    assert await counter(storage) == Counter(used=0, reserved=10)


async def test_only_reservations_that_nobody_will_settle_are_abandoned(storage: Storage) -> None:
    going, ended, never = new_run(), new_run(), ids.new_id(SLOT)
    await storage.unit_of_work.commit(
        reserve(going.id), ws.OpenRun(run=going, worker_id="w" * 32), reserve(ended.id),
        ws.OpenRun(run=ended, worker_id="w" * 32), finish(ended), reserve(never), reserve(never, counter="b"),
    )  # fmt: skip
    late = WINDOW + 6
    assert await storage.quotas.abandoned(late, after="", limit=9) == sorted([ended.id, never])
    assert await storage.quotas.abandoned(late, after="", limit=1) == [min(ended.id, never)]
    assert await storage.quotas.abandoned(late, after=min(ended.id, never), limit=9) == [max(ended.id, never)]
    assert await storage.quotas.abandoned(WINDOW + 5, after="", limit=9) == []


# --- limits


async def test_a_limit_is_set_found_by_scope_set_anew_and_deleted(storage: Storage) -> None:
    limits = [
        new_limit(scope, "tokens", "day", 5, model)
        for scope in (EVERYONE, f"user:{OWNER}", "group:g")
        for model in ("", "p/m")
    ]
    for limit in limits:
        await storage.unit_of_work.commit(qw.SetLimit(limit=limit, created_us=1))
    by_id = sorted(limits, key=lambda one: one.id)
    assert await storage.quotas.limits(None, after=None, limit=9) == by_id
    assert await storage.quotas.limits(None, after=by_id[1].id, limit=2) == by_id[2:4]
    assert await storage.quotas.limits("group:g", after=None, limit=9) == [
        o for o in by_id if o.scope == "group:g"
    ]
    found = await storage.quotas.limits_for([EVERYONE, "group:g", "key:k"])
    assert found == [one for one in by_id if not one.scope.startswith("user:")]
    higher = msgspec.structs.replace(limits[0], amount=9)
    await storage.unit_of_work.commit(qw.SetLimit(limit=higher, created_us=2))
    assert higher in await storage.quotas.limits_for([EVERYONE])
    await storage.unit_of_work.commit(qw.DeleteLimit(limit_id=higher.id))
    with pytest.raises(Conflict, match="DeleteLimit"):
        await storage.unit_of_work.commit(qw.DeleteLimit(limit_id=higher.id))
    assert len(await storage.quotas.limits(None, after=None, limit=9)) == 5


async def test_scopes_name_what_exists(storage: Storage) -> None:
    account = await stored(storage)
    assert await storage.quotas.knows(EVERYONE)
    assert await storage.quotas.knows(f"user:{account.id}")
    for kind in ("user", "group", "key"):
        assert not await storage.quotas.knows(f"{kind}:{ids.new_id(SLOT)}")
    key = new_key(account, "secret")
    await storage.unit_of_work.commit(key)
    assert await storage.quotas.knows(f"key:{key.key.id}")
    await storage.unit_of_work.commit(
        aw.RevokeApiKey(account_id=account.id, key_id=key.key.id, now_us=5),
        aw.DeleteAccount(account_id=account.id, now_us=5),
    )
    assert not await storage.quotas.knows(f"key:{key.key.id}")
    assert not await storage.quotas.knows(f"user:{account.id}")


# --- the ledger


def line(author: str, model: str, created: int, *, tokens: int = 2, cost: int = 3) -> ws.PutLedger:
    return ws.PutLedger(
        run_id=ids.new_id(SLOT), owner_id=OWNER, slot=SLOT, author_id=author, credential_id=None,
        provider="p", model=model, state="settled", usage=Usage(tokens, 1, 1, 1), cost=cost,
        created_us=created, latency_us=2,
    )  # fmt: skip


async def test_the_ledger_is_summed_by_day_and_model_for_who_asked_for_the_runs(storage: Storage) -> None:
    author, other = ids.new_id(SLOT), ids.new_id(SLOT)
    day = WINDOW // DAY_US
    await storage.unit_of_work.commit(
        line(author, "b", WINDOW), line(author, "a", WINDOW), line(author, "a", WINDOW + DAY_US - 1),
        line(author, "a", WINDOW + DAY_US), line(author, "a", WINDOW - 1), line(other, "a", WINDOW),
    )  # fmt: skip
    span = (WINDOW, WINDOW + 2 * DAY_US)
    found = await storage.ledger.by_day(author, *span, after=None, limit=9)
    assert [(one.day - day, one.model, one.requests, one.input_tokens, one.cost) for one in found] == [
        (0, "a", 2, 4, 6), (0, "b", 1, 2, 3), (1, "a", 1, 2, 3),
    ]  # fmt: skip
    assert await storage.ledger.by_day(author, *span, after=(day, "a"), limit=1) == found[1:2]
    assert await storage.ledger.by_day(author, *span, after=(day, "b"), limit=9) == found[2:]
    total = await storage.ledger.by_model(author, *span)
    assert [(one.model, one.requests, one.output_tokens) for one in total] == [("a", 3, 3), ("b", 1, 1)]


async def test_the_ledger_is_summed_for_a_page_of_users(storage: Storage) -> None:
    accounts = [Principal(ids.new_id(SLOT), SLOT, name) for name in ("ada", "bob", "cy")]
    for account in accounts:
        await storage.unit_of_work.commit(ws.PutAccount(account=account, created_us=1))
    await storage.unit_of_work.commit(line(accounts[1].account_id, "m", WINDOW))
    found = await storage.ledger.by_user(WINDOW, WINDOW + 1, after=None, limit=2)
    assert [(one.name, len(one.models)) for one in found] == [("ada", 0), ("bob", 1)]
    rest = await storage.ledger.by_user(WINDOW, WINDOW + 1, after=found[-1].account_id, limit=2)
    assert [one.name for one in rest] == ["cy"]


async def test_a_runs_line_is_found_by_its_owner_and_its_id(storage: Storage) -> None:
    made = line(ids.new_id(SLOT), "m", WINDOW)
    await storage.unit_of_work.commit(made)
    found = await storage.ledger.line(OWNER, made.run_id)
    assert found is not None
    assert (found.author_id, found.model, found.provider, found.state) == (
        made.author_id,
        "m",
        "p",
        "settled",
    )
    assert (found.usage, found.cost, found.cached, found.latency_us) == (made.usage, 3, False, 2)
    assert await storage.ledger.line(made.author_id, made.run_id) is None


HOUR_US = DAY_US // 24


async def test_use_over_time_comes_in_stretches_with_errors_and_percentiles(storage: Storage) -> None:
    ann, bob = sorted(ids.new_id(SLOT) for _ in range(2))
    lines = [
        msgspec.structs.replace(
            line(ann, "a", WINDOW + n), latency_us=n, state="failed" if n <= 3 else "completed"
        )
        for n in range(1, 101)
    ]
    lines += [
        line(ann, "b", WINDOW), line(ann, "a", WINDOW + HOUR_US), line(bob, "a", WINDOW),
        msgspec.structs.replace(line(bob, "b", WINDOW + 1), cached=True, cost=0),
    ]  # fmt: skip
    await storage.unit_of_work.commit(*lines)
    span = (WINDOW, WINDOW + DAY_US)

    async def told(who: str | None, **fields: Any) -> list[tuple[Any, ...]]:
        asked = {"bucket_us": HOUR_US, "model": None, "after": None, "limit": 99, **fields}
        found = await storage.ledger.series(who, *span, **asked)
        return [
            ((one.start_us - WINDOW) // HOUR_US, one.model, one.requests, one.errors, one.input_tokens,
             one.p50_us, one.p95_us)
            for one in found
        ]  # fmt: skip

    mine = [(0, "a", 100, 3, 200, 50, 95), (0, "b", 1, 0, 2, 2, 2), (1, "a", 1, 0, 2, 2, 2)]
    assert await told(ann) == mine
    assert await told(ann, limit=1) == mine[:1]
    assert await told(ann, after=(WINDOW, "a")) == mine[1:]
    assert await told(ann, after=(WINDOW, "b")) == mine[2:]
    assert await told(ann, model="b") == mine[1:2]
    assert await told(ann, bucket_us=DAY_US) == [(0, "a", 101, 3, 202, 50, 95), mine[1]]
    assert await told(None) == [(0, "a", 101, 3, 202, 50, 95), (0, "b", 2, 0, 2, 2, 2), mine[2]]
    assert await told(ids.new_id(SLOT)) == []
    both = [(0, "", 103, 3, 204, 49, 95), (1, "", 1, 0, 2, 2, 2)]
    assert await told(None, together=True) == both
    assert await told(None, together=True, limit=1) == both[:1]
    assert await told(None, together=True, after=(WINDOW, "")) == both[1:]
    assert await told(ann, together=True, model="b") == [(0, "", 1, 0, 2, 2, 2)]
    assert await told(None, together=True, bucket_us=DAY_US) == [(0, "", 104, 3, 206, 48, 95)]


async def test_nobodys_use_is_nothing(storage: Storage) -> None:
    asked = {"bucket_us": DAY_US, "model": None, "after": None, "limit": 9}
    assert await storage.ledger.series(None, 0, WINDOW, **asked) == []


# --- requests a minute


@pytest.fixture(params=RATE_LIMITERS)
async def limiter(request: pytest.FixtureRequest) -> AsyncIterator[RateLimiter]:
    """The rate limiter under test."""
    async with RATE_LIMITERS[request.param]() as opened:
        yield opened


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the wall clock, in seconds from now."""
    began = time.time()

    def set_clock(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: began + seconds)

    set_clock(0)
    return set_clock


async def test_of_many_at_once_as_many_pass_as_the_minute_allows(limiter: RateLimiter) -> None:
    answers = await asyncio.gather(*(limiter.acquire([Rate("a", 10)]) for _ in range(50)))
    passed = sorted((one[0].remaining for one in answers if one[0].allowed), reverse=True)
    assert passed == list(range(9, -1, -1))
    assert (await limiter.states([Rate("a", 10), Rate("b", 10)]))[0].remaining == 0
    assert (await limiter.acquire([Rate("b", 10)]))[0].allowed


async def test_the_minute_moves(limiter: RateLimiter, at: Callable[[float], None]) -> None:
    for second in (0, 30, 50):
        at(second)
        assert (await limiter.acquire([Rate("a", 3)]))[0].allowed
    (full,) = await limiter.acquire([Rate("a", 3)])
    assert not full.allowed and full.remaining == 0 and full.free_seconds == pytest.approx(10)
    at(61)
    (again,) = await limiter.acquire([Rate("a", 3)])
    assert again.allowed and again.remaining == 0 and again.free_seconds == pytest.approx(29)
    at(200)
    assert (await limiter.states([Rate("a", 3)]))[0].free_seconds == 0


async def test_all_rates_are_taken_or_none(limiter: RateLimiter) -> None:
    assert (await limiter.acquire([Rate("a", 1)]))[0].allowed
    for _ in range(3):
        one, two = await limiter.acquire([Rate("a", 1), Rate("b", 5)])
        assert not one.allowed and two.allowed and two.remaining == 5
    (many,) = await limiter.acquire([Rate("b", 5, cost=6)])
    assert not many.allowed and many.remaining == 5
    (many,) = await limiter.acquire([Rate("b", 5, cost=5)])
    assert many.allowed and many.remaining == 0


async def test_a_rate_of_nothing_lets_nothing_through(limiter: RateLimiter) -> None:
    (none,) = await limiter.acquire([Rate("a", 0)])
    assert not none.allowed and none.free_seconds > 0


async def test_a_changed_limit_holds_at_once_against_what_was_counted_so_far(limiter: RateLimiter) -> None:
    for _ in range(3):
        assert (await limiter.acquire([Rate("a", 5)]))[0].allowed
    (lower,) = await limiter.acquire([Rate("a", 2)])
    assert not lower.allowed and lower.remaining == 0 and lower.free_seconds == pytest.approx(60, abs=10)
    (higher,) = await limiter.acquire([Rate("a", 4)])
    assert higher.allowed and higher.remaining == 0
    assert not (await limiter.acquire([Rate("a", 4)]))[0].allowed
    (none,) = await limiter.acquire([Rate("a", 0)])
    assert not none.allowed
    (again,) = await limiter.states([Rate("a", 5)])
    assert again.allowed and again.remaining == 1
