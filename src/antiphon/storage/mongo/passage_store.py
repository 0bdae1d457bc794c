"""Opens an index whose passages are in MongoDB, beside its catalogue in SQL."""

from __future__ import annotations

import logging
import secrets
from typing import Final

from antiphon.domain.errors import Unavailable
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.connection import connect, explained
from antiphon.storage.mongo.database import Database, Document
from antiphon.storage.mongo.passage_atlas import AtlasVectors
from antiphon.storage.mongo.passage_scopes import MongoIndexScopes
from antiphon.storage.mongo.passage_search import MongoSearch
from antiphon.storage.mongo.passage_sweep import PassageSweep
from antiphon.storage.mongo.passage_vectors import MongoVectors
from antiphon.storage.mongo.passages import MongoPassageIndex
from antiphon.storage.sql import knowledge_elsewhere as elsewhere
from antiphon.storage.sql.knowledge_ports import KnowledgePorts
from antiphon.storage.sql.knowledge_store import EVERYBODY

FOREIGN: Final = (
    "The database that MONGODB_URL names holds the passages of another store. Name an empty database, or the"
    " DATA_DIR or DATABASE_URL that it was used with."
)
ABOUT_PASSAGES: Final = "passages"

log = logging.getLogger(__name__)


class MongoIndex:
    """The ports of the index."""

    def __init__(self, ports: KnowledgePorts, database: Database, *, atlas: bool, cache_bytes: int) -> None:
        self._database = database
        self._search = MongoSearch(ports.store, database, AtlasVectors(database, is_there=atlas), cache_bytes)
        sweep = PassageSweep(ports.store, database)
        self.index = MongoPassageIndex(ports.store, database, self._search, sweep)
        self.scopes = MongoIndexScopes(ports.store, database, sweep)
        self.vectors = MongoVectors(ports.store, database, sweep)

    async def close(self) -> None:
        """Release the connections and threads; whoever opened the catalogue closes that."""
        self._search.close()
        await self._database.close()


async def open_passages(
    url: str, ports: KnowledgePorts, *, cache_bytes: int, name: str | None = None
) -> MongoIndex:
    """Open the index in the database at `url` that goes with a store of knowledge.

    If its passages were elsewhere, or are gone from there, everything is indexed again. `cache_bytes` bounds
    the vectors that are kept in memory for searches; `name` is another database than the URL's. Raises
    Unavailable, with a sentence that says why, if it cannot be reached or has the passages of another store.
    """
    database = connect(url, name)
    try:
        with explained():
            await database.prepare((db.ABOUT, db.PASSAGES))
            await _begin(database, ports)
        atlas = await database.search_indexes(db.PASSAGES) is not None
        return MongoIndex(ports, database, atlas=atlas, cache_bytes=cache_bytes)
    except BaseException:
        await database.close()
        raise


async def _begin(database: Database, ports: KnowledgePorts) -> None:
    """Make sure that documents and catalogue belong together; the first time they come to."""
    about = await _about(database, ports)
    lost = about is None
    if await ports.store.write(EVERYBODY, elsewhere.move, ports.engine, elsewhere.MONGODB, lost=lost):
        log.info("passages are in MongoDB from now on; documents and conversations are indexed")
    if lost:
        pair = await ports.store.write(EVERYBODY, elsewhere.make_pair, secrets.token_hex(16))
        await database.insert(db.ABOUT, {"_id": ABOUT_PASSAGES, "pair": pair})
        await _about(database, ports)


async def _about(database: Database, ports: KnowledgePorts) -> Document | None:
    """Return what the database says of its passages; raises Unavailable if they are another store's."""
    about = await database.get(db.ABOUT, ABOUT_PASSAGES)
    if about is not None and about["pair"] != await ports.store.read(elsewhere.pair):
        raise Unavailable(FOREIGN)
    return about


async def erase_passages(url: str, ports: KnowledgePorts) -> None:
    """Erase a store's passages from the database at `url`, if they are there; raises Unavailable."""
    database = connect(url)
    try:
        if await _about(database, ports) is not None:
            await database.delete(db.ABOUT, {"_id": ABOUT_PASSAGES})  # first: from now on they count as lost
            await database.delete(db.PASSAGES, {})
    finally:
        await database.close()


async def erase_database(url: str, name: str) -> None:
    """Erase a database that was made for a measurement; raises Unavailable."""
    database = connect(url, name)
    try:
        await database.erase()
    finally:
        await database.close()
