"""The collections of one MongoDB database, and the few calls that everything here is made of.

Whatever is decided is decided by an insert under a unique `_id`. Nothing needs a transaction over
several documents, so a single server, a replica set, a sharded cluster and look-alikes will do.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any, Final

from pymongo import AsyncMongoClient, DeleteOne, InsertOne, ReplaceOne, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    BulkWriteError,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
)

from antiphon.domain.errors import StorageFull, Unavailable
from antiphon.domain.runs import BAD
from antiphon.storage.mongo.texts import asked, kept, shown, stored

Document = dict[str, Any]
Sort = Sequence[tuple[str, int]]
Write = InsertOne[Document] | ReplaceOne[Document] | UpdateOne | DeleteOne

CONVERSATIONS: Final = "conversations"
BRANCHES: Final = "branches"
SEGMENTS: Final = "segments"
ITEMS: Final = "items"
HIDDEN: Final = "hidden_items"
CHANGES: Final = "conversation_changes"
RUNS: Final = "runs"
KEYS: Final = "idempotency"
MEMBERS: Final = "members"
SHARES: Final = "share_links"
ALIASES: Final = "aliases"
BLOBS: Final = "blobs"
BLOB_REFS: Final = "blob_refs"
SWEEPS: Final = "sweeps"
TICKS: Final = "journal"
CHUNKS: Final = "run_chunks"
WORKERS: Final = "workers"
LOG: Final = "log"
PARTS: Final = "log_parts"
DECISIONS: Final = "decisions"
ABOUT: Final = "about"
PASSAGES: Final = "passages"

_SOME: Final = {"$gt": ""}
"""A partial index holds only documents that have a text in the field."""

RATED: Final[tuple[str, tuple[str, ...], Document]] = (RUNS, ("created_us",), {"rating": {"$gte": BAD}})
FOLDERS: Final[tuple[str, tuple[str, ...], Document]] = (
    CONVERSATIONS, ("owner_id", "folder"), {"folder": _SOME},
)  # fmt: skip
DECIDED: Final[tuple[str, tuple[str, ...], Document]] = (DECISIONS, ("at",), {})
LATER: Final = (RATED, FOLDERS, DECIDED)
"""The few answers that were rated, conversations in folders, and decisions by age: databases of older
releases get these with the next start."""

INDEXES: Final[tuple[tuple[str, tuple[str, ...], Document], ...]] = (
    (CONVERSATIONS, ("owner_id", "_id"), {}),
    (CONVERSATIONS, ("owner_id", "external_key"), {"external_key": _SOME}),
    (CONVERSATIONS, ("base.segment_id",), {"base.segment_id": _SOME}),
    (CONVERSATIONS, ("expires_us",), {"expires_us": {"$gt": 0}}),
    (CONVERSATIONS, ("owner_id", "pinned_us"), {"pinned_us": {"$gt": 0}}),
    (CONVERSATIONS, ("owner_id", "archived_us"), {"archived_us": {"$gt": 0}}),
    FOLDERS,
    (CONVERSATIONS, ("deleted",), {"deleted": {"$gt": 0}}),
    (CONVERSATIONS, ("state", "_id"), {"state": _SOME}),
    (BRANCHES, ("conversation_id", "id"), {}),
    (BRANCHES, ("conversation_id", "name"), {}),
    (BRANCHES, ("alias_of",), {"alias_of": _SOME}),
    (SEGMENTS, ("conversation_id", "_id"), {}),
    (SEGMENTS, ("parent_id",), {"parent_id": _SOME}),
    (ITEMS, ("segment_id", "depth"), {}),
    (ITEMS, ("segment_id", "path_tokens"), {}),
    (ITEMS, ("id",), {}),
    (ITEMS, ("owner_id", "path_hash"), {"path_hash": {"$exists": True}}),
    (HIDDEN, ("conversation_id",), {}),
    (CHANGES, ("conversation_id", "revision"), {}),
    (RUNS, ("conversation_id", "_id"), {}),
    (RUNS, ("owner_id", "surface", "_id"), {}),
    (RUNS, ("alive", "_id"), {"alive": True}),
    RATED,
    (KEYS, ("owner_id",), {}),
    (KEYS, ("conversation_id",), {"conversation_id": _SOME}),
    (KEYS, ("run_id",), {"run_id": _SOME}),
    (KEYS, ("expires_us",), {}),
    (MEMBERS, ("account_id", "conversation_id"), {}),
    (MEMBERS, ("conversation_id",), {}),
    (SHARES, ("digest",), {}),
    (SHARES, ("conversation_id", "_id"), {}),
    (ALIASES, ("owner_id", "alias"), {}),
    (ALIASES, ("target_id",), {}),
    (BLOBS, ("state", "changed"), {}),
    (BLOB_REFS, ("segment_id", "depth"), {}),
    (BLOB_REFS, ("owner_id", "digest"), {}),
    (SWEEPS, ("due",), {}),
    (TICKS, ("worker_id", "tick"), {}),
    (CHUNKS, ("run_id", "first_seq"), {}),
    (LOG, ("p", "n"), {}),
    (LOG, ("open",), {"open": True}),
    DECIDED,
    (PASSAGES, ("words",), {}),
    (PASSAGES, ("no",), {}),
    (PASSAGES, ("source", "no"), {}),
    (PASSAGES, ("source", "item", "ordinal"), {}),
    (PASSAGES, ("source", "length"), {}),
    (PASSAGES, ("owner", "hash"), {}),
    (PASSAGES, ("embedded", "no"), {}),
)

NAMES: Final = tuple(sorted({index[0] for index in INDEXES} | {WORKERS, ABOUT}))

FERRETDB: Final = "ferretdbVersion"
UPDATES: Final = 16
"""Documents changed by one command on FerretDB 1.24: it keeps one of its 100 connections for each until the
command ends, and where all are kept for commands that want one more, nothing is ever answered again."""
AHEAD: Final = 16
"""Documents asked for at once where all are read: MongoDB ends an answer at 16 MB, a look-alike may not."""
DUPLICATE, NOT_IMPLEMENTED = 11000, 238


@contextlib.contextmanager
def named() -> Iterator[None]:
    """Turn the driver's errors into those of the ports."""
    try:
        yield
    except BulkWriteError as error:
        raise StorageFull("MongoDB did not take a write.") from error
    except PyMongoError as error:
        raise Unavailable("MongoDB does not answer.") from error


class Database:
    """One database; documents go in and out with `_id` a text, never NUL in a text."""

    def __init__(self, client: AsyncMongoClient[Document], database: AsyncDatabase[Document]) -> None:
        self._client = client
        self._database = database
        self._is_ferretdb = False
        self._updating = asyncio.Lock()

    async def get(self, collection: str, key: str) -> Document | None:
        """Return a document by its `_id`, or None."""
        with named():
            found = await self._database[collection].find_one({"_id": kept(key)})
        return None if found is None else shown(found)

    async def find(
        self, collection: str, wanted: Mapping[str, Any], *, sort: Sort = (), limit: int = 0,
        fields: Sequence[str] = (),
    ) -> list[Document]:  # fmt: skip
        """Return the documents that meet a condition."""
        with named():
            cursor = self._database[collection].find(
                asked(wanted),
                dict.fromkeys(fields, 1) if fields else None,
                sort=list(sort) or None,
                limit=limit,
            )
            return [shown(one) async for one in cursor]

    async def each(
        self, collection: str, wanted: Mapping[str, Any], *, fields: Sequence[str] = ()
    ) -> AsyncIterator[Document]:
        """Iterate over the documents that meet a condition, in any order, with few of them in memory."""
        with named():
            fields_of = dict.fromkeys(fields, 1) if fields else None
            async with self._database[collection].find(asked(wanted), fields_of, batch_size=AHEAD) as cursor:
                async for one in cursor:
                    yield shown(one)

    async def index(self, collection: str, fields: Sequence[str]) -> None:
        """Make an index unless it is there."""
        with named():
            await self._database[collection].create_index([(field, 1) for field in fields])

    async def first(
        self, collection: str, wanted: Mapping[str, Any], *, sort: Sort = (), fields: Sequence[str] = ()
    ) -> Document | None:
        """Return one document that meets a condition, the first by `sort`, or None."""
        found = await self.find(collection, wanted, sort=sort, limit=1, fields=fields)
        return found[0] if found else None

    async def batches(
        self, collection: str, wanted: Mapping[str, Any], size: int, *, sort: Sort = (),
        fields: Sequence[str] = (),
    ) -> AsyncIterator[list[Document]]:  # fmt: skip
        """Yield the documents that meet a condition, up to `size` at a time, which is all that is held."""
        with named():
            projection = dict.fromkeys(fields, 1) if fields else None
            async with self._database[collection].find(
                asked(wanted), projection, sort=list(sort) or None, batch_size=size
            ) as cursor:
                while found := await cursor.to_list(size):
                    yield [shown(one) for one in found]

    async def rows(self, collection: str, pipeline: Sequence[Document]) -> list[Document]:
        """Return what an aggregation makes."""
        with named():
            cursor = await self._database[collection].aggregate(list(pipeline))
            return [one async for one in cursor]

    async def insert(self, collection: str, document: Document) -> bool:
        """Insert a document; False if its `_id` is taken."""
        with named():
            try:
                await self._database[collection].insert_one(stored(document))
            except DuplicateKeyError:
                return False
        return True

    async def insert_new(self, collection: str, documents: Sequence[Document]) -> None:
        """Insert documents; those whose `_id` is taken stay as they are."""
        await self.write(collection, [InsertOne(stored(one)) for one in documents])

    async def insert_told(self, collection: str, documents: Sequence[Document]) -> list[Document]:
        """Insert documents and return those whose `_id` was not taken."""
        if not documents:
            return []
        taken: set[int] = set()
        with named():
            try:
                await self._database[collection].insert_many(map(stored, documents), ordered=False)
            except BulkWriteError as error:
                wrong = error.details["writeErrors"]
                if any(one.get("code") != DUPLICATE for one in wrong):
                    raise
                taken = {one["index"] for one in wrong}
        return [one for number, one in enumerate(documents) if number not in taken]

    async def write(self, collection: str, writes: Sequence[Write]) -> None:
        """Make writes in any order; an insert whose `_id` is taken does nothing."""
        if not self._is_ferretdb:
            await self._write(collection, writes)
            return
        changes = [one for one in writes if isinstance(one, (ReplaceOne, UpdateOne))]
        await self._write(collection, [one for one in writes if not isinstance(one, (ReplaceOne, UpdateOne))])
        for at in range(0, len(changes), UPDATES):
            async with self._updating:
                await self._write(collection, changes[at : at + UPDATES])

    async def _write(self, collection: str, writes: Sequence[Write]) -> None:
        if not writes:
            return
        with named():
            try:
                await self._database[collection].bulk_write(list(writes), ordered=False)
            except BulkWriteError as error:
                if any(one.get("code") != DUPLICATE for one in error.details["writeErrors"]):
                    raise

    async def write_all(self, writes: Mapping[str, Sequence[Write]]) -> None:
        """Make writes to several collections in any order, at the same time where the server bears it."""
        if self._is_ferretdb:
            for name, some in writes.items():
                await self.write(name, some)
            return
        await asyncio.gather(*(self.write(name, some) for name, some in writes.items()))

    async def update(self, collection: str, key: str, change: Document, **also: Any) -> bool:
        """Update the document of an `_id` that meets more conditions; returns whether there was one."""
        with named():
            done = await self._database[collection].update_one({"_id": kept(key), **also}, change)
        return done.matched_count > 0

    async def update_all(self, collection: str, wanted: Mapping[str, Any], change: Document) -> None:
        """Update all documents that meet a condition."""
        with named():
            await self._database[collection].update_many(asked(wanted), change)

    async def delete(self, collection: str, wanted: Mapping[str, Any]) -> int:
        """Delete the documents that meet a condition; returns how many there were."""
        with named():
            return (await self._database[collection].delete_many(asked(wanted))).deleted_count

    async def count(self, collection: str, wanted: Mapping[str, Any]) -> int:
        """Return how many documents meet a condition."""
        with named():
            return await self._database[collection].count_documents(asked(wanted))

    async def now_us(self) -> int:
        """Return the server's time."""
        with named():
            hello = await self._database.command("hello")
        return int(hello["localTime"].replace(tzinfo=UTC).timestamp() * 1_000_000)

    async def prepare(self, names: Iterable[str] = NAMES) -> None:
        """Make the collections and their indexes, as far as they are missing."""
        with named():
            # On SQLite it may not answer for many seconds if collections are written at the same time.
            self._is_ferretdb = FERRETDB in await self._database.command("buildInfo")
            there = set(await self._database.list_collection_names())
            for name in names:
                if name not in there:
                    await self._make(name)
            for index in LATER:
                if index[0] in there and index[0] in names:
                    await self._make_index(*index)

    async def _make(self, name: str) -> None:
        for collection, fields, condition in INDEXES:
            if collection == name:
                await self._make_index(name, fields, condition)

    async def _make_index(self, name: str, fields: Sequence[str], condition: Document) -> None:
        keys = [(field, 1) for field in fields]
        more: Document = {"partialFilterExpression": condition} if condition else {}
        try:
            await self._database[name].create_index(keys, **more)
        except OperationFailure as error:
            if error.code != NOT_IMPLEMENTED:
                raise
            await self._database[name].create_index(keys)  # a look-alike: larger, no less right

    async def search_indexes(self, collection: str) -> list[Document] | None:
        """Return a collection's search indexes, None where the server knows none."""
        with named():
            try:
                found = await self._database[collection].list_search_indexes()
                return [dict(one) async for one in found]
            except OperationFailure:
                return None

    async def make_search_index(self, collection: str, definition: Document) -> None:
        """Have a search index made, which takes a while; does nothing if it is there or is refused."""
        with named(), contextlib.suppress(OperationFailure):
            await self._database[collection].create_search_index(definition)

    async def erase(self) -> None:
        """Erase the database with all that is in it."""
        with named():
            await self._client.drop_database(self._database.name)

    async def version(self) -> str:
        """Return the server's version."""
        with named():
            return str((await self._database.command("buildInfo"))["version"])

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def keyset(field: str, after: str | None, *, descending: bool = False) -> Document:
    """Return the condition that begins a page after a key."""
    return {} if after is None else {field: {"$lt" if descending else "$gt": after}}


def ordered(field: str, *, descending: bool = False) -> list[tuple[str, int]]:
    """Return the order of a page."""
    return [(field, -1 if descending else 1)]


def ids_of(documents: Iterable[Document], field: str = "id") -> list[str]:
    """Return one text of each document."""
    return [one[field] for one in documents]
