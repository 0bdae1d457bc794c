"""A backup and a store that changes while it is made: what the copy needs is in it, and nothing else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from antiphon.ports import blob_writes as wb
from antiphon.storage import backups, replacing
from antiphon.storage.files import FileBlobs, blob_path, stored_blobs
from antiphon.storage.sql.migrate import CONVERSATIONS
from antiphon.storage.sql.sqlite import FILE_NAME, open_sqlite
from antiphon.storage.sql.sqlite_copies import named_blobs
from antiphon.storage.whole_store import IncompleteStore, require_whole
from tests.contracts.builders import OWNER, SLOT, new_conversation, new_item

PARTS = backups.parts("blobs", "documents")
COUNT = 5


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """A store with a few blobs, each held by an item."""
    directory = tmp_path / "data"
    storage, blobs = await open_sqlite(directory), FileBlobs(directory / "blobs")
    items = [new_item(str(number)) for number in range(COUNT)]
    _, head, commands = new_conversation(*items)
    await storage.unit_of_work.commit(*commands)
    for number, item in enumerate(items):
        stored = await blobs.put(OWNER, f"content {number}".encode())
        named = {"owner_id": OWNER, "digest": stored.digest, "slot": SLOT}
        await storage.unit_of_work.commit(
            wb.AnnounceBlob(**named, size=stored.size, now_us=1),
            wb.HoldBlob(**named, segment_id=head.segment_id, depth=number, item_id=item.id),
        )
    await storage.close()
    return directory


def found_in(directory: Path) -> list[Path]:
    return list(directory.glob("*"))


def erase(data: Path, digest: str) -> None:
    """Erase a blob as a purge does."""
    with sqlite3.connect(data / FILE_NAME) as db:
        db.execute("DELETE FROM blobs WHERE digest=?", (digest,))
    blob_path(data / "blobs", OWNER, digest).unlink()


async def test_what_is_erased_between_the_copies_leads_to_another_round(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One content goes right after each of the first copies of the file, before it is copied itself."""
    doomed = [digest for _, digest in named_blobs(data / FILE_NAME, CONVERSATIONS)][:2]
    copy, copies = backups.copy_file, list[Path]()

    def and_erase(source: Path, target: Path) -> None:
        copy(source, target)
        copies.append(target)
        if doomed:
            digest = doomed.pop()
            erase(data, digest)
            blob_path(target.parent / "blobs", OWNER, digest).unlink()  # as if it had come a moment ago

    monkeypatch.setattr(backups, "copy_file", and_erase)
    said: list[str] = []
    manifest = backups.back_up(data, tmp_path / "copy", PARTS, [], said.append)
    assert len(copies) == 3 and said == []
    assert manifest.blobs["blobs"].count == COUNT - 2 and manifest.blobs["blobs"].missing == 0


async def test_what_went_before_the_last_copy_is_not_in_the_backup(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = next(named_blobs(data / FILE_NAME, CONVERSATIONS))[1]
    copy = backups.copy_file

    def erase_and(source: Path, target: Path) -> None:
        if blob_path(data / "blobs", OWNER, gone).exists():
            erase(data, gone)
        copy(source, target)

    monkeypatch.setattr(backups, "copy_file", erase_and)
    backups.back_up(data, tmp_path / "copy", PARTS, [], print)
    kept = [digest for _, digest, _ in stored_blobs(tmp_path / "copy" / "blobs")]
    assert len(kept) == COUNT - 1 and gone not in kept


async def test_pages_of_contents_meet_without_gap_or_double(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(named_blobs(data / FILE_NAME, CONVERSATIONS))
    for page in (1, 2, 3, COUNT, COUNT + 1):
        monkeypatch.setattr("antiphon.storage.sql.sqlite_copies.PAGE", page)
        assert list(named_blobs(data / FILE_NAME, CONVERSATIONS)) == whole
    assert len(whole) == COUNT


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_backup_that_fails_leaves_nothing_in_the_way_of_the_next(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    def full(target: Path, manifest: backups.Manifest) -> None:
        raise OSError(28, "No space left on device")

    target = tmp_path / "copy"
    if is_there:
        target.mkdir()
    of = backups.parts("blobs", "documents")
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(backups, "_seal", full)
        backups.back_up(data, target, of, [], print)
    assert target.exists() == is_there and found_in(target) == []
    assert backups.back_up(data, target, of, [], print).files


async def test_a_name_that_leads_elsewhere_is_no_file_of_a_backup(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    backups.back_up(data, copy, PARTS, [], print)
    (tmp_path / "new").mkdir()
    manifest = (copy / "backup.json").read_text()
    (copy / "backup.json").write_text(manifest.replace('"antiphon.db"', '"../antiphon.db"'))
    with pytest.raises(backups.BadBackup):
        backups.restore(copy, tmp_path / "new", PARTS, [], print, force=True)
    (copy / "backup.json").write_text(
        manifest.replace('"files": {', '"files": {"../x":{"bytes":1,"sha256":""},')
    )
    with pytest.raises(backups.BadBackup, match="no file of a backup"):
        backups.restore(copy, tmp_path / "new", PARTS, [], print, force=True)


async def test_what_an_interrupted_restore_took_away_comes_back_whatever_the_backup_is(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (data / FILE_NAME).read_bytes()
    copy = tmp_path / "copy"
    backups.back_up(data, copy, PARTS, [], print)
    with monkeypatch.context() as patched, pytest.raises(OSError, match="busy"):
        patched.setattr(replacing, "put_back", lambda directory: False)  # as if it had been killed
        patched.setattr(replacing, "_note", busy)
        backups.restore(copy, data, PARTS, [], print, force=True)
    assert not (data / FILE_NAME).exists()
    with pytest.raises(IncompleteStore, match="interrupted"):
        require_whole(data, blobs="blobs", documents="documents")
    (copy / FILE_NAME).write_bytes(b"damaged")
    said: list[str] = []
    with pytest.raises(backups.BadBackup, match="not what was backed up"):
        backups.restore(copy, data, PARTS, [], said.append, force=True)
    assert (data / FILE_NAME).read_bytes() == before and len(said) == 1
    assert len(list(stored_blobs(data / "blobs"))) == COUNT and not replacing.is_interrupted(data)


def busy(staging: Path, names: list[str]) -> None:
    raise OSError(16, "Device or resource busy")
