"""Branches that are conversations of their own: forks that stand in the tree they left by a name."""

from __future__ import annotations

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import (
    MAIN_BRANCH,
    Branch,
    BranchFork,
    Conversation,
    open_segment,
    segment_start,
)
from antiphon.domain.errors import Conflict, NotFound
from antiphon.domain.items import Item, Position
from antiphon.domain.members import OWNER
from antiphon.ports import purge_writes as wp
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.services.access import Access, not_found
from antiphon.services.branches import Branches, checked_name, hidden_as_in
from antiphon.services.conversations import Conversations
from antiphon.services.followed import MAX_STEPS
from antiphon.services.idempotency import Idempotency, Key
from antiphon.services.turn_plans import MAX_CONFLICTS, branch_name, new_branch

LISTED = 1000
"""Branches of one conversation that are told of at most."""


class BranchForks:
    """Create, list and activate branches that stand for forks; for the owner of the conversation."""

    def __init__(
        self, storage: Storage, access: Access, conversations: Conversations, branches: Branches,
        idempotency: Idempotency, clock: Clock,
    ) -> None:  # fmt: skip
        self._storage = storage
        self._access = access
        self._conversations = conversations
        self._branches = branches
        self._idempotency = idempotency
        self._clock = clock

    async def create(
        self, who: Principal, conversation_id: str, item_id: str, *, name: str | None, key: Key | None = None
    ) -> BranchFork:
        """Fork after an item of a conversation, or of what it shows, and name the fork there as a branch.

        Copies nothing. The fork has the name as it is given, the branch the first free one near it.
        """
        for place, item in await self._places(who, conversation_id, item_id):
            return await self._create(who, place, item, name=name, key=key)
        not_found("Item", item_id)

    async def _places(
        self, who: Principal, conversation_id: str, item_id: str
    ) -> list[tuple[Conversation, Item]]:
        for place in await self.shown(who, conversation_id):
            try:
                item, _ = await self._access.item(place, item_id)
            except NotFound:
                continue
            return [(place, item)]
        return []

    async def shown(self, who: Principal, conversation_id: str) -> list[Conversation]:
        """Return an own conversation and, as long as its active branch stands for one, the next."""
        _, place = await self._access.enter(who, conversation_id, OWNER)
        chain = [place]
        while len(chain) < MAX_STEPS:
            active = await self._storage.conversations.branch(place.id, place.active_branch_id)
            if active is None or active.alias_of is None:
                break
            there = await self._storage.conversations.get(place.owner_id, active.alias_of)
            if there is None:
                break
            place = there
            chain.append(place)
        return chain

    async def _create(
        self, who: Principal, origin: Conversation, item: Item, *, name: str | None, key: Key | None
    ) -> BranchFork:
        title = checked_name(name) if name is not None else None
        for attempt in range(MAX_CONFLICTS):
            wanted = title or MAIN_BRANCH
            taken = await self._storage.conversations.branch_names(origin.id, wanted)
            free = branch_name(wanted, taken, losses=attempt)
            made, commands = self._plan(who, origin, item.position, title, free)
            if key is not None:
                guard = self._idempotency.guard
                commands.insert(0, guard(who, key, made=made, conversation_id=made.fork.id))
            try:
                await self._storage.unit_of_work.commit(*commands)
            except Conflict as lost:
                if lost.message == "PutKey":
                    raise
                await self._access.enter(who, ids.CONVERSATION + origin.id, OWNER)
                continue
            return made
        raise Conflict("The conversation changes too fast; try again.")

    def _plan(
        self, who: Principal, origin: Conversation, base: Position, title: str | None, name: str
    ) -> tuple[BranchFork, list[ws.Command]]:
        now, fork_id = self._clock.now_us(), ids.new_id(who.slot)
        segment = open_segment(ids.new_id(who.slot), fork_id, base)
        start = msgspec.structs.replace(segment_start(segment), item_id=base.item_id)
        main = msgspec.structs.replace(new_branch(who, fork_id, MAIN_BRANCH, start), created_us=now)
        fork = Conversation(
            id=fork_id, owner_id=who.account_id, slot=who.slot, kind="explicit", title=title,
            metadata=origin.metadata, active_branch_id=main.id, base=base, revision=1, created_us=now,
            updated_us=now,
        )  # fmt: skip
        there = new_branch(who, origin.id, name, base)
        branch = msgspec.structs.replace(there, created_us=now, alias_of=fork_id)
        told: dict[str, object] = {"branch_id": ids.BRANCH + branch.id, "name": name}
        return BranchFork(branch, fork), [
            wp.RequireItem(position=base),
            ws.NewConversation(conversation=fork),
            ws.NewBranch(branch=main, owner_id=who.account_id, slot=who.slot),
            ws.NewSegment(segment=segment, owner_id=who.account_id, slot=who.slot),
            ws.NewBranch(branch=branch, owner_id=who.account_id, slot=who.slot),
            hidden_as_in(origin, fork),
            self._conversations.change(who, origin.id, "branch.created", told),
        ]

    async def listed(self, who: Principal, conversation_id: str) -> tuple[list[BranchFork], set[str]]:
        """Return the branches of a conversation and of what it shows, and the ids of those it shows.

        At most `LISTED` of each.
        """
        chain = await self.shown(who, conversation_id)
        found: list[BranchFork] = []
        for place in chain:
            found += await self._storage.branch_forks.of(place.id, after=None, limit=LISTED)
        active = {place.active_branch_id for place in chain}
        return found, {one.fork.id for one in found if one.branch.id in active}

    async def shown_fork(self, who: Principal, conversation: Conversation) -> str | None:
        """Return the fork that an own conversation's active branch stands for, None on any other branch."""
        if conversation.role is not None:
            return None
        active = await self._storage.conversations.branch(conversation.id, conversation.active_branch_id)
        if active is None or active.alias_of is None:
            return None
        found = await self._storage.branch_forks.named(conversation.id, active.alias_of)
        return found.fork.id if found is not None else None

    async def activate(self, who: Principal, conversation_id: str, fork_id: str | None) -> Branch:
        """Have a conversation show one of its branches, the trunk for None or its own id; raises NotFound.

        A branch of what it shows is activated there.
        """
        chain = await self.shown(who, conversation_id)
        place = chain[0]
        wanted = ids.parse(fork_id, ids.CONVERSATION) if fork_id is not None else place.id
        if wanted == place.id:
            branch = await self._storage.branch_forks.trunk(place.id)
            if branch is not None:
                return await self._activate(who, place, branch)
        for place in chain if wanted is not None else []:
            found = await self._storage.branch_forks.named(place.id, wanted or "")
            if found is not None:
                return await self._activate(who, place, found.branch)
        not_found("Branch", fork_id)

    async def _activate(self, who: Principal, place: Conversation, branch: Branch) -> Branch:
        _, branch = await self._branches.activate(who, ids.CONVERSATION + place.id, ids.BRANCH + branch.id)
        return branch

    async def origin(self, who: Principal, conversation: Conversation) -> str | None:
        """Return the caller's conversation that a fork is a branch of, None if it is of none."""
        if conversation.base is None or conversation.role is not None:
            return None
        return await self._storage.branch_forks.origin(who.actor_id, conversation.id)

    async def after_items(self, who: Principal, items: list[Item]) -> dict[str, list[str]]:
        """Return, by item id, the caller's forks that begin after it and stand somewhere as a branch."""
        return await self._storage.branch_forks.after_items(who.actor_id, items) if items else {}
