"""A store whose items' large data URLs lie in a blob store.

Wraps the ports through which items come and go, so that no service knows of it: what is written
loses its large data URLs to the blob store before the commit, what is read has them again. Items
without any, nearly all, cost one look at the length of their payload, or at its first character.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.blobs import LARGE, blobs_of, is_reduced, put_back, take_out
from antiphon.domain.conversations import PathRange
from antiphon.domain.errors import Conflict, Unavailable
from antiphon.domain.items import Item, NewItem, Position
from antiphon.domain.runs import Run
from antiphon.ports import blob_writes as wb
from antiphon.ports import write_sets as ws
from antiphon.ports.blob_store import BlobStore
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Runs, Storage, Tree, TurnBase, UnitOfWork
from antiphon.storage.around import AroundStorage

ATTEMPTS: Final = 8
FIRST_PAUSE_SECONDS: Final = 0.01


class UnitOfWorkWithBlobs:
    """Port `UnitOfWork`: content goes to the blob store first, then the commit names it."""

    def __init__(self, inner: UnitOfWork, blobs: BlobStore, clock: Clock) -> None:
        self._inner = inner
        self._blobs = blobs
        self._clock = clock

    async def commit(self, *commands: Any) -> None:
        """See the port. Also raises StorageFull if a blob cannot be written."""
        for command in commands:
            if type(command) is ws.PutItems and any(len(item.payload) > LARGE for item in command.items):
                await self._commit_large(commands)
                return
        await self._inner.commit(*commands)

    async def _commit_large(self, commands: Sequence[ws.Command]) -> None:
        reduced, announced, contents = await asyncio.to_thread(_reduce, commands, self._clock.now_us())
        if not contents:
            await self._inner.commit(*commands)
            return
        for attempt in range(ATTEMPTS):
            try:
                await self._inner.commit(*announced)
                for one in announced:
                    await self._blobs.put(one.owner_id, contents[one.digest])
                await self._inner.commit(*reduced)
                return
            except Conflict as lost:
                # The same content is being erased at this moment: it can be put again in a moment.
                if lost.message not in ("AnnounceBlob", "HoldBlob") or attempt == ATTEMPTS - 1:
                    raise
            await asyncio.sleep(FIRST_PAUSE_SECONDS * 2**attempt)


def _reduce(
    commands: Sequence[ws.Command], now_us: int
) -> tuple[list[ws.Command], list[wb.AnnounceBlob], dict[str, bytes]]:
    """Return the commands without large data URLs, what announces these, and their bytes by digest."""
    reduced: list[ws.Command] = []
    announced: dict[tuple[str, str], wb.AnnounceBlob] = {}
    contents: dict[str, bytes] = {}
    for command in commands:
        if not isinstance(command, ws.PutItems):
            reduced.append(command)
            continue
        items, holds = _reduce_items(command, contents)
        reduced += [msgspec.structs.replace(command, items=items), *holds]
        for hold in holds:
            announced[hold.owner_id, hold.digest] = wb.AnnounceBlob(
                owner_id=hold.owner_id, slot=hold.slot, digest=hold.digest,
                size=len(contents[hold.digest]), now_us=now_us,
            )  # fmt: skip
    return reduced, list(announced.values()), contents


def _reduce_items(
    command: ws.PutItems, contents: dict[str, bytes]
) -> tuple[tuple[NewItem, ...], list[wb.HoldBlob]]:
    """Return the items as they are stored and what they hold, adding its bytes to `contents`."""
    items, holds = list(command.items), list[wb.HoldBlob]()
    for index, item in enumerate(items):
        taken = take_out(item.payload, command.owner_id) if len(item.payload) > LARGE else None
        if taken is None:
            continue
        items[index] = msgspec.structs.replace(item, payload=taken[0])
        for digest, content in taken[1].items():
            contents[digest] = content
            holds.append(
                wb.HoldBlob(
                    owner_id=command.owner_id, slot=command.slot, digest=digest,
                    segment_id=command.after.segment_id, depth=command.after.depth + 1 + index,
                    item_id=item.id,
                )
            )  # fmt: skip
    return tuple(items), holds


class TreeWithBlobs:
    """Port `Tree`: items come as they were put in.

    Segments in the view of a tree are only previewed, so theirs are left as they are.
    """

    def __init__(self, inner: Tree, blobs: BlobStore) -> None:
        self._inner = inner
        self._blobs = blobs
        self.before = inner.before
        self.path = inner.path
        self.is_continued = inner.is_continued
        self.is_hidden = inner.is_hidden
        self.segments = inner.segments

    async def turn_base(
        self, account_id: str, conversation_id: str, branch_id: str | None, budget_tokens: int
    ) -> TurnBase | None:
        """See the port."""
        return await self._base(self._inner.turn_base(account_id, conversation_id, branch_id, budget_tokens))

    async def position_base(
        self, account_id: str, conversation_id: str, position: Position, budget_tokens: int
    ) -> TurnBase | None:
        """See the port."""
        return await self._base(
            self._inner.position_base(account_id, conversation_id, position, budget_tokens)
        )

    async def _base(self, reading: Awaitable[TurnBase | None]) -> TurnBase | None:
        """Restore the context; the parent is asked for its place only."""
        base = await reading
        if base is None:
            return None
        context = await restored(base.context, self._blobs)
        return base if context is base.context else msgspec.structs.replace(base, context=context)

    async def item(self, account_id: str, item_id: str) -> tuple[Item, str] | None:
        """See the port."""
        found = await self._inner.item(account_id, item_id)
        if found is None:
            return None
        (item,) = await restored([found[0]], self._blobs)
        return item, found[1]

    async def items(self, ranges: Sequence[PathRange], conversation_id: str) -> list[Item]:
        """See the port."""
        return await restored(await self._inner.items(ranges, conversation_id), self._blobs)

    async def at(self, position: Position) -> Item | None:
        """See the port."""
        item = await self._inner.at(position)
        return (await restored([item], self._blobs))[0] if item is not None else None

    async def siblings(self, account_id: str, conversation_id: str, item: Item, limit: int) -> list[Item]:
        """See the port."""
        found = await self._inner.siblings(account_id, conversation_id, item, limit)
        return await restored(found, self._blobs)


class RunsWithBlobs:
    """Port `Runs`: a run's input comes as it was put in; what models answer holds no blobs."""

    def __init__(self, inner: Runs, blobs: BlobStore) -> None:
        self._inner = inner
        self._blobs = blobs
        self.get = inner.get
        self.outputs = inner.outputs
        self.log = inner.log
        self.page = inner.page
        self.running = inner.running
        self.ratings = inner.ratings
        self.on_input = inner.on_input
        self.key = inner.key
        self.longest_prefix = inner.longest_prefix

    async def inputs(self, run: Run) -> list[Item]:
        """See the port."""
        return await restored(await self._inner.inputs(run), self._blobs)


class StorageWithBlobs(AroundStorage):
    """Port `Storage` around another one."""

    def __init__(self, inner: Storage, blobs: BlobStore, clock: Clock) -> None:
        super().__init__(inner)
        self.unit_of_work = UnitOfWorkWithBlobs(inner.unit_of_work, blobs, clock)
        self.tree = TreeWithBlobs(inner.tree, blobs)
        self.runs = RunsWithBlobs(inner.runs, blobs)


async def restored(items: list[Item], blobs: BlobStore) -> list[Item]:
    """Return items with their large data URLs put back; raises Unavailable if a blob is missing."""
    if not any(is_reduced(item.payload) for item in items):
        return items
    return [await _restore(item, blobs) if is_reduced(item.payload) else item for item in items]


async def _restore(item: Item, blobs: BlobStore) -> Item:
    owner_id, digests = blobs_of(item.payload)
    texts: dict[str, str] = {}
    for digest in digests:
        content = await blobs.read(owner_id, digest)
        if content is None:
            raise Unavailable(f"Content of item '{item.wire_id}' cannot be read.", code="content_missing")
        texts[digest] = content.decode()
    payload = await asyncio.to_thread(put_back, item.payload, texts)
    return msgspec.structs.replace(item, payload=payload)
