"""The search over passages in MongoDB: what the catalogue lets through, then both legs, in a thread.

The catalogue is asked once, as of one moment, and holds no connection while MongoDB answers. If a scope has
changed meanwhile the search begins anew, so that it finds a document's old version or its new one, whole.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import msgspec

from antiphon.domain.passages import Candidates, IndexQuery, LegHit
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo import passage_words
from antiphon.storage.mongo.database import Database, Document
from antiphon.storage.mongo.passage_atlas import AtlasVectors
from antiphon.storage.mongo.passage_documents import floats, vector_field
from antiphon.storage.mongo.passage_words import Figures, Matches
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_elsewhere import changes
from antiphon.storage.sql.knowledge_index_search import Attributes, candidates, model_number, passing
from antiphon.storage.sql.knowledge_index_vector_rows import Portions, Reached, Scope
from antiphon.storage.sql.knowledge_store import KnowledgeStore

T = TypeVar("T")

SEARCHES: Final = 3
"""Searches that compute at the same time, each in a thread."""
ATTEMPTS: Final = 5
BATCH: Final = 256
"""Documents that are unpacked on the event loop at once: a few milliseconds of it."""
SOURCES: Final = 1_000
"""Sources named in one condition."""


class View(msgspec.Struct, frozen=True):
    """What the catalogue says of a question, as of one moment: scopes, their words, and visible sources.

    `live` has each scope's sources with the numbers of their last changes, `sources` those that filters
    leave, None for all.
    """

    scopes: tuple[Scope, ...]
    words: dict[int, int]
    live: dict[int, dict[int, int]]
    sources: frozenset[int] | None
    model_no: int | None

    @property
    def seqs(self) -> dict[int, int]:
        """The numbers of the scopes' last changes."""
        return {scope.no: scope.seq for scope in self.scopes}


class Bridge:
    """Lets a thread wait for what the event loop does."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what becomes of a piece of work."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def batches(self, found: AsyncIterator[list[Document]]) -> Iterator[list[Document]]:
        """Yield what comes in portions."""

        async def portion() -> list[Document]:
            return await anext(found, [])

        while some := self.wait(portion()):
            yield some


class MongoVectorRows:
    """`VectorRows` of documents, of the sources that a view has."""

    number_type = "<f4"

    def __init__(self, bridge: Bridge, database: Database, view: View, model_no: int) -> None:
        self._bridge = bridge
        self._database = database
        self._view = view
        self._model_no = model_no

    def live(self, scope: Scope) -> dict[int, int]:
        """See the protocol."""
        return self._view.live[scope.no]

    def left(self, source_no: int) -> list[int]:
        """See the protocol."""
        return [one["no"] for part in self._of({"source": source_no}, ("no",)) for one in part]

    def of_scope(self, scope: Scope) -> Portions:
        """See the protocol."""
        return self.of_sources(scope, list(self._view.live[scope.no]))

    def of_sources(self, scope: Scope, sources: Sequence[int]) -> Portions:
        """See the protocol."""
        field = vector_field(self._model_no)
        fields = ("no", "source", "created", "role", "model", "author", field)
        for start in range(0, len(sources), SOURCES):
            some = list(sources[start : start + SOURCES])
            for part in self._of({"source": {"$in": some}, "embedded": self._model_no}, fields):
                yield [
                    (one["no"], one["source"], one["created"], one["role"], one["model"], one["author"],
                     floats(one[field]))
                    for one in part
                ]  # fmt: skip

    def since(self, scope: Scope, grown: Sequence[int], reached: Reached) -> Portions:
        """See the protocol: a source that got vectors has changed as well."""
        return self.of_sources(scope, grown)

    def last(self, scope: Scope) -> int:
        """See the protocol."""
        return 0

    def _of(self, wanted: Document, fields: Sequence[str]) -> Iterator[list[Document]]:
        found = self._database.batches(db.PASSAGES, wanted, BATCH, fields=fields)
        return self._bridge.batches(found)


class MongoSearch:
    """Finds candidates; `cache_bytes` bounds the vectors in memory."""

    def __init__(
        self, store: KnowledgeStore, database: Database, atlas: AtlasVectors, cache_bytes: int
    ) -> None:
        self._store = store
        self._database = database
        self._atlas = atlas
        self._cache_bytes = cache_bytes
        self._attributes = Attributes()
        self._lock = threading.Lock()
        self._matrices: Any = None
        self._threads = ThreadPoolExecutor(SEARCHES, "mongo-search")

    async def __call__(self, query: IndexQuery) -> Candidates:
        """Return what both legs find."""
        found: Candidates | None = None
        attempt = 0
        while found is None or attempt < ATTEMPTS:
            attempt += 1
            view = await self._store.snapshot(self._view, query)
            found = await self._find(view, query)
            if found is not None and await self._store.read(changes, list(view.seqs)) == view.seqs:
                break
        return found

    def _view(self, sql: Db, query: IndexQuery) -> View:
        rows = sql.execute(
            "SELECT no,owner_id,seq,total,words FROM scopes"
            " WHERE scope IN (SELECT value FROM json_each(?)) ORDER BY no",
            (json.dumps(list(query.scopes)),),
        ).fetchall()
        of_scope = "SELECT no,changed FROM sources WHERE scope_no=? AND state='live'"
        live = {row[0]: {one[0]: one[1] for one in sql.execute(of_scope, row[:1])} for row in rows}
        return View(
            tuple(Scope(*row[:4]) for row in rows),
            {row[0]: row[4] for row in rows},
            live,
            passing(sql, self._attributes, rows, query),
            model_number(sql, query),
        )

    async def _find(self, view: View, query: IndexQuery) -> Candidates | None:
        loop = asyncio.get_running_loop()
        began = time.perf_counter_ns()
        lexical = await loop.run_in_executor(self._threads, self._words, Bridge(loop), view, query)
        between = time.perf_counter_ns()
        found = await self._dense(loop, view, query)
        if found is None:
            return None
        return candidates(lexical, found, began, between, total=sum(scope.total for scope in view.scopes))

    def _words(self, bridge: Bridge, view: View, query: IndexQuery) -> list[LegHit]:
        asked = passage_words.asked(query)
        if asked is None or not view.scopes or (view.sources is not None and not view.sources):
            return []
        scopes = {
            scope.no: Figures(view.live[scope.no], scope.total, view.words[scope.no]) for scope in view.scopes
        }
        matches = Matches(asked, scopes, view.sources)
        wanted = asked.wanted(list(scopes))
        for part in bridge.batches(self._database.batches(db.PASSAGES, wanted, BATCH, fields=asked.fields)):
            matches.take(part)
        return matches.best(query.limit)

    async def _dense(
        self, loop: asyncio.AbstractEventLoop, view: View, query: IndexQuery
    ) -> tuple[list[LegHit], int] | None:
        model_no = view.model_no
        if query.vector is None or model_no is None or not view.scopes:
            return [], 0
        sources = [no for scope in view.live.values() for no in scope]
        if view.sources is not None:
            sources = [no for no in sources if no in view.sources]
        hits = await self._atlas.search(model_no, query, list(view.live), sources)
        if hits is not None:
            return hits, await self._atlas.embedded(model_no, list(view.live))
        return await loop.run_in_executor(self._threads, self._exact, Bridge(loop), view, query, model_no)

    def _exact(
        self, bridge: Bridge, view: View, query: IndexQuery, model_no: int
    ) -> tuple[list[LegHit], int] | None:
        from antiphon.storage.sql import knowledge_index_dense as dense  # noqa: PLC0415 - numpy, on first use
        from antiphon.storage.sql import knowledge_index_matrix as matrix  # noqa: PLC0415

        with self._lock:
            if self._matrices is None:
                self._matrices = matrix.Matrices(self._cache_bytes)
        wanted = dense.Wanted(view.sources, query.history, query.limit)
        rows = MongoVectorRows(bridge, self._database, view, model_no)
        try:
            return dense.search(rows, self._matrices, view.scopes, model_no, query.vector or b"", wanted)
        except matrix.Behind:
            return None

    def close(self) -> None:
        """Release the threads."""
        self._threads.shutdown(wait=False)
