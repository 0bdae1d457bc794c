"""A file of the embedded store that is missing beside the others is told before anything is opened."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from antiphon.bootstrap import Drain, backups, examination, open_application, schemas, stores
from antiphon.cli.direct_client import direct_client
from antiphon.domain.errors import Unavailable
from antiphon.settings import Settings
from antiphon.storage.files import stored_blobs
from antiphon.storage.sql.migrate import KNOWLEDGE, downgrade_sqlite


def settings_of(data: Path) -> Settings:
    return Settings(_env_file=None, data_dir=data, config_file=Path("antiphon.toml"))  # type: ignore[call-arg]


def open_and_close(data: Path) -> None:
    with direct_client(settings_of(data)):
        pass


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with a conversation and a document."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("MONGODB_URL", raising=False)
    (tmp_path / "note.txt").write_text("Worth keeping.")
    data = tmp_path / "data"
    with direct_client(settings_of(data)) as client:
        client.upload("/v1/files", tmp_path / "note.txt", purpose="user_data")
        client.post("/v1/conversations", {})
    assert documents_in(data) == 1
    return data


def documents_in(data: Path) -> int:
    return len(list(stored_blobs(data / "documents")))


def lose(*names: str) -> Callable[[Path], None]:
    """Lose files, with what SQLite has beside them."""

    def work(data: Path) -> None:
        for name in names:
            for path in data.glob(f"{name}*"):
                path.unlink()

    return work


def empty(data: Path) -> None:
    lose("knowledge.db")(data)
    (data / "knowledge.db").touch()


def lose_documents(data: Path) -> None:
    lose("knowledge.db")(data)
    shutil.rmtree(data / "documents")


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lose("knowledge.db"), "no knowledge.db"),
        (empty, "no knowledge.db"),
        (lose_documents, "no knowledge.db"),
        (lose("antiphon.db"), "no antiphon.db"),
        (lose("antiphon.db", "knowledge.db"), "no antiphon.db"),
    ],
)
def test_a_missing_file_refuses_start_and_backup_and_nothing_is_erased(
    filled: Path, harm: Callable[[Path], None], named: str
) -> None:
    harm(filled)
    before = documents_in(filled)
    assert named in (examination.missing_part(settings_of(filled)) or "")
    for work in (open_and_close, bring_up, back_up):
        with pytest.raises(Unavailable) as refused:
            work(filled)
        assert named in refused.value.message
        assert "put it back, or restore a backup; to" in refused.value.message
        assert "\n" not in refused.value.message
    assert documents_in(filled) == before
    assert not copy_of(filled).exists()


def bring_up(data: Path) -> None:
    schemas.upgrade(settings_of(data), wait_seconds=0, tell=print)


def copy_of(data: Path) -> Path:
    return data.parent / "copy"


def back_up(data: Path) -> None:
    backups.back_up(settings_of(data), copy_of(data), with_secret=False, tell=print)


def test_a_look_for_what_is_missing_changes_nothing(filled: Path) -> None:
    downgrade_sqlite(filled / "antiphon.db", "0003")
    lose_documents(filled)
    assert examination.missing_part(settings_of(filled)) is None
    assert not (filled / "knowledge.db").exists()


def test_whoever_goes_on_without_the_documents_on_purpose_can(filled: Path) -> None:
    lose_documents(filled)
    (filled / "knowledge.db").touch()
    with direct_client(settings_of(filled)) as client:
        assert client.get("/v1/files")["data"] == []


def test_a_file_that_is_put_back_is_all_it_takes(filled: Path, tmp_path: Path) -> None:
    (filled / "knowledge.db").rename(tmp_path / "elsewhere.db")
    with pytest.raises(Unavailable):
        open_and_close(filled)
    (tmp_path / "elsewhere.db").rename(filled / "knowledge.db")
    with direct_client(settings_of(filled)) as client:
        assert len(client.get("/v1/files")["data"]) == 1


def test_a_start_that_was_killed_before_its_second_file_is_no_loss(tmp_path: Path) -> None:
    data = tmp_path / "data"

    async def first_half() -> None:
        storage = await stores.open_sqlite(data, require=stores.require_whole)
        await storage.close()

    asyncio.run(first_half())
    open_and_close(data)


def test_data_from_before_there_was_knowledge_opens(filled: Path) -> None:
    lose_documents(filled)
    (filled / "knowledge.db").touch()
    open_and_close(filled)
    downgrade_sqlite(filled / "antiphon.db", "0003")
    lose("knowledge.db")(filled)
    open_and_close(filled)
    assert (
        next(one.revision for one in schemas.schemas(settings_of(filled)) if one.scripts == KNOWLEDGE)
        == schemas.migrate.NEWEST_KNOWLEDGE
    )


def test_a_catalogue_made_just_now_erases_no_contents(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lose("knowledge.db")(filled)
    monkeypatch.setattr(stores, "require_whole", lambda directory: None)

    async def serve() -> None:
        async with open_application(settings_of(filled), Drain(0.0)) as application:
            await application.document_housekeeping.recover()

    asyncio.run(serve())
    assert documents_in(filled) == 1
