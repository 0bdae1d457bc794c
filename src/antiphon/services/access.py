"""The only doors to a person's data: every look-up takes a Principal.

What does not exist and what belongs to somebody else give the same error, byte for byte, since
the message holds only what the caller sent. Who is a member of somebody else's conversation goes
through the same doors and comes out acting in the owner's partition (`Principal.within`); the
doors always ask for the account that acts, so a caller that is within one conversation has no
more right to another of the same owner than before.
"""

from __future__ import annotations

from typing import NoReturn

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Branch, Conversation
from antiphon.domain.errors import NotFound
from antiphon.domain.items import Item
from antiphon.domain.members import OWNER, VIEWER, Role, require
from antiphon.domain.runs import Run
from antiphon.ports.members import Members
from antiphon.ports.storage import Conversations, Runs, Tree
from antiphon.services.paging import is_on_path
from antiphon.services.runs.live import LiveRun, LiveRuns


def not_found(kind: str, shown_id: object, param: str | None = None) -> NoReturn:
    """Raise the one error for things absent or foreign."""
    raise NotFound(f"{kind} with id '{shown_id}' not found.", param=param)


class FoundRun(msgspec.Struct, frozen=True):
    """A stored run that `who` (in its owner's partition) may see; `live` if it is made here now."""

    who: Principal
    run: Run
    live: LiveRun | None


class Access:
    """Finds objects by their wire ids for a caller."""

    def __init__(
        self, conversations: Conversations, tree: Tree, runs: Runs, members: Members, live: LiveRuns
    ) -> None:
        self._conversations = conversations
        self._tree = tree
        self._runs = runs
        self._members = members
        self._live = live

    async def enter(
        self, who: Principal, wire_id: str, need: Role = VIEWER
    ) -> tuple[Principal, Conversation]:
        """Return the caller within a conversation's partition, and the conversation.

        `need` is the role it takes. Raises NotFound, and Forbidden for members with a lesser role.
        """
        identifier = ids.parse(wire_id, ids.CONVERSATION)
        if identifier is None:
            not_found("Conversation", wire_id)
        found = await self._conversations.get(who.actor_id, identifier)
        if found is None:
            found = await self._members.role(who.actor_id, identifier)
        if found is None:
            not_found("Conversation", wire_id)
        return self._within(who, found, need), found

    @staticmethod
    def _within(who: Principal, conversation: Conversation, need: Role) -> Principal:
        require(conversation.role or OWNER, need)
        return who.within(conversation.owner_id, conversation.slot)

    async def is_in(self, account_id: str, conversation: Conversation) -> bool:
        """Whether an account owns a conversation or is let into it."""
        if account_id == conversation.owner_id:
            return True
        return await self._members.role(account_id, conversation.id) is not None

    async def branch(
        self, who: Principal, conversation_id: str, wire_id: str, need: Role = VIEWER
    ) -> tuple[Principal, Conversation, Branch]:
        """Return a branch with its conversation; raises NotFound and Forbidden."""
        who, conversation = await self.enter(who, conversation_id, need)
        identifier = ids.parse(wire_id, ids.BRANCH)
        found = await self._conversations.branch(conversation.id, identifier) if identifier else None
        return (who, conversation, found) if found else not_found("Branch", wire_id)

    async def item(self, conversation: Conversation, wire_id: str) -> tuple[Item, str]:
        """Return an item of the tree of a conversation that was entered, and its segment's conversation.

        An item belongs to a conversation if it lies in its own segments or on its base path.
        Raises NotFound.
        """
        identifier = ids.parse_item(wire_id)
        found = await self._item(conversation, identifier) if identifier else None
        return found or not_found("Item", wire_id)

    async def _item(self, conversation: Conversation, identifier: str) -> tuple[Item, str] | None:
        found = await self._tree.item(conversation.owner_id, identifier)
        if found is None or found[1] == conversation.id:
            return found
        base = conversation.base
        return found if base is not None and await is_on_path(self._tree, base, found[0]) else None

    async def readable_item(
        self, who: Principal, identifier: str, conversation_id: str | None
    ) -> Item | None:
        """Return an item the caller may read: own, of a shared conversation, or of the named one's tree."""
        found = await self._tree.item(who.actor_id, identifier)
        if found is None:
            shared = await self._members.of_item(who.actor_id, identifier)
            if shared is not None:
                found = await self._tree.item(shared.owner_id, identifier)
            elif conversation_id is not None:
                _, conversation = await self.enter(who, conversation_id)
                found = await self._item(conversation, identifier)
        return found[0] if found is not None else None

    async def run(self, who: Principal, wire_id: str | None, *prefixes: str, need: Role = VIEWER) -> FoundRun:
        """Return a stored run, live or ended; raises NotFound and Forbidden."""
        identifier = ids.parse(wire_id, *(prefixes or (ids.RESPONSE,)))
        if identifier is None:
            not_found("Response", wire_id)
        live = self._stored_live(who.actor_id, identifier)
        if live is not None:
            return FoundRun(who.home(), live.run, live)
        run = await self._runs.get(who.actor_id, identifier)
        if run is not None:
            return FoundRun(who.home(), run, None)
        shared = await self._members.of_run(who.actor_id, identifier)
        if shared is None:
            not_found("Response", wire_id)
        return await self._shared_run(self._within(who, shared, need), identifier, wire_id)

    async def _shared_run(self, within: Principal, identifier: str, wire_id: str | None) -> FoundRun:
        # The register first, then the store: a run that ends in between is not missed.
        live = self._stored_live(within.account_id, identifier)
        if live is not None:
            return FoundRun(within, live.run, live)
        run = await self._runs.get(within.account_id, identifier)
        return FoundRun(within, run, None) if run is not None else not_found("Response", wire_id)

    def _stored_live(self, owner_id: str, identifier: str) -> LiveRun | None:
        live = self._live.get(owner_id, identifier)
        return live if live is not None and live.run.stored else None
