"""Files in collections: added one by one or in batches, followed while they are indexed, taken out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.collections import BATCH, Attributes, Batch, Collection, Counts, Member, MemberState
from antiphon.domain.errors import Conflict
from antiphon.domain.files import FILE
from antiphon.ports.clock import Clock
from antiphon.ports.kept_answers import KeptAnswer
from antiphon.ports.knowledge import Knowledge
from antiphon.services.access import not_found
from antiphon.services.collections import Collections, NewMember
from antiphon.services.conversations import invalid_cursor
from antiphon.services.files import Files, Indexing
from antiphon.services.idempotency import Key
from antiphon.services.kept_answers import KeptAnswers
from antiphon.services.paging import Page

PART_CHARACTERS: Final = 16_384
PAGE_CHARACTERS: Final = 40 * PART_CHARACTERS
"""How much of a text one page of a member's content holds, and in what parts."""


class CountedBatch(msgspec.Struct, frozen=True):
    """A batch with the numbers of its members."""

    batch: Batch
    counts: Counts


class CollectionFiles:
    """The members of the caller's collections."""

    def __init__(
        self, knowledge: Knowledge, collections: Collections, files: Files, kept: KeptAnswers,
        indexing: Indexing, clock: Clock,
    ) -> None:  # fmt: skip
        self._members = knowledge.members
        self._batches = knowledge.batches
        self._texts = knowledge.texts
        self._collections = collections
        self._files = files
        self._kept = kept
        self._indexing = indexing
        self._clock = clock

    async def add(self, who: Principal, collection_id: str, new: NewMember, *, key: Key | None) -> Member:
        """Add a file, or index it again with what is new; raises NotFound."""
        collection = await self._collections.usable(who, collection_id)
        (member,) = await self._collections.members_of(who, collection, [new])
        await self._put(collection, [member], None, self._kept.keep(who, key, member), new.file_id)
        found = await self._members.get(who.actor_id, collection.id, member.file_id)
        return found or member

    async def add_batch(
        self, who: Principal, collection_id: str, files: Sequence[NewMember], *, key: Key | None
    ) -> CountedBatch:
        """Add several files at once; raises NotFound."""
        collection = await self._collections.usable(who, collection_id)
        batch = Batch(
            id=ids.new_id(collection.slot), collection_id=collection.id, owner_id=collection.owner_id,
            slot=collection.slot, created_us=self._clock.now_us(),
        )  # fmt: skip
        members = await self._collections.members_of(who, collection, files, batch.id)
        made = CountedBatch(batch, Counts(in_progress=len(members)))
        await self._put(collection, members, batch, self._kept.keep(who, key, made), collection_id)
        return CountedBatch(batch, await self._batches.counts(collection.id, batch.id))

    async def _put(
        self, collection: Collection, members: list[Member], batch: Batch | None, key: KeptAnswer | None,
        shown: str,
    ) -> None:  # fmt: skip
        try:
            await self._members.put(members, batch, key=key)
        except Conflict as lost:
            if lost.message == "PutMembers":
                not_found("File or vector store", shown)
            raise
        self._indexing.wake()

    async def get(self, who: Principal, collection_id: str, file_id: str) -> Member:
        """Return a member; raises NotFound."""
        collection = await self._collections.find(who, collection_id)
        identifier = ids.parse(file_id, FILE)
        found = await self._members.get(who.actor_id, collection.id, identifier) if identifier else None
        return found if found is not None else not_found("File", file_id)

    async def page(
        self,
        who: Principal,
        collection_id: str,
        *,
        after: str | None,
        before: str | None,
        limit: int,
        descending: bool,
        state: MemberState | None,
        batch_id: str | None = None,
    ) -> Page[Member]:
        """List members by when they were added, of one batch or in one state if that is asked."""
        collection = await self._collections.find(who, collection_id)
        batch = (await self.batch(who, collection_id, batch_id)).batch if batch_id is not None else None
        found = await self._members.page(
            who.actor_id,
            collection.id,
            after=await self._cursor(who, collection, after),
            before=await self._cursor(who, collection, before),
            limit=limit + 1,
            descending=descending,
            state=state,
            batch_id=batch.id if batch is not None else None,
        )
        backwards = before is not None and after is None
        return Page(found[-limit:] if backwards else found[:limit], len(found) > limit)

    async def _cursor(self, who: Principal, collection: Collection, shown: str | None) -> str | None:
        if shown is None:
            return None
        identifier = ids.parse(shown, FILE)
        if identifier is None or await self._members.get(who.actor_id, collection.id, identifier) is None:
            raise invalid_cursor(shown)
        return identifier

    async def notes(self, member: Member) -> list[str]:
        """Return, for people, what of a member's file could not be read or had to be guessed."""
        version = await self._files.version_of(member)
        if version is None or version.text_state != "ready":
            return []
        return (version.error or "").splitlines()

    async def describe(
        self, who: Principal, collection_id: str, file_id: str, attributes: Attributes
    ) -> Member:
        """Replace a member's attributes; raises NotFound."""
        member = await self.get(who, collection_id, file_id)
        found = await self._members.describe(who.actor_id, member.collection_id, member.file_id, attributes)
        self._indexing.wake()
        return found if found is not None else not_found("File", file_id)

    async def remove(self, who: Principal, collection_id: str, file_id: str) -> str:
        """Take a file out of a collection; the file stays. Returns its id; raises NotFound."""
        member = await self.get(who, collection_id, file_id)
        if not await self._members.remove(who.actor_id, member.collection_id, member.file_id):
            not_found("File", file_id)
        self._indexing.abandon(collection_id=member.collection_id, file_id=member.file_id)
        self._indexing.wake()
        return member.file_id

    async def content(
        self, who: Principal, collection_id: str, file_id: str, start: int
    ) -> tuple[list[str], int | None]:
        """Return a page of a member's text from code point `start`, and where the next begins."""
        member = await self.get(who, collection_id, file_id)
        _, version = await self._files.version(who, file_id, member.version)
        end = min(version.characters, start + PAGE_CHARACTERS)
        text = await self._texts.read(who.actor_id, member.file_id, member.version, start, end) or ""
        parts = [text[at : at + PART_CHARACTERS] for at in range(0, len(text), PART_CHARACTERS)]
        return parts, end if end < version.characters else None

    async def batch(self, who: Principal, collection_id: str, batch_id: str) -> CountedBatch:
        """Return a batch with its numbers; raises NotFound."""
        collection = await self._collections.find(who, collection_id)
        identifier = ids.parse(batch_id, BATCH)
        found = await self._batches.batch(who.actor_id, collection.id, identifier) if identifier else None
        if found is None:
            not_found("File batch", batch_id)
        return CountedBatch(found, await self._batches.counts(collection.id, found.id))

    async def cancel_batch(self, who: Principal, collection_id: str, batch_id: str) -> CountedBatch:
        """Cancel what of a batch has not ended; does nothing to one that has. Raises NotFound."""
        found = await self.batch(who, collection_id, batch_id)
        if found.counts.in_progress:
            await self._batches.cancel(who.actor_id, found.batch.collection_id, found.batch.id)
            self._indexing.abandon(batch_id=found.batch.id)
        return await self.batch(who, collection_id, batch_id)
