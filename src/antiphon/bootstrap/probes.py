"""One call each to what embedding and reranking are configured to use, for the doctor."""

from __future__ import annotations

from time import perf_counter

import msgspec

from antiphon.bootstrap.embedding import Embedders, build_reranker
from antiphon.bootstrap.providers import build_models, provider_specs
from antiphon.bootstrap.timing import SystemClock
from antiphon.providers.http_client import HttpClient
from antiphon.settings import Settings

WORDS = "a word of the doctor"


class Probed(msgspec.Struct, frozen=True):
    """What answered, how long it took, and how many dimensions its vectors have."""

    model: str
    milliseconds: float
    dimensions: int = 0


async def probe_embedding(settings: Settings) -> Probed | None:
    """Embed a text with the configured model, None if there is none; raises AntiphonError, ValueError."""
    http = HttpClient()
    try:
        models = build_models(settings, http, SystemClock())
        configured = Embedders(settings, models, provider_specs(settings), http).configured
        if configured is None:
            return None
        began = perf_counter()
        try:
            made = await configured.embedder.embed([WORDS], "query")
        finally:
            await configured.embedder.close()
        return Probed(configured.embedder.model, 1000 * (perf_counter() - began), len(made.vectors[0]) // 4)
    finally:
        await http.close()


async def probe_reranker(settings: Settings) -> Probed | None:
    """Order two texts with the configured reranker, None if there is none; raises as above."""
    http = HttpClient()
    try:
        reranker = build_reranker(settings, provider_specs(settings), http)
        if reranker is None:
            return None
        began = perf_counter()
        await reranker.rerank(WORDS, [WORDS, "another text"])
        return Probed(reranker.model, 1000 * (perf_counter() - began))
    finally:
        await http.close()
