"""`/v1/vector_stores/{id}/search`, in OpenAI's shape; the trace of the search stands under `antiphon`."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Response
from pydantic import Field

from antiphon.api.dependencies import App, Caller, JsonRoute
from antiphon.api.v1.conversation_bodies import Body
from antiphon.api.v1.pages import answer
from antiphon.domain.file_search import MAX_RESULTS, parse_ranking
from antiphon.domain.files import FILE
from antiphon.domain.filters import parse_filter
from antiphon.domain.retrieval import Found, Hit
from antiphon.services.retrieval import MAX_QUERIES, Asked

router = APIRouter(prefix="/v1/vector_stores", tags=["vector stores"], route_class=JsonRoute)

DEFAULT_RESULTS = 10
"""OpenAI's, for searches by themselves."""

Query = Annotated[str, Field(min_length=1, max_length=4_096)]


class SearchCollection(Body):
    """What is looked for; the findings of several queries are fused.

    `rewrite_query` changes nothing here: what is left out of a question is taken from a conversation.
    """

    query: Query | Annotated[list[Query], Field(min_length=1, max_length=MAX_QUERIES)]
    filters: dict[str, Any] | None = None
    max_num_results: Annotated[int, Field(ge=1, le=MAX_RESULTS)] = DEFAULT_RESULTS
    ranking_options: dict[str, Any] | None = None
    rewrite_query: bool = False


@router.post("/{vector_store_id}/search", summary="Search a vector store")
async def search(application: App, who: Caller, vector_store_id: str, body: SearchCollection) -> Response:
    """Find passages, best first; filters hold before the best are chosen."""
    asked = Asked(
        queries=tuple([body.query] if isinstance(body.query, str) else body.query),
        filter=parse_filter(body.filters),
        limit=body.max_num_results,
        ranking=parse_ranking(body.ranking_options),
    )
    return answer(found_object(await application.retrieval.search(who, [vector_store_id], asked)))


def found_object(found: Found) -> dict[str, Any]:
    """Return what a search found as a page, which is always the whole of it."""
    return {
        "object": "vector_store.search_results.page",
        "search_query": found.trace.queries,
        "data": [_hit_object(hit) for hit in found.hits],
        "has_more": False,
        "next_page": None,
        "antiphon": {"trace": msgspec.to_builtins(found.trace)},
    }


def _hit_object(hit: Hit) -> dict[str, Any]:
    passage = hit.passage
    return {
        "file_id": FILE + hit.file.id,
        "filename": hit.file.filename,
        "score": hit.score,
        "attributes": passage.attributes,
        "content": [{"type": "text", "text": passage.text}],
        "antiphon": {
            "version": passage.version, "start": passage.start, "end": passage.end, "page": passage.page,
            "heading": passage.heading or None,
        },
    }  # fmt: skip
