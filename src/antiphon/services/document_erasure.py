"""What of knowledge goes when accounts and conversations are erased; see `services.erasure`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from antiphon.ports.knowledge import Knowledge
from antiphon.ports.passage_index import IndexScopes
from antiphon.services.collections import Collections
from antiphon.services.contents import Contents
from antiphon.services.files import Files
from antiphon.services.standing import Standing, conversation_target
from antiphon.services.uploads import Uploads

AT_ONCE: Final = 50


class _Holder:
    """Holds nothing of single items."""

    @asynccontextmanager
    async def forgetting_items(
        self, owner_id: str, conversation_id: str, item_ids: Sequence[str]
    ) -> AsyncIterator[int]:
        """See the protocol."""
        yield 0


class FileErasure(_Holder):
    """Erases an account's files and uploads: rows, versions, texts and bytes."""

    counted = "files"

    def __init__(self, knowledge: Knowledge, contents: Contents, files: Files, uploads: Uploads) -> None:
        self._knowledge = knowledge
        self._contents = contents
        self._files = files
        self._uploads = uploads

    async def forget_conversation(self, owner_id: str, conversation_id: str) -> int:
        """See the protocol."""
        return 0

    async def forget_owner(self, owner_id: str) -> int:
        """See the protocol."""
        count = 0
        while found := await self._knowledge.files.of_owner(owner_id, AT_ONCE):
            count += sum([await self._files.erase(file) for file in found])
        while uploads := await self._knowledge.uploads.of_owner(owner_id, AT_ONCE):
            for upload in uploads:
                await self._uploads.erase(upload)
        await self._contents.erase_unneeded(owner_id)
        return count


class CollectionErasure(_Holder):
    """Erases an account's collections with their passages, and what stands on a conversation."""

    counted = "vector_stores"

    def __init__(
        self, knowledge: Knowledge, collections: Collections, standing: Standing, scopes: IndexScopes
    ) -> None:
        self._knowledge = knowledge
        self._collections = collections
        self._standing = standing
        self._scopes = scopes

    async def forget_conversation(self, owner_id: str, conversation_id: str) -> int:
        """See the protocol."""
        await self._standing.replace(owner_id, conversation_target(conversation_id), ())
        return 0

    async def forget_owner(self, owner_id: str) -> int:
        """See the protocol."""
        count = 0
        while found := await self._knowledge.collections.page(
            owner_id, after=None, limit=AT_ONCE, descending=False
        ):
            count += sum([await self._collections.erase(one) for one in found])
        await self._knowledge.batches.forget_owner(owner_id)
        await self._scopes.forget_owner(owner_id)
        return count
