"""Everything a store keeps arrives in another, whichever engines they are on; repeating it is harmless."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from antiphon.bootstrap.timing import SystemClock
from antiphon.domain import archives as form
from antiphon.domain.archives import BadArchive
from antiphon.domain.errors import Unavailable
from antiphon.ports.archives import Transfer
from antiphon.services.archives import Archives
from antiphon.storage.archive_files import TarReader, is_archive, writing
from antiphon.storage.files import FileBlobs
from antiphon.storage.import_mark import FileImportMark
from antiphon.storage.mongo.transfer import MongoLoading, MongoTransfer
from antiphon.storage.sql import migrate
from antiphon.storage.sql.migrate import CONVERSATIONS, KNOWLEDGE
from antiphon.storage.sql.transfer import LEFT_OUT, TABLES
from antiphon.storage.sql.transfer_postgres import PostgresLoading, PostgresTransfer
from antiphon.storage.sql.transfer_sqlite import SqliteLoading, SqliteTransfer
from tests import mongo, postgres
from tests.contracts.archive_rows import COLUMNS, ROWS, content, rows
from tests.contracts.builders import OWNER

NEWEST = {"conversations": migrate.NEWEST_REVISION, "knowledge": migrate.NEWEST_KNOWLEDGE}
SCRIPTS = {"conversations": CONVERSATIONS, "knowledge": KNOWLEDGE}
HELD = ROWS // 2
"""Of the conversations' contents every second one is held; documents are all needed."""


def sqlite(directory: Path) -> dict[str, Transfer]:
    """Both files of the embedded store."""
    directory.mkdir(exist_ok=True)
    return {
        "knowledge": SqliteTransfer(directory / "knowledge.db", KNOWLEDGE),
        "conversations": SqliteTransfer(directory / "antiphon.db", CONVERSATIONS),
    }


def postgresql(directory: Path) -> dict[str, Transfer]:
    """One database."""
    directory.mkdir(exist_ok=True)
    url = postgres.empty(directory)
    return {
        "knowledge": PostgresTransfer(url, KNOWLEDGE),
        "conversations": PostgresTransfer(url, CONVERSATIONS),
    }


def with_mongo(accounts: Callable[[Path], dict[str, Transfer]]) -> Callable[[Path], dict[str, Transfer]]:
    """Conversations in MongoDB, the rest in an engine."""

    def stores(directory: Path) -> dict[str, Transfer]:
        made = accounts(directory)
        return made | {"conversations": MongoTransfer(mongo.url(directory), made["conversations"])}

    return stores


SQL: dict[str, Callable[[Path], dict[str, Transfer]]] = {"sqlite": sqlite, "postgres": postgresql}
ENGINES = SQL | {f"mongo+{name}": with_mongo(engine) for name, engine in SQL.items() if mongo.is_there()}


WAYS = [
    (source, target, name)
    for source in ENGINES
    for target in ENGINES
    for name in (["archive.tar", "archive.tar.gz"] if {source, target} <= set(SQL) else ["archive.tar"])
]
LOADINGS = {"sqlite": SqliteLoading, "postgres": PostgresLoading, "mongo": MongoLoading}


class Place:
    """Stores in a directory, as exports and imports see them."""

    def __init__(self, engine: str, directory: Path) -> None:
        self.stores = ENGINES[engine](directory)
        self.blobs = {name: FileBlobs(directory / name) for name in self.stores}
        self.mark = FileImportMark(directory)
        self.archives = Archives(self.stores, self.blobs, SystemClock(), "1")

    async def fill(self, revisions: dict[str, str] = NEWEST) -> None:
        """Put rows into every table, and the contents that they name."""
        for name, store in self.stores.items():
            async with store.loading(revisions[name]) as loading:
                for table in await loading.tables():
                    await loading.put(table.name, table.columns, rows(SCRIPTS[name], table))
                if revisions == NEWEST:
                    await loading.finish()
            for number in range(ROWS):
                await self.blobs[name].put(OWNER, content(number))

    async def export(self, path: Path) -> form.Manifest:
        """Write an archive."""
        with writing(path) as writer:
            return await self.archives.export(writer)

    async def restore(self, path: Path) -> form.Manifest:
        """Read an archive."""
        return await self.archives.restore(TarReader(path), self.mark)


@pytest.fixture
async def filled(tmp_path: Path) -> Place:
    """An embedded store in which every table has rows."""
    place = Place("sqlite", tmp_path / "filled")
    await place.fill()
    return place


@pytest.fixture
async def archive(filled: Place, tmp_path: Path) -> Path:
    """Its archive."""
    await filled.export(tmp_path / "archive.tar")
    return tmp_path / "archive.tar"


@pytest.mark.parametrize("scripts", [CONVERSATIONS, KNOWLEDGE])
def test_every_table_is_moved_or_left_out_on_purpose(scripts: str, tmp_path: Path) -> None:
    derived = {name for name in COLUMNS[scripts] if name.startswith(("sqlite_", "words_"))}
    kept = {*TABLES[scripts], *LEFT_OUT[scripts]}
    assert set(COLUMNS[scripts]) - derived == kept - {"contents", "content_pieces"}
    schema = "knowledge" if scripts == KNOWLEDGE else "public"
    postgres.prepared(tmp_path)
    statement = "SELECT tablename FROM pg_tables WHERE schemaname=?"
    found = postgres.look(tmp_path, lambda db: {row[0] for row in db.execute(statement, (schema,))})
    assert found == kept - {"words"}


@pytest.mark.parametrize(("source", "target", "name"), WAYS)
async def test_every_row_and_content_arrives(source: str, target: str, name: str, tmp_path: Path) -> None:
    one, other = Place(source, tmp_path / "one"), Place(target, tmp_path / "other")
    await one.fill()
    sent = await one.export(tmp_path / name)
    assert all(table.count == ROWS for table in sent.tables["conversations"].values())
    assert [sent.contents[store].count for store in ("conversations", "knowledge")] == [HELD, ROWS]
    assert is_archive(tmp_path / name) and (tmp_path / name).stat().st_mode & 0o777 == 0o600
    await other.restore(tmp_path / name)
    assert await other.archives.digest() == await one.archives.digest() == sent.tables
    for store, first in (("conversations", 1), ("knowledge", 0)):
        found = [blob.size for blob in await other.blobs[store].page(OWNER, after=None, limit=100)]
        assert sorted(found) == [n * 10_000 for n in range(first, ROWS, 1 + first)]
    back = await other.export(tmp_path / f"back.{name}")
    assert back.tables == sent.tables and back.contents == sent.contents


async def test_equal_rows_are_equal_whatever_their_order_and_unequal_ones_are_not(filled: Place) -> None:
    before = await filled.archives.digest()
    packed = [form.packed((number, "a", None, b"\0")) for number in range(5)]
    one, other = form.RowSum("t"), form.RowSum("t")
    for row in packed:
        one.add(row)
    for row in reversed(packed):
        other.add(row)
    assert one.rows() == other.rows()
    assert form.RowSum("u").rows() == form.RowSum("t").rows(), "no rows are no rows"
    other.add(packed[0])
    assert one.rows().digest != other.rows().digest
    assert form.differences(before, before) == []
    less = {**before, "knowledge": {**before["knowledge"], "files": one.rows()}}
    assert form.differences(before, less) == [f"knowledge.files ({ROWS} and 5 rows)"]


@pytest.mark.parametrize("engine", ENGINES)
async def test_an_import_that_died_is_begun_anew_and_ends_the_same(
    engine: str, archive: Path, filled: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Place(engine, tmp_path / "other")
    kind: Any = LOADINGS[engine.partition("+")[0]]
    put, left = kind.put, [9]

    async def dying(self: Any, *values: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("killed")
        await put(self, *values)

    monkeypatch.setattr(kind, "put", dying)
    for _ in range(2):
        left[0] = 9
        with pytest.raises(RuntimeError, match="killed"):
            await other.restore(archive)
        assert other.mark.read() is not None
    monkeypatch.setattr(kind, "put", put)
    await filled.export(tmp_path / "another.tar")
    with pytest.raises(Unavailable, match="another archive"):
        await other.restore(tmp_path / "another.tar")
    await other.restore(archive)
    assert await other.archives.digest() == await filled.archives.digest()
    assert other.mark.read() is None
    with pytest.raises(Unavailable, match="not empty"):
        await other.restore(archive)


@pytest.mark.parametrize("target", SQL)
async def test_an_older_archive_is_migrated_after_it_came(target: str, tmp_path: Path) -> None:
    one, other = Place("sqlite", tmp_path / "one"), Place(target, tmp_path / "other")
    await one.fill({"conversations": "0003", "knowledge": "k0001"})
    sent = await one.export(tmp_path / "old.tar")
    assert "aliases" not in sent.tables["conversations"]
    await other.restore(tmp_path / "old.tar")
    async with other.stores["conversations"].snapshot() as snapshot:
        assert snapshot.revision == migrate.NEWEST_REVISION
    found = await other.archives.digest()
    assert found["conversations"]["ledger"] == sent.tables["conversations"]["ledger"]
    assert found["conversations"]["aliases"].count == 0


@pytest.mark.skipif(not mongo.is_there(), reason=mongo.ABSENT)
async def test_mongodb_takes_archives_of_this_release_only(tmp_path: Path) -> None:
    """Documents have no migrations, so the way of an older archive leads through SQL, and is told."""
    one, other = Place("sqlite", tmp_path / "one"), Place("mongo+sqlite", tmp_path / "other")
    await one.fill({"conversations": "0003", "knowledge": "k0001"})
    await one.export(tmp_path / "old.tar")
    with pytest.raises(BadArchive, match="SQLite or PostgreSQL"):
        await other.restore(tmp_path / "old.tar")
    assert other.mark.read() is None


async def test_an_export_shows_one_moment(filled: Place, tmp_path: Path) -> None:
    """What is written and erased while an archive is being written is not in it, or still is."""
    store = filled.stores["conversations"]
    async with store.snapshot() as snapshot:
        async with store.loading(NEWEST["conversations"]) as loading:
            (items,) = [one for one in await loading.tables() if one.name == "items"]
            keys = [items.columns.index(name) for name in ("id", "segment_id")]
            more = [list(row) for row in rows(CONVERSATIONS, items)]
            for row in more:
                for key in keys:
                    row[key] = row[key][::-1]
            await loading.put("items", items.columns, more)
        assert len([row async for row in snapshot.rows(items)]) == ROWS
    assert (await filled.archives.digest())["conversations"]["items"].count == 2 * ROWS


async def test_contents_that_are_gone_are_counted_and_rows_come_all_the_same(
    filled: Place, tmp_path: Path
) -> None:
    (first, *_) = await filled.blobs["knowledge"].page(OWNER, after=None, limit=1)
    await filled.blobs["knowledge"].delete(OWNER, first.digest)
    sent = await filled.export(tmp_path / "a.tar")
    assert (sent.contents["knowledge"].count, sent.contents["knowledge"].missing) == (ROWS - 1, 1)
    other = Place("sqlite", tmp_path / "other")
    await other.restore(tmp_path / "a.tar")
    assert await other.archives.digest() == await filled.archives.digest()


# --- archives that are none


def changed(archive: Path, change: Callable[[str, bytes], tuple[str, bytes] | None]) -> Path:
    """A copy of an archive with other pieces."""
    copy = archive.with_name("changed.tar")
    with tarfile.open(archive) as old, tarfile.open(copy, "w") as new:
        for entry in old:
            file = old.extractfile(entry)
            assert file is not None
            made = change(entry.name, file.read())
            if made is not None:
                other = tarfile.TarInfo(made[0])
                other.size = len(made[1])
                new.addfile(other, io.BytesIO(made[1]))
    return copy


def flip(name: str, content: bytes) -> tuple[str, bytes]:
    return name, content.replace(b"x" * 3000, b"y" * 3000, 1)


def without_manifest(name: str, content: bytes) -> tuple[str, bytes] | None:
    return None if name == form.MANIFEST else (name, content)


def renamed(name: str, content: bytes) -> tuple[str, bytes]:
    return name.replace("items/00000000", "accounts/00000000"), content


@pytest.mark.parametrize("change", [flip, without_manifest, renamed])
async def test_what_is_not_whole_is_refused_before_anything_is_written(
    archive: Path, tmp_path: Path, change: Callable[[str, bytes], tuple[str, bytes] | None]
) -> None:
    other = Place("sqlite", tmp_path / "other")
    with pytest.raises(BadArchive, match=r"damaged|not whole"):
        await other.restore(changed(archive, change))
    assert list((tmp_path / "other").glob("*")) == []


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("compress", [False, True])
async def test_half_a_file_is_no_archive(archive: Path, tmp_path: Path, share: float, compress: bool) -> None:
    whole = archive.read_bytes()  # noqa: ASYNC240
    whole = gzip.compress(whole, 1) if compress else whole
    half = tmp_path / "half.tar"
    half.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BadArchive):
        await Place("sqlite", tmp_path / "other").restore(half)


async def test_other_files_are_told_from_archives(tmp_path: Path) -> None:
    for number, other in enumerate((b"", b"{}", b"PK\x03\x04", bytes(10_240))):
        path = tmp_path / str(number)
        path.write_bytes(other)
        assert not is_archive(path)
    assert not is_archive(tmp_path) and not is_archive(tmp_path / "none")


async def test_columns_and_tables_that_nobody_knows_are_refused(filled: Place, tmp_path: Path) -> None:
    """An archive whose digest is right may still be made by anybody: nothing of it becomes a statement."""
    evil = form.packed_part(('id") SELECT 1; --',), [form.packed(("x",))])
    for name in (form.rows_name("conversations", "accounts", 0), form.rows_name("conversations", "words", 0)):
        path = tmp_path / "evil.tar"
        header = form.Header(form.KIND, form.VERSION, "1" * 32, 0, "1", dict(NEWEST))
        with writing(path) as writer:
            writer.put(form.HEADER, msgspec.json.encode(header))
            writer.put(name, evil)
            manifest = form.Manifest(header, {}, {}, writer.sha256())
            writer.put(form.MANIFEST, msgspec.json.encode(manifest))
        with pytest.raises(BadArchive, match="no place"):
            await Place("sqlite", tmp_path / "other").restore(path)
    newer = {**NEWEST, "conversations": "9999"}
    with writing(path) as writer:
        header = form.Header(form.KIND, form.VERSION, "2" * 32, 0, "2", newer)
        writer.put(form.HEADER, msgspec.json.encode(header))
        writer.put(form.MANIFEST, msgspec.json.encode(form.Manifest(header, {}, {}, writer.sha256())))
    with pytest.raises(BadArchive, match="newer release"):
        await Place("sqlite", tmp_path / "third").restore(path)
