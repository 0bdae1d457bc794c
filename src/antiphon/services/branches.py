"""The tree: branches, forks, the view of the whole and the comparison of two lines."""

from __future__ import annotations

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import (
    MAIN_BRANCH,
    Branch,
    Conversation,
    open_segment,
    segment_start,
)
from antiphon.domain.errors import Conflict, InvalidRequest
from antiphon.domain.items import Item, Position, require_text_limit
from antiphon.domain.members import EDITOR
from antiphon.ports import purge_writes as wp
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.storage import SegmentSummary, Storage
from antiphon.services.access import Access, not_found
from antiphon.services.conversations import Conversations, cursor_of
from antiphon.services.copies import Copies
from antiphon.services.idempotency import Idempotency, Key
from antiphon.services.paging import Page, item_page
from antiphon.services.trimming import GRACE_US
from antiphon.services.turn_plans import MAX_CONFLICTS, branch_name, new_branch

MAX_NAME = 200


Segments = SegmentSummary


class Comparison(msgspec.Struct, frozen=True):
    """Two branches side by side: the last shared place and the first items of either line.

    `left` and `right` are root first; the flags tell that a line goes on.
    """

    common: Position | None
    left: list[Item]
    right: list[Item]
    left_has_more: bool
    right_has_more: bool


class Branches:
    """Create, list, rename, delete and activate branches; fork, view and compare."""

    def __init__(
        self,
        storage: Storage,
        access: Access,
        conversations: Conversations,
        idempotency: Idempotency,
        clock: Clock,
    ) -> None:
        self._storage = storage
        self._access = access
        self._conversations = conversations
        self._idempotency = idempotency
        self._copies = Copies(storage, access, idempotency, clock)
        self._clock = clock

    async def page(
        self, who: Principal, conversation_id: str, *, after: str | None, limit: int
    ) -> tuple[Conversation, Page[Branch]]:
        """List a conversation's branches, oldest first."""
        _, conversation = await self._access.enter(who, conversation_id)
        cursor = cursor_of(after, ids.BRANCH)
        branches = await self._storage.conversations.branches(conversation.id, after=cursor, limit=limit + 1)
        return conversation, Page(branches[:limit], len(branches) > limit)

    async def get(self, who: Principal, conversation_id: str, branch_id: str) -> tuple[Conversation, Branch]:
        """Return a branch; raises NotFound."""
        _, conversation, branch = await self._access.branch(who, conversation_id, branch_id)
        return conversation, branch

    async def create(
        self,
        who: Principal,
        conversation_id: str,
        *,
        name: str | None,
        item_id: str | None,
        activate: bool,
        key: Key | None = None,
    ) -> tuple[Conversation, Branch]:
        """Create a branch whose head is any item (the active head if none is named).

        Copies nothing. Without a name it gets the first free one; a taken name is refused.
        """
        who, conversation = await self._access.enter(who, conversation_id, EDITOR)
        head = await self._head(conversation, item_id)
        chosen = checked_name(name) if name is not None else None
        for attempt in range(MAX_CONFLICTS):
            free = chosen or await self._free_name(conversation, losses=attempt)
            branch = new_branch(who, conversation.id, free, head)
            branch = msgspec.structs.replace(branch, created_us=self._clock.now_us())
            try:
                return await self._create(who, conversation, branch, activate=activate, key=key), branch
            except Conflict as lost:
                if lost.message == "PutKey":
                    raise
                await self._access.enter(who, conversation_id)
                if chosen is not None and lost.message == "NewBranch":
                    raise _name_taken(chosen) from None
        raise Conflict("The conversation changes too fast; try again.")

    async def _free_name(self, conversation: Conversation, *, losses: int) -> str:
        taken = await self._storage.conversations.branch_names(conversation.id, MAIN_BRANCH)
        return branch_name(MAIN_BRANCH, taken, losses=losses)

    async def _create(
        self, who: Principal, conversation: Conversation, branch: Branch, *, activate: bool, key: Key | None
    ) -> Conversation:
        if activate:
            conversation = msgspec.structs.replace(conversation, active_branch_id=branch.id)
        commands: list[ws.Command] = []
        if key is not None:
            made, belongs = (conversation, branch), conversation.id
            commands.append(self._idempotency.guard(who, key, made=made, conversation_id=belongs))
        commands.append(wp.RequireItem(position=branch.head))
        commands.append(ws.NewBranch(branch=branch, owner_id=who.account_id, slot=who.slot))
        if activate:
            commands.append(ws.ActivateBranch(conversation_id=conversation.id, branch_id=branch.id))
        commands.append(self._change(who, conversation, "branch.created", branch))
        await self._storage.unit_of_work.commit(*commands)
        return conversation

    async def _head(self, conversation: Conversation, item_id: str | None) -> Position:
        if item_id is not None:
            item, _ = await self._access.item(conversation, item_id)
            return item.position
        base = await self._storage.tree.turn_base(conversation.owner_id, conversation.id, None, 0)
        if base is None:
            not_found("Conversation", ids.CONVERSATION + conversation.id)
        return base.position

    async def rename(
        self, who: Principal, conversation_id: str, branch_id: str, name: str
    ) -> tuple[Conversation, Branch]:
        """Rename a branch; a taken name is refused."""
        who, conversation, branch = await self._access.branch(who, conversation_id, branch_id, EDITOR)
        chosen = checked_name(name)
        renamed = msgspec.structs.replace(branch, name=chosen)
        try:
            await self._storage.unit_of_work.commit(
                ws.RenameBranch(conversation_id=conversation.id, branch_id=branch.id, name=chosen),
                self._change(who, conversation, "branch.renamed", renamed),
            )
        except Conflict:
            await self._access.branch(who, conversation_id, branch_id)
            raise _name_taken(chosen) from None
        return conversation, renamed

    async def activate(
        self, who: Principal, conversation_id: str, branch_id: str
    ) -> tuple[Conversation, Branch]:
        """Make a branch the one that linear views show; running turns keep theirs."""
        who, conversation, branch = await self._access.branch(who, conversation_id, branch_id, EDITOR)
        try:
            await self._storage.unit_of_work.commit(
                ws.ActivateBranch(conversation_id=conversation.id, branch_id=branch.id),
                self._change(who, conversation, "branch.activated", branch),
            )
        except Conflict:
            not_found("Branch", branch_id)
        return await self.get(who, conversation_id, branch_id)

    async def delete(self, who: Principal, conversation_id: str, branch_id: str) -> str:
        """Delete a branch's pointer; the active one is refused. Returns the branch's id."""
        who, conversation, branch = await self._access.branch(who, conversation_id, branch_id, EDITOR)
        try:
            await self._storage.unit_of_work.commit(
                ws.DeleteBranch(conversation_id=conversation.id, branch_id=branch.id),
                self._change(who, conversation, "branch.deleted", branch),
                wp.Sweep(
                    conversation_id=conversation.id,
                    owner_id=conversation.owner_id,
                    slot=conversation.slot,
                    due_us=self._clock.now_us() + GRACE_US,
                ),
            )
        except Conflict:
            await self._access.branch(who, conversation_id, branch_id)
            raise InvalidRequest(
                "The active branch cannot be deleted; activate another first.", code="branch_active"
            ) from None
        return branch.id

    async def fork(
        self,
        who: Principal,
        conversation_id: str,
        *,
        item_id: str | None,
        title: str | None,
        key: Key | None = None,
    ) -> Conversation:
        """Return a new conversation of the caller that shows everything up to an item (the active head).

        It shares the items of an own conversation, and copies those of somebody else's.
        """
        within, origin = await self._access.enter(who, conversation_id)
        base = await self._head(origin, item_id)
        if within.is_guest:
            return await self._copies.copy(who, origin, base, title=title, key=key)
        now = self._clock.now_us()
        forked = ids.new_id(who.slot)
        segment = open_segment(ids.new_id(who.slot), forked, base if base.depth >= 0 else None)
        start = msgspec.structs.replace(segment_start(segment), item_id=base.item_id)
        branch = msgspec.structs.replace(new_branch(who, forked, MAIN_BRANCH, start), created_us=now)
        conversation = Conversation(
            id=forked, owner_id=who.account_id, slot=who.slot, kind="explicit",
            title=title if title is not None else origin.title, metadata=origin.metadata,
            active_branch_id=branch.id, base=base if base.depth >= 0 else None, revision=1, created_us=now,
            updated_us=now,
        )  # fmt: skip
        guard = self._idempotency.guard
        commands: list[ws.Command] = [
            *([guard(who, key, made=conversation, conversation_id=forked)] if key is not None else []),
            wp.RequireItem(position=base),
            ws.NewConversation(conversation=conversation),
            ws.NewBranch(branch=branch, owner_id=who.account_id, slot=who.slot),
            ws.NewSegment(segment=segment, owner_id=who.account_id, slot=who.slot),
            hidden_as_in(origin, conversation),
        ]
        try:
            await self._storage.unit_of_work.commit(*commands)
        except Conflict as lost:
            if lost.message == "PutKey":
                raise
            not_found("Conversation", conversation_id)
        return conversation

    async def tree(
        self, who: Principal, conversation_id: str, *, after: str | None, limit: int
    ) -> tuple[Conversation, Page[SegmentSummary]]:
        """Return a page of the conversation's segments, each with its count and its ends."""
        _, conversation = await self._access.enter(who, conversation_id)
        cursor = cursor_of(after, ids.SEGMENT)
        found = await self._storage.tree.segments(conversation.id, after=cursor, limit=limit + 1)
        return conversation, Page(found[:limit], len(found) > limit)

    async def siblings(self, who: Principal, conversation_id: str, item_id: str, limit: int) -> list[Item]:
        """Return the alternatives of an item, itself included, oldest first."""
        _, conversation = await self._access.enter(who, conversation_id)
        item, _ = await self._access.item(conversation, item_id)
        return await self._storage.tree.siblings(conversation.owner_id, conversation.id, item, limit)

    async def compare(
        self, who: Principal, conversation_id: str, left_id: str, right_id: str, *, limit: int
    ) -> Comparison:
        """Compare two branches: what they share last and up to `limit` items of either line."""
        _, conversation, left = await self._access.branch(who, conversation_id, left_id)
        _, _, right = await self._access.branch(who, conversation_id, right_id)
        common = await self._common(left.head, right.head)
        first = await self._line(conversation, left.head, common, limit)
        second = await self._line(conversation, right.head, common, limit)
        return Comparison(common, first.data, second.data, first.has_more, second.has_more)

    async def _common(self, left: Position, right: Position) -> Position | None:
        tree = self._storage.tree
        seen = {part.segment_id: part for part in await tree.path(left, floor_depth=0)}
        for part in await tree.path(right, floor_depth=0):
            other = seen.get(part.segment_id)
            if other is not None:
                return Position(part.segment_id, min(part.last, other.last), 0)
        return None

    async def _line(
        self, conversation: Conversation, head: Position, common: Position | None, limit: int
    ) -> Page[Item]:
        after = None
        if common is not None:
            after = await self._storage.tree.at(common)
        return await item_page(
            self._storage.tree, conversation, head, after=after, limit=limit, descending=False
        )

    def _change(self, who: Principal, conversation: Conversation, kind: str, branch: Branch) -> ws.AddChange:
        body: dict[str, object] = {"branch_id": ids.BRANCH + branch.id, "name": branch.name}
        return self._conversations.change(who, conversation.id, kind, body)


def hidden_as_in(origin: Conversation, fork: Conversation) -> ws.HideAsIn:
    """Return what keeps deleted items of the origin out of a fork that shares them."""
    return ws.HideAsIn(
        conversation_id=fork.id, origin_id=origin.id, owner_id=fork.owner_id, slot=fork.slot
    )  # fmt: skip


def _name_taken(name: str) -> InvalidRequest:
    return InvalidRequest(f"A branch named '{name}' exists already.", code="branch_name_taken", param="name")


def checked_name(name: str) -> str:
    """Return a branch name without outer blanks; raises InvalidRequest if nothing is left."""
    stripped = name.strip()
    if not stripped:
        raise InvalidRequest("A branch needs a name.", code="invalid_value", param="name")
    return require_text_limit(stripped, limit=MAX_NAME, param="name")
