"""Where a turn attaches: at a branch, after an answer, at any item, or after a resent history."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import MAIN_BRANCH
from antiphon.domain.errors import InvalidRequest, NotFound
from antiphon.domain.items import Position
from antiphon.domain.members import EDITOR, Role
from antiphon.domain.runs import Run
from antiphon.ports.storage import Storage, TurnBase
from antiphon.ports.write_sets import NewBranch
from antiphon.services.access import Access, not_found
from antiphon.services.followed import followed
from antiphon.services.turn_plans import Attachment, Plan, TurnRequest, branch_name


class Attachments:
    """Finds the base of a turn; a guard that was lost before makes it choose otherwise."""

    def __init__(self, storage: Storage, access: Access) -> None:
        self._storage = storage
        self._access = access

    async def find(
        self, who: Principal, request: TurnRequest, budget: int, *, need: Role = EDITOR
    ) -> tuple[Attachment, TurnRequest]:
        """Return where a turn attaches, and the turn with only what is new of its input.

        `budget` is how many tokens of context are read, `need` the role it takes in somebody
        else's conversation. Raises NotFound, Forbidden and InvalidRequest.
        """
        if request.path_hashes:
            return await self._after_prefix(who, request, budget)
        if request.previous_response_id is not None:
            return await self._after_response(who, request, budget, need), request
        if request.conversation_id is None:
            return Attachment(who=who, base=None), request
        if request.parent_item_id is not None or request.position is not None:
            return await self._after_item(who, request, budget, need), request
        at = await self._at_head(who, request, budget, need)
        return at, await self._unasked(who, request, at)

    async def beside(
        self, request: TurnRequest, at: Attachment, run: Run, name: str, plans: Sequence[Plan]
    ) -> Attachment:
        """Return where another answer to the input of `run`, planned on `at`, attaches."""
        if at.base is None or run.input_end is None:
            raise InvalidRequest("Several models answer in a conversation.", param="conversation")
        taken = await self._storage.conversations.branch_names(at.base.conversation.id, name[:200])
        for plan in plans:
            taken |= {one.branch.name for one in plan.commands if isinstance(one, NewBranch)}
        base = msgspec.structs.replace(at.base, position=run.input_end, parent=None, branch=None)
        chosen = branch_name(name, taken, losses=request.lost.count("NewBranch"))
        return Attachment(who=at.who, base=base, branch_name=chosen)

    async def _after_prefix(
        self, who: Principal, request: TurnRequest, budget: int
    ) -> tuple[Attachment, TurnRequest]:
        """Attach a resent history after its longest prefix that is stored, among the caller's own."""
        found = await self._storage.runs.longest_prefix(who.account_id, request.path_hashes)
        if found is None:
            return Attachment(who=who, base=None), request
        index, item, conversation_id = found
        rest = msgspec.structs.replace(
            request, items=request.items[index + 1 :], path_hashes=request.path_hashes[index + 1 :]
        )
        rest = msgspec.structs.replace(rest, activate=True)
        tree = self._storage.tree
        branch = await self._storage.conversations.branch_at(conversation_id, item.id)
        if branch is not None:
            base = await tree.turn_base(who.account_id, conversation_id, branch.id, budget)
            if base is not None and base.position.item_id == item.id:
                return await self._on_branch(who, rest, base), rest
        base = await tree.position_base(who.account_id, conversation_id, item.position, budget)
        if base is None:
            return Attachment(who=who, base=None), request
        name = await self._free_name(request, base, MAIN_BRANCH)
        return Attachment(who=who, base=base, branch_name=name), rest

    async def _at_head(self, who: Principal, request: TurnRequest, budget: int, need: Role) -> Attachment:
        tree = self._storage.tree
        conversation_id = ids.parse(request.conversation_id, ids.CONVERSATION)
        branch_id = ids.parse(request.branch_id, ids.BRANCH) if request.branch_id else None
        known = request.branch_id is None or branch_id is not None
        if conversation_id is not None and known:
            # An own conversation is the usual case, and costs one read.
            base = await tree.turn_base(who.account_id, conversation_id, branch_id, budget)
            if base is not None:
                base = await followed(self._storage, who, base, budget)
                return await self._on_branch(who, request, base)
        who, conversation = await self._access.enter(who, request.conversation_id or "", need)
        base = await tree.turn_base(who.account_id, conversation.id, branch_id, budget) if known else None
        if base is None:
            not_found("Branch", request.branch_id)
        base = await followed(self._storage, who, base, budget)
        return await self._on_branch(who, request, base)

    async def _unasked(self, who: Principal, request: TurnRequest, at: Attachment) -> TurnRequest:
        """Return the turn without its question where that stands already, and nothing was said since.

        So it is where a turn failed that keeps its question, and is sent again under its idempotency key.
        """
        if request.key is None or not request.keeps_question or at.base is None:
            return request
        last = at.base.parent
        if last is None or last.run_id is None or last.author_id != who.actor_id:
            return request
        run = await self._storage.runs.get(at.who.account_id, last.run_id)
        if run is None or not run.asked_under(request.key.mark):
            return request
        if await self._storage.tree.is_hidden(at.base.conversation.id, last.id):
            return request  # taken back since
        return msgspec.structs.replace(request, items=())

    async def _on_branch(self, who: Principal, request: TurnRequest, base: TurnBase) -> Attachment:
        """Claim the branch, or open another beside it if a turn holds it already, or it is a fork's."""
        branch = base.branch
        own = branch is not None and branch.alias_of is None
        free = own and branch is not None and branch.run_id is None and "ClaimBranch" not in request.lost
        if request.new_branch is None and free:
            return Attachment(who=who, base=base, claim=True)
        wanted = request.new_branch or (branch.name if branch else MAIN_BRANCH)
        return Attachment(who=who, base=base, branch_name=await self._free_name(request, base, wanted))

    async def _free_name(self, request: TurnRequest, base: TurnBase, wanted: str) -> str:
        taken = await self._storage.conversations.branch_names(base.conversation.id, wanted[:200])
        return branch_name(wanted, taken, losses=request.lost.count("NewBranch"))

    async def _after_response(
        self, who: Principal, request: TurnRequest, budget: int, need: Role
    ) -> Attachment:
        who, run = await self._previous(who, request.previous_response_id, need)
        position = run.output_end or run.input_end
        if position is None or run.conversation_id is None:
            raise _previous_not_found(request.previous_response_id)
        tree = self._storage.tree
        base = await tree.turn_base(who.account_id, run.conversation_id, None, budget)
        tip = base if base is not None and _follows_tip(base, run, position) else None
        if tip is not None and tip.position == position:
            return await self._on_branch(who, request, tip)
        base = await tree.position_base(who.account_id, run.conversation_id, position, budget)
        if base is None:
            raise _previous_not_found(request.previous_response_id)
        if tip is not None and tip.branch is not None and not request.new_branch:
            return await self._on_branch(who, request, msgspec.structs.replace(base, branch=tip.branch))
        name = await self._free_name(request, base, request.new_branch) if request.new_branch else None
        return Attachment(who=who, base=base, branch_name=name)

    async def _previous(self, who: Principal, wire_id: str | None, need: Role) -> tuple[Principal, Run]:
        try:
            found = await self._access.run(who, wire_id, ids.RESPONSE, ids.CHAT_COMPLETION, need=need)
        except NotFound:
            raise _previous_not_found(wire_id) from None
        if found.live is not None or not found.run.is_terminal:
            raise InvalidRequest(
                f"Response '{wire_id}' has not finished yet.",
                code="previous_response_not_finished",
                param="previous_response_id",
            )
        return found.who, found.run

    async def _after_item(self, who: Principal, request: TurnRequest, budget: int, need: Role) -> Attachment:
        who, conversation = await self._access.enter(who, request.conversation_id or "", need)
        position = request.position
        if position is None:
            item, _ = await self._access.item(conversation, request.parent_item_id or "")
            position = item.position
        base = await self._storage.tree.position_base(who.account_id, conversation.id, position, budget)
        if base is None:
            not_found("Conversation", request.conversation_id)
        name = await self._free_name(request, base, request.new_branch) if request.new_branch else None
        return Attachment(who=who, base=base, branch_name=name)


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
