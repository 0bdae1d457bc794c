"""Knowledge wired together: files, collections, and the job that reads documents into them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from antiphon.bootstrap.embedding import Embedders, build_reranker, embedding_of
from antiphon.bootstrap.searching import searching_of
from antiphon.bootstrap.stores import KnowledgeStores, open_knowledge_stores
from antiphon.parsers.chat_exports.exports import FileExports
from antiphon.parsers.process import ConfinedParser
from antiphon.ports.clock import Clock
from antiphon.ports.document_parser import DocumentParser, Limits
from antiphon.ports.embedder import Reranker
from antiphon.ports.outbound import OutboundHttp
from antiphon.ports.storage import Storage
from antiphon.services.access import Access
from antiphon.services.attached_files import AttachedFiles
from antiphon.services.collection_files import CollectionFiles
from antiphon.services.collections import Collections
from antiphon.services.contents import Contents
from antiphon.services.counters import Counters
from antiphon.services.document_erasure import CollectionErasure, FileErasure
from antiphon.services.document_housekeeping import DocumentHousekeeping
from antiphon.services.document_texts import DocumentTexts
from antiphon.services.erasure import Erasures
from antiphon.services.file_search import FileSearches
from antiphon.services.files import Files
from antiphon.services.imports import Imports
from antiphon.services.ingestion import Ingestion
from antiphon.services.kept_answers import KeptAnswers
from antiphon.services.models import Models
from antiphon.services.quotas import Quotas
from antiphon.services.standing import Standing
from antiphon.services.uploads import Uploads
from antiphon.services.web_imports import WebImports
from antiphon.settings import Settings
from antiphon.storage.sql.knowledge_ports import KnowledgePorts


@dataclass(frozen=True, kw_only=True)
class OpenKnowledge:
    """The adapters of knowledge."""

    stores: KnowledgeStores
    http: OutboundHttp
    parser: DocumentParser
    embedders: Embedders
    reranker: Reranker | None

    @property
    def store(self) -> KnowledgePorts:
        """The ports of knowledge."""
        return self.stores.ports


async def opened_knowledge(
    stack: AsyncExitStack, settings: Settings, http: OutboundHttp, embedders: Embedders, *,
    parser: DocumentParser | None = None,
) -> OpenKnowledge:  # fmt: skip
    """Open what knowledge stands on until `stack` closes; the data directory is locked by the caller.

    `parser` replaces the usual one.
    """
    stores = await open_knowledge_stores(stack, settings)
    parser = parser or ConfinedParser()
    stack.push_async_callback(parser.close)
    reranker = build_reranker(settings, embedders.providers, http)
    if reranker is not None:
        stack.push_async_callback(reranker.close)
    return OpenKnowledge(stores=stores, http=http, parser=parser, embedders=embedders, reranker=reranker)


def attached_of(opened: OpenKnowledge) -> AttachedFiles:
    """Return what shows models the files that messages name."""
    store, blobs = opened.store, opened.stores.documents
    return AttachedFiles(store, blobs, DocumentTexts(store, blobs, opened.parser))


def knowledge_of(
    settings: Settings, opened: OpenKnowledge, storage: Storage, models: Models, quotas: Quotas,
    access: Access, counters: Counters, clock: Clock,
) -> tuple[dict[str, Any], FileSearches, Erasures]:  # fmt: skip
    """Return the services of knowledge by their names in `Application`, what turns search, and who erases."""
    store, locks, is_new = opened.stores.ports, opened.stores.locks, opened.stores.is_new
    embedding = embedding_of(
        opened.embedders, store.vectors, store.scopes, models, storage.unit_of_work, quotas, clock, locks
    )
    most = settings.max_storage_bytes_per_user
    contents = Contents(opened.stores.documents, store.files, locks, most_stored_bytes=most)
    kept = KeptAnswers(store.kept_answers, clock)
    ingestion = Ingestion(
        store, contents, opened.parser, store.index, store.scopes, embedding["embeddings"], clock,
        limits=Limits(), shared=opened.stores.server_id is not None,
    )  # fmt: skip
    files = Files(store, contents, kept, ingestion, clock, most_bytes=settings.max_file_bytes)
    uploads = Uploads(store, contents, kept, clock, most_bytes=settings.max_upload_bytes)
    standing = Standing(store.batches)
    collections = Collections(store, files, access, kept, ingestion, standing, clock)
    embeddings = embedding["embeddings"]
    retrieval, searches = searching_of(store, embeddings, opened.reranker, standing, counters, clock)
    keeping = DocumentHousekeeping(
        store, contents, files, uploads, collections, store.index, clock, locks, knows_contents=not is_new
    )
    services = {
        **embedding,
        "files": files,
        "uploads": uploads,
        "web_imports": WebImports(files, opened.http),
        "imports": Imports(storage, files, FileExports(), clock),
        "collections": collections,
        "collection_files": CollectionFiles(store, collections, files, kept, ingestion, clock),
        "ingestion": ingestion,
        "document_housekeeping": keeping,
        "kept_answers": kept,
        "retrieval": retrieval,
    }
    of_collections = CollectionErasure(store, collections, standing, store.scopes)
    of_files = FileErasure(store, contents, files, uploads)
    return services, searches, Erasures((of_collections, of_files))
