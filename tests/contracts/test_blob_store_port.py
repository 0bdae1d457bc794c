"""Port `BlobStore`, on every adapter: content under its hash, one owner apart from another."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from antiphon.domain import ids
from antiphon.domain.errors import NotFound, StorageFull
from antiphon.ports.blob_store import BlobStore, StoredBlob
from antiphon.storage.files import INCOMING, PIECE_BYTES, UNSYNCED_BYTES, FileBlobs, copy_whole
from tests.contracts.adapters import BLOB_STORES
from tests.contracts.builders import OWNER, STRANGER

ABSENT = "0" * 64


@pytest.fixture(params=BLOB_STORES)
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BlobStore]:
    """An empty store."""
    async with BLOB_STORES[request.param](tmp_path) as opened:
        yield opened


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read_open(blobs: BlobStore, owner: str, digest: str) -> bytes:
    return b"".join([piece async for piece in blobs.open(owner, digest)])


@pytest.mark.parametrize("content", [b"", b"x", b"\0\xff" * 50_000, os.urandom(2 * PIECE_BYTES + 1)])
async def test_content_comes_back_under_its_hash(blobs: BlobStore, content: bytes) -> None:
    kept = await blobs.put(OWNER, content)
    assert kept == StoredBlob(digest_of(content), len(content))
    assert await blobs.read(OWNER, kept.digest) == content
    assert await read_open(blobs, OWNER, kept.digest) == content
    assert await blobs.size(OWNER, kept.digest) == len(content)


async def test_content_that_arrives_in_pieces_is_the_same_content(blobs: BlobStore) -> None:
    whole = await blobs.put(OWNER, b"one two three")
    assert await blobs.put_stream(OWNER, pieces(b"one ", b"", b"two", b" three")) == whole
    assert await blobs.page(OWNER, after=None, limit=10) == [whole]


async def test_a_stream_that_breaks_leaves_nothing(blobs: BlobStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await blobs.put_stream(OWNER, broken())
    assert await blobs.page(OWNER, after=None, limit=10) == []
    assert await blobs.size(OWNER, digest_of(b"half")) is None


async def test_putting_again_changes_nothing(blobs: BlobStore) -> None:
    kept = await asyncio.gather(*(blobs.put(OWNER, b"same") for _ in range(20)))
    assert set(kept) == {StoredBlob(digest_of(b"same"), 4)}
    assert len(await blobs.page(OWNER, after=None, limit=10)) == 1


async def test_what_is_not_there_is_none(blobs: BlobStore) -> None:
    assert await blobs.read(OWNER, ABSENT) is None
    assert await blobs.size(OWNER, ABSENT) is None
    assert await blobs.delete(OWNER, ABSENT) is False
    with pytest.raises(NotFound):
        await read_open(blobs, OWNER, ABSENT)


async def test_one_owner_never_reaches_anothers_content(blobs: BlobStore) -> None:
    kept = await blobs.put(OWNER, b"mine")
    assert await blobs.read(STRANGER, kept.digest) is None
    assert await blobs.page(STRANGER, after=None, limit=10) == []
    await blobs.put(STRANGER, b"mine")
    assert await blobs.delete(STRANGER, kept.digest) is True
    assert await blobs.read(OWNER, kept.digest) == b"mine"


async def test_deleted_content_is_gone_and_can_come_again(blobs: BlobStore) -> None:
    kept = await blobs.put(OWNER, b"again")
    assert await blobs.delete(OWNER, kept.digest) is True
    assert await blobs.delete(OWNER, kept.digest) is False
    assert await blobs.read(OWNER, kept.digest) is None
    await blobs.put(OWNER, b"again")
    assert await blobs.read(OWNER, kept.digest) == b"again"


async def test_puts_and_deletes_at_once_never_show_half_a_blob(blobs: BlobStore) -> None:
    content = os.urandom(300_000)
    digest = digest_of(content)

    async def put() -> None:
        await blobs.put(OWNER, content)

    async def look() -> None:
        assert await blobs.read(OWNER, digest) in (None, content)

    await asyncio.gather(*(work() for _ in range(20) for work in (put, look, lambda: _drop(blobs, digest))))
    await put()
    await look()


async def _drop(blobs: BlobStore, digest: str) -> None:
    await blobs.delete(OWNER, digest)


@pytest.mark.parametrize("start", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, 2 * PIECE_BYTES + 5, 10**9])
@pytest.mark.parametrize("length", [0, 1, PIECE_BYTES + 1, None])
async def test_a_span_of_content_is_read_as_if_cut_from_it(
    blobs: BlobStore, start: int, length: int | None
) -> None:
    content = os.urandom(2 * PIECE_BYTES + 10)
    kept = await blobs.put(OWNER, content)
    end = None if length is None else start + length
    pieces = [piece async for piece in blobs.open(OWNER, kept.digest, start=start, end=end)]
    assert b"".join(pieces) == content[start:end]


async def test_content_can_be_had_as_a_file_of_this_machine(blobs: BlobStore) -> None:
    kept = await blobs.put(OWNER, b"local")
    async with blobs.local(OWNER, kept.digest) as path:
        assert path.read_bytes() == b"local"
    for owner, digest in ((OWNER, ABSENT), (STRANGER, kept.digest)):
        with pytest.raises(NotFound):
            async with blobs.local(owner, digest):
                raise AssertionError("there is none")


async def test_owners_are_listed_once_in_order(blobs: BlobStore) -> None:
    assert await blobs.owners(after=None, limit=9) == []
    owners = sorted([OWNER, STRANGER])
    for owner in owners:
        await blobs.put(owner, b"x")
        await blobs.put(owner, b"y")
    assert await blobs.owners(after=None, limit=9) == owners
    assert await blobs.owners(after=owners[0], limit=9) == owners[1:]
    assert await blobs.owners(after=None, limit=1) == owners[:1]


async def test_pages_list_every_blob_of_an_owner_once_in_order(blobs: BlobStore) -> None:
    kept = [await blobs.put(OWNER, b"%d" % number) for number in range(25)]
    await blobs.put(STRANGER, b"other")
    found: list[StoredBlob] = []
    while page := await blobs.page(OWNER, after=found[-1].digest if found else None, limit=10):
        assert len(page) <= 10
        found += page
    assert found == sorted(kept, key=lambda blob: blob.digest)


@pytest.mark.parametrize(
    "bad", ["", "..", "../x", "A" * 64, "0" * 63, "0" * 65, "/etc/passwd", "0" * 64 + "\n"]
)
async def test_a_name_that_is_no_digest_is_refused(blobs: BlobStore, bad: str) -> None:
    for asking in (blobs.read, blobs.size, blobs.delete):
        with pytest.raises(ValueError, match="not a digest"):
            await asking(OWNER, bad)


@pytest.mark.parametrize("bad", ["", "..", "../" + "0" * 29, "0" * 31, "G" * 32])
async def test_an_owner_that_is_no_id_is_refused(blobs: BlobStore, bad: str) -> None:
    for asking in (blobs.put(bad, b"x"), blobs.page(bad, after=None, limit=1), blobs.read(bad, ABSENT)):
        with pytest.raises(ValueError, match="not an owner"):
            await asking


# --- files


async def test_a_file_lies_under_owner_and_hash_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    kept = await blobs.put(OWNER, b"secret")
    streamed = await blobs.put_stream(OWNER, pieces(b"also secret"))
    for digest in (kept.digest, streamed.digest):
        place = tmp_path / "blobs" / OWNER / digest[:2] / digest
        assert place.stat().st_mode & 0o777 == 0o600
    for directory in (tmp_path / "blobs", tmp_path / "blobs" / OWNER):
        assert directory.stat().st_mode & 0o777 == 0o700


async def test_the_last_delete_leaves_no_folder_of_the_owner(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    kept = await blobs.put(OWNER, b"x")
    await blobs.delete(OWNER, kept.digest)
    assert not (tmp_path / "blobs" / OWNER).exists()


async def test_what_a_dead_process_had_not_finished_is_cleaned_away(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    kept = await blobs.put(OWNER, b"whole")
    (tmp_path / "blobs" / INCOMING / ids.new_id(0)).write_bytes(b"half")
    await blobs.clean()
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == [
        tmp_path / "blobs" / OWNER / kept.digest[:2] / kept.digest
    ]


async def test_a_disk_that_takes_nothing_is_storage_full_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = FileBlobs(tmp_path / "blobs")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        await blobs.put(OWNER, b"x")
    with pytest.raises(StorageFull):
        await blobs.put_stream(OWNER, pieces(b"y"))
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


# --- the disk


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Each call that has the disk take a file's data: which file, and its size at that moment."""
    seen: list[tuple[int, int]] = []

    def note(descriptor: int) -> None:
        found = os.fstat(descriptor)
        seen.append((found.st_ino, found.st_size))

    monkeypatch.setattr(os, "fdatasync", note, raising=False)
    return seen


def steps(syncs: list[tuple[int, int]], size: int) -> list[int]:
    """How many bytes lay between one call and the next, and after the last."""
    sizes = [0, *(found for _, found in syncs), size]
    return [later - earlier for earlier, later in itertools.pairwise(sizes)]


LARGE = 11 * UNSYNCED_BYTES + 12_345


async def test_no_way_to_keep_a_content_leaves_much_of_it_to_the_disk_at_once(
    tmp_path: Path, syncs: list[tuple[int, int]]
) -> None:
    """A commit of the database waits for all that is under way to the disk; for 500 MB, two seconds."""
    blobs, content = FileBlobs(tmp_path / "blobs"), os.urandom(LARGE)
    await blobs.put(OWNER, content)
    assert max(steps(syncs, LARGE)) <= UNSYNCED_BYTES
    syncs.clear()
    chunk = 2 * PIECE_BYTES - 1  # what a form hands over at most
    kept = await blobs.put_stream(
        STRANGER, pieces(*(content[start : start + chunk] for start in range(0, LARGE, chunk)))
    )
    assert max(steps(syncs, LARGE)) < UNSYNCED_BYTES + chunk
    assert await blobs.read(STRANGER, kept.digest) == content
    syncs.clear()
    copy_whole(tmp_path / "blobs" / STRANGER / kept.digest[:2] / kept.digest, tmp_path / "copy")
    assert max(steps(syncs, LARGE)) <= UNSYNCED_BYTES


async def test_contents_that_arrive_together_take_turns_at_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    under_way, most, files = 0, 0, set()
    counting = threading.Lock()

    def sync(descriptor: int) -> None:
        nonlocal under_way, most
        with counting:
            under_way += 1
            most = max(most, under_way)
            files.add(os.fstat(descriptor).st_ino)
        time.sleep(0.002)  # long enough for another thread to come
        with counting:
            under_way -= 1

    monkeypatch.setattr(os, "fdatasync", sync, raising=False)
    chunk = os.urandom(UNSYNCED_BYTES)
    await asyncio.gather(*(blobs.put_stream(OWNER, pieces(chunk, chunk, bytes([n]))) for n in range(6)))
    assert (most, len(files)) == (1, 6)


async def test_a_directory_that_another_makes_and_takes_away_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs, make, lost = FileBlobs(tmp_path / "blobs"), os.mkdir, []

    def mkdir(path: Path, mode: int = 0o777) -> None:
        if path.name == OWNER and not lost:
            lost.append(path)
            raise FileExistsError(path)  # it was there, and is not any more
        make(path, mode)

    monkeypatch.setattr(os, "mkdir", mkdir)
    kept = await blobs.put(OWNER, b"content")
    assert lost and await blobs.read(OWNER, kept.digest) == b"content"
