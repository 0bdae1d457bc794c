"""Counters under beginnings and ends in any order: never above their limits, in the end the ledger's sums."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from antiphon.domain.accounts import Principal
from antiphon.domain.errors import RateLimited
from antiphon.domain.limits import EVERYONE, new_limit
from antiphon.ports.model_provider import UsageReport
from antiphon.services.turns import Begun
from tests.services.hand import HAND, Call, until
from tests.services.world import World, open_world

pytestmark = pytest.mark.slow
numbers = st.integers(0, 1000)
LIMITS = (
    new_limit(EVERYONE, "tokens", "day", 3_000),
    new_limit(EVERYONE, "requests", "month", 25),
    new_limit("group:g", "tokens", "month", 5_000, HAND),
    new_limit("group:g", "requests", "day", 40),
)


class QuotaMachine(RuleBasedStateMachine):
    """Two members of a group ask; every rule is one thing that can happen to a run."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory(prefix="antiphon-quota-")
        self.data = Path(self.directory.name) / "data"
        self.world: World = self.do(open_world(self.data))
        self.going: list[tuple[Begun, Call]] = []
        self.asked = 0

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        try:
            while self.going:
                self.finish(0, 1)
            self.do(self.settled())
            self.require_balance()
            self.do(self.world.close())
        finally:
            self.loop.close()
            self.directory.cleanup()

    def who(self, second: bool) -> Principal:
        account = f"{int(second):032x}"
        return msgspec.structs.replace(self.world.who, acting_id=account, limits=LIMITS, group_id="g")

    async def settled(self) -> None:
        """Wait until every run has ended and what is written beside is written."""
        async with asyncio.timeout(10):
            while len(self.world.application.runs) or self.world.rows("SELECT 1 FROM quota_reservations"):
                await self.world.storage.unit_of_work.commit()

    # --- rules

    @rule(second=st.booleans(), store=st.booleans(), most=st.integers(1, 1500), count=st.integers(1, 4))
    def begin(self, second: bool, store: bool, most: int, count: int) -> None:
        self.do(self.begin_many(second, store, most, count))

    async def begin_many(self, second: bool, store: bool, most: int, count: int) -> None:
        fields: dict[str, Any] = {"model": HAND, "store": store, "params": {"max_tokens": most}}
        texts = [f"q{self.asked + number}" for number in range(count)]
        self.asked += count
        turns = (self.world.begin(text, who=self.who(second), **fields) for text in texts)
        results = await asyncio.gather(*turns, return_exceptions=True)
        assert all(isinstance(one, (Begun, RateLimited)) for one in results), results
        begun = {
            f"user:{text}": one for text, one in zip(texts, results, strict=True) if isinstance(one, Begun)
        }
        for _ in begun:
            call = await self.world.hand.next()
            self.going.append((begun[call.prompts[-1]], call))

    def take(self, which: int) -> tuple[Begun, Call] | None:
        return self.going.pop(which % len(self.going)) if self.going else None

    @rule(which=numbers, words=st.integers(1, 3))
    def say(self, which: int, words: int) -> None:
        if self.going:
            _, call = self.going[which % len(self.going)]
            before = call.read
            for _ in range(words):
                call.say("w ")
            self.do(until(lambda: call.read == before + words))

    @rule(which=numbers, tokens=st.integers(0, 800))
    def finish(self, which: int, tokens: int) -> None:
        if (one := self.take(which)) is not None:
            most = one[1].request.params["max_tokens"]
            one[1].put(UsageReport(1, min(tokens, most)))
            one[1].end()

    @rule(which=numbers)
    def fail(self, which: int) -> None:
        if (one := self.take(which)) is not None:
            one[1].fail()

    @rule(which=numbers)
    def cancel(self, which: int) -> None:
        if (one := self.take(which)) is not None and (live := one[0].live) is not None:
            self.world.engine.cancel(live)
            self.do(until(lambda: live.closed))

    @rule(old=st.booleans())
    def sweep(self, old: bool) -> None:
        self.do(self.world.application.quotas.sweep(**({} if old else {"older_than_us": 0})))

    @rule(dice=st.integers(1, 6))
    def kill(self, dice: int) -> None:
        if dice < 6:
            return
        self.do(self.world.kill())
        self.going = []
        self.world = self.do(open_world(self.data))

    # --- what must hold

    @invariant()
    def nothing_is_exceeded(self) -> None:
        amounts = {limit.counter(f"{n:032x}"): limit.amount for limit in LIMITS for n in (0, 1)}
        for name, used, reserved in self.world.rows("SELECT counter,used,reserved FROM quota_counters"):
            assert min(used, reserved) >= 0 and used + reserved <= amounts[name]
        reserved = self.world.rows(
            "SELECT (SELECT SUM(reserved) FROM quota_counters),(SELECT SUM(amount) FROM quota_reservations)"
        )
        assert (reserved[0][0] or 0) == (reserved[0][1] or 0)

    def require_balance(self) -> None:
        counters = self.world.rows("SELECT counter,SUM(used),SUM(reserved) FROM quota_counters GROUP BY 1")
        lines = {
            author: (requests, tokens)
            for author, requests, tokens in self.world.rows(
                "SELECT author_id,COUNT(*),SUM(tokens_in+tokens_out) FROM ledger GROUP BY 1"
            )
        }
        for name, used, reserved in counters:
            scope, _, metric, _ = name.split("|")
            mine = [line for author, line in lines.items() if scope in (f"user:{author}", "group:g")]
            assert reserved == 0
            assert used == sum(line[metric == "tokens"] for line in mine), (name, lines)


TestQuotas = QuotaMachine.TestCase
TestQuotas.settings = settings(
    max_examples=30, stateful_step_count=30, deadline=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
