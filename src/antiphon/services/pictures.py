"""Pictures that messages name by their ids, for all who are in the conversation or hold a link to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Conversation
from antiphon.domain.errors import NotFound
from antiphon.domain.files import File
from antiphon.domain.items import Item
from antiphon.services.access import Access, not_found
from antiphon.services.attached_files import AttachedFiles
from antiphon.services.conversations import Conversations
from antiphon.services.shares import Shares


class Pictures:
    """Gives readers what they see in a message, though the file is another's; of documents only the name."""

    def __init__(
        self, access: Access, conversations: Conversations, shares: Shares, attached: AttachedFiles
    ) -> None:
        self._access = access
        self._conversations = conversations
        self._shares = shares
        self._attached = attached

    async def get(self, who: Principal, conversation_id: str, item_id: str, file_id: str) -> File:
        """Return the file of a picture that an item names.

        Raises NotFound for what the item does not name as a picture, what is none or is gone, and where
        the item's author is not in the conversation any more.
        """
        item = await self._conversations.item(who, conversation_id, item_id)
        _, conversation = await self._access.enter(who, conversation_id)
        return await self._named(item, conversation, file_id)

    async def get_shared(self, token: str, item_id: str, file_id: str) -> File:
        """Return the same to whoever holds a link that shows the item. Raises NotFound."""
        shared, item = await self._shares.item(token, item_id)
        return await self._named(item, shared.conversation, file_id)

    async def _named(self, item: Item, conversation: Conversation, file_id: str) -> File:
        author_id = item.author_id
        if author_id is None or not await self._access.is_in(author_id, conversation):
            not_found("File", file_id)
        try:
            found = await self._attached.picture(author_id, item, file_id)
        except NotFound:
            found = None  # its content is gone
        return found if found is not None else not_found("File", file_id)

    def read(self, file: File, start: int, end: int) -> AsyncIterator[bytes]:
        """Iterate over the bytes `start` to `end` of a picture."""
        return self._attached.read(file, start, end)
