"""What embedding calls use: reserved before a caller's call, and a line in the ledger after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.limits import Standing
from antiphon.domain.usage import Usage
from antiphon.ports import quota_writes as qw
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.storage import UnitOfWork
from antiphon.services.model_routes import ModelRoute
from antiphon.services.quota_rules import Need
from antiphon.services.quotas import Quotas


class Meter:
    """Counts one call; `standings` are those of the limits that were looked at."""

    def __init__(self, standings: tuple[Standing, ...]) -> None:
        self.standings = standings
        self.tokens = 0


class EmbeddingUse:
    """Accounts for embedding calls."""

    def __init__(self, unit_of_work: UnitOfWork, quotas: Quotas, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._quotas = quotas
        self._clock = clock

    @asynccontextmanager
    async def metered(self, who: Principal, route: ModelRoute, tokens: int) -> AsyncIterator[Meter]:
        """Hold a call of about so many tokens to the caller's limits; raises RateLimited.

        Afterwards what the meter has counted is settled, also of a call that failed half-way.
        """
        rates = await self._quotas.admit(who, [route])
        call_id, began_us = ids.new_id(who.slot), self._clock.now_us()
        need = Need(route=route, input_tokens=tokens, answer_tokens=0, choices=0)
        meter = Meter(await self._quotas.hold(who, call_id, need, rates))
        failed = True
        try:
            yield meter
            failed = False
        finally:
            ending = self._end(who, route, call_id, began_us, meter, failed=failed)
            await asyncio.shield(asyncio.ensure_future(ending))

    @asynccontextmanager
    async def indexing(self, owner_id: str, route: ModelRoute, tokens: int) -> AsyncIterator[Meter]:
        """Hold what indexing embeds to its owner's limits on tokens and money; raises RateLimited."""
        async with self.metered(await self._quotas.payer(owner_id), route, tokens) as meter:
            yield meter

    async def _end(
        self, who: Principal, route: ModelRoute, call_id: str, began_us: int, meter: Meter, *, failed: bool
    ) -> None:
        commands: Sequence[ws.Command] = (qw.Release(run_id=call_id),)
        if meter.tokens or not failed:
            line = self._line(who, route, call_id, meter.tokens, began_us, self._clock.now_us())
            settle = qw.Settle(run_id=call_id, model=route.id, tokens=meter.tokens, cost=line.cost)
            commands = (line, settle)
        try:
            await self._unit_of_work.commit(*commands)
        finally:
            self._quotas.holding.discard(call_id)

    @staticmethod
    def _line(
        who: Principal, route: ModelRoute, call_id: str, tokens: int, began_us: int, ended_us: int
    ) -> ws.PutLedger:
        usage = Usage(input_tokens=tokens)
        return ws.PutLedger(
            run_id=call_id,
            owner_id=who.account_id,
            slot=who.slot,
            author_id=who.actor_id,
            credential_id=who.credential_id,
            provider=route.provider,
            model=route.id,
            state="settled",
            usage=usage,
            cost=route.price.cost(usage),
            created_us=began_us,
            latency_us=ended_us - began_us,
        )
