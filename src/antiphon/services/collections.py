"""Collections of files that are searched together, and where they stand to be searched always."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.collections import COLLECTION, Attributes, Chunking, Collection, Counts, Member
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.files import File
from antiphon.domain.members import OWNER, VIEWER
from antiphon.ports.clock import Clock
from antiphon.ports.knowledge import Knowledge
from antiphon.services.access import Access, not_found
from antiphon.services.conversations import cursor_of
from antiphon.services.files import Files, Indexing
from antiphon.services.idempotency import Key
from antiphon.services.kept_answers import KeptAnswers
from antiphon.services.paging import Page
from antiphon.services.standing import Standing, conversation_target, user_target

DAY_US: Final = 24 * 3600 * 1_000_000
MAX_STANDING: Final = 16
"""Collections every turn of a conversation or a person retrieves from."""


class NewMember(msgspec.Struct, frozen=True, kw_only=True):
    """A file, by its wire id, that is to be in a collection; `param` is where the request names it."""

    file_id: str
    attributes: Attributes = {}
    chunking: Chunking = Chunking()
    param: str = "file_id"


class NewCollection(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection is made of; `metadata` is JSON text."""

    name: str = ""
    description: str | None = None
    metadata: str = "{}"
    expires_after_days: int | None = None


class Counted(msgspec.Struct, frozen=True):
    """A collection with the numbers of its members; `expired` if its end has come."""

    collection: Collection
    counts: Counts
    expired: bool = False


class Collections:
    """The collections of the caller."""

    def __init__(
        self, knowledge: Knowledge, files: Files, access: Access, kept: KeptAnswers, indexing: Indexing,
        standing: Standing, clock: Clock,
    ) -> None:  # fmt: skip
        self._collections = knowledge.collections
        self._batches = knowledge.batches
        self._files = files
        self._access = access
        self._kept = kept
        self._indexing = indexing
        self._standing = standing
        self._clock = clock

    async def create(
        self, who: Principal, new: NewCollection, files: Sequence[NewMember] = (), *, key: Key | None
    ) -> Counted:
        """Make a collection with its first files; raises NotFound for a file."""
        now = self._clock.now_us()
        collection = Collection(
            id=ids.new_id(who.actor_slot), owner_id=who.actor_id, slot=who.actor_slot, name=new.name,
            description=new.description, metadata=new.metadata, created_us=now, active_us=now,
            expires_after_days=new.expires_after_days, expires_us=end_of(new.expires_after_days, now),
        )  # fmt: skip
        members = await self.members_of(who, collection, files)
        made = Counted(collection, Counts(in_progress=len(members)))
        await self._collections.put(collection, members, key=self._kept.keep(who, key, made))
        self._indexing.wake()
        return made

    async def members_of(
        self, who: Principal, collection: Collection, files: Sequence[NewMember], batch_id: str | None = None
    ) -> list[Member]:
        """Return files as members of a collection, each once; raises NotFound."""
        now, found = self._clock.now_us(), dict[str, Member]()
        for new in files:
            file: File = await self._files.get(who, new.file_id, new.param)
            found[file.id] = Member(
                id=ids.new_id(collection.slot), collection_id=collection.id, file_id=file.id,
                owner_id=collection.owner_id, slot=collection.slot, attributes=new.attributes,
                chunking=new.chunking, batch_id=batch_id, version=file.version, created_us=now,
            )  # fmt: skip
        return list(found.values())

    async def find(self, who: Principal, collection_id: str, param: str | None = None) -> Collection:
        """Return a collection; raises NotFound."""
        identifier = ids.parse(collection_id, COLLECTION)
        found = await self._collections.get(who.actor_id, identifier) if identifier else None
        return found if found is not None else not_found("Vector store", collection_id, param)

    async def usable(self, who: Principal, collection_id: str) -> Collection:
        """Return a collection whose end has not come, which this use moves; raises InvalidRequest."""
        collection = await self.find(who, collection_id)
        if self._is_expired(collection):
            raise InvalidRequest(f"Vector store '{collection_id}' has expired.", code="vector_store_expired")
        await self._collections.touch(who.actor_id, [collection.id], self._clock.now_us())
        return collection

    def _is_expired(self, collection: Collection) -> bool:
        return collection.expires_us is not None and collection.expires_us <= self._clock.now_us()

    async def get(self, who: Principal, collection_id: str) -> Counted:
        """Return a collection with its numbers; raises NotFound."""
        return await self._counted(await self.find(who, collection_id))

    async def _counted(self, collection: Collection) -> Counted:
        counts = await self._batches.counts(collection.id)
        return Counted(collection, counts, self._is_expired(collection))

    async def page(
        self, who: Principal, *, after: str | None, before: str | None, limit: int, descending: bool
    ) -> Page[Counted]:
        """List the caller's collections, newest first if `descending`; or those just before one."""
        found = await self._collections.page(
            who.actor_id, after=cursor_of(after, COLLECTION), before=cursor_of(before, COLLECTION),
            limit=limit + 1, descending=descending,
        )  # fmt: skip
        shown = cut(found, limit, backwards=before is not None and after is None)
        return Page([await self._counted(one) for one in shown], len(found) > limit)

    async def update(
        self,
        who: Principal,
        collection_id: str,
        *,
        name: str | UnsetType | None = UNSET,
        metadata: str | UnsetType = UNSET,
        expires_after_days: int | UnsetType | None = UNSET,
    ) -> Counted:
        """Change what is given; an end is counted from now. Raises NotFound."""
        collection = await self.find(who, collection_id)
        now = self._clock.now_us()
        days = collection.expires_after_days if expires_after_days is UNSET else expires_after_days
        changed = msgspec.structs.replace(
            collection,
            name=collection.name if name is UNSET else name or "",
            metadata=collection.metadata if metadata is UNSET else metadata,
            active_us=now,
            expires_after_days=days,
            expires_us=end_of(days, now),
        )
        if not await self._collections.change(changed):
            not_found("Vector store", collection_id)
        return await self._counted(changed)

    async def delete(self, who: Principal, collection_id: str) -> str:
        """Erase a collection; its files stay. Returns its id; raises NotFound."""
        collection = await self.find(who, collection_id)
        if not await self.erase(collection):
            not_found("Vector store", collection_id)
        return collection.id

    async def erase(self, collection: Collection) -> bool:
        """Erase a collection; returns whether it was still there."""
        gone = await self._collections.delete(collection.owner_id, collection.id)
        self._indexing.abandon(collection_id=collection.id)
        return gone

    async def expired(self, limit: int) -> list[Collection]:
        """Return collections whose end has come, and that have files."""
        return await self._collections.expired(self._clock.now_us(), limit)

    async def empty(self, collection: Collection) -> None:
        """Take the files out of a collection."""
        await self._collections.empty(collection.owner_id, collection.id)
        self._indexing.abandon(collection_id=collection.id)

    # --- collections that stand

    async def standing(self, who: Principal, conversation_id: str | None = None) -> list[str]:
        """Return the wire ids of what every turn of the caller, or of a conversation, retrieves from."""
        owner_id, target = await self._target(who, conversation_id, change=False)
        return [COLLECTION + one for one in await self._batches.standing(owner_id, target)]

    async def stand(
        self, who: Principal, collection_ids: Sequence[str], conversation_id: str | None = None
    ) -> list[str]:
        """Replace them with collections of the caller's; raises NotFound, and Forbidden to members."""
        if len(collection_ids) > MAX_STANDING:
            raise InvalidRequest(
                f"At most {MAX_STANDING} vector stores.",
                code="array_above_max_length",
                param="vector_store_ids",
            )
        owner_id, target = await self._target(who, conversation_id, change=True)
        found = [await self.find(who, one, "vector_store_ids") for one in dict.fromkeys(collection_ids)]
        await self._standing.replace(owner_id, target, [one.id for one in found])
        return [COLLECTION + one.id for one in found]

    async def _target(self, who: Principal, conversation_id: str | None, *, change: bool) -> tuple[str, str]:
        if conversation_id is None:
            return who.actor_id, user_target(who.actor_id)
        _, conversation = await self._access.enter(who, conversation_id, OWNER if change else VIEWER)
        return conversation.owner_id, conversation_target(conversation.id)


def end_of(days: int | None, now_us: int) -> int | None:
    """Return when a collection ends that was last used now."""
    return None if days is None else now_us + days * DAY_US


def cut(found: list[Collection], limit: int, *, backwards: bool) -> list[Collection]:
    """Return the page of one entry too many; read backwards, that one is the first."""
    return found[-limit:] if backwards else found[:limit]
