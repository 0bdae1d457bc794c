"""Beginning a turn: the user's items and the run are one commit, before any provider is called."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import MAIN_BRANCH
from antiphon.domain.errors import Conflict, InFlight, InvalidRequest, NotFound
from antiphon.domain.inputs import InputItem, require_answered_calls
from antiphon.domain.items import Item, Position
from antiphon.domain.run_events import RunLog
from antiphon.domain.runs import Run
from antiphon.domain.usage import estimate_item_tokens
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.model_provider import ModelRequest
from antiphon.ports.storage import Storage, TurnBase
from antiphon.services.access import Access, not_found
from antiphon.services.answers import count_input
from antiphon.services.idempotency import Idempotency
from antiphon.services.model_routes import ModelRoute
from antiphon.services.models import Models
from antiphon.services.runs.context import chat_messages
from antiphon.services.runs.engine import Engine
from antiphon.services.runs.live import LiveRun, LiveRuns
from antiphon.services.runs.recover import opening_ops
from antiphon.services.turn_plans import (
    MAX_CONFLICTS,
    Attachment,
    Plan,
    TurnRequest,
    branch_name,
    known_calls,
    plan_turn,
)


class Begun(msgspec.Struct, frozen=True):
    """A turn that has begun; `live` is None if an idempotency key led to an earlier run."""

    run_id: str
    live: LiveRun | None


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
    ) -> None:
        self._storage = storage
        self._access = access
        self._idempotency = idempotency
        self._models = models
        self._engine = engine
        self._runs = runs
        self._clock = clock

    def require_model(self, name: str) -> None:
        """Raise NotFound if no provider has a model of that name."""
        self._models.resolve(name)

    async def count(self, who: Principal, request: TurnRequest) -> int:
        """Estimate the input tokens of a turn without beginning it."""
        route = self._models.resolve(request.model)
        request = await self._resolve_references(who, request)
        at, _ = await self._attach(who, request, route)
        tools = request.params.get("tools") or []
        return count_input(self._messages(request, at, route), tools)

    async def begin(self, who: Principal, request: TurnRequest) -> Begun:
        """Begin a turn; raises InvalidRequest, NotFound, Unprocessable, InFlight, StorageFull."""
        route = self._models.resolve(request.model)
        request = await self._resolve_references(who, request)
        if not request.store:
            return await self._begin_ephemeral(who, request, route)
        for _ in range(MAX_CONFLICTS):
            at, turn = await self._attach(who, request, route)
            if "PutItems" in request.lost and at.base is not None:
                at = msgspec.structs.replace(at, fresh_segment=True)
            run = self._new_run(who, request, route)
            messages = self._messages(turn, at, route)
            plan = plan_turn(who, turn, run, at, worker_id=self._engine.worker_id)
            try:
                return await self._commit(who, turn, route, plan, messages)
            except Conflict as lost:
                if lost.message == "PutKey":
                    return await self._join(who, request)
                request = msgspec.structs.replace(request, lost=(*request.lost, lost.message))
        raise Conflict("The conversation changes too fast; try again.")

    async def _commit(
        self,
        who: Principal,
        request: TurnRequest,
        route: ModelRoute,
        plan: Plan,
        messages: list[dict[str, Any]],
    ) -> Begun:
        run, commands = plan.run, plan.commands
        if request.key is not None:
            commands.insert(0, self._idempotency.guard(who, request.key, run_id=run.id))
        if request.activate and run.branch_id is not None and run.conversation_id is not None:
            commands.append(_activate(run))
        live = LiveRun(run, RunLog(opening_ops(run)))
        # Registered before the commit, so that a sweep for ownerless runs never sees it alone.
        self._runs.add(live)
        model_request = _model_request(request, route, messages)
        return await self._open(live, commands, route, model_request)

    async def _open(
        self,
        live: LiveRun,
        commands: list[ws.Command],
        route: ModelRoute,
        model_request: ModelRequest | None,
    ) -> Begun:
        """Commit and start."""
        try:
            await self._storage.unit_of_work.commit(*commands)
        except asyncio.CancelledError:
            # The set is written all the same: nobody will generate this run, so it must be ended.
            self._runs.remove(live)
            self._engine.leave_orphan()
            raise
        except BaseException:
            self._runs.remove(live)
            raise
        self._engine.start(live, route, model_request)
        return Begun(live.run.id, live)

    async def resume(self, run: Run) -> None:
        """Begin a queued background run once more, from what is stored of it."""
        if run.input_end is None or run.conversation_id is None:
            raise InvalidRequest("The run has no place in a conversation.")
        route = self._models.resolve(run.model)
        base = await self._storage.tree.position_base(
            run.owner_id, run.conversation_id, run.input_end, route.context_tokens
        )
        messages = chat_messages(base.context if base else [], run.request.get("instructions"))
        live = LiveRun(run, RunLog(opening_ops(run)))
        self._runs.add(live)
        begin: list[ws.Command] = [
            ws.StartRun(run_id=run.id, worker_id=self._engine.worker_id, attempt=run.attempt)
        ]
        params = run.request.get("params", {})
        await self._open(
            live, begin, route, ModelRequest(model=route.model, messages=messages, params=params)
        )

    async def _begin_ephemeral(self, who: Principal, request: TurnRequest, route: ModelRoute) -> Begun:
        run = self._new_run(who, request, route)
        if request.messages is not None:
            messages = request.messages
        else:
            at, _ = await self._attach(who, request, route)
            messages = self._messages(request, at, route)
        if request.key is not None:
            try:
                await self._storage.unit_of_work.commit(
                    self._idempotency.guard(who, request.key, run_id=run.id)
                )
            except Conflict:
                return await self._join(who, request)
        live = LiveRun(run, RunLog(opening_ops(run)))
        self._runs.add(live)
        self._engine.start(live, route, _model_request(request, route, messages))
        return Begun(run.id, live)

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
            author_id=who.account_id,
            credential_id=who.credential_id,
            surface=request.surface,
            parent=None,
            input_end=None,
            state="queued" if request.background else "in_progress",
            background=request.background,
            stored=request.store,
            # A background run may have to begin again after a crash, with the same parameters.
            request=request.echo | ({"params": request.params} if request.background else {}),
            model=request.model or route.id,
            metadata=request.metadata,
            created_us=now,
            input_hash=request.path_hashes[-1] if request.path_hashes else None,
        )

    async def _attach(
        self, who: Principal, request: TurnRequest, route: ModelRoute
    ) -> tuple[Attachment, TurnRequest]:
        """Return where a turn attaches, and the turn with only what is new of its input."""
        budget = route.context_tokens
        if request.path_hashes:
            return await self._after_prefix(who, request, budget)
        if request.previous_response_id is not None:
            return await self._after_response(who, request, budget), request
        if request.conversation_id is None:
            return Attachment(base=None), request
        if request.parent_item_id is not None or request.position is not None:
            return await self._after_item(who, request, budget), request
        return await self._at_head(who, request, budget), request

    async def _after_prefix(
        self, who: Principal, request: TurnRequest, budget: int
    ) -> tuple[Attachment, TurnRequest]:
        """Attach a resent history after its longest prefix that is stored."""
        found = await self._storage.runs.longest_prefix(who.account_id, request.path_hashes)
        if found is None:
            return Attachment(base=None), request
        index, item, conversation_id = found
        rest = msgspec.structs.replace(
            request, items=request.items[index + 1 :], path_hashes=request.path_hashes[index + 1 :]
        )
        tree = self._storage.tree
        base = await tree.turn_base(who.account_id, conversation_id, None, budget)
        if base is not None and base.position.item_id == item.id:
            return await self._on_branch(rest, base), rest
        base = await tree.position_base(who.account_id, conversation_id, item.position, budget)
        if base is None:
            return Attachment(base=None), request
        name = await self._free_name(request, base, MAIN_BRANCH)
        return Attachment(base=base, branch_name=name), msgspec.structs.replace(rest, activate=True)

    async def _at_head(self, who: Principal, request: TurnRequest, budget: int) -> Attachment:
        conversation_id = ids.parse(request.conversation_id, ids.CONVERSATION)
        branch_id = ids.parse(request.branch_id, ids.BRANCH) if request.branch_id else None
        if request.branch_id is not None and branch_id is None:
            not_found("Branch", request.branch_id)
        base = None
        if conversation_id is not None:
            base = await self._storage.tree.turn_base(who.account_id, conversation_id, branch_id, budget)
        if base is None:
            if request.branch_id is not None:
                not_found("Branch", request.branch_id)
            not_found("Conversation", request.conversation_id)
        return await self._on_branch(request, base)

    async def _on_branch(self, request: TurnRequest, base: TurnBase) -> Attachment:
        """Claim the branch, or open another beside it if a turn holds it already."""
        branch = base.branch
        free = branch is not None and branch.run_id is None and "ClaimBranch" not in request.lost
        if request.new_branch is None and free:
            return Attachment(base=base, claim=True)
        wanted = request.new_branch or (branch.name if branch else MAIN_BRANCH)
        return Attachment(base=base, branch_name=await self._free_name(request, base, wanted))

    async def _free_name(self, request: TurnRequest, base: TurnBase, wanted: str) -> str:
        taken = await self._storage.conversations.branch_names(base.conversation.id, wanted[:200])
        return branch_name(wanted, taken, losses=request.lost.count("NewBranch"))

    async def _after_response(self, who: Principal, request: TurnRequest, budget: int) -> Attachment:
        run = await self._previous(who, request.previous_response_id)
        position = run.output_end or run.input_end
        if position is None or run.conversation_id is None:
            raise _previous_not_found(request.previous_response_id)
        tree = self._storage.tree
        base = await tree.turn_base(who.account_id, run.conversation_id, None, budget)
        tip = base if base is not None and _follows_tip(base, run, position) else None
        if tip is not None and tip.position == position:
            return await self._on_branch(request, tip)
        base = await tree.position_base(who.account_id, run.conversation_id, position, budget)
        if base is None:
            raise _previous_not_found(request.previous_response_id)
        if tip is not None and tip.branch is not None and not request.new_branch:
            return await self._on_branch(request, msgspec.structs.replace(base, branch=tip.branch))
        name = await self._free_name(request, base, request.new_branch) if request.new_branch else None
        return Attachment(base=base, branch_name=name)

    async def _previous(self, who: Principal, wire_id: str | None) -> Run:
        identifier = ids.parse(wire_id, ids.RESPONSE, ids.CHAT_COMPLETION)
        live = self._runs.get(who.account_id, identifier) if identifier else None
        run = await self._storage.runs.get(who.account_id, identifier) if identifier else None
        if (live is not None and live.run.stored) or (run is not None and not run.is_terminal):
            raise InvalidRequest(
                f"Response '{wire_id}' has not finished yet.",
                code="previous_response_not_finished",
                param="previous_response_id",
            )
        if run is None:
            raise _previous_not_found(wire_id)
        return run

    async def _after_item(self, who: Principal, request: TurnRequest, budget: int) -> Attachment:
        conversation = await self._access.conversation(who, request.conversation_id or "")
        position = request.position
        if position is None:
            item, _ = await self._access.item(who, conversation, request.parent_item_id or "")
            position = item.position
        base = await self._storage.tree.position_base(who.account_id, conversation.id, position, budget)
        if base is None:
            not_found("Conversation", request.conversation_id)
        name = await self._free_name(request, base, request.new_branch) if request.new_branch else None
        return Attachment(base=base, branch_name=name)

    def _messages(self, request: TurnRequest, at: Attachment, route: ModelRoute) -> list[dict[str, Any]]:
        if request.messages is not None:
            return request.messages
        context: list[Item] = at.base.context if at.base else []
        require_answered_calls(known_calls(context), list(request.items))
        if request.refuse_truncation and at.base is not None:
            self._require_room(request, at.base, route)
        return chat_messages([*context, *request.items], request.instructions)

    @staticmethod
    def _require_room(request: TurnRequest, base: TurnBase, route: ModelRoute) -> None:
        needed = base.position.tokens + sum(estimate_item_tokens(item.payload) for item in request.items)
        if needed > route.context_tokens:
            raise InvalidRequest(
                f"The conversation is about {needed} tokens long, the model takes {route.context_tokens};"
                ' use truncation "auto" to leave out the oldest items.',
                code="context_length_exceeded",
                param="input",
            )

    async def _resolve_references(self, who: Principal, request: TurnRequest) -> TurnRequest:
        """Replace item references by the items they name, as far as the caller may read them."""
        if not any(item.reference for item in request.items):
            return request
        items: list[InputItem] = []
        for index, item in enumerate(request.items):
            if item.reference is None:
                items.append(item)
                continue
            found = await self._storage.tree.item(who.account_id, item.reference)
            if found is None:
                raise NotFound(f"Item with id '{item.reference}' not found.", param=f"input[{index}].id")
            stored = found[0]
            items.append(
                InputItem(type=stored.type, role=stored.role, status=stored.status, payload=stored.body())
            )
        return msgspec.structs.replace(request, items=tuple(items))


def _follows_tip(base: TurnBase, run: Run, position: Position) -> bool:
    """Whether the only branch of a chain that named no conversation ends where `run` does.

    A turn without output left the head before its own input; the branch follows it all the same.
    """
    if base.conversation.kind != "implicit" or base.branch is None:
        return False
    if base.position == position:
        return True
    before = run.parent
    return run.output_end is None and (
        base.position.depth < 0
        if before is None
        else (before.segment_id, before.depth) == (base.position.segment_id, base.position.depth)
    )


def _previous_not_found(wire_id: str | None) -> InvalidRequest:
    return InvalidRequest(
        f"Previous response with id '{wire_id}' not found.",
        code="previous_response_not_found",
        param="previous_response_id",
    )


def _activate(run: Run) -> ws.ActivateBranch:
    return ws.ActivateBranch(conversation_id=run.conversation_id or "", branch_id=run.branch_id or "")


def _model_request(
    request: TurnRequest, route: ModelRoute, messages: list[dict[str, Any]]
) -> ModelRequest | None:
    if not request.generate:
        return None
    return ModelRequest(model=route.model, messages=messages, params=request.params)
