"""Opens what a measurement of retrieval needs: an index in a directory of its own and the embedding model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from antiphon.bootstrap.embedding import Embedders, listed_embeddings
from antiphon.bootstrap.providers import build_models, provider_specs
from antiphon.bootstrap.stores import open_benchmark_store
from antiphon.bootstrap.timing import SystemClock
from antiphon.domain.evaluation import Figures
from antiphon.providers.http_client import HttpClient
from antiphon.services.evaluation import Benchmark, Evaluation
from antiphon.settings import Settings


@asynccontextmanager
async def open_evaluation(settings: Settings, directory: Path) -> AsyncIterator[Evaluation]:
    """Open an index until the context closes, with the embedding model of the settings.

    It lies under `directory`, or in PostgreSQL where that is configured.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        store = await open_benchmark_store(stack, settings, directory)
        http = HttpClient()
        stack.push_async_callback(http.close)
        models = build_models(settings, http, clock, further=listed_embeddings(settings))
        stack.push_async_callback(models.close)
        configured = Embedders(settings, models, provider_specs(settings), http).configured
        embedder = configured.embedder if configured is not None else None
        if embedder is not None:
            stack.push_async_callback(embedder.close)
        yield Evaluation(store, store.index, store.scopes, store.vectors, embedder, clock)


async def evaluate(
    settings: Settings, folder: Path, directory: Path, *, passage_tokens: int, candidates: int
) -> Figures:
    """Measure retrieval on the benchmark in `folder`, with an index under `directory`."""
    async with open_evaluation(settings, directory) as evaluation:
        return await evaluation.run(Benchmark(folder), passage_tokens=passage_tokens, candidates=candidates)
