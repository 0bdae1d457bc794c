"""Blobs in PostgreSQL, for all servers on it: rows of `contents`, cut into pieces of 256 KiB.

What arrives in pieces is kept under a number and gets its name with its last piece, so that a name
always means the whole content. No connection is held while a client is waited for, and of a content
no more than a piece is in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg

from antiphon.domain.errors import NotFound, Unavailable
from antiphon.ports.blob_store import StoredBlob
from antiphon.storage.blob_names import require_digest, require_owner
from antiphon.storage.sql.postgres_pool import LOST, Pool, Session
from antiphon.storage.sql.postgres_workers import NOW_US

PIECE_BYTES: Final = 256 * 1024
INCOMING_US: Final = 3600 * 1_000_000
"""How long ago the last piece came of a content that is given up."""

_PLACE: Final = "root=$1 AND owner_id=$2 AND digest=$3"
_BEGIN: Final = f"INSERT INTO contents (root,owner_id,touched) VALUES ($1,$2,{NOW_US}) RETURNING no"
_PIECE: Final = "INSERT INTO content_pieces (content_no,piece,data) VALUES ($1,$2,$3)"
_TOUCH: Final = f"UPDATE contents SET touched={NOW_US} WHERE no=$1"
_NAME: Final = f"UPDATE contents SET digest=$2,size=$3,touched={NOW_US} WHERE no=$1 AND digest IS NULL"
_PUT: Final = (
    f"INSERT INTO contents (root,owner_id,digest,size,touched) VALUES ($1,$2,$3,$4,{NOW_US})"
    " ON CONFLICT DO NOTHING RETURNING no"
)
_READ: Final = (
    "SELECT p.data FROM contents c LEFT JOIN content_pieces p ON p.content_no=c.no"
    " WHERE c.root=$1 AND c.owner_id=$2 AND c.digest=$3 ORDER BY p.piece"
)
_ONE: Final = "SELECT data FROM content_pieces WHERE content_no=$1 AND piece=$2"
_DELETE: Final = (
    "WITH gone AS (DELETE FROM contents WHERE {which} RETURNING no),"
    " pieces AS (DELETE FROM content_pieces p USING gone WHERE p.content_no=gone.no)"
    " SELECT count(*) FROM gone"
)
_PAGE: Final = (
    "SELECT digest,size FROM contents WHERE root=$1 AND owner_id=$2 AND digest>$3 ORDER BY digest LIMIT $4"
)
_OWNERS: Final = (
    "SELECT DISTINCT owner_id FROM contents WHERE root=$1 AND owner_id>$2 AND digest IS NOT NULL"
    " ORDER BY owner_id LIMIT $3"
)


class PostgresBlobs:
    """Port `BlobStore`: the contents under `root`; copies that programs read lie in `directory` meanwhile."""

    def __init__(self, pool: Pool, root: str, directory: Path) -> None:
        self._pool = pool
        self._root = root
        self._directory = directory

    async def clean(self) -> None:
        """Erase what dead processes had not finished; others may be at work."""
        which = f"digest IS NULL AND touched<{NOW_US}-{INCOMING_US}"
        await self._value(_DELETE.format(which=which))

    async def put(self, owner_id: str, content: bytes) -> StoredBlob:
        """See the port."""
        require_owner(owner_id)
        digest = await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())
        if await self.size(owner_id, digest) is None:
            async with (
                self._pool.connection() as connection,
                connection.transaction(isolation="read_committed", readonly=False),
            ):
                no = await connection.fetchval(_PUT, self._root, owner_id, digest, len(content))
                if no is not None:
                    await self._put_pieces(connection, no, content)
        return StoredBlob(digest, len(content))

    @staticmethod
    async def _put_pieces(connection: Session, no: int, content: bytes) -> None:
        for number, start in enumerate(range(0, len(content), PIECE_BYTES)):
            await connection.execute(_PIECE, no, number, content[start : start + PIECE_BYTES])

    async def put_stream(self, owner_id: str, chunks: AsyncIterator[bytes]) -> StoredBlob:
        """See the port."""
        incoming = _Incoming(self._pool)
        await incoming.begin(self._root, require_owner(owner_id))
        try:
            async for chunk in chunks:
                await incoming.write(chunk)
            return await incoming.keep()
        finally:
            await asyncio.shield(incoming.close())

    async def read(self, owner_id: str, digest: str) -> bytes | None:
        """See the port."""
        place = (self._root, require_owner(owner_id), require_digest(digest))
        async with self._pool.connection() as connection:
            rows = await connection.fetch(_READ, *place)
        return b"".join(row[0] or b"" for row in rows) if rows else None

    async def open(
        self, owner_id: str, digest: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """See the port. Raises Unavailable if it is erased meanwhile."""
        place = (self._root, require_owner(owner_id), require_digest(digest))
        async with self._pool.connection() as connection:
            rows = await connection.fetch(f"SELECT no,size FROM contents WHERE {_PLACE}", *place)
        if not rows:
            raise NotFound(f"No blob '{digest}'.")
        no, size = rows[0]
        end = size if end is None else min(end, size)
        for number in range(start // PIECE_BYTES, -(-end // PIECE_BYTES) if start < end else 0):
            piece = await self._value(_ONE, no, number)
            if piece is None:
                raise Unavailable("The content was erased while it was read.")
            before = number * PIECE_BYTES
            yield piece[max(start - before, 0) : end - before]

    @asynccontextmanager
    async def local(self, owner_id: str, digest: str) -> AsyncIterator[Path]:
        """See the port: a copy, for as long as it is read."""
        pieces = self.open(owner_id, digest)
        first = await anext(pieces, b"")  # NotFound before there is a file
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._directory) as copy:
            await asyncio.to_thread(copy.write, first)
            async for piece in pieces:
                await asyncio.to_thread(copy.write, piece)
            await asyncio.to_thread(copy.flush)
            yield Path(copy.name)

    async def size(self, owner_id: str, digest: str) -> int | None:
        """See the port."""
        place = (self._root, require_owner(owner_id), require_digest(digest))
        found: int | None = await self._value(f"SELECT size FROM contents WHERE {_PLACE}", *place)
        return found

    async def delete(self, owner_id: str, digest: str) -> bool:
        """See the port."""
        place = (self._root, require_owner(owner_id), require_digest(digest))
        return bool(await self._value(_DELETE.format(which=_PLACE), *place))

    async def page(self, owner_id: str, *, after: str | None, limit: int) -> list[StoredBlob]:
        """See the port."""
        async with self._pool.connection() as connection:
            rows = await connection.fetch(_PAGE, self._root, require_owner(owner_id), after or "", limit)
        return [StoredBlob(digest, size) for digest, size in rows]

    async def owners(self, *, after: str | None, limit: int) -> list[str]:
        """See the port."""
        async with self._pool.connection() as connection:
            return [row[0] for row in await connection.fetch(_OWNERS, self._root, after or "", limit)]

    async def _value(self, statement: str, *values: Any) -> Any:
        async with self._pool.connection() as connection:
            return await connection.fetchval(statement, *values)


class _Incoming:
    """A content that has no name yet."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._hash = hashlib.sha256()
        self._waiting = bytearray()
        self._no: int | None = None
        self._pieces = 0
        self._size = 0

    async def begin(self, root: str, owner_id: str) -> None:
        async with self._pool.connection() as connection:
            self._no = await connection.fetchval(_BEGIN, root, owner_id)

    async def write(self, chunk: bytes) -> None:
        self._waiting += chunk
        self._size += len(chunk)
        await asyncio.to_thread(self._hash.update, chunk)
        while len(self._waiting) >= PIECE_BYTES:
            await self._put(bytes(self._waiting[:PIECE_BYTES]))
            del self._waiting[:PIECE_BYTES]

    async def _put(self, piece: bytes) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(_PIECE, self._no, self._pieces, piece)
            await connection.execute(_TOUCH, self._no)
        self._pieces += 1

    async def keep(self) -> StoredBlob:
        """Give it its name; what has that name already stays, and this goes."""
        if self._waiting:
            await self._put(bytes(self._waiting))
        stored = StoredBlob(self._hash.hexdigest(), self._size)
        async with self._pool.connection() as connection:
            try:
                status = await connection.execute(_NAME, self._no, stored.digest, stored.size)
            except asyncpg.UniqueViolationError:
                return stored
        if status.endswith(" 0"):
            raise Unavailable("The content came too slowly and was given up.")
        self._no = None
        return stored

    async def close(self) -> None:
        """Give up what has no name; where that is not possible, `clean` does it later."""
        if self._no is None:
            return
        with contextlib.suppress(Unavailable, *LOST):
            async with self._pool.connection() as connection:
                await connection.fetchval(_DELETE.format(which="no=$1 AND digest IS NULL"), self._no)
