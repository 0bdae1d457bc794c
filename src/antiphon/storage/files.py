"""Blobs as files: `<directory>/<owner>/<first two digits>/<sha256>`, for their owner's eyes only.

A file is written beside its place, flushed to the disk and renamed, so that a name always
means the whole content, also after a crash. It is flushed while it comes, `UNSYNCED_BYTES` at a
time: a commit of the database that waits for the disk waits for all that is under way there, and
500 MB are two seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from io import BufferedWriter
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from antiphon.domain.errors import NotFound
from antiphon.ports.blob_store import StoredBlob
from antiphon.storage import system_errors
from antiphon.storage.blob_names import DIGEST, OWNER, require_digest, require_owner

P = ParamSpec("P")
T = TypeVar("T")

PIECE_BYTES: Final = 256 * 1024
UNSYNCED_BYTES: Final = 2 * 1024 * 1024
"""What one file may have written and not yet on the disk: about 6 ms of a disk that takes 360 MB/s."""

ROOM_BYTES: Final = 1024 * 1024
"""What there must be room for, to say of a disk that was full that it takes writes again."""

INCOMING: Final = ".incoming"
"""Where unfinished files lie; what a dead process left there is worth nothing."""


def blob_path(directory: Path, owner_id: str, digest: str) -> Path:
    """Return where a blob lies in a directory of blobs."""
    return directory / require_owner(owner_id) / require_digest(digest)[:2] / digest


class FileBlobs:
    """Port `BlobStore` on a directory of one file system; every call works in a thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._syncing = asyncio.Semaphore(1)
        """However many contents arrive, one at a time has the disk work for it."""

    async def clean(self) -> None:
        """Erase what a dead process had not finished; only before anything is put."""
        await asyncio.to_thread(shutil.rmtree, self._directory / INCOMING, ignore_errors=True)

    async def put(self, owner_id: str, content: bytes) -> StoredBlob:
        """See the port."""
        return await _in_thread(self._put, owner_id, content)

    def _put(self, owner_id: str, content: bytes) -> StoredBlob:
        digest = hashlib.sha256(content).hexdigest()
        place = self._place(owner_id, digest)
        if not place.exists():
            incoming = _Incoming(self._directory)
            try:
                for start in range(0, len(content), UNSYNCED_BYTES):
                    if incoming.unsynced >= UNSYNCED_BYTES:
                        incoming.sync()
                    incoming.write(memoryview(content)[start : start + UNSYNCED_BYTES])
                incoming.keep(place)
            finally:
                incoming.close()
        return StoredBlob(digest, len(content))

    async def put_stream(self, owner_id: str, chunks: AsyncIterator[bytes]) -> StoredBlob:
        """See the port."""
        incoming = await _in_thread(_Incoming, self._directory)
        try:
            async for chunk in chunks:
                await _in_thread(incoming.write, chunk)
                if incoming.unsynced >= UNSYNCED_BYTES:
                    async with self._syncing:
                        await _in_thread(incoming.sync)
            place = self._place(owner_id, incoming.hash.hexdigest())
            await _in_thread(incoming.keep, place)
            return StoredBlob(place.name, incoming.size)
        finally:
            await asyncio.to_thread(incoming.close)

    async def read(self, owner_id: str, digest: str) -> bytes | None:
        """See the port."""
        place = self._place(owner_id, digest)
        with _named("A blob cannot be read now"):
            try:
                return await asyncio.to_thread(place.read_bytes)
            except FileNotFoundError:
                return None

    async def open(
        self, owner_id: str, digest: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """See the port."""
        place = self._place(owner_id, digest)
        with _named("A blob cannot be read now"):
            try:
                file = await asyncio.to_thread(place.open, "rb")
            except FileNotFoundError:
                raise NotFound(f"No blob '{digest}'.") from None
        at = start
        try:
            file.seek(start)
            while end is None or at < end:
                size = PIECE_BYTES if end is None else min(PIECE_BYTES, end - at)
                piece = await asyncio.to_thread(file.read, size)
                if not piece:
                    break
                at += len(piece)
                yield piece
        finally:
            file.close()

    @asynccontextmanager
    async def local(self, owner_id: str, digest: str) -> AsyncIterator[Path]:
        """See the port."""
        place = self._place(owner_id, digest)
        if not await asyncio.to_thread(place.exists):
            raise NotFound(f"No blob '{digest}'.")
        yield place

    async def size(self, owner_id: str, digest: str) -> int | None:
        """See the port."""
        place = self._place(owner_id, digest)
        try:
            return (await asyncio.to_thread(place.stat)).st_size
        except FileNotFoundError:
            return None

    async def delete(self, owner_id: str, digest: str) -> bool:
        """See the port."""
        return await asyncio.to_thread(self._delete, self._place(owner_id, digest))

    def _delete(self, place: Path) -> bool:
        try:
            place.unlink()
        except FileNotFoundError:
            return False
        for empty in (place.parent, place.parent.parent):
            try:
                empty.rmdir()
            except OSError:  # others are in it, or somebody is just making it
                break
        return True

    async def page(self, owner_id: str, *, after: str | None, limit: int) -> list[StoredBlob]:
        """See the port."""
        return await asyncio.to_thread(self._page, self._owner(owner_id), after or "", limit)

    def _page(self, owner: Path, after: str, limit: int) -> list[StoredBlob]:
        found: list[StoredBlob] = []
        for name, size in _files(owner, after):
            found.append(StoredBlob(name, size))
            if len(found) == limit:
                break
        return found

    async def owners(self, *, after: str | None, limit: int) -> list[str]:
        """See the port."""
        names = await asyncio.to_thread(_names, self._directory)
        return [name for name in names if name > (after or "") and OWNER.fullmatch(name)][:limit]

    def _owner(self, owner_id: str) -> Path:
        return self._directory / require_owner(owner_id)

    def _place(self, owner_id: str, digest: str) -> Path:
        return blob_path(self._directory, owner_id, digest)


class _Incoming:
    """A file that has no name yet; blocks, so it is used in threads.

    A write whose task was cancelled goes on in its thread: the lock of the file object has `close` wait for
    it. With a bare descriptor it might end in whatever was opened next under the same number.
    """

    def __init__(self, directory: Path) -> None:
        make_directory(directory / INCOMING)
        self._path = directory / INCOMING / secrets.token_hex(16)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self.hash = hashlib.sha256()
        self.size = 0
        self.unsynced = 0

    def write(self, chunk: bytes | memoryview) -> None:
        self._file.write(chunk)
        self.hash.update(chunk)
        self.size += len(chunk)
        self.unsynced += len(chunk)

    def sync(self) -> None:
        """Have the disk take what was written."""
        _sync(self._file)
        self.unsynced = 0

    def keep(self, place: Path) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        while True:
            try:
                make_directory(place.parent)
                self._path.replace(place)
                break
            except FileNotFoundError:
                # A delete has just taken an empty directory away.
                if not self._path.exists():
                    raise
        for directory in (place.parent, place.parent.parent, place.parent.parent.parent):
            sync_directory(directory)

    def close(self) -> None:
        """Give up what was not kept."""
        with contextlib.suppress(OSError):  # a full disk refuses what was buffered once more
            self._file.close()
        self._path.unlink(missing_ok=True)


def _files(owner: Path, after: str) -> Iterator[tuple[str, int]]:
    """Yield names above `after` with sizes, in order, opening only the folders that can hold them."""
    for folder in _names(owner):
        if folder < after[:2]:
            continue
        for name in _names(owner / folder):
            if name > after and DIGEST.fullmatch(name):
                try:
                    yield name, (owner / folder / name).stat().st_size
                except FileNotFoundError:
                    continue


def _names(directory: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in directory.iterdir())
    except FileNotFoundError:
        return []


def make_directory(directory: Path) -> None:
    """Make a directory and those above it, for nobody else's eyes.

    One that another makes and takes away again meanwhile is missed by what needs it (FileNotFoundError).
    """
    missing = []
    while not directory.exists():
        missing.append(directory)
        directory = directory.parent
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):  # `exist_ok` looks again, and it may be gone by then
            one.mkdir(mode=0o700)


def _sync(file: BufferedWriter) -> None:
    file.flush()
    sync = os.fdatasync if hasattr(os, "fdatasync") else os.fsync  # macOS has only the latter
    sync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Make the names in a directory as lasting as its files."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Turn the system's errors into those of the core."""
    try:
        yield
    except OSError as error:
        raise system_errors.named(error, what) from error


async def _in_thread(write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Write in a thread; what the system refuses is named as `system_errors` does."""
    with _named("A blob cannot be written now"):
        return await asyncio.to_thread(write, *args, **kwargs)


def require_room(directory: Path) -> None:
    """Write `ROOM_BYTES` into a directory and erase them; raises OSError where there is no room."""
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(bytes(ROOM_BYTES))
        file.flush()
        os.fsync(file.fileno())


def stored_blobs(directory: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield owner, digest and place of all blobs in a directory, in that order."""
    for owner_id in filter(OWNER.fullmatch, _names(directory)):
        for folder in _names(directory / owner_id):
            for name in filter(DIGEST.fullmatch, _names(directory / owner_id / folder)):
                yield owner_id, name, directory / owner_id / folder / name


def copy_whole(source: Path, target: Path) -> tuple[int, str]:
    """Copy a file in pieces, lasting; returns size and SHA-256 of what was read. Raises OSError."""
    digest, size, unsynced = hashlib.sha256(), 0, 0
    draft = target.with_name(target.name + ".new")
    with source.open("rb") as reading:
        make_directory(target.parent)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as writing:
            while piece := reading.read(PIECE_BYTES):
                digest.update(piece)
                size += len(piece)
                writing.write(piece)
                unsynced += len(piece)
                if unsynced >= UNSYNCED_BYTES:
                    _sync(writing)
                    unsynced = 0
            writing.flush()
            os.fsync(writing.fileno())
    draft.replace(target)
    return size, digest.hexdigest()
