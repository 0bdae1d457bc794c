"""The doors to a person's data: every look-up takes a Principal.

What does not exist and what belongs to somebody else give the same error, byte for byte, since
the message holds only what the caller sent.
"""

from __future__ import annotations

from typing import NoReturn

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Branch, Conversation
from antiphon.domain.errors import NotFound
from antiphon.domain.items import Item
from antiphon.domain.runs import Run
from antiphon.ports.storage import Conversations, Runs, Tree


def not_found(kind: str, shown_id: object, param: str | None = None) -> NoReturn:
    """Raise the one error for things absent or foreign."""
    raise NotFound(f"{kind} with id '{shown_id}' not found.", param=param)


class Access:
    """Finds objects by their wire ids for a caller."""

    def __init__(self, conversations: Conversations, tree: Tree, runs: Runs) -> None:
        self._conversations = conversations
        self._tree = tree
        self._runs = runs

    async def conversation(self, who: Principal, wire_id: str) -> Conversation:
        """Return a conversation; raises NotFound."""
        identifier = ids.parse(wire_id, ids.CONVERSATION)
        found = await self._conversations.get(who.account_id, identifier) if identifier else None
        return found or not_found("Conversation", wire_id)

    async def branch(self, who: Principal, conversation_id: str, wire_id: str) -> tuple[Conversation, Branch]:
        """Return a branch with its conversation; raises NotFound."""
        conversation = await self.conversation(who, conversation_id)
        identifier = ids.parse(wire_id, ids.BRANCH)
        found = await self._conversations.branch(conversation.id, identifier) if identifier else None
        return (conversation, found) if found else not_found("Branch", wire_id)

    async def item(self, who: Principal, conversation: Conversation, wire_id: str) -> tuple[Item, str]:
        """Return an item of a conversation's tree and its segment's conversation; raises NotFound.

        An item belongs to a conversation if it lies in its own segments or on its base path.
        """
        identifier = ids.parse_item(wire_id)
        found = await self._tree.item(who.account_id, identifier) if identifier else None
        if found is None:
            not_found("Item", wire_id)
        item, owner = found
        if owner == conversation.id or await self._on_base_path(conversation, item):
            return item, owner
        return not_found("Item", wire_id)

    async def _on_base_path(self, conversation: Conversation, item: Item) -> bool:
        if conversation.base is None or item.depth > conversation.base.depth:
            return False
        ranges = await self._tree.path(conversation.base, floor_depth=item.depth)
        return any(
            part.segment_id == item.segment_id and part.first <= item.depth <= part.last for part in ranges
        )

    async def run(self, who: Principal, wire_id: str, *prefixes: str) -> Run:
        """Return a stored run; raises NotFound."""
        identifier = ids.parse(wire_id, *(prefixes or (ids.RESPONSE,)))
        found = await self._runs.get(who.account_id, identifier) if identifier else None
        return found or not_found("Response", wire_id)
