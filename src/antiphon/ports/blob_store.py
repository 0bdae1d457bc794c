"""Port to large content, kept per owner under the SHA-256 of its bytes.

Equal content of one owner is one blob; equal content of two owners is two. Names that clients
give are no part of it. Owners are ids, digests 64 hexadecimal digits; anything else raises
ValueError.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import msgspec


class StoredBlob(msgspec.Struct, frozen=True):
    """A blob's digest and its size in bytes."""

    digest: str
    size: int


class BlobStore(Protocol):
    """Keeps bytes; whatever a call has returned survives the death of the process."""

    async def put(self, owner_id: str, content: bytes) -> StoredBlob:
        """Keep content whole or not at all; does nothing if it is there. Raises StorageFull."""
        ...

    async def put_stream(self, owner_id: str, chunks: AsyncIterator[bytes]) -> StoredBlob:
        """Keep content that arrives in pieces; if the stream breaks, nothing is kept."""
        ...

    async def read(self, owner_id: str, digest: str) -> bytes | None:
        """Return a blob's whole content, or None."""
        ...

    def open(
        self, owner_id: str, digest: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """Iterate over a blob's content from byte `start` to before `end`, in pieces.

        Raises NotFound at the first if it is not there.
        """
        ...

    def local(self, owner_id: str, digest: str) -> AbstractAsyncContextManager[Path]:
        """Give a file of this machine with a blob's content for as long as the context is open.

        It is only to be read. Raises NotFound if the blob is not there.
        """
        ...

    async def size(self, owner_id: str, digest: str) -> int | None:
        """Return a blob's size in bytes, or None."""
        ...

    async def delete(self, owner_id: str, digest: str) -> bool:
        """Erase a blob; returns whether it was there."""
        ...

    async def page(self, owner_id: str, *, after: str | None, limit: int) -> list[StoredBlob]:
        """Return an owner's blobs by digest, beginning after `after`."""
        ...

    async def owners(self, *, after: str | None, limit: int) -> list[str]:
        """Return owners who may have blobs, by id, beginning after `after`."""
        ...
