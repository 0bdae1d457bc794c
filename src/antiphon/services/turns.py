"""Beginning a turn: the user's items and the run are one commit, before any provider is called."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.errors import (
    AntiphonError,
    Conflict,
    InFlight,
    InvalidRequest,
    ProviderError,
)
from antiphon.domain.inputs import InputItem
from antiphon.domain.limits import Standing
from antiphon.domain.members import VIEWER
from antiphon.domain.run_events import RunLog
from antiphon.domain.runs import Run
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.model_provider import ModelRequest
from antiphon.ports.storage import Storage
from antiphon.services.access import Access
from antiphon.services.answers import count_input
from antiphon.services.attached_files import AttachedFiles
from antiphon.services.attachments import Attachments
from antiphon.services.file_search import FileSearches
from antiphon.services.file_search import Plan as SearchPlan
from antiphon.services.idempotency import Idempotency
from antiphon.services.model_routes import ModelRoute
from antiphon.services.models import Models
from antiphon.services.quotas import Quotas
from antiphon.services.response_cache import ResponseCache
from antiphon.services.runs.engine import Engine
from antiphon.services.runs.live import LiveRun, LiveRuns
from antiphon.services.runs.recover import opening_ops
from antiphon.services.turn_limits import TurnLimits
from antiphon.services.turn_messages import TurnMessages
from antiphon.services.turn_plans import (
    MAX_CONFLICTS,
    Attachment,
    Plan,
    TurnRequest,
    context_budget,
    plan_turn,
)

Start = tuple[LiveRun, ModelRoute, ModelRequest | None]
"""A run and what its engine needs."""


class Begun(msgspec.Struct, frozen=True):
    """A turn that has begun; `live` is None if an idempotency key led to an earlier run.

    `standings` say what is left of the caller's limits.
    """

    run_id: str
    live: LiveRun | None
    standings: tuple[Standing, ...] = ()

    @property
    def failure(self) -> ProviderError | None:
        """How its provider failed, if it did and this process had asked it."""
        return self.live.failure if self.live is not None else None


class Turns:
    """Begins turns of every surface."""

    def __init__(
        self,
        storage: Storage,
        access: Access,
        idempotency: Idempotency,
        models: Models,
        engine: Engine,
        runs: LiveRuns,
        clock: Clock,
        quotas: Quotas,
        searches: FileSearches,
        attached: AttachedFiles,
        cache: ResponseCache | None = None,
    ) -> None:
        self._storage = storage
        self._idempotency = idempotency
        self._models = models
        self._engine = engine
        self._runs = runs
        self._clock = clock
        self._limits = TurnLimits(quotas, idempotency)
        self._searches = searches
        self._cache = cache
        self._asked = TurnMessages(access, attached)
        self._attachments = Attachments(storage, access)
        self._adopting: set[asyncio.Task[None] | None] = set()

    @property
    def cache_in_use(self) -> ResponseCache | None:
        """The cache of answers, None where there is none or it is off."""
        return self._cache if self._cache is not None and self._cache.mode != "off" else None

    def require_model(self, name: str) -> None:
        """Raise NotFound if no provider has a model of that name."""
        self._models.resolve(name)

    async def resolved(self, who: Principal, items: Sequence[InputItem]) -> tuple[InputItem, ...]:
        """Return items with those they refer to in place of references; raises NotFound."""
        request = TurnRequest(surface="responses", items=tuple(items))
        return (await self._asked.resolved(who, request)).items

    async def count(self, who: Principal, request: TurnRequest) -> int:
        """Estimate the input tokens of a turn without beginning it."""
        route = self._models.resolve(request.model)
        request = await self._asked.resolved(who, request)
        at, _ = await self._attachments.find(who, request, context_budget(request, route), need=VIEWER)
        tools = request.params.get("tools") or []
        return count_input(await self._asked.messages(who, request, at, route), tools)

    async def begin(self, who: Principal, request: TurnRequest) -> Begun:
        """Begin a turn.

        Raises InvalidRequest, NotFound, Unprocessable, InFlight, RateLimited, StorageFull.
        """
        route = self._models.resolve(request.model)
        request = await self._asked.resolved(who, request)
        if who.limits:
            admitted = await self._limits.admit(who, request, [route])
            if admitted is None:
                return await self._join(who, request)
            request = admitted
        if not request.store:
            return await self._begin_ephemeral(who, request, route)
        for _ in range(MAX_CONFLICTS):
            at, turn = await self._attachments.find(who, request, context_budget(request, route))
            if "PutItems" in request.lost and at.base is not None:
                at = msgspec.structs.replace(at, fresh_segment=True)
            turn, search = await self._planned(who, at, turn)
            run = self._new_run(at.who, request, route)
            messages = await self._asked.messages(who, turn, at, route)
            plan = plan_turn(turn, run, at, worker_id=await self._engine.leased())
            try:
                (begun,) = await self._commit_all(who, turn, [route], [plan], messages, search)
                return begun
            except Conflict as lost:
                if lost.message == "PutKey":
                    return await self._join(who, request)
                request = msgspec.structs.replace(request, lost=(*request.lost, lost.message))
        raise Conflict("The conversation changes too fast; try again.")

    async def begin_beside(self, who: Principal, request: TurnRequest, models: Sequence[str]) -> list[Begun]:
        """Begin one turn for each model on one input, all in one commit.

        The first attaches as a plain turn would; the others follow its input on branches named by
        their model. If an idempotency key led to earlier runs, only the first of them is returned.
        """
        routes = [self._models.resolve(model) for model in models]
        request = await self._asked.resolved(who, msgspec.structs.replace(request, model=models[0]))
        if who.limits:
            admitted = await self._limits.admit(who, request, routes)
            if admitted is None:
                return [await self._join(who, request)]
            request = admitted
        smallest = min(routes, key=lambda route: route.context_tokens)
        for _ in range(MAX_CONFLICTS):
            at, turn = await self._attachments.find(who, request, context_budget(request, smallest))
            if "PutItems" in request.lost and at.base is not None:
                at = msgspec.structs.replace(at, fresh_segment=True)
            turn, search = await self._planned(who, at, turn)
            messages = await self._asked.messages(who, turn, at, smallest)
            run = self._new_run(at.who, turn, routes[0])
            worker_id = await self._engine.leased()
            plans = [plan_turn(turn, run, at, worker_id=worker_id)]
            for model, route in zip(models[1:], routes[1:], strict=True):
                beside = await self._attachments.beside(turn, at, run, model, plans)
                other = msgspec.structs.replace(turn, model=model, items=(), path_hashes=())
                other_run = self._new_run(at.who, other, route)
                plans.append(plan_turn(other, other_run, beside, worker_id=worker_id))
            try:
                return await self._commit_all(who, turn, routes, plans, messages, search)
            except Conflict as lost:
                if lost.message == "PutKey":
                    return [await self._join(who, request)]
                request = msgspec.structs.replace(request, lost=(*request.lost, lost.message))
        raise Conflict("The conversation changes too fast; try again.")

    async def _commit_all(
        self,
        who: Principal,
        request: TurnRequest,
        routes: Sequence[ModelRoute],
        plans: Sequence[Plan],
        messages: list[dict[str, Any]],
        search: SearchPlan | None,
    ) -> list[Begun]:
        _require_sense(request, plans[0].run, messages)
        grant = await self._limits.grant(who, request, routes, plans, messages)
        commands: list[ws.Command] = [*grant.commands]
        commands += [command for plan in plans for command in plan.commands]
        first = plans[0].run
        if request.key is not None:
            commands.insert(0, self._idempotency.guard(who, request.key, run_id=first.id))
        if request.activate and first.branch_id is not None:
            commands.append(_activate(first))
        starts = []
        for index, (plan, route) in enumerate(zip(plans, grant.routes, strict=True)):
            plan.run.reserved = bool(grant.commands)
            live = LiveRun(plan.run, RunLog(opening_ops(plan.run)))
            params = grant.params(index, request.params)
            if plan.run.background:
                plan.run.request["params"] = params  # with which it may have to begin again
            if search is not None:
                live.grounding = self._searches.grounding(search, plan.run, route, params)
            starts.append((live, route, _model_request(request, route, messages, params)))
        # Documents change: an answer from them is not given again.
        if (cache := self.cache_in_use) is not None and search is None:
            await self._look(cache, who, request, starts, plans[0].within_id)
        await self._open(starts, commands, plans[0].worker_id)
        return [Begun(live.run.id, live, grant.standings) for live, _, _ in starts]

    async def _open(
        self, starts: Sequence[Start], commands: Sequence[ws.Command], worker_id: str | None
    ) -> None:
        """Commit and start. Registered before the commit, so that no sweep takes a run for ownerless.

        Raises Conflict if this process has become another worker since the runs were planned.
        """
        if worker_id is not None and worker_id != self._engine.worker_id:
            raise Conflict("OpenRun")
        for live, _, _ in starts:
            self._runs.add(live)
        try:
            if commands:
                await self._storage.unit_of_work.commit(*commands)
        except asyncio.CancelledError:
            for start in starts:
                self._adopting.add(asyncio.create_task(self._adopt(*start)))
            raise
        except BaseException:
            for live, _, _ in starts:
                self._runs.remove(live)
            raise
        for start in starts:
            self._engine.start(*start)

    async def _adopt(self, live: LiveRun, route: ModelRoute, model_request: ModelRequest | None) -> None:
        """Start a run whose caller left while its set was being written: it may be stored by now."""
        try:
            await self._storage.unit_of_work.commit()  # after this the one before is decided
            stored = await self._storage.runs.get(live.run.owner_id, live.run.id)
        except AntiphonError:
            stored = None
        if stored is None:
            self._runs.remove(live)
        else:
            self._engine.start(live, route, model_request)
        self._adopting.discard(asyncio.current_task())

    async def resume(self, run: Run) -> None:
        """Begin a queued background run once more, from what is stored of it."""
        if run.input_end is None or run.conversation_id is None:
            raise InvalidRequest("The run has no place in a conversation.")
        route = self._models.resolve(run.model)
        base = await self._storage.tree.position_base(
            run.owner_id, run.conversation_id, run.input_end, route.context_tokens
        )
        if base is None:
            raise InvalidRequest("The run's conversation is gone.")
        messages = await self._asked.again(run, base, route)
        continues = run.continues
        run.reserved = True  # what the first attempt reserved holds
        live = LiveRun(run, RunLog(opening_ops(run)))
        params = run.request.get("params", {})
        if (search := await self._searches.planned(run)) is not None:
            live.grounding = self._searches.grounding(search, run, route, params)
        request = ModelRequest(model=route.model, messages=messages, params=params, continues=continues)
        begin = ws.StartRun(run_id=run.id, worker_id=await self._engine.leased(), attempt=run.attempt)
        await self._open([(live, route, request)], [begin], begin.worker_id)

    async def _begin_ephemeral(self, who: Principal, request: TurnRequest, route: ModelRoute) -> Begun:
        plan = Plan(run=self._new_run(who, request, route), items=[], commands=[])
        at = Attachment(who=who, base=None)
        if request.messages is None:
            budget = context_budget(request, route)
            at, _ = await self._attachments.find(who, request, budget, need=VIEWER)
            plan.within_id = at.who.account_id
        request, search = await self._planned(who, at, request)
        messages = await self._asked.messages(who, request, at, route)
        for _ in range(MAX_CONFLICTS):
            try:
                (begun,) = await self._commit_all(who, request, [route], [plan], messages, search)
                return begun
            except Conflict as lost:
                if lost.message == "PutKey":
                    return await self._join(who, request)
        raise Conflict("The limits' counters change too fast; try again.")

    @staticmethod
    async def _look(
        cache: ResponseCache,
        who: Principal,
        request: TurnRequest,
        starts: Sequence[Start],
        within_id: str | None,
    ) -> None:
        """Ask the cache whether these answers were given before."""
        asked_before: set[str] = set()
        for live, route, asked in starts:
            if asked is not None:
                # Who asks one model twice at once wants two answers.
                use = "off" if route.id in asked_before else request.cache
                owner_id = within_id or live.run.owner_id
                live.memo = await cache.look(who, use, route, asked, owner_id=owner_id)
                asked_before.add(route.id)

    async def _join(self, who: Principal, request: TurnRequest) -> Begun:
        """The key stands for an earlier run: lead to it."""
        key = request.key
        found = await self._idempotency.taken(who, key) if key is not None else None
        if found is None or found.run_id is None:
            raise InFlight("A request with this Idempotency-Key is being processed.")
        if self._runs.get(who.account_id, found.run_id) is None:
            if not request.store:
                raise InvalidRequest(
                    "This Idempotency-Key was used for an answer that was not stored.",
                    code="idempotency_key_not_replayable",
                )
        elif not request.store:
            raise InFlight("A request with this Idempotency-Key is being processed.")
        return Begun(found.run_id, None)

    def _new_run(self, who: Principal, request: TurnRequest, route: ModelRoute) -> Run:
        now = self._clock.now_us()
        return Run(
            id=ids.new_id(who.slot, now_us=now),
            owner_id=who.account_id,
            slot=who.slot,
            conversation_id=None,
            branch_id=None,
            author_id=who.actor_id,
            credential_id=who.credential_id,
            surface=request.surface,
            parent=None,
            input_end=None,
            state="queued" if request.background else "in_progress",
            background=request.background,
            stored=request.store,
            request=request.echo,
            model=request.model or route.id,
            metadata=request.metadata,
            created_us=now,
            input_hash=request.path_hashes[-1] if request.path_hashes else None,
        )

    async def _planned(
        self, who: Principal, at: Attachment, request: TurnRequest
    ) -> tuple[TurnRequest, SearchPlan | None]:
        """Return the turn with what it is to search; raises NotFound."""
        search = await self._searches.plan(who, at, request)
        return (request if search is None else msgspec.structs.replace(request, grounded=True)), search


def _require_sense(request: TurnRequest, run: Run, messages: Sequence[dict[str, Any]]) -> None:
    if request.generate and not messages:
        raise InvalidRequest(
            "There is nothing to answer: the conversation is empty and the request has no input.",
            code="missing_required_parameter",
            param="input",
        )
    if request.activate and run.branch_id is None:
        raise InvalidRequest(
            "The answer is given on no branch that could be activated; 'branch_name' opens one.",
            code="invalid_value",
            param="antiphon.activate",
        )


def _activate(run: Run) -> ws.ActivateBranch:
    return ws.ActivateBranch(conversation_id=run.conversation_id or "", branch_id=run.branch_id or "")


def _model_request(
    request: TurnRequest, route: ModelRoute, messages: list[dict[str, Any]], params: dict[str, Any]
) -> ModelRequest | None:
    if not request.generate:
        return None
    return ModelRequest(model=route.model, messages=messages, params=params, continues=request.continues)
