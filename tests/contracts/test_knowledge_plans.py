"""What files and collections cost on SQLite: every statement searches an index, however much there is."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.storage.sql.knowledge import FILE_NAME
from antiphon.storage.sql.knowledge_batches import SqlBatches
from antiphon.storage.sql.knowledge_collections import SqlCollections
from antiphon.storage.sql.knowledge_files import SqlFiles
from antiphon.storage.sql.knowledge_kept_answers import SqlKeptAnswers
from antiphon.storage.sql.knowledge_members import SqlCollectionMembers, SqlWaiting
from antiphon.storage.sql.knowledge_texts import SqlTexts
from antiphon.storage.sql.knowledge_uploads import SqlUploads
from tests.contracts.builders import OWNER
from tests.contracts.documents import (
    NOW,
    digest,
    new_batch,
    new_collection,
    new_file,
    new_key,
    new_member,
    new_part,
    new_upload,
)
from tests.services.world import prepare


class Watched:
    """A `KnowledgeStore` on one connection that notes every statement."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.said: list[str] = []
        self.db.set_trace_callback(self.said.append)

    async def read(self, work: Callable[..., Any], *args: Any) -> Any:
        return work(self.db, *args)

    async def write(self, owners: tuple[str, ...], work: Callable[..., Any], *args: Any) -> Any:
        return work(self.db, *args)

    def scans(self) -> list[str]:
        """The statements so far that read a whole table or index, with what they read."""
        self.db.set_trace_callback(None)
        found = []
        for statement in dict.fromkeys(self.said):
            if statement.startswith("--"):
                continue  # of a trigger
            for *_, step in self.db.execute(f"EXPLAIN QUERY PLAN {statement}"):
                if (
                    step.startswith("SCAN")
                    and "CONSTANT ROW" not in step
                    and not step.startswith(("SCAN (subquery", "SCAN kept"))
                ):
                    found.append(f"{step}: {statement}")
        return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Watched]:
    prepare(tmp_path)
    watched = Watched(tmp_path / FILE_NAME)
    yield watched
    watched.db.close()


async def everything(store: Any) -> None:
    """Call every verb of the ports once, with something there and with every filter."""
    files, texts, uploads = SqlFiles(store), SqlTexts(store), SqlUploads(store)
    collections, members, waiting = SqlCollections(store), SqlCollectionMembers(store), SqlWaiting(store)
    batches, kept = SqlBatches(store), SqlKeptAnswers(store)
    (file, version), (other, second) = new_file("a"), new_file("a")
    collection, upload = new_collection(expires_us=NOW, expires_after_days=1), new_upload()
    batch = new_batch(collection)
    member = new_member(collection, file, batch_id=batch.id)
    await files.put(file, version, key=new_key(), most_bytes=99)
    await files.put(other, second)
    await collections.put(collection, key=new_key("c"))
    await members.put([member], batch)
    await members.put([member])
    await uploads.put(upload)
    await uploads.add_part(OWNER, new_part(upload, "abc"), NOW, most_bytes=99)
    for reading in reads(files, uploads, collections, members, waiting, batches, kept, member, batch.id):
        await reading
    await texts.put_slice(OWNER, file.id, 1, 0, "text")
    await texts.complete(version)
    await texts.read(OWNER, file.id, 1, 0, 4)
    await texts.same_content(OWNER, digest("a"), "p")
    await texts.copy(OWNER, version, second)
    await waiting.next(OWNER, NOW)
    await members.settle(member)
    await members.describe(OWNER, collection.id, file.id, {"a": 1})
    await batches.cancel(OWNER, collection.id, batch.id)
    await batches.stand(OWNER, "user:x", [collection.id])
    await files.put(*new_file("b", id=file.id, version=2))
    await members.remove(OWNER, collection.id, file.id)
    await files.delete(OWNER, other.id)
    await uploads.complete(OWNER, upload.id, *new_file("c"))
    await uploads.forget(upload.id)
    await collections.change(collection)
    await collections.touch(OWNER, [collection.id], NOW)
    await collections.empty(OWNER, collection.id)
    await collections.delete(OWNER, collection.id)
    await kept.forget(NOW, 9)
    await batches.forget_owner(OWNER)


def reads(
    files: Any, uploads: Any, collections: Any, members: Any, waiting: Any, batches: Any, kept: Any,
    member: Any, batch_id: str,
) -> Iterator[Awaitable[Any]]:  # fmt: skip
    one, here = member.file_id, member.collection_id
    yield files.get(OWNER, one)
    yield files.version(OWNER, one, 1)
    yield files.needs(OWNER, digest("a"))
    yield files.stored_bytes(OWNER)
    yield files.expired(NOW, 9)
    yield files.of_owner(OWNER, 9)
    yield uploads.get(OWNER, one)
    yield uploads.parts(OWNER, one)
    yield uploads.stale(NOW, 9)
    yield uploads.of_owner(OWNER, 9)
    yield collections.expired(NOW, 9)
    yield waiting.owner("", NOW)
    yield waiting.twin(member, digest("a"))
    yield batches.batch(OWNER, here, batch_id)
    yield batches.counts(here)
    yield batches.counts(here, batch_id)
    yield batches.of_file(one)
    yield batches.standing(OWNER, "user:x")
    yield kept.get(OWNER, "k", NOW)
    for cursor in (None, one):
        for descending in (False, True):
            order = {"limit": 9, "descending": descending}
            yield files.page(OWNER, after=cursor, purpose="batch" if cursor else None, **order)
            for cursors in ({"after": cursor}, {"after": None, "before": cursor}):
                yield collections.page(OWNER, **cursors, **order)
                for wanted in ({}, {"state": "failed"}, {"batch_id": batch_id}):
                    yield members.page(OWNER, here, **cursors, **order, **wanted)


async def test_every_statement_searches_an_index(store: Watched) -> None:
    await everything(store)
    assert len(store.said) > 80
    assert store.scans() == []
