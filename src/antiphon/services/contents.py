"""The bytes of documents: kept while something needs them, erased when nothing does.

The rows that need a blob and the blob itself lie in different stores. What keeps them together is a
lock for each owner (one on all servers), held from the last byte of an upload to its commit, and while
blobs are erased: nothing is erased between its arrival and the commit that names it. A process that dies
in between leaves a blob that nothing needs; `sweep` finds it at the next start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final

from antiphon.domain.accounts import Principal
from antiphon.domain.errors import RateLimited, TooLarge
from antiphon.ports.blob_store import BlobStore, StoredBlob
from antiphon.ports.files import Files
from antiphon.ports.locks import Locks

AT_ONCE: Final = 32
"""Contents one account may send at the same time; each holds a file and a piece in memory."""
PAGE: Final = 256


class Contents:
    """Keeps, reads and erases; `most_stored_bytes` is what all of an owner's may take (0: no limit)."""

    def __init__(self, blobs: BlobStore, files: Files, locks: Locks, *, most_stored_bytes: int) -> None:
        self._blobs = blobs
        self._files = files
        self.most_stored_bytes = most_stored_bytes
        self.read = blobs.open
        self.local = blobs.local
        self._locks = locks
        self._arriving: Counter[str] = Counter()

    @asynccontextmanager
    async def keeping(
        self, who: Principal, chunks: AsyncIterator[bytes], *, most_bytes: int, announced: int = 0
    ) -> AsyncIterator[StoredBlob]:
        """Keep content for the block, which is to commit what needs it; else it is gone afterwards.

        Raises TooLarge above `most_bytes`, or where the owner's storage would be full with
        `announced` more bytes; RateLimited for too many at once; StorageFull.
        """
        owner_id = who.actor_id
        if self._arriving[owner_id] >= AT_ONCE:
            raise RateLimited(f"At most {AT_ONCE} files at once.", code="too_many_uploads")
        self._arriving[owner_id] += 1
        try:
            await self._require_room(owner_id, announced)
            async with AsyncExitStack() as held:
                stream = _locking(chunks, most_bytes, held, self._lock(owner_id))
                stored = await self._blobs.put_stream(owner_id, stream)
                try:
                    yield stored
                finally:
                    if not await self._files.needs(owner_id, stored.digest):
                        await self._blobs.delete(owner_id, stored.digest)
        finally:
            self._arriving[owner_id] -= 1
            if not self._arriving[owner_id]:
                del self._arriving[owner_id]

    async def _require_room(self, owner_id: str, announced: int) -> None:
        most = self.most_stored_bytes
        if most and await self._files.stored_bytes(owner_id) + announced > most:
            raise storage_exceeded(most)

    async def erase(self, owner_id: str, digests: Iterable[str]) -> int:
        """Erase those contents that nothing needs; returns how many went."""
        count = 0
        async with self._lock(owner_id):
            for digest in digests:
                if not await self._files.needs(owner_id, digest):
                    count += await self._blobs.delete(owner_id, digest)
        return count

    async def erase_unneeded(self, owner_id: str) -> int:
        """Erase all contents of an owner that nothing needs."""
        count, after = 0, None
        while found := await self._blobs.page(owner_id, after=after, limit=PAGE):
            after = found[-1].digest
            count += await self.erase(owner_id, [blob.digest for blob in found])
        return count

    async def sweep(self) -> int:
        """Erase what a dead process was about to commit, or to erase."""
        count, after = 0, None
        while owners := await self._blobs.owners(after=after, limit=PAGE):
            after = owners[-1]
            for owner_id in owners:
                count += await self.erase_unneeded(owner_id)
        return count

    def _lock(self, owner_id: str) -> AbstractAsyncContextManager[None]:
        return self._locks.exclusive(f"documents {owner_id}")


async def _locking(
    chunks: AsyncIterator[bytes],
    most_bytes: int,
    held: AsyncExitStack,
    lock: AbstractAsyncContextManager[None],
) -> AsyncIterator[bytes]:
    """Yield chunks of at most so many bytes; at their end the lock is taken, before they are kept."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > most_bytes:
            raise TooLarge(f"The file is larger than {most_bytes} bytes.", code="file_too_large")
        yield chunk
    await held.enter_async_context(lock)


def storage_exceeded(most_bytes: int) -> TooLarge:
    """Return the error for an owner whose storage is full."""
    return TooLarge(
        f"Your files may take {most_bytes} bytes in all; delete some first.", code="storage_limit_exceeded"
    )
