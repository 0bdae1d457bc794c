"""Other questions and other answers: edit, regenerate, fan-out. Nothing is ever rewritten."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Conversation, open_segment, segment_start
from antiphon.domain.errors import Conflict, InvalidRequest
from antiphon.domain.inputs import InputItem, new_item
from antiphon.domain.items import Item, NewItem, Position
from antiphon.domain.members import EDITOR
from antiphon.domain.runs import Run
from antiphon.ports import purge_writes as wp
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.services.access import Access
from antiphon.services.attached_files import AttachedFiles
from antiphon.services.conversations import Conversations
from antiphon.services.idempotency import Idempotency, Key
from antiphon.services.placing import advance, placed, put_items
from antiphon.services.turn_plans import MAX_CONFLICTS, TurnRequest, branch_name, new_branch
from antiphon.services.turns import Begun, Turns

MAX_MODELS: int = 8
EDIT_BRANCH: str = "edit"
RETRY_BRANCH: str = "retry"


class Alternatives:
    """Opens siblings in a conversation's tree."""

    def __init__(
        self,
        storage: Storage,
        access: Access,
        conversations: Conversations,
        turns: Turns,
        idempotency: Idempotency,
        attached: AttachedFiles,
        clock: Clock,
    ) -> None:
        self._attached = attached
        self._storage = storage
        self._access = access
        self._conversations = conversations
        self._turns = turns
        self._idempotency = idempotency
        self._clock = clock

    async def edit(self, who: Principal, item_id: str, request: TurnRequest) -> Begun:
        """Put `request.items` beside an item and answer them, on a new branch, which becomes active."""
        _, conversation = await self._access.enter(who, request.conversation_id or "", EDITOR)
        item, _ = await self._access.item(conversation, item_id)
        run = await self._run_of(conversation, item)
        position = await self._before(item, run)
        edited = msgspec.structs.replace(
            _by_same_model(request, run),
            items=tuple(self._as_edit(item, request.items)),
            position=position,
            new_branch=request.new_branch or EDIT_BRANCH,
            activate=True,
        )
        return await self._turns.begin(who, edited)

    async def edit_only(
        self,
        who: Principal,
        conversation_id: str,
        item_id: str,
        items: Sequence[InputItem],
        *,
        key: Key | None = None,
    ) -> list[Item]:
        """Put `items` beside an item on a new active branch, without an answer."""
        who, conversation = await self._access.enter(who, conversation_id, EDITOR)
        item, _ = await self._access.item(conversation, item_id)
        position = await self._before(item, await self._run_of(conversation, item))
        items = await self._attached.named(who.actor_id, items, "item")
        for losses in range(MAX_CONFLICTS):
            try:
                new = [new_item(one, who.slot) for one in self._as_edit(item, items)]
                return await self._put_beside(who, conversation, item, position, new, key, losses=losses)
            except Conflict as lost:
                if lost.message == "PutKey":
                    raise
                await self._access.enter(who, conversation_id)  # it may be gone
        raise Conflict("The conversation changes too fast; try again.")

    async def _put_beside(
        self,
        who: Principal,
        conversation: Conversation,
        item: Item,
        position: Position,
        new: list[NewItem],
        key: Key | None,
        *,
        losses: int,
    ) -> list[Item]:
        now = self._clock.now_us()
        segment = open_segment(ids.new_id(who.slot), conversation.id, position)
        start = segment_start(segment)
        taken = await self._storage.conversations.branch_names(conversation.id, EDIT_BRANCH)
        name = branch_name(EDIT_BRANCH, taken, losses=losses)
        branch = new_branch(who, conversation.id, name, advance(start, new))
        branch = msgspec.structs.replace(branch, created_us=now)
        made = placed(who, start, new, now)
        await self._storage.unit_of_work.commit(
            *self._guards(who, conversation, key, made),
            wp.RequireItem(position=position),
            ws.NewSegment(segment=segment, owner_id=who.account_id, slot=who.slot),
            *put_items(who, start, new, now),
            ws.NewBranch(branch=branch, owner_id=who.account_id, slot=who.slot),
            ws.ActivateBranch(conversation_id=conversation.id, branch_id=branch.id),
            self._conversations.change(
                who,
                conversation.id,
                "item.edited",
                {"item_id": item.wire_id, "branch_id": ids.BRANCH + branch.id},
            ),
        )
        return made

    def _guards(
        self, who: Principal, conversation: Conversation, key: Key | None, made: list[Item]
    ) -> list[ws.Command]:
        if key is None:
            return []
        return [self._idempotency.guard(who, key, made=made, conversation_id=conversation.id)]

    @staticmethod
    def _as_edit(item: Item, items: Sequence[InputItem]) -> Sequence[InputItem]:
        """Check that an edit keeps the kind and, of a message, the speaker."""
        if not items:
            raise InvalidRequest("An edit needs content.", code="missing_required_parameter", param="content")
        first = items[0]
        if item.type == "message" and (first.type != "message" or first.role != item.role):
            raise InvalidRequest(
                f"A message of role '{item.role}' can only be replaced by one of the same role.",
                code="invalid_value",
                param="item",
            )
        return items

    async def _before(self, item: Item, run: Run | None) -> Position:
        """Return what the replacement of an item follows. A model's answer is replaced as a whole.

        Its reasoning and calls led to the words that it had, and providers refuse the ones without the other.
        """
        if item.author_id is None:
            position, _ = await self._question(item, run)
            return position
        return await self._storage.tree.before(item)

    async def regenerate(self, who: Principal, item_id: str, request: TurnRequest) -> Begun:
        """Answer again: a sibling of the answer that `item_id` belongs to, on a new active branch.

        `item_id` may be an item of an answer, or the question itself.
        """
        _, conversation = await self._access.enter(who, request.conversation_id or "", EDITOR)
        item, _ = await self._access.item(conversation, item_id)
        run = await self._run_of(conversation, item)
        position, continues = await self._question(item, run)
        again = msgspec.structs.replace(
            _by_same_model(request, run),
            items=(),
            position=position,
            continues=continues,
            new_branch=request.new_branch or RETRY_BRANCH,
            activate=True,
            cache="refresh" if request.cache == "use" else request.cache,  # another answer was asked for
        )
        return await self._turns.begin(who, again)

    async def _run_of(self, conversation: Conversation, item: Item) -> Run | None:
        """Return the run of the answer that an item belongs to or led to, None if there is none any more."""
        if item.run_id is None:
            return None
        return await self._storage.runs.get(conversation.owner_id, item.run_id)

    async def _question(self, item: Item, run: Run | None) -> tuple[Position, bool]:
        """Return what an answer follows, and whether it was the rest of one that was cut off there."""
        if item.author_id is not None:
            by_hand = item.role == "assistant"  # an answer that a person wrote, or said otherwise
            return (await self._storage.tree.before(item) if by_hand else item.position), False
        if run is not None and run.input_end is not None:
            return run.input_end, run.continues
        return await self._before_answer(item), False

    async def _before_answer(self, item: Item) -> Position:
        """Return what an answer follows whose run is gone: the first place before it that is not its own."""
        position = await self._storage.tree.before(item)
        while item.author_id is None and position.depth >= 0:
            earlier = await self._storage.tree.at(position)
            if earlier is None or earlier.author_id is not None or earlier.run_id != item.run_id:
                break
            position = await self._storage.tree.before(earlier)
        return position

    async def fan_out(self, who: Principal, models: Sequence[str], request: TurnRequest) -> list[Begun]:
        """Put one question to several models: the input once and a run for each, in one commit.

        The first claims the branch as a plain turn would; the others get branches named by model.
        """
        if not 1 <= len(models) <= MAX_MODELS:
            raise InvalidRequest(f"Name 1 to {MAX_MODELS} models.", code="invalid_value", param="models")
        begun = await self._turns.begin_beside(who, request, models)
        if begun[0].live is None:
            return await self._replayed(who, begun[0], len(models))
        return begun

    async def _replayed(self, who: Principal, first: Begun, count: int) -> list[Begun]:
        """Find the runs that the same fan-out began before: those on the same input."""
        found = await self._access.run(who, ids.RESPONSE + first.run_id)
        if found.run.input_end is None:
            return [first]
        beside = await self._storage.runs.on_input(found.run, count)
        return [Begun(run_id, None) for run_id in beside]


def _by_same_model(request: TurnRequest, run: Run | None) -> TurnRequest:
    """Return a turn that names no model with the one that answered before."""
    if request.model is not None or run is None:
        return request
    return msgspec.structs.replace(request, model=run.model)
