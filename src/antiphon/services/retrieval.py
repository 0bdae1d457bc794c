"""Finding passages: question → queries → both legs of the index → one order, and a trace of all of it.

Filters hold inside the index, before the best are chosen. What an index proposes is checked against
the truth before it is shown: a passage whose file is gone is left out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.collections import COLLECTION, Collection
from antiphon.domain.errors import AntiphonError, InvalidRequest, NotFound
from antiphon.domain.file_search import DEFAULT_RESULTS, Ranking
from antiphon.domain.files import FILE, File
from antiphon.domain.filters import Filter
from antiphon.domain.passages import MAX_CANDIDATES, Candidates, IndexQuery, Passage
from antiphon.domain.ranking import Place, fuse, legs
from antiphon.domain.retrieval import Found, Hit, Rank, Trace, TracedPassage
from antiphon.ports.clock import Clock
from antiphon.ports.collections import Collections
from antiphon.ports.embedder import Reranker
from antiphon.ports.files import Files
from antiphon.ports.passage_index import IndexScopes, PassageIndex

CANDIDATES: Final = 100
"""Passages each leg proposes at least; with fewer the fusion knows less of what is usual."""

RERANKED: Final = 50
"""Passages that are reranked at most."""

MAX_QUERIES: Final = 8
EMBED_SECONDS: Final = 5.0
RERANK_SECONDS: Final = 2.0

Analyse = Callable[[str, Sequence[str]], tuple[str, ...]]
"""Returns a question's terms as each of the languages has them."""

log = logging.getLogger(__name__)


class QueryVector(Protocol):
    """A question's vector, float32 little-endian, and the model to compare it under."""

    @property
    def model(self) -> str: ...

    @property
    def vector(self) -> bytes: ...


class QueryEmbedder(Protocol):
    """What is needed of embeddings here."""

    async def embed_query(self, text: str) -> QueryVector | None:
        """Return a question's vector, None without a model; raises ProviderError."""
        ...


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A question to collections: the texts to search for, whose findings are fused.

    `question` is what was asked, if the queries were made of it, and `rewriting` says how.
    """

    queries: tuple[str, ...]
    question: str | None = None
    rewriting: str | None = None
    filter: Filter | None = None
    limit: int = DEFAULT_RESULTS
    ranking: Ranking = Ranking()


class Retrieval:
    """Searches collections. Without an embedder only words are compared."""

    def __init__(
        self,
        collections: Collections,
        files: Files,
        index: PassageIndex,
        scopes: IndexScopes,
        clock: Clock,
        *,
        analyse: Analyse,
        embedder: QueryEmbedder | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        self._collections = collections
        self._files = files
        self._index = index
        self._scopes = scopes
        self._clock = clock
        self._analyse = analyse
        self._embedder = embedder
        self._reranker = reranker

    async def collections(self, who: Principal, wire_ids: Sequence[str], param: str) -> list[Collection]:
        """Return the caller's own collections by their wire ids.

        Raises NotFound for any that is not one, and InvalidRequest for one whose end has come.
        """
        found = []
        for wire_id in wire_ids:
            identifier = ids.parse(wire_id, COLLECTION)
            collection = await self._collections.get(who.actor_id, identifier) if identifier else None
            if collection is None:
                raise NotFound(f"Vector store with id '{wire_id}' not found.", param=param)
            if self._has_ended(collection):
                raise InvalidRequest(
                    f"Vector store '{wire_id}' has expired.", code="vector_store_expired", param=param
                )
            found.append(collection)
        return found

    async def own(self, account_id: str, collection_ids: Iterable[str]) -> list[Collection]:
        """Return those of an account's collections that still exist and have not ended."""
        found = [await self._collections.get(account_id, one) for one in collection_ids]
        return [one for one in found if one is not None and not self._has_ended(one)]

    def _has_ended(self, collection: Collection) -> bool:
        return collection.expires_us is not None and collection.expires_us <= self._clock.now_us()

    async def search(
        self, who: Principal, collection_ids: Sequence[str], asked: Asked, *, param: str = "vector_store_id"
    ) -> Found:
        """Search a caller's own collections, named by wire ids; raises NotFound."""
        return await self.search_in(await self.collections(who, collection_ids, param), asked)

    async def search_in(self, collections: Sequence[Collection], asked: Asked) -> Found:
        """Search collections; whose they are has been decided."""
        trace = _new_trace(collections, asked)
        timer = _Timer(trace.times_ms)
        if not collections or not trace.queries:
            return Found(hits=[], trace=trace)
        scopes = {one.id: one for one in collections}
        candidates = await self._ask_index(scopes, asked, trace, timer)
        passages = await self._fused(scopes, asked, candidates, trace, timer)
        passages = _without_repetitions(passages)
        await self._rerank(passages, asked, trace, timer)
        hits = await self._hits(scopes, passages, asked, timer)
        await self._touch(collections)
        return Found(hits=hits, trace=trace)

    async def _ask_index(
        self, scopes: Mapping[str, Collection], asked: Asked, trace: Trace, timer: _Timer
    ) -> list[Candidates]:
        """Return what both legs propose to each query."""
        languages = await self._scopes.languages(tuple(scopes))
        trace.languages = list(languages)
        vectors = await self._vectors(trace, timer)
        trace.embedding_model = next((one.model for one in vectors if one is not None), None)
        timer.start("index")
        limit = _candidates(asked)
        queries = [
            IndexQuery(
                scopes=tuple(scopes), terms=self._analyse(query, languages),
                vector=vector.vector if vector is not None else None,
                model=vector.model if vector is not None else None, filter=asked.filter, limit=limit,
            )
            for query, vector in zip(trace.queries, vectors, strict=True)
        ]  # fmt: skip
        found = list(await asyncio.gather(*(self._index.search(query) for query in queries)))
        timer.stop("index")
        trace.times_ms["lexical"] = round(sum(one.lexical_us for one in found) / 1000, 3)
        trace.times_ms["dense"] = round(sum(one.dense_us for one in found) / 1000, 3)
        trace.passages_in_scope = max(one.total for one in found)
        trace.passages_embedded = max(one.embedded for one in found)
        if any(one.dense for one in found):
            trace.mode = "hybrid"
        return found

    async def _vectors(self, trace: Trace, timer: _Timer) -> list[QueryVector | None]:
        """Return the queries' vectors; without them words alone decide, and the trace says why."""
        nothing: list[QueryVector | None] = [None] * len(trace.queries)
        if self._embedder is None:
            return nothing
        timer.start("embedding")
        try:
            async with asyncio.timeout(EMBED_SECONDS):
                embedded = [self._embedder.embed_query(query) for query in trace.queries]
                return list(await asyncio.gather(*embedded))
        except TimeoutError:
            trace.notes.append(f"The embedding model did not answer within {EMBED_SECONDS:g} s.")
        except AntiphonError as error:
            trace.notes.append(f"The embedding model failed: {error.message}")
        finally:
            timer.stop("embedding")
        return nothing

    async def _fused(
        self,
        scopes: Mapping[str, Collection],
        asked: Asked,
        candidates: Sequence[Candidates],
        trace: Trace,
        timer: _Timer,
    ) -> list[_Ranked]:
        """Return the candidates in one order, best first."""
        weights = asked.ranking
        limit = _candidates(asked)
        proposed = [
            leg
            for one in candidates
            for leg in legs(
                one, limit, text_weight=weights.text_weight, embedding_weight=weights.embedding_weight
            )
        ]
        fused = {one.passage_id: one for one in fuse(proposed)[:MAX_CANDIDATES]}
        timer.start("passages")
        passages = await self._index.passages(tuple(scopes), list(fused))
        timer.stop("passages")
        ranked = []
        for passage in passages:
            traced = TracedPassage(
                collection_id=COLLECTION + passage.scope, file_id=FILE + passage.ref_id,
                version=passage.version, start=passage.start, end=passage.end, page=passage.page,
                lexical=_best(fused[passage.id].places[::2]), dense=_best(fused[passage.id].places[1::2]),
                fused=round(fused[passage.id].fused, 6), score=round(fused[passage.id].score, 4),
            )  # fmt: skip
            trace.candidates += 1
            trace.passages.append(traced)
            ranked.append(_Ranked(passage, traced))
        return ranked

    async def _rerank(self, ranked: list[_Ranked], asked: Asked, trace: Trace, timer: _Timer) -> None:
        """Have the first candidates ordered by a reranker, if there is one and it is in time."""
        if self._reranker is None or asked.ranking.ranker == "none" or len(ranked) < 2:
            return
        trace.reranking_model = self._reranker.model
        first = ranked[:RERANKED]
        timer.start("reranking")
        try:
            async with asyncio.timeout(RERANK_SECONDS):
                order = await self._reranker.rerank(trace.question, [one.passage.text for one in first])
        except TimeoutError:
            trace.notes.append(f"The reranking model did not answer within {RERANK_SECONDS:g} s.")
        except AntiphonError as error:
            trace.notes.append(f"The reranking model failed: {error.message}")
        else:
            _reorder(ranked, first, order)
        finally:
            timer.stop("reranking")

    async def _hits(
        self, scopes: Mapping[str, Collection], ranked: Sequence[_Ranked], asked: Asked, timer: _Timer
    ) -> list[Hit]:
        """Return what is good enough, at most as many as were asked for, with their files."""
        timer.start("files")
        files: dict[str, File | None] = {}
        hits: list[Hit] = []
        for one in ranked:
            if len(hits) >= asked.limit:
                one.traced.outcome = "above the limit"
                continue
            if one.traced.score < asked.ranking.score_threshold:
                one.traced.outcome = "below the threshold"
                continue
            collection, file_id = scopes[one.passage.scope], one.passage.ref_id
            if file_id not in files:
                files[file_id] = await self._files.get(collection.owner_id, file_id)
            file = files[file_id]
            if file is None:
                one.traced.outcome = "file is gone"
                continue
            hits.append(
                Hit(
                    passage=one.passage, collection=collection, file=file, score=one.traced.score,
                    traced=one.traced,
                )
            )  # fmt: skip
        timer.stop("files")
        return hits

    async def _touch(self, collections: Sequence[Collection]) -> None:
        """Note that collections were used, which moves their ends; a search does not fail over it."""
        now = self._clock.now_us()
        by_owner: dict[str, list[str]] = {}
        for one in collections:
            by_owner.setdefault(one.owner_id, []).append(one.id)
        for owner_id, used in by_owner.items():
            try:
                await self._collections.touch(owner_id, used, now)
            except AntiphonError as error:
                log.warning("the use of collections could not be noted: %s", error.message)


class _Ranked(msgspec.Struct):
    passage: Passage
    traced: TracedPassage


class _Timer:
    """Notes how long the steps of a search take."""

    def __init__(self, times_ms: dict[str, float]) -> None:
        self._times = times_ms
        self._began: dict[str, float] = {}

    def start(self, step: str) -> None:
        """A step begins."""
        self._began[step] = time.perf_counter()

    def stop(self, step: str) -> None:
        """A step ends."""
        self._times[step] = round((time.perf_counter() - self._began[step]) * 1000, 3)


def _candidates(asked: Asked) -> int:
    """Return how many passages each leg may propose."""
    return min(max(CANDIDATES, 2 * asked.limit), MAX_CANDIDATES)


def _best(places: Iterable[Place | None]) -> Rank | None:
    """Return the best of a passage's ranks in the legs of one kind, one for each query."""
    found = min((place for place in places if place is not None), key=lambda place: place.rank, default=None)
    return Rank(found.rank, round(found.score, 6)) if found is not None else None


def _new_trace(collections: Sequence[Collection], asked: Asked) -> Trace:
    queries = [query for query in dict.fromkeys(asked.queries) if query.strip()]
    return Trace(
        question=asked.question if asked.question is not None else " ".join(queries),
        queries=queries[:MAX_QUERIES],
        rewriting=asked.rewriting,
        collections=[COLLECTION + one.id for one in collections],
        filter=msgspec.to_builtins(asked.filter),
        ranker=asked.ranking.ranker,
        limit=asked.limit,
        score_threshold=asked.ranking.score_threshold,
    )


def _without_repetitions(ranked: Sequence[_Ranked]) -> list[_Ranked]:
    """Leave out passages whose text a better one has, whatever file it is from."""
    seen: set[str] = set()
    kept = []
    for one in ranked:
        text = " ".join(one.passage.text.split())
        if text in seen:
            one.traced.outcome = "same text as a better one"
        else:
            seen.add(text)
            kept.append(one)
    return kept


def _reorder(ranked: list[_Ranked], first: Sequence[_Ranked], order: Sequence[tuple[int, float]]) -> None:
    """Put the reranked candidates in their new order, with scores that fall with it.

    A reranker's own scores may be anything; what it put first gets the best of the fused scores,
    and so on.
    """
    scores = sorted((one.traced.score for one in first), reverse=True)
    placed = [first[index] for index, _ in order]
    for one, score, (_, own) in zip(placed, scores, order, strict=True):
        one.traced.score, one.traced.reranked = score, round(own, 6)
    ranked[: len(first)] = placed
