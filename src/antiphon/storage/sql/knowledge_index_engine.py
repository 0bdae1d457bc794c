"""What of the index each engine does in its own way: whatever has to do with words, and bulk writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from antiphon.domain.passages import Cut, IndexQuery, LegHit, NewPassage, Source
from antiphon.storage.sql.database import Db


class IndexEngine(Protocol):
    """Every method is a part of one transaction."""

    @property
    def slice(self) -> int:
        """How many passages of a document one transaction takes."""
        ...

    @property
    def slice_characters(self) -> int:
        """How many characters they may have together, unless one alone has more."""
        ...

    def add(self, db: Db, source: Source, passages: Sequence[NewPassage]) -> None:
        """See port `PassageIndex.add`; as many passages as one transaction takes."""
        ...

    def add_messages(self, db: Db, cuts: Sequence[Cut]) -> None:
        """See port `PassageIndex.add_messages`; as many passages as one transaction takes."""
        ...

    def erase(self, db: Db, numbers: Sequence[int]) -> None:
        """Erase passages with their texts and words."""
        ...

    def erase_all(self, db: Db) -> None:
        """Erase everybody's passages with their texts and words."""
        ...

    def erase_traces(self, db: Db) -> bool:
        """See port `IndexScopes.erase_traces`."""
        ...

    def put_vectors(
        self, db: Db, owner_id: str, model_no: int, vectors: Sequence[tuple[bytes, bytes]]
    ) -> None:
        """Keep `(text hash, float16)`; what no passage of the owner needs any more is left out."""
        ...

    def words(
        self, db: Db, scopes: Sequence[int], sources: frozenset[int] | None, query: IndexQuery
    ) -> list[LegHit]:
        """Return the best passages of scopes (of these sources, None for all) by Okapi BM25.

        A word in a heading counts as `TITLE_WEIGHT` in the text; k1 is 1.2, b .75.
        """
        ...
