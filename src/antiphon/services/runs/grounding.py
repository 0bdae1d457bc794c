"""Before the model is called: search, show the search, and put what was found before the model.

It happens in the run's own task, so the response exists and its prompt is stored before anything is
searched. A search is one output item; its events are those of OpenAI's file search. What a turn that asked
for `file_search` does when the search fails is to fail, as an answer without the documents would pass
for one from them; a turn that only has standing collections goes on without them.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from antiphon.domain import ids
from antiphon.domain.collections import COLLECTION, Collection
from antiphon.domain.compaction import is_record
from antiphon.domain.errors import AntiphonError, ProviderError
from antiphon.domain.file_search import FileSearch
from antiphon.domain.files import FILE
from antiphon.domain.items import text_of
from antiphon.domain.passages import Passage
from antiphon.domain.retrieval import Found, Hit, Trace
from antiphon.domain.rewriting import rewrite
from antiphon.domain.run_events import FILE_SEARCH, RunLog
from antiphon.domain.sources import Place, Source, Stretch, fit, stretches, with_sources
from antiphon.domain.usage import estimate_request_tokens
from antiphon.ports.files import Texts
from antiphon.ports.model_provider import ModelRequest
from antiphon.services.counters import Counters
from antiphon.services.retrieval import Asked, Retrieval
from antiphon.services.runs.citations import CitingEmitter, Given

SEARCH_SECONDS: Final = 30.0
RULES_TOKENS: Final = 220
FENCE_BYTES: Final = 9
TRACED: Final = 60
"""Candidates that a log keeps, best first: those that may be results, and some of what was not."""

log = logging.getLogger(__name__)


class Grounding:
    """The search of one run, whose ids carry `slot`.

    `explicit` tells that the caller asked for it. `room_tokens` is the model's window less the answer,
    `budget_tokens` what of it sources may take at most.
    """

    def __init__(
        self,
        retrieval: Retrieval,
        texts: Texts,
        counters: Counters,
        collections: Sequence[Collection],
        search: FileSearch,
        *,
        slot: int,
        explicit: bool,
        room_tokens: int,
        budget_tokens: int,
    ) -> None:
        self._retrieval = retrieval
        self._texts = texts
        self._counters = counters
        self._collections = collections
        self._search = search
        self._slot = slot
        self._explicit = explicit
        self._room_tokens = room_tokens
        self._budget_tokens = budget_tokens
        self._emitter: CitingEmitter | None = None

    def emitter(self, ops: RunLog) -> CitingEmitter:
        """Return the emitter of the run, which takes the markers out once sources were given."""
        self._emitter = CitingEmitter(ops, self._slot, self._counters)
        return self._emitter

    async def ground(self, ops: RunLog, request: ModelRequest, shown: Callable[[], None]) -> ModelRequest:
        """Search and return the request with its sources; `shown` is called when events are to be seen.

        Raises ProviderError if the search failed and was asked for.
        """
        output = len(ops.outputs)
        ops.append(("A", output, 0, {"id": ids.new_id(self._slot), "type": FILE_SEARCH}))
        ops.append(("S", output, "in_progress"))
        shown()
        asked = self._asked(request)
        ops.append(("S", output, "searching", list(asked.queries)))
        trace = Trace(question=asked.question or "", queries=list(asked.queries), rewriting=asked.rewriting)
        try:
            async with asyncio.timeout(SEARCH_SECONDS):
                found = await self._retrieval.search_in(self._collections, asked)
                sources = await self._sources(found, request)
                given = await asyncio.to_thread(Given, sources, found.trace.question)
        except asyncio.CancelledError:
            ops.append(("G", output, "incomplete"))
            raise
        except Exception as error:
            ops.append(("G", output, "failed", _record([], _failed(trace, error))))
            shown()
            return self._without(request, error)
        self._counters.searches["completed"] += 1
        ops.append(("S", output, "completed"))
        ops.append(("G", output, "completed", _record(found.hits, found.trace)))
        shown()
        if sources and self._emitter is not None:
            self._emitter.give(given)
        fence = secrets.token_urlsafe(FENCE_BYTES)
        return msgspec.structs.replace(
            request, messages=with_sources(request.messages, sources, fence), sources=tuple(sources)
        )

    def _asked(self, request: ModelRequest) -> Asked:
        texts = [text_of(message) for message in request.messages if message.get("role") == "user"]
        said = [text for text in texts if not is_record(text)]
        question = said[-1] if said else ""
        rewritten = rewrite(question, said[:-1])
        return Asked(
            queries=rewritten.queries,
            question=question[-MAX_QUESTION:],
            rewriting=rewritten.reason,
            filter=self._search.filter,
            limit=self._search.max_results,
            ranking=self._search.ranking,
        )

    def _without(self, request: ModelRequest, error: Exception) -> ModelRequest:
        """Go on without sources, or raise if they were asked for."""
        self._counters.searches["failed"] += 1
        if not isinstance(error, AntiphonError | TimeoutError):
            log.error("a search failed", exc_info=error)
        if not self._explicit:
            return request
        if isinstance(error, TimeoutError):
            raise ProviderError("The file search took too long.", code="vector_store_timeout") from error
        raise ProviderError("The file search failed.", code="server_error") from error

    async def _sources(self, found: Found, request: ModelRequest) -> list[Source]:
        """Return what of the findings fits before the model, as it is read from the texts."""
        asked_tokens = estimate_request_tokens(request.messages, request.params.get("tools") or ())
        budget = min(self._budget_tokens, self._room_tokens - asked_tokens - RULES_TOKENS)
        found.trace.budget_tokens = max(budget, 0)
        hits = {hit.passage.id: hit for hit in found.hits}
        taken, left_out = fit([hit.passage for hit in found.hits], budget)
        for passage in left_out:
            hits[passage.id].traced.outcome = "no room in the prompt"
        sources: list[Source] = []
        for stretch in stretches(taken):
            source = await self._read(stretch, hits[stretch.passages[0].id], len(sources) + 1)
            for passage in stretch.passages:
                traced = hits[passage.id].traced
                traced.source = source.number if source is not None else None
                traced.outcome = "used" if source is not None else "text cannot be verified"
            if source is not None:
                sources.append(source)
        return sources

    async def _read(self, stretch: Stretch, hit: Hit, number: int) -> Source | None:
        """Return a stretch as its text has it; None if the text does not say what the index says."""
        start, end, file, owner_id = stretch.start, stretch.end, hit.file, hit.collection.owner_id
        text = await self._texts.read(owner_id, file.id, hit.passage.version, start, end)
        if text is None or any(not _stands_in(passage, text, start) for passage in stretch.passages):
            self._counters.searches["unverified"] += 1
            return None
        places = [Place(one.start, one.end, one.page, one.heading) for one in stretch.passages]
        return Source(
            number=number, collection_id=hit.collection.id, file_id=file.id, filename=file.filename,
            version=hit.passage.version, start=start, end=end, text=text, places=tuple(places),
        )  # fmt: skip


MAX_QUESTION: Final = 2_000
"""Characters of the question that the trace keeps."""


def _stands_in(passage: Passage, text: str, start: int) -> bool:
    return text[passage.start - start : passage.end - start] == passage.text


def _failed(trace: Trace, error: Exception) -> Trace:
    """Note why a search failed; what is no error of ours may say what nobody should read."""
    if isinstance(error, TimeoutError):
        trace.error = f"The search did not end within {SEARCH_SECONDS:g} s."
    else:
        trace.error = error.message if isinstance(error, AntiphonError) else "Internal error."
    return trace


def _record(hits: Sequence[Hit], trace: Trace) -> dict[str, Any]:
    """Return what the log keeps of a search: the results as OpenAI has them, and the trace."""
    kept = msgspec.structs.replace(trace, passages=trace.passages[:TRACED])
    return {"results": [_result(hit) for hit in hits], "trace": msgspec.to_builtins(kept)}


def _result(hit: Hit) -> dict[str, Any]:
    passage = hit.passage
    return {
        "attributes": passage.attributes,
        "file_id": FILE + hit.file.id,
        "filename": hit.file.filename,
        "score": hit.score,
        "text": passage.text,
        "antiphon": {
            "version": passage.version, "start": passage.start, "end": passage.end, "page": passage.page,
            "heading": passage.heading or None, "collection_id": COLLECTION + hit.collection.id,
        },
    }  # fmt: skip
