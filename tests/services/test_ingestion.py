"""Indexing: whatever happens meanwhile, a member ends in the right state with its passages once."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.domain.collections import BATCH, Chunking
from antiphon.domain.errors import Unavailable
from antiphon.domain.files import FILE
from antiphon.services import document_intake, ingestion
from antiphon.services.collections import NewMember
from tests.services.hand import PATIENCE_SECONDS
from tests.services.library import Library, open_library
from tests.services.world import another_person


@pytest.fixture
async def library(tmp_path: Path) -> AsyncIterator[Library]:
    async with open_library(tmp_path / "data") as opened:
        yield opened


class Gate:
    """Holds the reading of documents up before every slice until it is opened."""

    def __init__(self, library: Library) -> None:
        self.waiting: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self.open = asyncio.Event()
        library.parser.before = self._before

    async def _before(self, filename: str, start: int) -> None:
        self.waiting.put_nowait((filename, start))
        await self.open.wait()

    async def next(self) -> str:
        """The name of the next document that is being read."""
        return (await asyncio.wait_for(self.waiting.get(), PATIENCE_SECONDS))[0]


async def test_a_file_becomes_searchable_with_its_text(library: Library) -> None:
    library.work()
    text = "".join(f"line {n} ä\n" for n in range(3000))
    file = await library.file(text)
    collection = await library.collection(file)
    await library.indexed(collection)
    member = await library.member(collection, file)
    assert (member.state, member.usage_bytes, member.attempts) == ("completed", len(text.encode()), 1)
    assert (member.done, member.total) == (member.total, len(library.live(collection)))
    assert "".join(library.live(collection)) == text
    read = library.application.files.text
    assert await read(library.who, FILE + file.id, 1, 10, 30) == text[10:30]


async def test_what_could_not_be_read_of_it_is_told(library: Library) -> None:
    library.work()
    library.parser.notes = ("page 2: no text", "page 7: no text")
    file = await library.file("hello")
    collection = await library.collection(file)
    member = await library.member(collection, file)
    assert await library.application.collection_files.notes(member) == []
    await library.indexed(collection)
    assert await library.application.collection_files.notes(member) == list(library.parser.notes)


async def test_progress_is_seen_while_it_works(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_intake, "PROGRESS_SECONDS", 0.0)
    gate = Gate(library)
    library.work()
    file = await library.file("x" * 25_000)
    collection = await library.collection(file)
    await gate.next()
    gate.open.set()
    for _ in range(2):
        await gate.next()
    gate.open.clear()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            if (await library.member(collection, file)).done >= 10_000:
                break
            await asyncio.sleep(0.005)
    assert (await library.member(collection, file)).total == 25_000
    assert library.live(collection) == [], "nothing is seen before all of it is"
    gate.open.set()
    await library.indexed(collection)


async def test_nobodys_folder_starves_another(library: Library) -> None:
    """A has forty documents waiting when B adds one: B's is among the next to be read."""
    gate = Gate(library)
    somebody = await another_person(library.world)
    many = await library.collection(*[await library.file(f"a{n}", name=f"a{n}") for n in range(40)])
    library.work()
    assert await gate.next() == "a0"
    await library.collection(await library.file("b", name="b", who=somebody), who=somebody)
    assert await gate.next() == "b", "the other place is B's, A has one at a time"
    gate.open.set()
    await library.indexed(many)
    assert library.parser.parsed.index("b") <= 2


async def test_a_document_that_cannot_be_read_says_so_and_holds_nobody_up(library: Library) -> None:
    library.work()
    bad, good = await library.file(b"\xff\xfe\xff", name="bad"), await library.file("good")
    collection = await library.collection(bad, good)
    await library.indexed(collection)
    failed = await library.member(collection, bad)
    assert (failed.state, failed.error_code, failed.error) == (
        "failed",
        "invalid_file",
        "The text is not UTF-8.",
    )
    assert (await library.member(collection, good)).state == "completed"
    _, version = await library.application.files.version(library.who, FILE + bad.id, 1)
    assert (version.text_state, version.error) == ("failed", "The text is not UTF-8.")


async def test_what_may_pass_is_tried_again_after_pauses_and_given_up_in_the_end(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion, "PAUSES_SECONDS", (0, 0))
    monkeypatch.setattr(ingestion, "LOOK_SECONDS", 0.01)
    left = {"flaky": 2, "broken": 99}

    async def before(filename: str, start: int) -> None:
        if left.get(filename, 0) > 0:
            left[filename] -= 1
            raise Unavailable("not now")

    library.parser.before = before
    library.work()
    flaky, broken = await library.file("1", name="flaky"), await library.file("2", name="broken")
    collection = await library.collection(flaky, broken)
    await library.indexed(collection)
    assert (await library.member(collection, flaky)).state == "completed"
    assert library.parser.parsed.count("flaky") == 3
    failed = await library.member(collection, broken)
    assert (failed.state, failed.error_code, failed.attempts) == ("failed", "server_error", 5)
    assert left["broken"] == 99 - ingestion.MAX_ATTEMPTS


async def test_a_document_that_ends_the_server_is_not_read_for_ever(library: Library) -> None:
    file = await library.file("deadly")
    collection = await library.collection(file)
    for _ in range(ingestion.MAX_ATTEMPTS):  # each begun, none ended
        assert await library.store.waiting.next(library.who.account_id, 2**60) is not None
    library.work()
    await library.indexed(collection)
    member = await library.member(collection, file)
    assert (member.state, member.error_code) == ("failed", "server_error")
    assert library.parser.parsed == []


@pytest.mark.parametrize("ending", ["removed", "deleted", "collection", "batch"])
async def test_work_that_nobody_wants_any_more_ends_at_once(library: Library, ending: str) -> None:
    gate = Gate(library)
    library.work()
    file, other = await library.file("x" * 30_000, name="first"), await library.file("y", name="second")
    collection = await library.collection()
    members = [NewMember(file_id=FILE + file.id)]
    batch = await library.application.collection_files.add_batch(library.who, collection, members, key=None)
    assert await gate.next() == "first"
    later = await library.collection(other)
    application, who = library.application, library.who
    if ending == "removed":
        await application.collection_files.remove(who, collection, FILE + file.id)
    elif ending == "deleted":
        await application.files.delete(who, FILE + file.id)
    elif ending == "collection":
        await application.collections.delete(who, collection)
    else:
        done = await application.collection_files.cancel_batch(who, collection, BATCH + batch.batch.id)
        assert (done.batch.cancelled, done.counts.cancelled) == (True, 1)
    assert await gate.next() == "second", "its place is free while the gate is still closed"
    gate.open.set()
    await library.indexed(later)
    assert library.live(collection) == []
    if ending == "batch":
        assert (await library.member(collection, file)).state == "cancelled"
    assert library.rows("SELECT COUNT(*) FROM sources WHERE state='staged'") == [(0,)]


async def test_the_end_of_the_process_costs_no_attempt_and_work_goes_on_later(tmp_path: Path) -> None:
    async with open_library(tmp_path / "data") as library:
        gate = Gate(library)
        library.work()
        file = await library.file("x" * 30_000)
        collection = await library.collection(file)
        await gate.next()
    async with open_library(tmp_path / "data") as library:
        member = await library.member(collection, file)
        assert (member.state, member.attempts) == ("in_progress", 0)
        library.work()
        await library.indexed(collection)
        assert "".join(library.live(collection)) == "x" * 30_000


async def test_a_new_version_takes_over_all_at_once(library: Library) -> None:
    library.work()
    file = await library.file("old " * 3000)
    collections = [await library.collection(file) for _ in range(2)]
    await library.indexed(*collections)
    gate = Gate(library)
    await library.rewrite(file, "new " * 3000)
    await gate.next()
    for collection in collections:
        assert "".join(library.live(collection)) == "old " * 3000, "searched until the new one is ready"
        assert (await library.member(collection, file)).state == "in_progress"
    gate.open.set()
    await library.indexed(*collections)
    for collection in collections:
        assert "".join(library.live(collection)) == "new " * 3000
        assert (await library.member(collection, file)).version == 2
    read = library.application.files.text
    assert await read(library.who, FILE + file.id, 1, 0, 4) == "old ", "citations still find it"


async def test_a_version_that_comes_while_one_is_read_is_the_one_that_is_searched(library: Library) -> None:
    gate = Gate(library)
    library.work()
    file = await library.file("old " * 3000)
    collection = await library.collection(file)
    await gate.next()
    await library.rewrite(file, "new")
    gate.open.set()
    await library.indexed(collection)
    assert library.live(collection) == ["new"]


async def test_equal_content_is_read_once_and_indexed_once_in_a_collection(library: Library) -> None:
    library.work()
    one, two = await library.file("same " * 500, name="one"), await library.file("same " * 500, name="two")
    first, second = await library.collection(one, two), await library.collection(two)
    await library.indexed(first, second)
    assert len(library.parser.parsed) == 1, "other versions and collections take its text"
    original, duplicate = await library.member(first, one), await library.member(first, two)
    assert (duplicate.state, duplicate.duplicate_of, duplicate.usage_bytes) == ("completed", one.id, 0)
    assert original.duplicate_of is None
    assert "".join(library.live(first)) == "same " * 500
    assert "".join(library.live(second)) == "same " * 500
    await library.application.collection_files.remove(library.who, first, FILE + one.id)
    await library.indexed(first)
    assert "".join(library.live(first, two)) == "same " * 500, "it stands for itself now"


async def test_another_way_of_cutting_is_another_indexing_of_the_same_text(library: Library) -> None:
    library.work()
    file = await library.file("x" * 5000)
    collection = await library.collection(file)
    await library.indexed(collection)
    before = (await library.member(collection, file)).source_id
    await library.add(collection, file, chunking=Chunking(300, 0, automatic=False))
    await library.indexed(collection)
    assert (await library.member(collection, file)).source_id not in (None, before)
    assert "".join(library.live(collection)) == "x" * 5000
    assert len(library.parser.parsed) == 1


async def test_a_way_of_cutting_that_changes_meanwhile_is_the_one_that_counts(library: Library) -> None:
    gate = Gate(library)
    library.work()
    file = await library.file("x" * 30_000)
    collection = await library.collection(file)
    await gate.next()
    cut = Chunking(300, 0, automatic=False)
    await library.add(collection, file, chunking=cut)
    gate.open.set()
    await library.indexed(collection)
    member = await library.member(collection, file)
    assert (member.chunking, member.attempts) == (cut, 1)
    assert "".join(library.live(collection)) == "x" * 30_000


async def test_an_expired_collection_is_emptied_and_takes_nothing(library: Library) -> None:
    library.work()
    file = await library.file()
    collection = await library.collection(file, expires_after_days=0)
    await library.application.document_housekeeping.expire()
    found = await library.application.collections.get(library.who, collection)
    assert (found.expired, found.counts.total) == (True, 0)
    assert library.live(collection) == []
    with pytest.raises(Exception, match="has expired"):
        await library.add(collection, file)


async def test_the_size_of_a_document_costs_no_memory(library: Library) -> None:
    small, large = await library.file("s" * 50_000), await library.file("l" * 8_000_000)
    library.work()
    peaks: list[Any] = []
    for file in (small, large):
        tracemalloc.start()
        await library.indexed(await library.collection(file), seconds=6 * PATIENCE_SECONDS)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 4_000_000, peaks
