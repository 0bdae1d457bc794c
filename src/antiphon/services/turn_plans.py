"""Where a turn attaches and what one commit must hold to begin it."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.attached_files import names_files
from antiphon.domain.conversations import (
    MAIN_BRANCH,
    Branch,
    Conversation,
    free_name,
    may_continue,
    open_segment,
    segment_start,
)
from antiphon.domain.file_search import FileSearch
from antiphon.domain.inputs import InputItem, new_item
from antiphon.domain.items import Item, NewItem, Position
from antiphon.domain.limits import Standing
from antiphon.domain.runs import CONTINUES, KEEPS_QUESTION, Run, Surface
from antiphon.domain.sources import sources_budget
from antiphon.domain.usage import estimate_item_tokens
from antiphon.ports import purge_writes as wp
from antiphon.ports import write_sets as ws
from antiphon.ports.storage import TurnBase
from antiphon.services.idempotency import Key
from antiphon.services.model_routes import ModelRoute
from antiphon.services.response_cache import CacheUse

MAX_CONFLICTS = 32
"""How often a lost guard is answered by reading again before giving up."""

MAX_SPREAD = 256
"""How far apart the names are that turns choose after they lost one."""


class TurnRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A question to a model, independent of the surface it came by.

    At most one of `conversation_id` (with `branch_id`, `parent_item_id` or a
    checked `position`) and `previous_response_id` is set, as wire ids. `new_branch` names a
    branch to open for the answer, `activate` makes it the active one. `messages`, if given, are
    sent to the model as they are, in place of the stored path. `generate` False stores the input
    and answers with nothing, to warm up. `lost` names the guards that earlier attempts lost,
    `rates` how the caller stands with its requests a minute. `echo` is the request in the surface's
    own shape, `cache` what may be done with a cache of answers. `search` is the file search that
    the caller asks for; with `retrieves` False nothing is searched, not even what stands. `grounded`
    is set once it is decided that the answer is given sources, which need room. Of what went before,
    at most `most_before` items are shown to the model, 0: as many as there is room for. With `continues`
    the model is to go on with the answer at which the turn attaches; nothing is said besides.
    With `keeps_question` the branch goes on after what is asked though no answer comes of it.
    `recalled` is what was said before all that is shown, as far as it may matter now.
    """

    surface: Surface
    items: tuple[InputItem, ...]
    model: str | None = None
    instructions: str | None = None
    params: dict[str, Any] = {}
    echo: dict[str, Any] = {}
    metadata: str = "{}"
    background: bool = False
    store: bool = True
    conversation_id: str | None = None
    branch_id: str | None = None
    previous_response_id: str | None = None
    parent_item_id: str | None = None
    position: Position | None = None
    new_branch: str | None = None
    activate: bool = False
    refuse_truncation: bool = False
    messages: list[dict[str, Any]] | None = None
    path_hashes: tuple[bytes, ...] = ()
    key: Key | None = None
    generate: bool = True
    lost: tuple[str, ...] = ()
    cache: CacheUse = "use"
    rates: tuple[Standing, ...] = ()
    search: FileSearch | None = None
    retrieves: bool = True
    grounded: bool = False
    most_before: int = 0
    continues: bool = False
    keeps_question: bool = False
    recalled: str = ""

    @property
    def question_mark(self) -> str | bool:
        """What a run keeps of a question that stays: of whose retry it would be, if it can be retried."""
        return self.key.mark if self.key is not None else True


def answer_budget(request: TurnRequest, context_tokens: int) -> int:
    """Return how many tokens an answer gets: what was asked for, a quarter of the window by default,
    never more than half.
    """
    return answer_tokens(request.params, context_tokens)


def answer_tokens(params: dict[str, Any], context_tokens: int) -> int:
    """Return the same for what is sent on to a model."""
    asked = params.get("max_completion_tokens") or params.get("max_tokens")
    return min(asked if isinstance(asked, int) else context_tokens // 4, context_tokens // 2)


class Plan(msgspec.Struct, kw_only=True):
    """A decided turn: the run, its input with ids, and the commands that begin it.

    `within_id` is whose conversation it is asked in, where that is not the run's own; `worker_id` whom
    a run that is stored is leased to.
    """

    run: Run
    items: list[NewItem]
    commands: list[ws.Command]
    within_id: str | None = None
    worker_id: str | None = None


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """Where a turn attaches: on `base`, or at the root of a new conversation if it is None.

    `who` is the caller within the partition of that conversation.
    `claim` takes over the base's branch; `branch_name` opens a branch of that name instead.
    `fresh_segment` is set after the place was found taken.
    """

    who: Principal
    base: TurnBase | None
    claim: bool = False
    branch_name: str | None = None
    fresh_segment: bool = False


def plan_turn(request: TurnRequest, run: Run, at: Attachment, *, worker_id: str) -> Plan:
    """Return the commands that begin `run` at `at`, completing the run's positions."""
    who = at.who
    hashes: tuple[bytes | None, ...] = request.path_hashes or (None,) * len(request.items)
    items = [new_item(item, who.slot, digest) for item, digest in zip(request.items, hashes, strict=True)]
    plan = Plan(run=run, items=items, commands=[], worker_id=worker_id)
    after = _place(who, plan, at)
    if items:
        plan.commands.append(
            ws.PutItems(
                after=after, owner_id=who.account_id, slot=who.slot, author_id=who.actor_id,
                run_id=run.id, created_us=run.created_us, items=tuple(items),
            )
        )  # fmt: skip
    tokens = after.tokens + sum(item.token_count for item in items)
    last_id = items[-1].id if items else at.base.position.item_id if at.base else None
    run.input_end = Position(after.segment_id, after.depth + len(items), tokens, last_id)
    run.request = {
        **run.request,
        "parent_id": _parent_id(at),
        "input_item_ids": [ids.item_wire_id(item.type, item.id) for item in items],
        **({CONTINUES: True} if request.continues else {}),
        # Kept with the run, so that whoever ends it knows, also after a kill.
        **({KEEPS_QUESTION: request.question_mark} if request.keeps_question and items else {}),
    }
    plan.commands.append(ws.OpenRun(run=run, worker_id=worker_id))
    if at.base is not None:
        plan.commands.append(_began(who, run, at.branch_name, activates=request.activate))
    return plan


def _parent_id(at: Attachment) -> str | None:
    if at.base is None:
        return None
    if at.base.parent is not None:
        return at.base.parent.wire_id
    return f"item_{at.base.position.item_id}" if at.base.position.item_id else None


def _place(who: Principal, plan: Plan, at: Attachment) -> Position:
    """Add what makes room for the turn; return the position its items follow."""
    if at.base is None:
        return _new_conversation(who, plan)
    base, run = at.base, plan.run
    # Alternatives of one place must leave from the same place to be found together.
    anchor = base.parent.position if base.parent is not None else base.position
    run.conversation_id = base.conversation.id
    run.parent = anchor
    if not at.claim:
        # A branch's head stays; any other place may be erased when nothing reaches it.
        plan.commands.append(wp.RequireItem(position=base.position))
    if at.claim and base.branch is not None:
        run.branch_id = base.branch.id
        plan.commands.append(
            ws.ClaimBranch(
                conversation_id=base.conversation.id,
                branch_id=base.branch.id,
                run_id=run.id,
                head=base.branch.head,
            )
        )
    elif at.branch_name is not None:
        branch = new_branch(who, base.conversation.id, at.branch_name, anchor, run)
        run.branch_id = branch.id
        plan.commands.append(ws.NewBranch(branch=branch, owner_id=who.account_id, slot=who.slot))
    continues = may_continue(base.parent, base.segment_conversation_id, base.conversation.id)
    # A run without input of its own gets a segment of its own, so that the place of every
    # run's output is private and its terminal commit cannot lose a race.
    if continues and plan.items and not at.fresh_segment:
        return base.position
    segment = open_segment(ids.new_id(who.slot), base.conversation.id, anchor)
    plan.commands.append(ws.NewSegment(segment=segment, owner_id=who.account_id, slot=who.slot))
    return segment_start(segment)


def _new_conversation(who: Principal, plan: Plan) -> Position:
    conversation_id, run = ids.new_id(who.slot), plan.run
    segment = open_segment(ids.new_id(who.slot), conversation_id, None)
    start = segment_start(segment)
    branch = new_branch(who, conversation_id, MAIN_BRANCH, start, run)
    run.conversation_id, run.branch_id, run.parent = conversation_id, branch.id, None
    conversation = Conversation(
        id=conversation_id, owner_id=who.account_id, slot=who.slot, kind="implicit", title=None,
        metadata="{}", active_branch_id=branch.id, base=None, revision=1, created_us=run.created_us,
        updated_us=run.created_us,
    )  # fmt: skip
    plan.commands += [
        ws.NewConversation(conversation=conversation),
        ws.NewBranch(branch=branch, owner_id=who.account_id, slot=who.slot),
        ws.NewSegment(segment=segment, owner_id=who.account_id, slot=who.slot),
    ]
    return start


def new_branch(
    who: Principal, conversation_id: str, name: str, head: Position, run: Run | None = None
) -> Branch:
    """Return a branch at `head`, claimed by `run` if one is given."""
    return Branch(
        id=ids.new_id(who.slot),
        conversation_id=conversation_id,
        name=name,
        head=head,
        run_id=run.id if run else None,
        created_us=run.created_us if run else 0,
    )


def _began(who: Principal, run: Run, branch_name: str | None, *, activates: bool) -> ws.AddChange:
    body: dict[str, object] = {"run_id": ids.RESPONSE + run.id, "model": run.model}
    if run.branch_id is not None:
        body["branch_id"] = ids.BRANCH + run.branch_id
        if branch_name is not None:
            body["branch_name"] = branch_name  # it was opened for this turn
        if activates:
            body["activated"] = True
    return ws.AddChange(
        conversation_id=run.conversation_id or "",
        owner_id=who.account_id,
        slot=who.slot,
        kind="turn.began",
        body=msgspec.json.encode(body).decode(),
        now_us=run.created_us,
    )


def branch_name(wanted: str, taken: set[str], *, losses: int = 0) -> str:
    """Return a free branch name near `wanted`, at random among ever more after names were lost."""
    spread = secrets.randbelow(min(4 ** (losses - 1), MAX_SPREAD)) if losses > 1 else 0
    return free_name(wanted[:200], taken, spread=spread)


def context_budget(request: TurnRequest, route: ModelRoute) -> int:
    """Return how many tokens of history a turn may bring: the window less its input and its answer.

    An answer from sources leaves them their share, and so does a question about documents it names.
    """
    answer = answer_budget(request, route.context_tokens)
    asked = sum(estimate_item_tokens(item.payload) for item in request.items)
    documents = any(names_files(item.payload) for item in request.items)
    share = sources_budget(route.context_tokens)
    return max(route.context_tokens - answer - asked - share * (request.grounded + documents), 0)


def within(context: list[Item], budget: int) -> list[Item]:
    """Return the newest items that fit, whole; the one that crosses the budget is left out."""
    left = budget
    for index in range(len(context) - 1, -1, -1):
        left -= context[index].token_count
        if left < 0:
            return context[index + 1 :]
    return context


def known_calls(items: list[Item]) -> set[str]:
    """Return the ids of the function calls on a path."""
    return {item.body()["call_id"] for item in items if item.type == "function_call"}
