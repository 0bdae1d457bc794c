"""What write sets make of the documents, before any of it is written.

The commands read and change documents here; what is not in the draft is read from the store. The
draft then says which documents are new, which change and which go, for each owner's log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from antiphon.domain.errors import TooLarge
from antiphon.storage.mongo.database import Database, Document
from antiphon.storage.mongo.matching import matches

Key = tuple[str, str]
"""A collection and a document's `_id`."""

NEW, SET, GONE = "new", "set", "gone"

MAX_BYTES: Final = 15 * 1024 * 1024
"""MongoDB takes documents of 16 MB."""
WIDEST: Final = 4
"""Bytes of a character at most."""

FEW: Final = 4
"""So many documents are rather read one by one, at once."""

Operation = list[Any]
"""One of these words, a collection, and the document, or its `_id` where it goes."""


class Draft:
    """Documents as they will be; one whose guard was lost is thrown away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stored: dict[Key, Document | None] = {}
        self._now: dict[Key, Document | None] = {}
        self.owners: dict[Key, str] = {}

    async def get(self, collection: str, key: str) -> Document | None:
        """Return a document by its `_id`, or None; it is not to be changed."""
        place = (collection, key)
        if place in self._now:
            return self._now[place]
        if place not in self._stored:
            self._stored[place] = await self._database.get(collection, key)
        return self._stored[place]

    async def fetch(self, places: Iterable[Key]) -> None:
        """Read documents by their `_id`s, all together."""
        by_collection: dict[str, list[str]] = {}
        for collection, key in places:
            by_collection.setdefault(collection, []).append(key)
        await asyncio.gather(*(self._fetch(collection, keys) for collection, keys in by_collection.items()))

    async def _fetch(self, collection: str, keys: list[str]) -> None:
        if len(keys) <= FEW:
            found = await asyncio.gather(*(self._database.get(collection, key) for key in keys))
            self._stored |= {(collection, key): one for key, one in zip(keys, found, strict=True)}
            return
        self._stored |= dict.fromkeys(((collection, key) for key in keys), None)
        for one in await self._database.find(collection, {"_id": {"$in": keys}}):
            self._stored[collection, one["_id"]] = one

    async def find(
        self, collection: str, wanted: Mapping[str, Any], *, limit: int = 0, only_here: bool = False
    ) -> list[Document]:
        """Return the documents that meet a condition, those of the draft as they will be.

        With `only_here` the store is not asked: it cannot have any.
        """
        touched: dict[str, Document | None] = {
            key: one for (where, key), one in self._now.items() if where == collection
        }
        more = limit + len(touched) if limit else 0
        there = [] if only_here else await self._database.find(collection, wanted, limit=more)
        found = {one["_id"]: one for one in there}
        for key, one in found.items():
            self._stored.setdefault((collection, key), one)
        for key, now in touched.items():
            found.pop(key, None)
            if now is not None and matches(now, wanted):
                found[key] = now
        return list(found.values())[: limit or None]

    async def has(self, collection: str, wanted: Mapping[str, Any], *, only_here: bool = False) -> bool:
        """Whether any document meets a condition."""
        return bool(await self.find(collection, wanted, limit=1, only_here=only_here))

    def is_new(self, collection: str, key: str) -> bool:
        """Whether a document comes to be in this draft."""
        return (collection, key) in self._now and self._stored.get((collection, key)) is None

    def put(self, collection: str, document: Document, owner_id: str) -> None:
        """Store a document, in the log of an owner."""
        self._note((collection, document["_id"]), {**document, "p": owner_id}, owner_id)

    def change(self, collection: str, document: Document, **fields: Any) -> None:
        """Change fields of a document that was read."""
        self._note((collection, document["_id"]), {**document, **fields}, document["p"])

    def drop(self, collection: str, document: Document) -> None:
        """Erase a document that was read."""
        self._note((collection, document["_id"]), None, document["p"])

    def _note(self, place: Key, document: Document | None, owner_id: str) -> None:
        if document is not None:
            require_room(document)
        self._now[place] = document
        self.owners[place] = owner_id

    def operations(self) -> dict[str, list[Operation]]:
        """Return what is to be done, by the owner in whose log it stands."""
        done: dict[str, list[Operation]] = {}
        for place, document in self._now.items():
            collection, key = place
            # What was put without a look is new under an id of its own, so there is nothing to look for.
            before = self._stored.get(place)
            if document is None:
                if before is not None:
                    done.setdefault(self.owners[place], []).append([GONE, collection, key])
                continue
            word = NEW if before is None else SET
            done.setdefault(self.owners[place], []).append([word, collection, document])
        return done


def require_room(document: Document) -> None:
    """Refuse what no document can hold, before anything of its commit is decided."""
    texts = [value for value in document.values() if type(value) is str or type(value) is bytes]
    if sum(map(len, texts)) * WIDEST <= MAX_BYTES:
        return
    size = sum(len(value) if type(value) is bytes else len(str(value).encode()) for value in texts)
    if size > MAX_BYTES:
        raise TooLarge("An item of more than 15 MB cannot be stored in MongoDB.")
