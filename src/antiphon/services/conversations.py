"""Conversations and the items put into them by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from weakref import WeakValueDictionary

import msgspec
from msgspec import UNSET, UnsetType

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import (
    ALL,
    MAIN_BRANCH,
    Branch,
    Chosen,
    Conversation,
    Folder,
    may_continue,
    open_segment,
    segment_start,
)
from antiphon.domain.errors import Conflict, InvalidRequest, NotFound, PreconditionFailed
from antiphon.domain.inputs import InputItem, new_item
from antiphon.domain.items import Item, NewItem, Position
from antiphon.domain.members import EDITOR, OWNER, VIEWER, Role
from antiphon.ports import purge_writes as wp
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.purging import Owned
from antiphon.ports.storage import Change, Storage, TurnBase
from antiphon.services.access import Access, not_found
from antiphon.services.attached_files import AttachedFiles
from antiphon.services.conversation_updates import quiet, since, told
from antiphon.services.erasure import Purged
from antiphon.services.followed import followed
from antiphon.services.idempotency import Idempotency, Key
from antiphon.services.paging import Page, item_page, last_use
from antiphon.services.placing import advance, new_conversation, placed, put_items
from antiphon.services.purges import Purges
from antiphon.services.trimming import GRACE_US
from antiphon.services.turn_plans import MAX_CONFLICTS, branch_name, new_branch

MAX_ITEMS_PER_POST = 20


class Conversations:
    """Create, read, change and delete conversations; list, add and hide their items."""

    def __init__(
        self, storage: Storage, access: Access, idempotency: Idempotency, purges: Purges,
        attached: AttachedFiles, clock: Clock,
    ) -> None:  # fmt: skip
        self._storage = storage
        self._attached = attached
        self._access = access
        self._idempotency = idempotency
        self._purges = purges
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def create(
        self,
        who: Principal,
        items: Sequence[InputItem],
        *,
        metadata: str,
        title: str | None,
        key: Key | None,
        expires_after_seconds: int | None = None,
    ) -> Conversation:
        """Create a conversation with up to 20 first items; it may have an end from the beginning."""
        require_few(items)
        items = await self._attached.named(who.actor_id, items, "items")
        now = self._clock.now_us()
        conversation_id = ids.new_id(who.slot)
        conversation, opening = new_conversation(
            who, conversation_id, items, now, title=title, metadata=metadata,
            expires_us=expiry(expires_after_seconds, now),
        )  # fmt: skip
        commands: list[ws.Command] = []
        if key is not None:
            guard = self._idempotency.guard
            commands.append(guard(who, key, made=conversation, conversation_id=conversation_id))
        commands += opening
        await self._storage.unit_of_work.commit(*commands)
        return conversation

    async def get(self, who: Principal, conversation_id: str) -> Conversation:
        """Return a conversation; raises NotFound."""
        _, found = await self._access.enter(who, conversation_id)
        return found

    async def page(
        self, who: Principal, *, after: str | None, limit: int, descending: bool, chosen: Chosen = ALL
    ) -> Page[Conversation]:
        """List the caller's conversations, newest first if `descending`."""
        cursor = cursor_of(after, ids.CONVERSATION)
        found = await self._storage.conversations.page(
            who.actor_id, after=cursor, limit=limit + 1, descending=descending, chosen=chosen
        )
        return Page(found[:limit], len(found) > limit)

    async def latest(
        self, who: Principal, *, after: str | None, limit: int, chosen: Chosen = ALL
    ) -> Page[Conversation]:
        """List the caller's conversations, the last used first; `after` is `use_cursor` of the last one."""
        found = await self._storage.conversations.latest(
            who.actor_id, after=last_use(after), limit=limit + 1, chosen=chosen
        )
        return Page(found[:limit], len(found) > limit)

    async def folders(self, who: Principal) -> list[Folder]:
        """List the caller's folders by their names."""
        return await self._storage.conversations.folders(who.actor_id)

    async def update(
        self,
        who: Principal,
        conversation_id: str,
        *,
        title: str | UnsetType | None = UNSET,
        metadata: str | None,
        revision: int | None = None,
        expires_after_seconds: int | UnsetType | None = UNSET,
        pinned: bool | None = None,
        archived: bool | None = None,
        folder: str | UnsetType | None = UNSET,
        is_use: bool = False,
    ) -> Conversation:
        """Change title, metadata, end (of both, None: none) or place in lists; only if of that `revision`.

        The end and the place are the owner's to set. None of this is a use of the conversation, but with
        `is_use`, where clients know of one time only.
        """
        seconds, now = expires_after_seconds, self._clock.now_us()
        in_lists = pinned is not None or archived is not None or folder is not UNSET
        is_owners = seconds is not UNSET or in_lists
        who, found = await self._access.enter(who, conversation_id, OWNER if is_owners else EDITOR)
        command = ws.UpdateConversation(
            conversation_id=found.id, title=title, metadata=metadata, revision=revision,
            expires_us=UNSET if seconds is UNSET else expiry(seconds, now),
            pinned_us=since(pinned, now), archived_us=since(archived, now), folder=folder,
        )  # fmt: skip
        try:
            change = self.change(who, found.id, "conversation.updated", told(command))
            await self._storage.unit_of_work.commit(command, change if is_use else quiet(change))
        except Conflict:
            await self._access.enter(who, conversation_id)
            raise PreconditionFailed("The conversation has changed since it was read.") from None
        return await self.get(who, conversation_id)

    async def delete(
        self, who: Principal, conversation_id: str, *, purge: bool = False
    ) -> tuple[str, Purged | None]:
        """Make a conversation invisible; answers and forks keep its items.

        With `purge` its turns are cancelled and its content is erased but for what living forks
        share. Returns its id and what went.
        """
        who, found = await self._access.enter(who, conversation_id, OWNER)
        now = self._clock.now_us()
        try:
            if purge:
                owned = Owned(found.id, found.owner_id, found.slot)
                return found.id, await self._purges.purge_conversation(owned)
            await self._storage.unit_of_work.commit(
                ws.DeleteConversation(conversation_id=found.id, now_us=now),
                self.change(who, found.id, "conversation.deleted", {}),
                wp.Sweep(
                    conversation_id=found.id, owner_id=found.owner_id, slot=found.slot, due_us=now + GRACE_US
                ),
            )
        except Conflict:
            not_found("Conversation", conversation_id)
        return found.id, None

    async def add_items(
        self,
        who: Principal,
        conversation_id: str,
        items: Sequence[InputItem],
        *,
        branch_id: str | None = None,
        key: Key | None = None,
    ) -> list[Item]:
        """Append up to 20 items to a branch (the active one); raises Conflict after many races.

        While a turn holds the branch they open another from the same head, as a turn would.
        """
        require_few(items)
        if not items:
            raise InvalidRequest("At least one item is needed.", code="empty_array", param="items")
        items = await self._attached.named(who.actor_id, items, "items")
        lost: list[str] = []
        # Appends of this process wait for each other, so they race only with turns that end.
        async with self._appending(conversation_id):
            for _ in range(MAX_CONFLICTS):
                within, base = await self._head(who, conversation_id, branch_id, EDITOR)
                new = [new_item(item, within.slot) for item in items]
                try:
                    return await self._append(within, base, new, lost, key=key)
                except Conflict as conflict:
                    if conflict.message == "PutKey":
                        raise
                    lost.append(conflict.message)
        raise Conflict("The conversation changes too fast; try again.")

    def _appending(self, conversation_id: str) -> asyncio.Lock:
        lock = self._locks.get(conversation_id)
        if lock is None:
            lock = self._locks[conversation_id] = asyncio.Lock()
        return lock

    async def _head(
        self, who: Principal, conversation_id: str, branch_id: str | None, need: Role
    ) -> tuple[Principal, TurnBase]:
        """Return the caller within the conversation and a branch's head; of an own one in one read."""
        identifier = ids.parse(conversation_id, ids.CONVERSATION)
        wanted = ids.parse(branch_id, ids.BRANCH) if branch_id else None
        base = None
        if identifier is not None and (branch_id is None or wanted is not None):
            base = await self._storage.tree.turn_base(who.actor_id, identifier, wanted, 0)
            if base is not None:
                return who.home(), await followed(self._storage, who.home(), base, 0)
        who, conversation = await self._access.enter(who, conversation_id, need)
        if branch_id is None or wanted is not None:
            base = await self._storage.tree.turn_base(conversation.owner_id, conversation.id, wanted, 0)
        if base is None:
            not_found("Branch", branch_id)
        return who, await followed(self._storage, who, base, 0)

    async def _append(
        self, who: Principal, base: TurnBase, new: list[NewItem], lost: list[str], *, key: Key | None
    ) -> list[Item]:
        now = self._clock.now_us()
        commands: list[ws.Command] = []
        after = base.position
        continues = may_continue(base.parent, base.segment_conversation_id, base.conversation.id)
        if "PutItems" in lost or not continues:
            segment = open_segment(ids.new_id(who.slot), base.conversation.id, base.position)
            commands.append(ws.NewSegment(segment=segment, owner_id=who.account_id, slot=who.slot))
            after = segment_start(segment)
        items = placed(who, after, new, now)
        if key is not None:
            belongs = base.conversation.id
            commands.insert(0, self._idempotency.guard(who, key, made=items, conversation_id=belongs))
        commands += put_items(who, after, new, now)
        move = await self._advance(who, base, advance(after, new), lost)
        if isinstance(move, ws.NewBranch):
            commands.append(wp.RequireItem(position=base.position))
        commands.append(move)
        told: dict[str, object] = {"count": len(new), "item_ids": [item.wire_id for item in items]}
        commands.append(self.change(who, base.conversation.id, "items.added", told))
        await self._storage.unit_of_work.commit(*commands)
        return items

    async def _advance(self, who: Principal, base: TurnBase, head: Position, lost: list[str]) -> ws.Command:
        branch = base.branch
        if branch is not None and branch.run_id is None and branch.alias_of is None:
            return ws.AdvanceHead(
                conversation_id=base.conversation.id,
                branch_id=branch.id,
                expected=base.position,
                head=head,
            )
        wanted = branch.name if branch else MAIN_BRANCH
        taken = await self._storage.conversations.branch_names(base.conversation.id, wanted)
        other = new_branch(
            who, base.conversation.id, branch_name(wanted, taken, losses=lost.count("NewBranch")), head
        )
        other = msgspec.structs.replace(other, created_us=self._clock.now_us())
        return ws.NewBranch(branch=other, owner_id=who.account_id, slot=who.slot)

    async def items(
        self,
        who: Principal,
        conversation_id: str,
        *,
        branch_id: str | None,
        after: str | None,
        limit: int,
        descending: bool,
    ) -> Page[Item]:
        """List the items of a branch's path (the active one).

        `descending` from `after` lists that item's own ancestors, so the pages are stable while
        branches are switched; ascending needs `after` on the path, else `invalid_cursor`.
        """
        conversation, branch = await self._listed(who, conversation_id, branch_id)
        cursor = None
        if after is not None:
            try:
                cursor, _ = await self._access.item(conversation, after)
            except NotFound:
                raise invalid_cursor(after) from None
        return await item_page(
            self._storage.tree, conversation, branch.head, after=cursor, limit=limit, descending=descending
        )

    async def _listed(
        self, who: Principal, conversation_id: str, branch_id: str | None
    ) -> tuple[Conversation, Branch]:
        """Return a conversation and the branch to list; a fork's own, where it stands for one."""
        _, base = await self._head(who, conversation_id, branch_id, VIEWER)
        if base.branch is None:
            not_found("Conversation", conversation_id)
        return base.conversation, base.branch

    async def item(self, who: Principal, conversation_id: str, item_id: str) -> Item:
        """Return any item of a conversation's tree; raises NotFound."""
        _, conversation = await self._access.enter(who, conversation_id)
        item, _ = await self._access.item(conversation, item_id)
        if await self._storage.tree.is_hidden(conversation.id, item.id):
            not_found("Item", item_id)
        return item

    async def find_item(self, who: Principal, item_id: str) -> tuple[Conversation, Item]:
        """Return an item by its id alone, with the conversation it was put into; raises NotFound."""
        identifier = ids.parse_item(item_id)
        found = await self._storage.tree.item(who.actor_id, identifier) if identifier else None
        if identifier is not None and found is None:
            shared = await self._storage.members.of_item(who.actor_id, identifier)
            found = await self._storage.tree.item(shared.owner_id, identifier) if shared else None
        if found is None:
            not_found("Item", item_id)
        item, conversation_id = found
        wire_id = ids.CONVERSATION + conversation_id
        return await self.get(who, wire_id), await self.item(who, wire_id, item.wire_id)

    async def hide_item(self, who: Principal, conversation_id: str, item_id: str) -> Conversation:
        """Leave an item out of this conversation; children stay, forks and answers still show it."""
        who, conversation = await self._access.enter(who, conversation_id, EDITOR)
        item, _ = await self._access.item(conversation, item_id)
        if await self._storage.tree.is_hidden(conversation.id, item.id):
            not_found("Item", item_id)
        try:
            await self._storage.unit_of_work.commit(
                ws.HideItem(
                    conversation_id=conversation.id, item_id=item.id, owner_id=who.account_id, slot=who.slot
                ),
                self.change(who, conversation.id, "item.deleted", {"item_id": item.wire_id}),
            )
        except Conflict:
            not_found("Conversation", conversation_id)
        return conversation

    async def changes(self, who: Principal, conversation_id: str, *, after: int, limit: int) -> list[Change]:
        """Return the changes of a conversation with a revision above `after`."""
        _, conversation = await self._access.enter(who, conversation_id)
        return await self._storage.conversations.changes(conversation.id, after=after, limit=limit)

    def change(
        self, who: Principal, conversation_id: str, kind: str, body: dict[str, object]
    ) -> ws.AddChange:
        """Return the command that records a change in the conversation's feed."""
        return ws.AddChange(
            conversation_id=conversation_id,
            owner_id=who.account_id,
            slot=who.slot,
            kind=kind,
            body=msgspec.json.encode(body).decode(),
            now_us=self._clock.now_us(),
        )


def expiry(seconds: int | None, now_us: int) -> int | None:
    """Return the time so many seconds from now; None for never."""
    return None if seconds is None else now_us + seconds * 1_000_000


def require_few(items: Sequence[InputItem]) -> None:
    """Refuse more than 20 items, and references, which name items that exist already."""
    if len(items) > MAX_ITEMS_PER_POST:
        raise InvalidRequest(
            f"At most {MAX_ITEMS_PER_POST} items at once, got {len(items)}.",
            code="array_above_max_length",
            param="items",
        )
    if any(item.reference for item in items):
        raise InvalidRequest("Item references cannot be added.", code="invalid_value", param="items")


def cursor_of(after: str | None, prefix: str) -> str | None:
    """Return the id a page begins after; what it names may be gone. Raises InvalidRequest."""
    if after is None:
        return None
    identifier = ids.parse(after, prefix)
    if identifier is None:
        raise invalid_cursor(after)
    return identifier


def invalid_cursor(after: str) -> InvalidRequest:
    """Return the error for a cursor that is not on the listed path."""
    return InvalidRequest(f"Invalid cursor '{after}'.", code="invalid_cursor", param="after")
