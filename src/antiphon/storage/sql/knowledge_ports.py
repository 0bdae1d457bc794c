"""All ports of knowledge, on whatever store and engine."""

from __future__ import annotations

from antiphon.ports.passage_index import IndexScopes, PassageIndex, Vectors
from antiphon.storage.sql.knowledge_batches import SqlBatches
from antiphon.storage.sql.knowledge_collections import SqlCollections
from antiphon.storage.sql.knowledge_files import SqlFiles
from antiphon.storage.sql.knowledge_index import SqlIndexScopes, SqlPassageIndex, SqlVectors
from antiphon.storage.sql.knowledge_index_engine import IndexEngine
from antiphon.storage.sql.knowledge_kept_answers import SqlKeptAnswers
from antiphon.storage.sql.knowledge_members import SqlCollectionMembers, SqlWaiting
from antiphon.storage.sql.knowledge_store import KnowledgeStore
from antiphon.storage.sql.knowledge_texts import SqlTexts
from antiphon.storage.sql.knowledge_uploads import SqlUploads


class KnowledgePorts:
    """Port `Knowledge` and those of the index, which may be replaced by one that is elsewhere."""

    def __init__(self, store: KnowledgeStore, engine: IndexEngine, cache_bytes: int) -> None:
        self.store = store
        self.engine = engine
        self.index: PassageIndex = SqlPassageIndex(store, engine, cache_bytes)
        self.scopes: IndexScopes = SqlIndexScopes(store, engine)
        self.vectors: Vectors = SqlVectors(store, engine)
        self.files = SqlFiles(store)
        self.texts = SqlTexts(store)
        self.uploads = SqlUploads(store)
        self.collections = SqlCollections(store)
        self.members = SqlCollectionMembers(store)
        self.waiting = SqlWaiting(store)
        self.batches = SqlBatches(store)
        self.kept_answers = SqlKeptAnswers(store)
