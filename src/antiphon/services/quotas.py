"""Holding callers to their limits: reserved before a model is called, settled when it has answered.

Requests a minute are counted by the rate limiter; everything else by counters in the store, whose
reservations are part of the write set that begins a run. A caller without limits costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.accounts import Principal
from antiphon.domain.errors import Conflict, RateLimited
from antiphon.domain.ids import slot_of
from antiphon.domain.limits import (
    EVERYONE,
    Limit,
    Standing,
    applying,
    window_end,
    window_start,
)
from antiphon.domain.runs import Run
from antiphon.domain.sources import sources_budget
from antiphon.domain.usage import estimate_request_tokens
from antiphon.ports import quota_writes as qw
from antiphon.ports.clock import Clock
from antiphon.ports.jobs import Job, Jobs
from antiphon.ports.limits import Rate, RateLimiter
from antiphon.ports.quotas import Counter
from antiphon.ports.storage import Storage
from antiphon.services.model_routes import ModelRoute
from antiphon.services.quota_rules import Counted, Need, answer_within, fits, refusal, reservations
from antiphon.services.runs.live import LiveRuns
from antiphon.services.turn_plans import TurnRequest, answer_budget

CACHE_SECONDS: Final = 2.0
CACHE_ENTRIES: Final = 10_000
ABANDONED_US: Final = 60_000_000
ABANDONED_ELSEWHERE_US: Final = 3_600_000_000
"""Where others share the store, what is not stored as a run may be theirs and go on for so long."""
SWEEP_SECONDS: Final = 30.0
SLICE: Final = 500
HOLD_ATTEMPTS: Final = 5

Start = tuple[Run, ModelRoute]


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Leave to begin runs: what their begin must reserve and, run by run, route and longest answer.

    `answers` None means as asked.
    """

    routes: Sequence[ModelRoute]
    commands: Sequence[qw.Reserve] = ()
    answers: Sequence[int | None] = ()
    standings: tuple[Standing, ...] = ()

    def params(self, index: int, params: dict[str, Any]) -> dict[str, Any]:
        """Return a request's params with the answer capped to what was reserved for it."""
        most = self.answers[index] if self.answers else None
        if most is None:
            return params
        name = "max_completion_tokens"
        if "max_tokens" in params and name not in params:
            name = "max_tokens"
        asked = params.get(name)
        return params if isinstance(asked, int) and asked <= most else {**params, name: most}


class Quotas:
    """Decides who may begin what, and gives back what nobody settles."""

    def __init__(
        self,
        storage: Storage,
        limiter: RateLimiter,
        runs: LiveRuns,
        clock: Clock,
        *,
        defaults: Sequence[Limit] = (),
    ) -> None:
        self._storage = storage
        self._limiter = limiter
        self._runs = runs
        self._clock = clock
        self.defaults = defaults
        self.holding: set[str] = set()
        self._known: dict[tuple[str, str | None, str | None], tuple[float, tuple[Limit, ...]]] = {}

    # --- which limits

    async def limits_of(
        self, account_id: str, group_id: str | None = None, credential_id: str | None = None
    ) -> tuple[Limit, ...]:
        """Return the limits of a caller; what was read is used for 2 s."""
        caller = (account_id, group_id, credential_id)
        now = self._clock.monotonic()
        known = self._known.get(caller)
        if known is not None and known[0] > now:
            return known[1]
        scopes = [EVERYONE, f"user:{account_id}"]
        scopes += [f"group:{group_id}"] if group_id else []
        scopes += [f"key:{credential_id}"] if credential_id else []
        found = applying(await self._storage.quotas.limits_for(scopes), self.defaults)
        while len(self._known) >= CACHE_ENTRIES:
            del self._known[next(iter(self._known))]
        self._known[caller] = (now + CACHE_SECONDS, found)
        return found

    async def limited(self, who: Principal) -> Principal:
        """Return the caller with the limits that hold for it now."""
        limits = await self.limits_of(who.actor_id, who.group_id, who.credential_id)
        return who if limits == who.limits else msgspec.structs.replace(who, limits=limits)

    async def payer(self, account_id: str) -> Principal:
        """Return an account as what is done in its name is counted: with its limits on tokens and money.

        Those on requests are for what somebody asks for.
        """
        account = await self._storage.accounts.get(account_id)
        group_id = account.group_id if account is not None else None
        limits = await self.limits_of(account_id, group_id)
        counted = tuple(one for one in limits if one.metric != "requests")
        return Principal(account_id, slot_of(account_id), "", limits=counted, group_id=group_id)

    def forget(self) -> None:
        """Read limits again: one has changed."""
        self._known.clear()

    # --- before a turn

    async def admit(self, who: Principal, routes: Sequence[ModelRoute]) -> tuple[Standing, ...]:
        """Count requests of this minute; raises RateLimited."""
        return await self._acquire(*_rates(who, [route.id for route in routes]))

    async def admit_call(self, who: Principal) -> tuple[Standing, ...]:
        """Count a request that calls no model, at the limits for all of them; raises RateLimited."""
        return await self._acquire(*_rates(who, [""]))

    async def _acquire(self, limits: Sequence[Limit], rates: Sequence[Rate]) -> tuple[Standing, ...]:
        if not rates:
            return ()
        states = await self._limiter.acquire(rates)
        standings = tuple(
            Standing(limit=limit, remaining=state.remaining, reset_seconds=state.free_seconds)
            for limit, state in zip(limits, states, strict=True)
        )
        full = [one for one, state in zip(standings, states, strict=True) if not state.allowed]
        if full:
            worst = max(full, key=lambda one: one.reset_seconds)
            raise RateLimited(
                f"You are limited to {worst.limit.amount} requests per minute; "
                f"try again in {max(worst.reset_seconds, 1):.0f} s.",
                retry_after_seconds=worst.reset_seconds,
                standings=standings,
            )
        return standings

    async def grant(
        self,
        who: Principal,
        request: TurnRequest,
        starts: Sequence[Start],
        messages: Sequence[dict[str, Any]],
    ) -> Grant:
        """Decide what the runs of a turn must reserve; raises RateLimited if too little is left.

        An answer gets what it asks for or, if less is left, the rest of it; several share a rest
        evenly. Nothing is written here.
        """
        routes = [route for _, route in starts]
        counted = self._counted(who, routes)
        if not counted:
            return Grant(routes=routes, standings=request.rates)
        needs = [(run.id, _need(request, route, messages)) for run, route in starts]
        return await self._reserving(needs, counted, request.rates)

    async def hold(
        self, who: Principal, holder_id: str, need: Need, rates: tuple[Standing, ...]
    ) -> tuple[Standing, ...]:
        """Reserve for a call that is no run; raises RateLimited. Whoever called settles or releases it.

        The id is in `holding` until then, which keeps the sweep from releasing it.
        """
        for _ in range(HOLD_ATTEMPTS):
            counted = self._counted(who, [need.route])
            if not counted:
                return rates
            grant = await self._reserving([(holder_id, need)], counted, rates)
            self.holding.add(holder_id)
            try:
                await self._storage.unit_of_work.commit(*grant.commands)
                return grant.standings
            except Conflict:
                self.holding.discard(holder_id)  # somebody took of the rest meanwhile; look again
            except BaseException:
                self.holding.discard(holder_id)
                raise
        raise RateLimited("Too many requests at once; try again.", standings=rates)

    async def _reserving(
        self, needed: Sequence[tuple[str, Need]], counted: Sequence[Counted], rates: tuple[Standing, ...]
    ) -> Grant:
        counters = await self._storage.quotas.counters([(one.counter, one.window_start) for one in counted])
        left = {
            one.counter: max(one.limit.amount - state.used - state.reserved, 0)
            for one, state in zip(counted, counters, strict=True)
        }
        needs = [need for _, need in needed]
        commands: list[qw.Reserve] = []
        answers: list[int | None] = []
        for index, (run_id, _) in enumerate(needed):
            share = {name: rest // (len(needed) - index) for name, rest in left.items()}
            need = needs[index] = _without_fallbacks(needs[index], counted, share)
            most = answer_within(need, counted, share)
            if most is None:
                raise refusal(need, counted, counters, share, rates, self._clock.now_us())
            for command in reservations(run_id, need, most, counted, self._clock.now_us()):
                left[command.counter] -= command.amount
                commands.append(command)
            answers.append(most if any(one.bounds_answer(need.route) for one in counted) else None)
        return Grant(
            routes=[need.route for need in needs],
            commands=commands,
            answers=answers,
            standings=(*rates, *(one.standing(left[one.counter]) for one in counted)),
        )

    def _counted(self, who: Principal, routes: Sequence[ModelRoute]) -> list[Counted]:
        now = self._clock.now_us()
        models = {route.id for one in routes for route in (one, *one.fallbacks)}
        return [
            Counted(
                limit=limit,
                counter=limit.counter(who.actor_id),
                window_start=window_start(limit.period, now),
                reset_seconds=(window_end(limit.period, now) - now) / 1_000_000,
            )
            for limit in who.limits
            if not limit.is_rate and any(limit.applies_to(model) for model in models)
        ]

    # --- looking

    async def standing(self, who: Principal) -> list[tuple[Limit, Counter, float]]:
        """Return every limit of a caller with its use and the seconds until it resets."""
        now = self._clock.now_us()
        rated = [limit for limit in who.limits if limit.is_rate]
        counted = [limit for limit in who.limits if not limit.is_rate]
        keys = [(limit.counter(who.actor_id), window_start(limit.period, now)) for limit in counted]
        counters = await self._storage.quotas.counters(keys) if keys else []
        states = await self._limiter.states([Rate(one.counter(who.actor_id), one.amount) for one in rated])
        found = [
            (limit, Counter(used=limit.amount - state.remaining), state.free_seconds)
            for limit, state in zip(rated, states, strict=True)
        ]
        found += [
            (limit, counter, (window_end(limit.period, now) - now) / 1_000_000)
            for limit, counter in zip(counted, counters, strict=True)
        ]
        return found

    # --- afterwards

    def schedule(self, jobs: Jobs, refresh: Job) -> None:
        """Hand over the sweep, and the look for limits that have changed."""

        async def sweep() -> None:
            await self.sweep()

        jobs.every(SWEEP_SECONDS, "release reservations", sweep)
        jobs.every(CACHE_SECONDS, "read limits", refresh)

    async def sweep(self, *, older_than_us: int | None = None) -> int:
        """Release what runs reserved that never came to be or ended without settling; returns how many.

        A run that ends here meanwhile settles first: it was live before the look, or its settling
        is ahead in the writer's queue.
        """
        if older_than_us is None:
            older_than_us = ABANDONED_ELSEWHERE_US if self._storage.workers.is_shared else ABANDONED_US
        released = 0
        after = ""
        while True:
            live = {run.run.id for run in self._runs}
            before = self._clock.now_us() - older_than_us
            found = await self._storage.quotas.abandoned(before, after=after, limit=SLICE)
            live |= self.holding
            gone = [run_id for run_id in found if run_id not in live and run_id not in self._runs]
            if gone:
                await self._storage.unit_of_work.commit(*(qw.Release(run_id=run_id) for run_id in gone))
                released += len(gone)
            if len(found) < SLICE:
                return released
            after = found[-1]


def _rates(who: Principal, models: Sequence[str]) -> tuple[list[Limit], list[Rate]]:
    limits: list[Limit] = []
    rates: list[Rate] = []
    for limit in who.limits:
        cost = sum(limit.applies_to(model) for model in models) if limit.is_rate else 0
        if cost:
            limits.append(limit)
            rates.append(Rate(limit.counter(who.actor_id), limit.amount, cost))
    return limits, rates


def _need(request: TurnRequest, route: ModelRoute, messages: Sequence[dict[str, Any]]) -> Need:
    if not request.generate:
        return Need(route=route, input_tokens=0, answer_tokens=0, choices=0)
    choices = request.params.get("n")
    sources = sources_budget(route.context_tokens) if request.grounded else 0
    return Need(
        route=route,
        input_tokens=estimate_request_tokens(messages, request.params.get("tools") or ()) + sources,
        answer_tokens=answer_budget(request, route.context_tokens),
        choices=choices if isinstance(choices, int) else 1,
    )


def _without_fallbacks(need: Need, counted: Sequence[Counted], left: dict[str, int]) -> Need:
    """Leave out the fallbacks that a limit on their model alone does not let through."""
    route = need.route
    for one in counted:
        if route.fallbacks and not one.limit.applies_to(route.id) and not fits(need, one, left[one.counter]):
            kept = tuple(other for other in route.fallbacks if not one.limit.applies_to(other.id))
            route = msgspec.structs.replace(route, fallbacks=kept)
    return need if route is need.route else msgspec.structs.replace(need, route=route)
