"""Passages in MongoDB are carried to whichever store, with words and vectors, and come back the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from antiphon.bootstrap.timing import SystemClock
from antiphon.domain.errors import Unavailable
from antiphon.ports.archives import Transfer
from antiphon.services.archives import Archives
from antiphon.storage.archive_files import TarReader, writing
from antiphon.storage.files import FileBlobs
from antiphon.storage.import_mark import FileImportMark
from antiphon.storage.mongo import passage_transfer
from antiphon.storage.mongo.passage_transfer import PassageLoading, PassageTransfer
from antiphon.storage.placed import PlacedTransfer
from antiphon.storage.sql.migrate import KNOWLEDGE
from antiphon.storage.sql.transfer_postgres import PostgresTransfer
from antiphon.storage.sql.transfer_sqlite import SqliteTransfer
from tests import mongo, postgres
from tests.contracts.index_world import INDEXES, IndexWorld, new_source, passage

pytestmark = pytest.mark.skipif(not mongo.is_there(), reason=mongo.ABSENT)

OWNERS = ("a" * 32, "b" * 32)
SCOPES = ("scope one", "scope two", "said")
TEXTS = ("green parrot", "red parrot", 'a "Quoted" parrot', "nul \0 parrot\uffff", "green parrot")
OTHER = "test/other"


def sql(name: str, directory: Path) -> Transfer:
    directory.mkdir(exist_ok=True)
    if name.endswith("postgres"):
        return PostgresTransfer(postgres.prepared(directory), KNOWLEDGE)
    return SqliteTransfer(directory / "knowledge.db", KNOWLEDGE)


def archives(name: str, directory: Path) -> Archives:
    """What exports and imports the knowledge of a directory."""
    inner = sql(name, directory)
    placed: Transfer = PlacedTransfer(inner)
    if name.startswith("mongo"):
        placed = PassageTransfer(mongo.url(directory), inner, wanted=True)
    return Archives({"knowledge": placed}, {"knowledge": FileBlobs(directory / "b")}, SystemClock(), "1")


async def fill(world: IndexWorld) -> None:
    """Files of two owners and what was said; the same text twice, two models, and what nobody sees."""
    for owner, scope in zip(OWNERS, SCOPES, strict=False):
        await world.file(scope, *TEXTS, owner=owner)
        await world.file(scope, "blue parrot", "green parrot", owner=owner)
        await world.embed(owner, ["blue parrot"], OTHER)
    gone = await world.file(SCOPES[0], "grey parrot", owner=OWNERS[0])
    await world.index.withdraw([gone.id])
    while await world.index.sweep(100):
        pass
    staged = new_source(SCOPES[0], owner=OWNERS[0])
    await world.put(staged, "yellow parrot", publish=False, embed=False)
    talk = new_source(SCOPES[2], owner=OWNERS[0], kind="conversation", language="en")
    more: dict[str, Any] = {"role": "user", "author_id": OWNERS[0], "created_us": 7, "heading": "A \0 Bird"}
    said = [passage(0, "black parrot", item_id=f"m{number}", **more) for number in range(3)]
    await world.index.add_messages([(talk, said)])


Seen = tuple[dict[int, tuple[int, int]], list[str], list[Any]]


async def seen(world: IndexWorld) -> Seen:
    """How many passages and words there are, the vectors' models, and what searches find with scores."""
    found: list[Any] = []
    for scope in SCOPES:
        for text in ("parrot", "green", "quoted", "black"):
            candidates = await world.search([scope], text)
            for hits in (candidates.lexical, candidates.dense):
                shown = await world.index.passages([scope], [hit.passage_id for hit in hits])
                what = [(one.id, one.text, one.heading, one.start, one.item_id) for one in shown]
                found.append(sorted(zip(what, (round(hit.score, 4) for hit in hits), strict=True)))
    return world.passages_of(), sorted(await world.vectors.models()), found


def in_sql(seen: Seen, name: str) -> Seen:
    """The same as engines in SQL show it: words are not counted, and SQLite scores by those of all scopes."""
    counts, models, found = seen
    if name == "sqlite":
        found = [[what for what, _ in one] for one in found]
    return {no: (count, 0) for no, (count, _) in counts.items()}, models, found


async def exported(directory: Path, archive: Path) -> Seen:
    """A store whose passages are in MongoDB, written into an archive; returns what it shows."""
    async with INDEXES["mongo+sqlite"](directory) as world:
        await fill(world)
        shown = await seen(world)
        with writing(archive) as writer:
            await archives("mongo+sqlite", directory).export(writer)
    return shown


async def restore(name: str, directory: Path, archive: Path) -> dict[str, Any]:
    found = archives(name, directory)
    manifest = await found.restore(TarReader(archive), FileImportMark(directory))
    assert await found.digest() == manifest.tables
    return manifest.tables


@pytest.mark.parametrize("target", INDEXES)
async def test_passages_arrive_equal_are_found_the_same_and_can_be_brought_back(
    tmp_path: Path, target: str
) -> None:
    archive, back = tmp_path / "all.tar", tmp_path / "back.tar"
    shown = await exported(tmp_path / "from", archive)
    sent = await restore(target, tmp_path / "to", archive)
    assert sent["knowledge"]["passages"].count == 2 * (len(TEXTS) + 2) + 1 + 3
    assert sent["knowledge"]["vectors"].count == 2 * 6
    async with INDEXES[target](tmp_path / "to") as world:
        arrived = await seen(world)
        assert in_sql(arrived, target) == in_sql(shown, target), "nothing is indexed again"
        if world.documents is not None:
            words = dict(world.execute("SELECT no,words FROM sources"))
            assert words == {no: count for no, (_, count) in world.passages_of().items()}
    with writing(back) as writer:
        await archives(target, tmp_path / "to").export(writer)
    assert await restore("mongo+sqlite", tmp_path / "again", back) == sent
    async with INDEXES["mongo+sqlite"](tmp_path / "again") as world:
        assert await seen(world) == shown
        await world.file(SCOPES[0], "new parrot", owner=OWNERS[0])
        numbers = [one["no"] for one in world.documents.find({})]
        assert len(numbers) == len(set(numbers)), "numbers go on after those that came"


async def test_what_came_from_sql_keeps_its_numbers_in_mongodb(tmp_path: Path) -> None:
    """Words as they were cut and vectors as they were numbered: what goes back is what came."""
    archive = tmp_path / "all.tar"
    async with INDEXES["sqlite"](tmp_path / "from") as world:
        await fill(world)
        with writing(archive) as writer:
            await archives("sqlite", tmp_path / "from").export(writer)
    await restore("mongo+sqlite", tmp_path / "to", archive)


async def test_a_killed_import_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it ended: before the documents, between them and the rest, or before the last mark."""
    archive = tmp_path / "all.tar"
    shown = await exported(tmp_path / "from", archive)
    real: dict[str, Callable[..., Any]] = {
        name: getattr(PassageLoading, name) for name in ("_write", "finish")
    }
    mark = FileImportMark(tmp_path / "to")

    async def cut(*_: Any) -> None:
        raise Unavailable("cut")

    async def late(self: PassageLoading) -> None:
        await real["finish"](self)
        raise Unavailable("cut")

    for name, killed in (("_write", cut), ("finish", cut), ("finish", late)):
        monkeypatch.setattr(PassageLoading, name, killed)
        with pytest.raises(Unavailable, match="cut"):
            await archives("mongo+sqlite", tmp_path / "to").restore(TarReader(archive), mark)
        monkeypatch.setattr(PassageLoading, name, real[name])
    await archives("mongo+sqlite", tmp_path / "to").restore(TarReader(archive), mark)
    async with INDEXES["mongo+sqlite"](tmp_path / "to") as world:
        assert await seen(world) == shown


async def test_what_is_indexed_while_it_is_exported_is_there_whole_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that comes between the copy and the moment that is shown is copied after all."""
    archive, directory = tmp_path / "all.tar", tmp_path / "from"
    async with INDEXES["mongo+sqlite"](directory) as world:
        await fill(world)
        real, late = passage_transfer._changed, ["purple parrot", "brown parrot"]

        async def meanwhile(*some: Any) -> list[int]:
            if late:
                await world.file(SCOPES[1], late.pop(), owner=OWNERS[1])
            return await real(*some)

        monkeypatch.setattr(passage_transfer, "_changed", meanwhile)
        with writing(archive) as writer:
            await archives("mongo+sqlite", directory).export(writer)
        shown = await seen(world)
        assert not late
        monkeypatch.setattr(passage_transfer, "_changed", real)
    await restore("sqlite", tmp_path / "to", archive)
    async with INDEXES["sqlite"](tmp_path / "to") as world:
        assert in_sql(await seen(world), "sqlite") == in_sql(shown, "sqlite")
