"""No file can be opened any more: the request is told why with a 503, and no disk is said to be full."""

from __future__ import annotations

import contextlib
import errno
import resource
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.domain.errors import StorageFull, Unavailable
from antiphon.storage import system_errors
from antiphon.storage.files import FileBlobs
from antiphon.storage.sql.postgres_pool import open_pool
from antiphon.storage.sql.sqlite import open_sqlite
from antiphon.storage.sql.sqlite_writer import _named
from tests import postgres
from tests.contracts.builders import OWNER

CONTENT = b"kept"


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """Let this process open nothing more; what it has stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def require_told(work: Any) -> None:
    """It is refused for the limit of open files, and not as a full store."""
    with no_more_files(), pytest.raises(Unavailable, match="ulimit -n") as refused:
        await work
    assert type(refused.value) is Unavailable


async def pieces() -> AsyncIterator[bytes]:
    yield b"y"


async def all_of(opened: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in opened])


async def test_blobs(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    kept = await blobs.put(OWNER, CONTENT)
    await require_told(blobs.put(OWNER, b"x"))
    await require_told(blobs.put_stream(OWNER, pieces()))
    await require_told(blobs.read(OWNER, kept.digest))
    await require_told(all_of(blobs.open(OWNER, kept.digest)))
    assert await blobs.read(OWNER, kept.digest) == CONTENT


@pytest.mark.parametrize(
    ("number", "is_full"),
    [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EROFS, True), (errno.EIO, False)],
)
async def test_only_a_disk_that_is_full_or_read_only_is_told_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_full: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "So it is")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(Unavailable, match="So it is") as refused:
        await FileBlobs(tmp_path / "blobs").put(OWNER, b"x")
    assert isinstance(refused.value, StorageFull) == is_full


async def test_sqlite(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path)
    try:
        await require_told(store.conversations.get(OWNER, "x"))
        assert await store.conversations.get(OWNER, "x") is None
    finally:
        await store.close()


def test_what_sqlite_could_not_open_is_told_as_a_full_disk_only_where_files_can_be_opened() -> None:
    unopened = sqlite3.OperationalError("unable to open database file")
    assert isinstance(_named(unopened), StorageFull)
    with no_more_files():
        told = _named(unopened)
    assert type(told) is Unavailable and str(told) == system_errors.TOO_MANY_FILES


async def test_postgresql(tmp_path: Path) -> None:
    pool = await open_pool(postgres.prepared(tmp_path), 2)

    async def second() -> None:
        async with pool.connection(), pool.connection():
            pass

    try:
        await require_told(second())
        await second()
    finally:
        await pool.close()
