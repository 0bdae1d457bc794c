"""The bytes of documents: whole or not there, never erased while needed, never left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from antiphon.domain.errors import InvalidRequest, NotFound, RateLimited, TooLarge
from antiphon.domain.files import FILE, File
from antiphon.services import document_housekeeping, pacing
from antiphon.services.contents import AT_ONCE
from tests.services.library import Library, open_library, pieces
from tests.services.world import another_person


@pytest.fixture
async def library(tmp_path: Path) -> AsyncIterator[Library]:
    async with open_library(tmp_path / "data") as opened:
        yield opened


async def read(library: Library, file_id: str) -> bytes:
    _, version = await library.application.files.version(library.who, FILE + file_id, 1)
    return b"".join([piece async for piece in library.application.files.read(version, 0, version.bytes)])


@pytest.mark.parametrize("ends", ["the client", "the caller"])
async def test_what_is_not_committed_leaves_nothing(library: Library, ends: str) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 300_000
        if ends == "the client":
            raise ConnectionError

    with pytest.raises((ConnectionError, InvalidRequest)):
        async with library.application.files.receiving(library.who, broken()):
            raise InvalidRequest("no")
    assert library.blobs() == []


async def test_a_file_above_the_limit_is_refused_while_it_comes(tmp_path: Path) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1000
            yield b"x" * 1000

    async with open_library(tmp_path / "data", max_file_bytes=50_000) as library:
        with pytest.raises(TooLarge) as refused:
            async with library.application.files.receiving(library.who, endless()):
                pass
        assert refused.value.code == "file_too_large"
        assert taken == 51_000
        assert library.blobs() == []
        assert len((await library.file("x" * 50_000)).digest) == 64


async def test_storage_is_limited_for_each_person(tmp_path: Path) -> None:
    async with open_library(tmp_path / "data", max_storage_bytes_per_user=1000) as library:
        first = await library.file("a" * 900)
        await library.file("a" * 900)
        with pytest.raises(TooLarge) as refused:
            await library.file("b" * 200)
        assert refused.value.code == "storage_limit_exceeded"
        with pytest.raises(TooLarge):
            async with library.application.files.receiving(library.who, pieces(b"c"), announced=200):
                raise AssertionError("what is announced is refused before it is read")
        with pytest.raises(TooLarge):
            await library.rewrite(first, "d" * 200)
        assert len(library.blobs()) == 1
        somebody = await another_person(library.world)
        await library.file("e" * 1000, who=somebody)


async def test_equal_content_survives_the_deletion_of_its_twin_at_any_moment(library: Library) -> None:
    """One file goes while the same bytes arrive for another, again and again: who is there is whole."""
    content = "x" * 200_000

    async def come_and_go() -> None:
        for _ in range(8):
            file = await library.file(content)
            assert await read(library, file.id) == content.encode()
            await library.application.files.delete(library.who, FILE + file.id)

    stays = await library.file(content)
    await asyncio.gather(*(come_and_go() for _ in range(6)))
    assert await read(library, stays.id) == content.encode()
    await library.application.files.delete(library.who, FILE + stays.id)
    assert library.blobs() == []


async def test_nobody_sends_any_number_of_files_at_once(library: Library) -> None:
    hold = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await hold.wait()

    async def send() -> None:
        async with library.application.files.receiving(library.who, slow()):
            pass

    sending = [asyncio.create_task(send()) for _ in range(AT_ONCE)]
    await asyncio.sleep(0)
    with pytest.raises(RateLimited):
        await library.file()
    somebody = await another_person(library.world)
    await library.file(who=somebody)
    hold.set()
    await asyncio.gather(*sending)
    await library.file()


async def test_a_start_erases_what_a_dead_process_left(library: Library) -> None:
    kept = await library.file("kept")
    orphan = await library.world.knowledge.stores.documents.put(library.who.account_id, b"never committed")
    somebody = await another_person(library.world)
    await library.world.knowledge.stores.documents.put(somebody.account_id, b"never committed either")
    await library.application.document_housekeeping.recover()
    assert library.blobs() == [kept.digest]
    assert orphan.digest != kept.digest
    assert await read(library, kept.id) == b"kept"


async def test_expired_files_go_with_their_bytes(library: Library) -> None:
    await library.file("gone", expires_after_seconds=0)
    there = await library.file("there", expires_after_seconds=3600)
    await library.application.document_housekeeping.expire()
    assert library.blobs() == [there.digest]


async def test_the_erasing_of_expired_files_rests_in_between(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_at_rests = []

    async def rest(_: pacing.Round) -> None:
        left_at_rests.append(len(library.blobs()))

    monkeypatch.setattr(document_housekeeping, "AT_ONCE", 2)
    monkeypatch.setattr(pacing.Round, "rest", rest)
    for number in range(5):
        await library.file(f"gone {number}", expires_after_seconds=0)
    await library.application.document_housekeeping.expire()
    assert (left_at_rests, library.blobs()) == ([3, 1], [])


async def test_an_expired_file_that_cannot_be_erased_holds_up_nothing_else(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = await library.file("stuck", expires_after_seconds=0)
    await library.file("gone", expires_after_seconds=0)
    emptied = await library.collection(await library.file("member"), expires_after_days=0)
    erase = library.application.files.erase

    async def failing(file: File) -> bool:
        if file.id == stuck.id:
            raise OSError("the disk")
        return await erase(file)

    monkeypatch.setattr(library.application.files, "erase", failing)
    with pytest.raises(OSError, match="the disk"):
        await library.application.document_housekeeping.expire()
    assert len(library.blobs()) == 2 and stuck.digest in library.blobs()
    assert (await library.counts(emptied)).total == 0


async def test_a_foreign_file_is_as_one_never_issued(library: Library) -> None:
    file = await library.file()
    somebody = await another_person(library.world)
    messages = set()
    for identifier in (file.id, "0" * 32):
        for attempt in (
            library.application.files.get(somebody, FILE + identifier),
            library.application.files.delete(somebody, FILE + identifier),
        ):
            with pytest.raises(NotFound) as refused:
                await attempt
            messages.add(refused.value.message.replace(identifier, "…"))
    assert messages == {"File with id 'file-…' not found."}


async def test_an_account_that_goes_leaves_nothing(library: Library) -> None:
    somebody = await another_person(library.world)
    file = await library.file("theirs", who=somebody)
    mine = await library.file("mine")
    collection = await library.collection(file, who=somebody)
    await library.application.collections.stand(somebody, [collection])
    await library.world.knowledge.stores.documents.put(somebody.account_id, b"never committed")
    purged = await library.application.purges.purge_account(somebody.account_id)
    assert purged.counts()["files"] == 1
    assert purged.counts()["vector_stores"] == 1
    assert library.blobs() == [mine.digest]
    for table in ("files", "versions", "text_slices", "collections", "members", "standing", "uploads"):
        if table != "text_slices":
            found = library.rows(f"SELECT COUNT(*) FROM {table} WHERE owner_id='{somebody.account_id}'")
            assert found == [(0,)], table
    again = await library.application.purges.purge_account(somebody.account_id)
    assert again.counts()["files"] == 0


@pytest.mark.parametrize("stage", ["erase", "erase_unneeded"])
async def test_an_accounts_erasing_that_breaks_off_is_finished_by_the_next(
    library: Library, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    somebody = await another_person(library.world)
    files = [await library.file(f"theirs {n}", who=somebody) for n in range(4)]
    await library.collection(*files, who=somebody)

    async def broken(*_: object) -> int:
        raise OSError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(f"antiphon.services.contents.Contents.{stage}", broken)
        with pytest.raises(OSError, match="killed"):
            await library.application.purges.purge_account(somebody.account_id)
    assert len(library.blobs()) > 0 or stage == "erase_unneeded"
    await library.application.purges.purge_account(somebody.account_id)
    assert library.blobs() == []
    for table in ("files", "versions", "collections", "members", "sources", "kept_answers"):
        found = library.rows(f"SELECT COUNT(*) FROM {table} WHERE owner_id='{somebody.account_id}'")
        assert found == [(0,)], table


async def test_a_version_is_made_of_received_bytes_only(library: Library) -> None:
    """The name is the client's, and only ever shown."""
    file = await library.file("x", name="../../etc/passwd\0" + "ü" * 300)
    assert "/" not in file.filename and "\0" not in file.filename and len(file.filename) <= 255
    assert library.blobs() == [file.digest]
