"""Searching in documents wired together: what finds passages, and what turns search."""

from __future__ import annotations

from antiphon.domain.analysis import query_terms
from antiphon.ports.clock import Clock
from antiphon.ports.embedder import Reranker
from antiphon.services.counters import Counters
from antiphon.services.embeddings import Embeddings
from antiphon.services.file_search import FileSearches
from antiphon.services.retrieval import Retrieval
from antiphon.services.standing import Standing
from antiphon.storage.sql.knowledge_ports import KnowledgePorts


def searching_of(
    store: KnowledgePorts,
    embeddings: Embeddings,
    reranker: Reranker | None,
    standing: Standing,
    counters: Counters,
    clock: Clock,
) -> tuple[Retrieval, FileSearches]:
    """Return what finds passages, and what turns search."""
    retrieval = Retrieval(
        store.collections, store.files, store.index, store.scopes, clock,
        analyse=query_terms, embedder=embeddings, reranker=reranker,
    )  # fmt: skip
    return retrieval, FileSearches(counters, retrieval, store.texts, standing)
