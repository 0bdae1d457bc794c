"""What makes conversations findable: the indexer behind the commits, and the search."""

from __future__ import annotations

from typing import Any

from antiphon.bootstrap.stores import KnowledgeStores
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.services.access import Access
from antiphon.services.commit_notes import CommitNotes
from antiphon.services.embeddings import Embeddings
from antiphon.services.history import History
from antiphon.services.models import Models
from antiphon.services.quotas import Quotas
from antiphon.services.recall import Recall
from antiphon.services.search import Search


def search_of(
    storage: Storage, access: Access, models: Models, quotas: Quotas, clock: Clock,
    stores: KnowledgeStores, embeddings: Embeddings, notes: CommitNotes | None,
) -> dict[str, Any]:  # fmt: skip
    """Return the indexer and the search, by their names in `Application`.

    Without `notes` nothing is indexed or searched; what was indexed before is still erased by purges.
    """
    is_on, knowledge = notes is not None, stores.ports
    history = History(
        storage.history, knowledge.index, knowledge.scopes, CommitNotes(clock) if notes is None else notes,
        embeddings, clock, stores.locks, server_id=stores.server_id, follows=is_on,
    )  # fmt: skip
    search = Search(
        storage, access, quotas, knowledge.index, knowledge.scopes, embeddings, clock, is_on=is_on
    )
    return {"history": history, "search": search, "recall": Recall(storage, access, models, search)}
